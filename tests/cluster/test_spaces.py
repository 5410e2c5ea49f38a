"""Every pair of spaces trains, and what is sampled is what the learner recomputes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import train
from sample_spaces import ACTION_SPACES, OBSERVATION_SPACES

from reinforce.cluster.run_lifecycle import open_backend
from reinforce.learner.learner import Learner
from reinforce.learner.networks.network import loaded_network
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

SMALL = {
    "learner": {
        "episodes_per_update": 6,
        "baseline": "value",
        "entropy_coefficient": 0.01,
        "entropy_reward": 0.01,
        "max_kl": 1e-4,
    },
    "policy": {"hidden_sizes": [8], "normalize_observations": True},
    "workers": {"num_workers": 1, "envs_per_worker": 2, "episodes_per_ticket": 3},
    "evaluation": {"episodes": 5, "every_updates": None},
}


def samples(observation, action, **kwargs):
    kwargs |= {"observation": observation, "action": action}
    return {"environment": {"id": "space_tasks:Samples", "kwargs": kwargs}}


def roundings(records):
    """Return per update how far worker and learner are apart, in roundings of a log-probability.

    With many parts in an action these are about -30, of which float32 keeps as much as of 30.
    """
    drifts = []
    for record in records:
        if "learner/log_prob_drift_max" in record.metrics:
            size = max(1.0, np.abs(record.batch.episode_log_probs).max())
            rounding = np.finfo(np.float32).eps * size
            drifts.append(record.metrics["learner/log_prob_drift_max"] / rounding)
    return drifts


def train_samples(make_config, display, spaces, opener=open_backend, name="inline"):
    """Train two updates, check that worker and learner agree, and return the weights' digest."""
    config = make_config(**{**SMALL, **samples(*spaces), "run": {"name": name}})
    outcome, records, _ = train(config, display, open_backend=opener)
    assert outcome.progress.updates == 2
    assert len(roundings(records)) == 2
    assert max(roundings(records)) < 8
    return outcome.weights_sha256


@pytest.mark.parametrize("spaces", list(itertools.product(OBSERVATION_SPACES, ACTION_SPACES)))
def test_every_pair_of_spaces_trains_two_updates(make_config, display, spaces):
    train_samples(make_config, display, spaces)


def every_space_once():
    """Return pairs in which each space occurs: how one travels does not depend on the other."""
    pairs = itertools.zip_longest(OBSERVATION_SPACES, ACTION_SPACES)
    return [(observation or "all", action or "all") for observation, action in pairs]


@pytest.mark.ray
@pytest.mark.parametrize("spaces", every_space_once())
def test_every_space_trains_to_the_same_weights_on_ray(make_config, display, actors, spaces):
    inline = train_samples(make_config, display, spaces)

    assert train_samples(make_config, display, spaces, actors.backend, "ray") == inline


POLICIES = {
    "mlp": ("all", "all", {}, {}),
    "cnn": ("dict", "multi-discrete", {"kind": "cnn"}, {}),
    "gru": ("all", "all", {"kind": "gru", "hidden_sizes": [8, 6]}, {}),
    "masks in info": ("box", "discrete from 7", {}, {"masks": "info"}),
    "masks in observations": (
        "dict",
        "discrete",
        {"kind": "gru", "hidden_sizes": [6]},
        {"masks": "observation"},
    ),
    "user": ("all", "all", {"kind": "user_package:Attentive", "arguments": {"width": 8}}, {}),
    "recurrent user": ("box", "bounded box", {"kind": "user_package:Counter"}, {}),
}


def policy_config(make_config, name, **sections):
    observation, action, policy, kwargs = POLICIES[name]
    return make_config(
        **{
            **SMALL,
            **samples(observation, action, **kwargs),
            "policy": {**SMALL["policy"], **policy},
            "stop": {"max_updates": 3},
            **sections,
        }
    )


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("micro_batch_steps", [7, 4096])
def test_the_log_probabilities_of_the_worker_are_those_of_the_learner(
    make_config, display, name, micro_batch_steps
):
    """Through weights, masks, normaliser and recurrence, at lag 0."""
    learner = {**SMALL["learner"], "micro_batch_steps": micro_batch_steps}

    _, records, _ = train(policy_config(make_config, name, learner=learner), display)

    assert len(roundings(records)) == 3
    assert max(roundings(records)) < 8


@pytest.mark.ray
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_learns_the_same_on_ray(make_config, display, actors, name):
    shas = {
        train(policy_config(make_config, name, run={"name": where}), display, open_backend=opener)[
            0
        ].weights_sha256
        for where, opener in (("inline", open_backend), ("ray", actors.backend))
    }

    assert len(shas) == 1


@pytest.fixture(params=[7, 4096])
def stale(make_config, request):
    """A learner with masks and memory that is one version ahead, and the episodes it gets.

    Worker and learner have other weights, both far from uniform.
    """
    section = {**SMALL["learner"], "micro_batch_steps": request.param}
    config = policy_config(make_config, "masks in observations", learner=section)
    spec = inspect_environment(config.environment)
    learner = Learner(config.learner, architecture_of(config, spec), seed=0)
    generator = np.random.default_rng(0)
    state = learner.state()
    num_learned = len(state.arrays["weights"]) - learner._architecture.num_statistics

    def moved():
        values = state.arrays["weights"].copy()
        values[:num_learned] += generator.normal(0, 0.3, num_learned)
        return values

    (ticket,) = draw_tickets(0, Purpose.TRAINING, 0, 6, 6)
    _, batch = RolloutWorker(config, spec).play(ticket, Weights(0, moved()))
    learner.load_state(replace(state, version=1, arrays={**state.arrays, "weights": moved()}))
    return learner, batch


def by_hand(learner, batch, *, remembers=True, masks=True):
    """Log pi - log mu, one step after the other, as a worker would act."""
    network = loaded_network(learner._architecture, learner.weights())
    first_steps = np.cumsum(batch.episode_lengths) - batch.episode_lengths
    ratios = []
    for step in range(batch.num_steps):
        if step in first_steps or not remembers:
            states = torch.zeros(1, network.state_size)
        with torch.no_grad():
            logits, states = network.step(batch.observations[step : step + 1], states)
        allowed = batch.action_masks[step] if masks else np.ones(3, bool)
        exponentials = np.where(allowed, np.exp(logits[0].numpy().astype(float)), 0.0)
        probability = exponentials[batch.actions[step]] / exponentials.sum()
        ratios.append(np.log(probability) - batch.behavior_log_probs[step])
    return np.array(ratios)


def test_the_importance_weights_know_the_masks_and_the_memory(stale):
    learner, batch = stale

    ratios = learner._log_ratios(batch, staleness=1)

    np.testing.assert_allclose(ratios, by_hand(learner, batch), atol=1e-5)
    assert np.abs(ratios - by_hand(learner, batch, masks=False)).max() > 0.1
    assert np.abs(ratios - by_hand(learner, batch, remembers=False)).max() > 0.1

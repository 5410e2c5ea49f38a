"""Every pair of spaces trains, and what is sampled is what the learner recomputes."""

import itertools

import numpy as np
import pytest
from runs import train
from sample_spaces import ACTION_SPACES, OBSERVATION_SPACES

SMALL = {
    "learner": {"episodes_per_update": 6, "baseline": "value", "entropy_coefficient": 0.01},
    "policy": {"hidden_sizes": [8], "normalize_observations": True},
    "workers": {"num_workers": 1, "envs_per_worker": 2, "episodes_per_ticket": 3},
    "evaluation": {"episodes": 5, "every_updates": None},
}


def samples(observation, action, **kwargs):
    kwargs |= {"observation": observation, "action": action}
    return {"environment": {"id": "space_tasks:Samples", "kwargs": kwargs}}


def drifts(records):
    return [
        record.metrics["learner/log_prob_drift_max"]
        for record in records
        if "learner/log_prob_drift_max" in record.metrics
    ]


@pytest.fixture(scope="module")
def actors(local_ray):
    from reused_actors import ReusedActors

    return ReusedActors()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("observation", "action"), list(itertools.product(OBSERVATION_SPACES, ACTION_SPACES))
)
def test_every_pair_of_spaces_trains_two_updates_on_both_backends(
    make_config, display, actors, observation, action
):
    shas = set()
    for name, backend in (("inline", None), ("ray", actors.backend)):
        config = make_config(**{**SMALL, **samples(observation, action), "run": {"name": name}})

        outcome, records, _ = train(config, display, backend=backend)

        assert outcome.progress.updates == 2
        assert len(drifts(records)) == 2
        assert max(drifts(records)) < 1e-5
        shas.add(outcome.weights_sha256)
    assert len(shas) == 1


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

    assert len(drifts(records)) == 3
    assert max(drifts(records)) < 1e-5


@pytest.mark.ray
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_learns_the_same_on_ray(make_config, display, actors, name):
    shas = {
        train(policy_config(make_config, name, run={"name": where}), display, backend=backend)[
            0
        ].weights_sha256
        for where, backend in (("inline", None), ("ray", actors.backend))
    }

    assert len(shas) == 1


def test_with_lookahead_the_importance_weights_know_the_masks_and_the_memory(make_config, display):
    config = policy_config(make_config, "masks in observations", cluster={"lookahead": 1})

    _, records, _ = train(config, display)

    sizes = [
        record.metrics["learner/effective_sample_size"]
        for record in records
        if "learner/effective_sample_size" in record.metrics
    ]
    assert all(0.5 < size <= 1.0 for size in sizes)
    assert np.min(sizes) < 1.0

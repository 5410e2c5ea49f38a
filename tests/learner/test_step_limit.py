"""A step is shortened until its divergence holds, for every distribution and kind of network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from played_batches import LENGTHS, NUMBERS, POLICIES, played_by
from sample_spaces import ACTION_SPACES
from torch.nn import Parameter

from reinforce.configs.learning import LearnerConfig
from reinforce.learner import gradient
from reinforce.learner.learner import Learner
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.step_limit import shorter, step_within
from reinforce.workers.spaces import action_layout

LIMIT = 0.01
MASKS = np.random.default_rng(0).random((LENGTHS.sum(), 3)) < 0.5
MASKS[np.arange(len(MASKS)), np.arange(len(MASKS)) % 3] = True

CASES = {
    **{
        name: (PolicyArchitecture(NUMBERS, action_layout(space), (8,), "tanh"), None)
        for name, space in ACTION_SPACES.items()
    },
    "gru": (POLICIES["gru"], None),
    "cnn": (POLICIES["cnn"], None),
    "masks": (POLICIES["mlp"], MASKS),
    "masks and memory": (POLICIES["gru"], MASKS),
}


def make_learner(architecture, **config):
    settings = {"learning_rate": 0.3, "max_kl": LIMIT, "micro_batch_steps": 32, **config}
    return Learner(LearnerConfig(**settings), architecture, seed=0)


def divergence_between(learner, weights, batch):
    """The mean over all steps at once."""
    network, passes = learner._network, learner._passes
    everything = type(passes.compared_states(batch)[0])(slice(None), batch.episode_lengths)
    distributions = []
    for version in weights:
        network.load_flat_weights(version.values)
        distributions += passes.distributions(batch, [everything])
    return float(distributions[1].kl_from(distributions[0]).double().mean())


@pytest.mark.parametrize("name", CASES)
def test_the_divergence_over_all_states_of_the_batch_holds(name, monkeypatch):
    """Not over the few on which versions are compared without a limit."""
    monkeypatch.setattr(gradient, "MAX_KL_STATES", 10)
    architecture, masks = CASES[name]
    learner = make_learner(architecture)
    batch, before = played_by(learner, architecture, masks=masks), learner.weights()

    report, after = learner.update([batch])

    assert 0 < report.metrics["step_fraction"] < 1
    assert LIMIT / 2 < report.metrics["kl"] <= LIMIT
    found = divergence_between(learner, (before, after), batch)
    assert found == pytest.approx(report.metrics["kl"], rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_a_shorter_step_goes_the_way_of_the_whole_one(optimizer):
    def moved(max_kl):
        learner = make_learner(POLICIES["mlp"], optimizer=optimizer, max_kl=max_kl)
        batch, before = played_by(learner, POLICIES["mlp"]), learner.weights().values
        report, after = learner.update([batch])
        return report.metrics.get("step_fraction"), after.values - before

    fraction, short = moved(LIMIT)

    assert fraction < 1
    np.testing.assert_allclose(short, fraction * moved(None)[1], atol=1e-6)


def test_a_limit_that_is_not_reached_changes_no_bit():
    def weights_with(max_kl):
        learner = make_learner(POLICIES["mlp"], learning_rate=0.001, max_kl=max_kl)
        report, weights = learner.update([played_by(learner, POLICIES["mlp"])])
        return report.metrics.get("step_fraction"), weights.sha256

    fraction, sha256 = weights_with(1.0)

    assert fraction == 1.0
    assert weights_with(None) == (None, sha256)


@pytest.mark.parametrize("micro_batch_steps", [7, 4096])
def test_micro_batches_change_a_limited_update_by_rounding_alone(micro_batch_steps):
    def weights_with(size):
        learner = make_learner(POLICIES["mlp"], micro_batch_steps=size)
        return learner.update([played_by(learner, POLICIES["mlp"])])[1].values

    np.testing.assert_allclose(weights_with(micro_batch_steps), weights_with(32), atol=1e-5)


def test_a_restored_learner_goes_on_under_the_limit_bit_by_bit():
    learner, restored = make_learner(POLICIES["mlp"]), make_learner(POLICIES["mlp"])
    learner.update([played_by(learner, POLICIES["mlp"])])
    restored.load_state(learner.state())
    batch = played_by(learner, POLICIES["mlp"], seed=1)

    assert restored.update([batch])[1].sha256 == learner.update([batch])[1].sha256


def test_what_new_statistics_of_observations_do_comes_on_top():
    """They are no part of the step: no fraction of it could make up for them."""
    architecture = POLICIES["mlp, normalised"]
    learner = make_learner(architecture)
    batch, before = played_by(learner, architecture), learner.weights()

    report, after = learner.update([batch])

    count = architecture.num_statistics
    after.values[-count:] = before.values[-count:]
    of_the_step = divergence_between(learner, (before, after), batch)
    assert LIMIT / 2 < of_the_step <= LIMIT
    assert report.metrics["kl"] != pytest.approx(of_the_step, rel=1e-3)


@pytest.mark.parametrize(
    ("step", "kl"), [(1.0, float("inf")), (1.0, 1e30), (float("inf"), float("nan"))]
)
def test_a_step_of_which_no_part_holds_is_not_taken(step, kl):
    parameter, tried = Parameter(torch.tensor([1.0, 2.0])), []

    def kl_of_now():
        tried.append(parameter.detach().clone())
        return kl

    fraction = step_within(0.1, [parameter], lambda: parameter.add_(step), kl_of_now)

    assert (fraction, parameter.tolist()) == (0.0, [1.0, 2.0])
    assert len(tried) == 30


def test_a_step_after_which_the_divergence_is_no_number_is_not_taken():
    """Through many layers large weights overflow, and logits that are infinite have no KL."""
    architecture = replace(POLICIES["mlp"], hidden_sizes=(64,) * 20, activation="relu")
    learner = make_learner(architecture, learning_rate=1000.0)
    batch, before = played_by(learner, architecture), learner.weights()

    report, after = learner.update([batch])

    assert report.metrics["step_fraction"] < 1
    assert report.metrics["kl"] <= LIMIT
    assert np.isfinite(divergence_between(learner, (before, after), batch))


@pytest.mark.parametrize("power", [1, 2, 4])
@pytest.mark.parametrize("overshoot", [1.001, 30.0, 1e6])
def test_the_search_finds_a_step_near_the_limit_however_the_divergence_grows(power, overshoot):
    parameter = Parameter(torch.zeros(1, dtype=torch.float64))

    fraction = step_within(
        0.1,
        [parameter],
        lambda: parameter.add_(1.0),
        lambda: 0.1 * overshoot * float(parameter**power),
    )

    assert 0.1 * overshoot * fraction**power <= 0.1
    assert fraction > 0.4 * overshoot ** (-1 / power)


def test_the_next_try_is_that_of_a_parabola_but_not_below_a_half():
    assert shorter(0.5, 0.04, 0.025) == pytest.approx(0.5 * 0.75)
    assert shorter(0.5, 1e9, 0.025) == shorter(0.5, float("nan"), 0.025) == 0.25

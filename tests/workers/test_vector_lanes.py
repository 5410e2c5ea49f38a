"""What a vector environment does after an end is read from its metadata, and never recorded."""

import numpy as np
import pytest

from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import UnsuitableEnvironmentError, inspect_environment
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets


def vector_config(make_config, mode, **kwargs):
    environment = {
        "id": "vector_environments:VectorCountdown-v0",
        "kwargs": {"mode": mode} | kwargs,
    }
    workers = {"envs_per_worker": 4, "episodes_per_ticket": 4}
    return make_config(environment=environment, workers=workers)


def play(config, num_episodes):
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    worker = RolloutWorker(config, spec)
    ticket = draw_tickets(0, Purpose.TRAINING, 0, num_episodes, num_episodes)[0]
    return worker.play(ticket, Weights(0, np.zeros(size, np.float32)))[1]


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_the_first_episode_of_each_lane_is_recorded_whole_in_every_mode(make_config, mode, masks):
    """The environment itself refuses to be stepped or reset in any other way."""
    trajectories = play(vector_config(make_config, mode, masks=masks), num_episodes=6)

    # two rounds: four lanes, then two of four
    np.testing.assert_array_equal(trajectories.episode_lengths, [2, 3, 4, 5, 2, 3])
    expected = np.concatenate([[[0, t] for t in range(n)] for n in (2, 3, 4, 5, 2, 3)])
    np.testing.assert_array_equal(trajectories.observations, expected)
    np.testing.assert_array_equal(
        trajectories.final_observations, [[0, n] for n in (2, 3, 4, 5, 2, 3)]
    )
    assert (trajectories.rewards == 1.0).all()
    assert (trajectories.action_masks is not None) == masks
    if masks:
        np.testing.assert_array_equal(trajectories.action_masks, [[False, True]] * 19)
        np.testing.assert_array_equal(trajectories.actions, np.ones(19))


@pytest.mark.parametrize("has_batched_finals", [False, True])
def test_what_stood_at_the_end_is_read_in_both_forms(make_config, has_batched_finals):
    """One observation per lane, or one batch of all lanes, of which those that ended count."""
    config = vector_config(make_config, "SAME_STEP", has_batched_finals=has_batched_finals)

    finals = play(config, num_episodes=4).final_observations

    np.testing.assert_array_equal(finals, [[0, 2], [0, 3], [0, 4], [0, 5]])


def test_a_vector_environment_that_does_not_say_its_mode_is_refused(make_config):
    with pytest.raises(UnsuitableEnvironmentError, match="says autoreset_mode None"):
        preflight(vector_config(make_config, "unknown"))


def test_a_vector_environment_with_other_spaces_is_not_used_and_that_is_said(make_config):
    config = make_config(environment={"id": "vector_environments:OtherSpaces-v0"})

    found = preflight(config)

    assert not found.spec.has_vector_implementation
    assert "has other spaces than a single environment" in found.warnings[0]
    assert inspect_environment(config.environment) == found.spec  # as a resumed run sees it


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_a_sound_vector_environment_passes_without_a_word(make_config, mode, masks):
    assert preflight(vector_config(make_config, mode, masks=masks)).warnings == ()


@pytest.mark.parametrize(("what", "step"), [("observations", 0), ("rewards", 1)])
def test_chance_in_the_vector_implementation_alone_withdraws_the_promise(make_config, what, step):
    (warning,) = preflight(vector_config(make_config, "NEXT_STEP", unseeded=what)).warnings

    assert "the vector implementation of environment.id" in warning
    assert "is not deterministic under a seed" in warning
    assert f"from step {step} on" in warning
    assert "this withdraws the promise" in warning

from dataclasses import replace

import numpy as np
import pytest

from reinforce.learner.policies.trajectories import Trajectories, concatenate


def trajectories(lengths=(2, 1), version=0, **changes):
    steps, episodes = sum(lengths), len(lengths)
    return Trajectories(
        **{
            "policy_version": version,
            "observations": np.arange(steps * 2, dtype=np.float32).reshape(steps, 2),
            "actions": np.arange(steps),
            "rewards": np.arange(1.0, steps + 1.0),
            "behavior_log_probs": np.zeros(steps, np.float32),
            "episode_lengths": np.array(lengths),
            "terminated": np.ones(episodes, np.bool_),
            "truncated": np.zeros(episodes, np.bool_),
            "final_observations": np.zeros((episodes, 2), np.float32),
        }
        | changes
    )


def test_returns_are_sums_per_episode():
    np.testing.assert_array_equal(trajectories((2, 1, 3)).episode_returns, [3.0, 3.0, 15.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.zeros(5)}, "have the sum 3, but rewards hold 5"),
        ({"actions": np.zeros(2)}, "actions hold 2 steps, not 3"),
        ({"terminated": np.ones(3, np.bool_)}, "terminated hold 3 episodes, not 2"),
        ({"terminated": np.array([True, False])}, "was not finished"),
        ({"episode_lengths": np.array([3, 0])}, "must all be >= 1"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        trajectories(**changes)


def test_concatenation_keeps_the_order_given():
    batch = concatenate([trajectories((2,)), trajectories((1, 3))])

    np.testing.assert_array_equal(batch.episode_lengths, [2, 1, 3])
    np.testing.assert_array_equal(batch.rewards, [1, 2, 1, 2, 3, 4])


def test_versions_are_not_mixed():
    with pytest.raises(ValueError, match="one policy version"):
        concatenate([trajectories(version=1), trajectories(version=2)])


def test_the_digest_sees_every_array_and_the_version():
    original = trajectories()
    changed = [
        replace(original, policy_version=1),
        replace(original, rewards=original.rewards + np.spacing(1.0)),
        replace(original, observations=-original.observations),
        replace(original, actions=original.actions + 1),
        replace(original, truncated=~original.truncated),
        replace(original, behavior_log_probs=original.behavior_log_probs + 1),
        replace(original, final_observations=original.final_observations + 1),
    ]

    digests = {item.sha256 for item in [original, *changed]}

    assert len(digests) == 8
    assert trajectories().sha256 == original.sha256

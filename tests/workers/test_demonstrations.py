"""Datasets as trajectories: what fits the spaces comes back as it was, what does not is named."""

import numpy as np
import pytest
from gymnasium.spaces import Dict
from gymnasium.vector.utils import batch_space
from sample_spaces import ACTION_SPACES, OBSERVATION_SPACES

from reinforce.workers.demonstrations import UnsuitableDataError, trajectories_of
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.observations import observation_rows
from reinforce.workers.spaces import ActionDecoder, action_layout, observation_layout


def spec_of(observation, action, mask=None):
    return EnvironmentSpec(
        observation_layout(OBSERVATION_SPACES[observation], is_masked=mask == "observation"),
        action_layout(ACTION_SPACES[action]),
        has_vector_implementation=False,
        action_mask=mask,
    )


def named(prefix, value):
    """Return nested arrays by names with slashes, as they stand in a file."""
    if isinstance(value, dict | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in parts for k, v in named(f"{prefix}/{key}", part).items()}
    return {prefix: value}


def drawn(space, seed):
    batched = batch_space(space, 5)
    batched.seed(seed)
    return batched.sample()


PAIRS = [
    (list(OBSERVATION_SPACES)[i % len(OBSERVATION_SPACES)], action)
    for i, action in enumerate(ACTION_SPACES)
]


@pytest.mark.parametrize(("observation", "action"), PAIRS)
def test_every_space_goes_in_as_the_environment_has_it(observation, action):
    seen, done = drawn(OBSERVATION_SPACES[observation], 0), drawn(ACTION_SPACES[action], 1)
    spec = spec_of(observation, action)

    data = trajectories_of({**named("observations", seen), **named("actions", done)}, spec)

    np.testing.assert_array_equal(data.observations, observation_rows(spec.observation, seen))
    again = named("", ActionDecoder(spec.action).batch(data.actions))
    for name, array in named("", done).items():
        # Numbers at the very edge of their bounds are taken a thousandth of the way back.
        np.testing.assert_allclose(again[name], array, atol=6e-3)
    assert data.episode_lengths.tolist() == [1] * 5


def test_a_number_at_its_bound_is_where_tanh_can_reach_it():
    arrays = {"observations": np.zeros((2, 3)), "actions": np.array([[-1.0, 5.0], [0.0, 2.5]])}

    data = trajectories_of(arrays, spec_of("box", "bounded box"))

    np.testing.assert_allclose(np.tanh(data.actions), [[-0.999, 0.999], [0, 0]], atol=1e-6)


def test_lengths_make_episodes_of_the_pairs():
    arrays = {"observations": np.zeros((5, 3)), "actions": np.arange(5) % 3}

    data = trajectories_of({**arrays, "episode_lengths": [2, 3]}, spec_of("box", "discrete"))

    assert data.episode_lengths.tolist() == [2, 3]


GOOD = {"observations": np.zeros((3, 3), np.float32), "actions": np.array([0, 1, 2])}
NAN = np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, 0]])
REFUSED = {
    "no actions": (
        {"actions": None},
        "no array 'actions'; there are: 'observations'; needed are: 'observations', 'actions'",
    ),
    "nothing": (
        {"actions": None, "observations": None},
        "no array 'observations' or 'actions'; there are: none; needed are",
    ),
    "a choice too many": ({"actions": np.array([0, 3, 1])}, r"row 1 of actions holds 3: .* 0 to 2"),
    "half a choice": ({"actions": np.array([0, 1, 0.5])}, r"row 2 of actions holds 0.5"),
    "another shape": ({"observations": np.zeros((3, 4))}, r"shape \(3, 4\), but .* \(3, 3\)"),
    "another number": ({"actions": np.zeros(2, int)}, r"actions has shape \(2,\)"),
    "a NaN": (
        {"observations": NAN},
        r"row 1 of observations holds nan at \[1\]: not a finite 32-bit number",
    ),
    "objects": ({"actions": np.array([None] * 3)}, "actions must be an array of numbers"),
    "lengths that do not add up": (
        {"episode_lengths": np.array([2])},
        "must hold integers .E. with sum 3",
    ),
    "an empty episode": ({"episode_lengths": np.array([3, 0])}, "row 1 of episode_lengths holds 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named_with_its_row_and_value(case):
    changes, message = REFUSED[case]
    arrays = {name: x for name, x in {**GOOD, **changes}.items() if x is not None}

    with pytest.raises(UnsuitableDataError, match=message):
        trajectories_of(arrays, spec_of("box", "discrete"))


def test_an_optional_array_that_is_misspelled_is_not_ignored():
    wrong = r"'episode_length' would not be used; did you mean 'episode_lengths'\?"

    with pytest.raises(UnsuitableDataError, match=wrong):
        trajectories_of(GOOD, spec_of("box", "discrete"), ["rewards", "episode_length"])


OTHERS = {
    "beyond a bound": ("box", "bounded box", [[0.0, 5.1]], r"holds 5.1 at \[1\]: .* from -1 to 5"),
    "neither yes nor no": ("box", "multi-binary", [[0, 2, 1]], r"holds 2 at \[1\]: .* 0 and 1"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_actions_are_named_likewise(case):
    observation, action, actions, message = OTHERS[case]
    arrays = {"observations": np.zeros((1, 3)), "actions": np.array(actions)}

    with pytest.raises(UnsuitableDataError, match=message):
        trajectories_of(arrays, spec_of(observation, action))


def test_pixels_are_bytes():
    arrays = {"observations": np.zeros((1, 6, 8, 3)), "actions": np.array([0])}

    with pytest.raises(
        UnsuitableDataError, match="observations is float64, but pixels must be uint8"
    ):
        trajectories_of(arrays, spec_of("image", "discrete"))


def test_an_action_that_its_mask_forbids_is_refused():
    arrays = {"observations": np.zeros((2, 3)), "actions": np.array([7, 8])}
    spec = spec_of("box", "discrete from 7", "info")
    masks = np.array([[True, False], [True, False]])

    with pytest.raises(
        UnsuitableDataError, match=r"row 1 of actions holds 8 at \[0\]: action_masks forbids it"
    ):
        trajectories_of({**arrays, "action_masks": masks}, spec)
    with pytest.raises(UnsuitableDataError, match="no array 'action_masks'"):
        trajectories_of(arrays, spec)
    masks[1] = [False, True]
    data = trajectories_of({**arrays, "action_masks": masks}, spec)
    np.testing.assert_array_equal(data.action_masks, masks)


def test_a_mask_may_be_part_of_the_observation():
    space = Dict(
        {"action_mask": OBSERVATION_SPACES["multi-binary"], "seen": OBSERVATION_SPACES["box"]}
    )
    spec = EnvironmentSpec(
        observation_layout(space, is_masked=True),
        action_layout(ACTION_SPACES["discrete"]),
        has_vector_implementation=False,
        action_mask="observation",
    )
    arrays = {
        "observations/seen": np.zeros((1, 3)),
        "observations/action_mask": np.array([[0, 1, 1]]),
        "actions": np.array([2]),
    }

    assert trajectories_of(arrays, spec).action_masks.tolist() == [[False, True, True]]

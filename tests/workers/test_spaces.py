import re

import numpy as np
import pytest
import yaml
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector.utils import batch_space
from sample_spaces import ACTION_SPACES

from reinforce.workers.spaces import (
    ActionDecoder,
    UnsupportedSpaceError,
    action_layout,
    observation_layout,
)


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (Box(0, 255, (6, 8), np.uint8), "pixels"),
        (Box(0, 255, (6, 8, 3), np.uint8), "pixels"),
        (Box(0, 255, (4, 6, 8, 3), np.uint8), "pixels"),
        (Box(0, 9, (6, 8), np.uint8), "numbers"),  # a board
        (Box(0, 255, (6,), np.uint8), "numbers"),
        (Box(0, 255, (6, 8), np.int32), "numbers"),
    ],
)
def test_images_are_what_may_be_as_bright_as_an_image(space, kind):
    (leaf,) = observation_layout(space).leaves

    assert leaf.kind == kind


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_whatever_a_policy_emits_is_an_action_of_the_space(name):
    space = ACTION_SPACES[name]
    layout = action_layout(space)
    decoder = ActionDecoder(layout)
    rows = layout.empty(50)
    generator = np.random.default_rng(0)
    if layout.is_one_choice:
        rows[:] = generator.integers(0, layout.leaves[0].counts[0], 50)
    else:
        columns = []
        for leaf in layout.leaves:
            if leaf.kind == "gaussian":
                columns.append(generator.normal(0, 30, (50, leaf.size)))  # far into the tails
            else:
                counts = leaf.counts or (2,) * leaf.size
                columns.append(generator.integers(0, counts, (50, leaf.size)))
        rows[:] = np.concatenate(columns, axis=1)

    actions = decoder.singles(rows)

    assert len(actions) == 50
    assert all(space.contains(action) for action in actions)
    assert batch_space(space, 50).contains(decoder.batch(rows))


def test_bounded_actions_are_squashed_into_their_own_bounds():
    layout = action_layout(ACTION_SPACES["bounded box"])  # [-1, 1] and [0, 5]
    rows = np.array([[0.0, 0.0], [100.0, -100.0], [0.5, 0.5]], np.float32)

    actions = np.stack(ActionDecoder(layout).singles(rows))

    np.testing.assert_allclose(actions[0], [0.0, 2.5])
    np.testing.assert_allclose(actions[1], [1.0, 0.0])
    np.testing.assert_allclose(actions[2], [np.tanh(0.5), 2.5 + 2.5 * np.tanh(0.5)], rtol=1e-6)


def test_an_action_with_one_bound_is_cut_there_and_nowhere_else():
    layout = action_layout(ACTION_SPACES["half-bounded box"])

    (action,) = ActionDecoder(layout).singles(np.array([[-3.0, 7.0]], np.float32))

    np.testing.assert_array_equal(action, [[0.0, 7.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_number_of_a_dtype_is_no_bound(dtype):
    largest = np.finfo(dtype).max
    low, high = np.array([-largest, -1, 0], dtype), np.array([largest, 1, largest], dtype)

    (leaf,) = action_layout(Box(low, high, dtype=dtype)).leaves

    assert leaf.low == (-np.inf, -1.0, 0.0)
    assert leaf.high == (np.inf, 1.0, np.inf)
    assert leaf.is_squashed == (False, True, False)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Text(4), "Text has no fixed size"),
        (spaces.Sequence(Discrete(2)), "Sequence has no fixed size"),
        (spaces.Graph(Box(0, 1, (2,)), None), "Graph has no fixed size"),
        (spaces.OneOf([Discrete(2), Discrete(3)]), "OneOf has no fixed size"),
        (Dict({"a": Dict({"note": spaces.Text(3)})}), "the observation at 'a.note' is the space"),
        (Box(0, 1, (0,)), "holds no number"),
        (Dict({"a.b": Discrete(2), "a": Dict({"b": Discrete(2)})}), "two parts named 'a.b'"),
        (Dict({"(vector)": Discrete(2)}), r"or one named '\(vector\)', which is reserved"),
        (
            Dict({"a": Dict({0: Discrete(2)})}),
            "has the key 0, of type int, .* rename it, or use a Tuple",
        ),
    ],
)
def test_observations_without_a_fixed_size_are_refused_by_name(space, message):
    with pytest.raises(UnsupportedSpaceError, match=message):
        observation_layout(space)


@pytest.mark.parametrize(
    ("space", "wrapper"),
    [
        (
            Dict({"on": Discrete(4), "mission": spaces.Text(9), "eye": Box(0, 255, (2, 2, 3))}),
            {"FilterObservation": {"filter_keys": ["eye", "on"]}},
        ),
        (
            Tuple([Discrete(4), Dict({"note": spaces.Text(9), "x": Discrete(2)}), Discrete(3)]),
            {"FilterObservation": {"filter_keys": [0, 2]}},
        ),
        (Dict({"all": Dict({"note": spaces.Text(9), "x": Discrete(2)})}), None),
    ],
)
def test_what_can_be_kept_is_said_as_the_wrapper_is_written_in_a_file(space, wrapper):
    with pytest.raises(UnsupportedSpaceError) as caught:
        observation_layout(space)

    advised = re.search(r"put (\{.*\}) among environment\.wrappers", str(caught.value))
    assert (yaml.safe_load(advised[1]) if advised else None) == wrapper


def test_all_numbers_of_a_signed_byte_are_reached():
    space = Box(-128, 127, (1,), np.int8)

    actions = ActionDecoder(action_layout(space)).singles(np.arange(256)[:, None])

    assert [int(action[0]) for action in actions] == list(range(-128, 128))
    assert all(space.contains(action) for action in actions)


def test_whole_numbers_of_a_box_are_a_choice_per_component():
    """Each number has a logit of its own, from the lowest on."""
    low, high = np.array([-2, 7], np.int32), np.array([1, 7], np.int32)
    layout = action_layout(Box(low, high, dtype=np.int32))

    actions = ActionDecoder(layout).singles(np.array([[0, 0], [3, 0]]))

    assert layout.num_outputs == layout.num_choices == 5
    assert [action.tolist() for action in actions] == [[-2, 7], [1, 7]]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Text(4), "Text, for which there is no distribution"),
        (spaces.OneOf([Discrete(2), Discrete(3)]), "OneOf, for which there is no distribution"),
        (Box(0, 256, (2,), np.int32), "and 256 are allowed, but this one has 257; use a Box of f"),
        (
            Box(-(2**63), 2**63 - 1, (1,), np.int64),
            "but this one has 18,446,744,073,709,551,616; use a Box of floats",
        ),
        (Box(0, 9, (), np.int32), "an integer without dimensions; use Discrete"),
        (Tuple([Discrete(2), spaces.Text(3)]), "the action at '1' is the space Text"),
        (Box(0, 1, (0,)), "nothing to decide"),
        (
            Dict({"arm": Box(np.zeros(2, np.float32), np.array([1, 0], np.float32))}),
            "the action at 'arm' is the space .* low == high has nothing to decide",
        ),
        (Dict({0: Discrete(2), 1: Discrete(3)}), "has the key 0, of type int, .* or use a Tuple"),
    ],
)
def test_actions_without_a_distribution_are_refused_by_name(space, message):
    with pytest.raises(UnsupportedSpaceError, match=message):
        action_layout(space)

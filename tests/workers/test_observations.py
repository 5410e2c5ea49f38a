import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple
from gymnasium.vector.utils import batch_space
from runs import train
from sample_spaces import OBSERVATION_SPACES

from reinforce.workers.environment_faults import InvalidMaskError
from reinforce.workers.observations import (
    num_unknown,
    observation_rows,
    read_mask,
    row_writer,
)
from reinforce.workers.spaces import action_layout, observation_layout


def by_hand(space, observation):
    """The vector of an observation, written out part by part; pixels are left out."""
    if isinstance(space, Dict):
        return np.concatenate([by_hand(part, observation[k]) for k, part in space.spaces.items()])
    if isinstance(space, Tuple):
        pairs = zip(space.spaces, observation, strict=True)
        return np.concatenate([by_hand(part, value) for part, value in pairs])
    if isinstance(space, Discrete):
        return np.eye(space.n)[observation - space.start]
    if isinstance(space, MultiDiscrete):
        pairs = zip(space.nvec.flatten(), (observation - space.start).flatten(), strict=True)
        return np.concatenate([np.eye(n)[value] for n, value in pairs])
    if isinstance(space, Box) and space.dtype == np.uint8 and space.high.max() == 255:
        return np.zeros(0)
    return observation.flatten()


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_observations_are_written_as_by_hand_one_by_one_and_batched(name):
    space = OBSERVATION_SPACES[name]
    space.seed(0)
    layout = observation_layout(space)
    observations = [space.sample() for _ in range(20)]
    rows = layout.empty(20)
    write = row_writer(layout, rows)
    for position, observation in enumerate(observations):
        write(position, observation)

    expected = np.stack([by_hand(space, observation) for observation in observations])
    if layout.vector_size:
        np.testing.assert_allclose(layout.vector(rows), expected.astype(np.float32))
    for leaf in layout.pixel_leaves:
        images = [
            observation[leaf.name] if leaf.path else observation for observation in observations
        ]
        found = layout.pixels(rows)[leaf.name]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, images)
    assert layout.flat(rows).shape == (20, layout.flat_size)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_a_batch_of_a_vector_environment_gives_the_same_rows(name):
    space = OBSERVATION_SPACES[name]
    layout = observation_layout(space)
    batched = batch_space(space, 5)
    batched.seed(3)
    batch = batched.sample()

    rows = observation_rows(layout, batch)

    singles = layout.empty(5)
    write = row_writer(layout, singles)
    for position in range(5):
        write(position, _one_of(space, batch, position))
    np.testing.assert_array_equal(rows, singles)


def _one_of(space, batch, position):
    if isinstance(space, Dict):
        return {k: _one_of(part, batch[k], position) for k, part in space.spaces.items()}
    if isinstance(space, Tuple):
        pairs = zip(space.spaces, batch, strict=True)
        return tuple(_one_of(part, value, position) for part, value in pairs)
    return batch[position]


def test_a_mask_may_be_one_array_or_one_per_component():
    layout = action_layout(MultiDiscrete([2, 3]))
    np.testing.assert_array_equal(
        read_mask({"action_mask": (np.array([1, 0], np.int8), np.array([0, 1, 1]))}, layout),
        [True, False, False, True, True],
    )
    np.testing.assert_array_equal(
        read_mask({"action_mask": [0, 1]}, action_layout(Discrete(2))), [False, True]
    )


@pytest.mark.parametrize(
    ("space", "place", "message"),
    [
        (Discrete(2), {}, "at first and then none"),
        (Discrete(2), {"action_mask": [1, 0, 1]}, "must hold 2 entries"),
        (Discrete(2), {"action_mask": [0, 0]}, "allow at least one$"),
        (
            MultiDiscrete([2, 3]),
            {"action_mask": [1, 1, 0, 0, 0]},
            "allow at least one in each of the 2 components",
        ),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(space, place, message):
    with pytest.raises(InvalidMaskError, match=message):
        read_mask(place, action_layout(space))


PLACE_AND_GEARS = Dict(
    {
        "gears": MultiDiscrete([2, 3], start=[0, 5]),
        "heat": Box(-1.0, 1.0, (2,), np.float32),
        "place": Discrete(4, start=1),
    }
)


@pytest.mark.parametrize(
    ("gears", "place", "heat", "is_unknown"),
    [
        ([1, 5], 4, 0.5, False),
        ([1, 5], 4, 7.0, False),  # bounds of a Box are not used
        ([0, 7], 1, 0.0, False),
        ([2, 5], 4, 0.5, True),
        ([1, 4], 4, 0.5, True),
        ([1, 5], 0, 0.5, True),
        ([1, 5], 5, 0.5, True),
        ([9, 9], 9, 0.5, True),
    ],
)
def test_a_row_counts_once_if_any_category_is_not_in_its_space(gears, place, heat, is_unknown):
    layout = observation_layout(PLACE_AND_GEARS)
    rows = layout.empty(2)
    write = row_writer(layout, rows)
    write(0, {"gears": np.array([0, 5]), "place": 1, "heat": np.zeros(2, np.float32)})
    write(1, {"gears": np.array(gears), "place": place, "heat": np.full(2, heat, np.float32)})

    assert num_unknown(layout, rows) == is_unknown


@pytest.mark.parametrize(("fault", "share"), [("category", 1.0), ("", 0.0)])
def test_the_share_of_such_steps_is_a_metric(make_config, fault, share):
    environment = {"id": "broken_environment:Broken", "kwargs": {"fault": fault}}

    _, records, _ = train(make_config(environment=environment))

    shares = [
        record.metrics["rollout/unknown_category_fraction"] for record in records if record.batch
    ]
    assert shares == [share, share]

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from runs import train

from reinforce.workers.observations import row_writer
from reinforce.workers.spaces import observation_layout
from reinforce.workers.trajectory_builder import num_unknown

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

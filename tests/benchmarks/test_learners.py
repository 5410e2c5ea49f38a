"""The rows of several learners: ratios round by round, and the same weights or none at all."""

import learners
import pytest


def measured(seconds, weights="a"):
    return {"learning_s": seconds, "batch_steps": 10, "weights": weights}


def test_the_speed_is_that_over_the_first_number_in_the_same_round():
    found = {1: [measured(2.0), measured(6.0)], 2: [measured(1.0), measured(2.0)]}

    first, second = learners.rows_of("own", found)

    assert (first["speed"], second["speed"]) == (1.0, 2.5)
    assert (second["speed_min"], second["speed_max"]) == (2.0, 3.0)


def test_weights_that_depend_on_the_number_of_learners_are_no_result():
    with pytest.raises(RuntimeError, match="the weights depend on the number of learners"):
        learners.rows_of("own", {1: [measured(1.0)], 2: [measured(1.0, weights="b")]})

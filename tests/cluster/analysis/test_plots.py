"""Where the time of an update went, as the overview draws it."""

from dataclasses import replace

import numpy as np
from written_runs import evaluation_entry, update_entry

from reinforce.cluster.analysis.plots import seconds_per_update


def update(number):
    times = {"time/sampling_s": 0.1 * number, "time/learning_s": 0.2}
    return replace(update_entry(number), metrics=times)


def evaluation(number, seconds):
    return replace(evaluation_entry(number), metrics={"time/evaluation_s": seconds})


def test_an_update_is_sampled_for_learned_from_and_evaluated():
    records = [evaluation(0, 9.0), update(1), update(2), evaluation(2, 3.0), evaluation(2, 4.0)]

    spent = seconds_per_update(records)

    assert list(spent) == ["sampling", "learning", "evaluation"]
    np.testing.assert_allclose(spent["sampling"], [0.1, 0.2])
    np.testing.assert_allclose(spent["learning"], [0.2, 0.2])
    np.testing.assert_allclose(spent["evaluation"], [0.0, 7.0])


def test_an_evaluation_is_shared_among_the_updates_that_one_stands_for():
    """Of a long run every fifth update is drawn, and all evaluations are read."""
    records = [update(5), evaluation(7, 10.0), update(10), evaluation(12, 6.0)]

    spent = seconds_per_update(records)

    np.testing.assert_allclose(spent["evaluation"], [2.0, 2.0])

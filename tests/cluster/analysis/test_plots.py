"""What the overview draws: where the time of an update went, and how long episodes were."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from written_runs import evaluation_entry, update_entry

from reinforce.cluster.analysis.plots import _draw_times, length_edges, seconds_per_update


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


@pytest.mark.parametrize("lengths", [[5, 5], [9, 10, 48], [1, 87, 500], [1, 100_000]])
def test_every_bar_of_a_histogram_holds_equally_many_lengths(lengths):
    edges = length_edges(np.array(lengths))

    widths = set(np.diff(edges))
    assert len(edges) <= 42
    assert len(widths) == 1
    assert widths.pop().is_integer()
    assert set(edges % 1) == {0.5}
    assert edges[0] < min(lengths)
    assert edges[-1] > max(lengths)


def test_what_an_update_took_is_a_bar_between_its_first_and_its_last_step():
    axes = Figure().add_subplot()
    records = [update(1), replace(update(2), environment_steps=700), evaluation(2, 3.0)]

    _draw_times(axes, records)

    bars = {patch.get_label(): patch.get_data() for patch in axes.patches}
    first = records[0].environment_steps
    assert bars["evaluation"].edges.tolist() == [max(0, 2 * first - 700), first, 700]
    np.testing.assert_allclose(bars["evaluation"].values - bars["evaluation"].baseline, [0.0, 3.0])
    np.testing.assert_allclose(bars["evaluation"].baseline, [0.3, 0.4])

"""The picture of a comparison: what is drawn of which seeds, with numbers as rliable has them."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from matplotlib.image import imread

from reinforce.cluster.analysis.comparison import SCORE, TRAINING_RETURN, Group, RunHistory
from reinforce.cluster.analysis.comparison_plot import (
    PictureOptions,
    draw_comparison,
    draw_curves,
    metric_in_words,
    panels_of,
    title_of,
    write_data,
)
from reinforce.cluster.analysis.picture_style import COLOURS
from reinforce.cluster.analysis.seed_statistics import (
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
)
from reinforce.cluster.errors import UsageError

OPTIONS = PictureOptions(statistic="iqm", profile=True)
SCORES = arrays(np.float64, st.integers(1, 12), elements=st.floats(-100, 100))


def group(label, num_seeds):
    points = [[(0, float(seed)), (100, 10.0 * seed)] for seed in range(num_seeds)]
    runs = [
        RunHistory(f"{label}-{seed}", {}, {TRAINING_RETURN: each, SCORE: [(100, 10.0 * seed)]})
        for seed, each in enumerate(points)
    ]
    return Group(label, runs)


@pytest.mark.parametrize("seeds", [1, 4, 5, 8])
def test_a_band_takes_five_seeds(seeds):
    panels = panels_of([group("a", seeds)], OPTIONS)

    for (line,) in panels.values():
        assert (line.interval is not None) == (seeds >= 5)
        assert line.runs.shape == (seeds, len(line.x))


def test_curve_and_profile_are_the_statistic_of_the_seeds_that_are_drawn():
    panels = panels_of([group("a", 8)], OPTIONS)

    (curve,), (profile,) = panels["curve"], panels["profile"]
    assert curve.value[[0, -1]].tolist() == [3.5, 35.0]
    assert (curve.interval[0] <= curve.value).all()
    assert (curve.value <= curve.interval[1]).all()
    assert profile.value[[0, -1]].tolist() == [1.0, 0.0]
    assert (np.diff(profile.value) <= 0).all()


RLIABLE_SCORES = np.array(
    [
        *(50.025, 55.975, 44.517, 32.188, 40.907, 30.167, 51.203),
        *(76.804, 40.156, 37.591, 59.797, 57.138, 52.108),
    ]
)


def test_thirteen_scores_have_the_numbers_that_rliable_has_said_of_them():
    """rliable 1.2.0 with arch 7.2.0, which is not installed with this program: its output."""
    taus = np.array([20.0, 40.0, 50.0, 60.0, 80.0])
    profile = performance_profile(RLIABLE_SCORES, taus).mean(axis=0)
    low, high = bootstrap_interval(RLIABLE_SCORES, interquartile_mean, 20_000)

    assert interquartile_mean(RLIABLE_SCORES) == pytest.approx(47.841571428571434)
    for seeds, expected in ((3, 50.172333333333334), (4, 47.271), (7, 43.768), (8, 46.663)):
        assert interquartile_mean(RLIABLE_SCORES[:seeds]) == pytest.approx(expected)
    assert profile == pytest.approx([1.0, 10 / 13, 7 / 13, 1 / 13, 0.0])
    assert (low, high) == pytest.approx((40.31, 54.73), abs=0.4)  # 50,000 random resamples


@given(SCORES)
def test_the_interquartile_mean_is_that_of_rliable(scores):
    """aggregate_iqm of rliable 1.2.0: scores sorted, floor(R / 4) cut off at each end, the mean."""
    cut = int(0.25 * len(scores))
    expected = np.sort(scores)[cut : len(scores) - cut].mean()

    assert interquartile_mean(scores) == pytest.approx(expected, abs=1e-9)


@given(SCORES)
def test_the_performance_profile_is_that_of_rliable(scores):
    """run_score_deviation of rliable 1.2.0: the mean of scores > tau, for every tau."""
    taus = np.concatenate([np.linspace(-100, 100, 21), scores])

    profile = performance_profile(scores, taus).mean(axis=0)

    assert profile.tolist() == [np.mean(scores > tau) for tau in taus]


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_every_format_is_drawn_and_the_same_runs_give_the_same_file(suffix, magic, tmp_path):
    options = replace(OPTIONS, title="Of [two] $things", size=(6.0, 3.0), x_axis="time")
    panels = panels_of([group("few", 3), group("many", 6)], options)

    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        draw_comparison(panels, options, file)

    first, second = (file.read_bytes() for file in files)
    assert first.startswith(magic)
    assert first == second


def test_the_data_holds_what_is_drawn(tmp_path):
    panels = panels_of([group("few", 3), group("many", 6)], OPTIONS)
    write_data(panels, tmp_path / "drawn.csv")

    with (tmp_path / "drawn.csv").open() as file:
        rows = list(csv.DictReader(file))
    for panel, lines in panels.items():
        for line in lines:
            of_line = [r for r in rows if (r["panel"], r["group"]) == (panel, line.group)]
            statistic = [row for row in of_line if not row["run"]]
            assert [float(row["value"]) for row in statistic] == line.value.tolist()
            lows = [row["low"] for row in statistic]
            drawn = [] if line.interval is None else line.interval[0].tolist()
            assert [float(low) for low in lows if low] == drawn
            first = [float(r["value"]) for r in of_line if r["run"] == line.names[0]]
            assert first == line.runs[0].tolist()


def test_a_metric_that_no_run_has_is_refused():
    options = replace(OPTIONS, metric="rollout/x_mean")

    with pytest.raises(UsageError, match=r"^no run has the metric 'rollout/x_mean'; "):
        panels_of([group("a", 2)], options)


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("rollout/return_mean", "mean return of a batch"),
        ("evaluation/return_mean", "mean return"),
        ("rollout/is_success_mean", "success rate of a batch"),
        ("evaluation/fuel_used_mean", "mean fuel used"),
        ("learner/gradient_norm", "gradient norm"),
        ("time/sampling_s", "sampling (s)"),
        ("time/environment_steps_per_s", "environment steps per second"),
    ],
)
def test_every_metric_has_a_label_that_a_reader_understands(metric, label):
    assert metric_in_words(metric) == label


@pytest.mark.parametrize(
    ("seeds", "title"),
    [
        ([3, 3], "Mean over 3 seeds; thin lines are single seeds"),
        ([4], "Interquartile mean over 4 seeds; thin lines are single seeds"),
        ([6], "Interquartile mean over 6 seeds; band: 95 % bootstrap interval"),
        ([2, 3], "Mean over seeds; thin lines are single seeds"),
    ],
)
def test_the_title_says_what_is_drawn_and_no_two_lines_have_the_same_dashes(seeds, title):
    groups = [group(f"g{number}", count) for number, count in enumerate(seeds)]
    axes = Figure().subplots()

    lines = panels_of(groups, OPTIONS)["curve"]
    draw_curves(axes, lines, OPTIONS)

    assert title_of(lines, OPTIONS) == title
    handles, _ = axes.get_legend_handles_labels()
    assert len({line.get_linestyle() for line in handles}) == len(groups)


@pytest.mark.parametrize(("size", "profile"), [((6.5, 2.6), True), ((3.3, 2.0), False)])
def test_nothing_is_cut_off_at_the_sizes_of_a_paper(size, profile, tmp_path):
    groups = [group(f"learner.learning_rate {rate}", 3) for rate in (0.005, 0.015)]
    options = replace(OPTIONS, profile=profile, size=size)

    draw_comparison(panels_of(groups, options), options, tmp_path / "a.png")

    picture = imread(tmp_path / "a.png")[:, :, :3]
    border = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all((edge == 1.0).all() for edge in border)


def test_a_configuration_has_one_colour_in_all_panels(tmp_path):
    """Also if another one before it has a curve and no score."""
    live, done = group("live", 2), group("done", 2)
    live = replace(live, runs=[replace(r, metrics={**r.metrics, SCORE: []}) for r in live.runs])
    options = replace(OPTIONS, profile=True)
    picture = tmp_path / "a.svg"

    draw_comparison(panels_of([live, done], options), options, picture)

    found = re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1.8", picture.read_text())
    drawn = [COLOURS.index(colour.upper()) for colour in found]
    assert drawn == [0, 1, 0, 1, 1], "two curves, their legend, and the profile of the second"

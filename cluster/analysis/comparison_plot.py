"""The picture of a comparison: learning curves over seeds, and performance profiles."""

import csv
import io
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.analysis.comparison import TRAINING_RETURN, Group, XAxis
from reinforce.cluster.analysis.picture_style import (
    COLOURS,
    PANEL_INCHES,
    STEPS,
    finish,
    new_figure,
    styled,
)
from reinforce.cluster.analysis.seed_statistics import (
    MIN_SEEDS_FOR_INTERVAL,
    STATISTICS,
    bootstrap_interval,
    performance_profile,
    statistic_in_words,
)
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import write_atomically
from reinforce.configs.errors import suggestion
from reinforce.configs.experiment import SUCCESS_METRICS
from reinforce.configs.plurals import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RESAMPLES, _THRESHOLDS, _DPI = 2_000, 201, 200
_POINTS_PER_INCH, _LETTER_WIDTH = 72, 0.55
"""A letter's mean width, as a share of its size."""

_LEGEND_LETTERS = 40
"""Letters of a line in a legend, which would cover the picture if it were as wide as the labels."""

_SUFFIXES, _MAX_INCHES = (".png", ".svg", ".pdf"), 100
_X_LABELS: dict[XAxis, str] = {"steps": STEPS, "time": "training time (s)", "updates": "updates"}
_DASHES = ("-", "--", "-.", ":")
"""Dashes of lines in turn, so that one exactly behind another is seen between its dashes."""

_UNITS = {"_per_s": " per second", "_s": " (s)"}
_COLUMNS = ("panel", "group", "run", "x", "value", "low", "high")


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How a comparison is drawn.

    Attributes:
        statistic: Its name in ``STATISTICS``.
        metric: Name of the curves' metric in the journal.
        x_axis: The curves' x-axis.
        profile: Whether to draw performance profiles beside the curves.
        title: The title; None: a description of the curves and bands, in a file.
        size: Width and height in inches; None: the panels' size.
    """

    statistic: str
    metric: str = TRAINING_RETURN
    x_axis: XAxis = "steps"
    profile: bool = False
    title: str | None = None
    size: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """The lines of one group in one panel.

    Attributes:
        group: Its label.
        names: Names of the R runs.
        x: [n].
        runs: [R, n] each run by itself.
        value: [n] their statistic.
        interval: 95 % bootstrap interval, [n] and [n]; None below ``MIN_SEEDS_FOR_INTERVAL`` runs.
    """

    group: str
    names: Sequence[str]
    x: NDArray[np.float64]
    runs: NDArray[np.float64]
    value: NDArray[np.float64]
    interval: tuple[NDArray[np.float64], NDArray[np.float64]] | None

    @classmethod
    def of(
        cls,
        group: str,
        names: Sequence[str],
        x: NDArray[np.float64],
        runs: NDArray[np.float64],
        statistic: str,
    ) -> "Line":
        """Return the line of R runs."""
        function = STATISTICS[statistic][1]
        has_interval = len(runs) >= MIN_SEEDS_FOR_INTERVAL
        interval = bootstrap_interval(runs, function, _RESAMPLES) if has_interval else None
        return cls(group, names, x, runs, function(runs, axis=0), interval)


def panels_of(groups: Sequence[Group], options: PictureOptions) -> dict[str, list[Line]]:
    """Return the lines by panel: ``curve`` and, if requested, ``profile``.

    Raises:
        UsageError: No run has the metric.
    """
    curves = []
    for group in groups:
        if found := group.seeds((options.metric,)):
            names = [run.name for run in group.runs]
            curves.append(Line.of(group.label, names, *found, options.statistic))
    if not curves:
        raise _without_curves(groups, options.metric)
    return {"curve": curves, **({"profile": _profiles(groups)} if options.profile else {})}


def missing_curves(
    groups: Sequence[Group], panels: Mapping[str, Sequence[Line]], metric: str
) -> Iterator[str]:
    """Yield a sentence for each group that has no curve."""
    drawn = {line.group for line in panels["curve"]}
    for group in groups:
        if group.label not in drawn:
            yield f"no curve for {group.label}: not all of its runs have {metric} twice"


def _without_curves(groups: Sequence[Group], metric: str) -> UsageError:
    """Return the error for groups none of which has points of a metric for a curve."""
    recorded = {name for group in groups for run in group.runs for name in run.recorded}
    if metric in recorded:
        return UsageError(
            f"no configuration has {metric!r} twice in each of its runs, so no curve can be drawn; "
            "each run has only one value of it so far, or some have none"
        )
    return UsageError(f"no run has the metric {metric!r}; {_metric_meant(metric, recorded)}")


def _metric_meant(name: str, recorded: Collection[str]) -> str:
    """Return the metrics that may be meant, with or without their section; or where all are."""
    sections = sorted(recorded)
    after_the_slash = suggestion(name, {each.rpartition("/")[2] for each in sections})
    near = [each for each in sections if repr(each.rpartition("/")[2]) in after_the_slash]
    return (
        suggestion(name, sections)
        or (f"did you mean {' or '.join(map(repr, near))}?" if near else "")
        or "the first line of metrics.jsonl in a run directory shows the available metrics"
    )


def _profiles(groups: Sequence[Group]) -> list[Line]:
    scored = [group for group in groups if len(group.scores)]
    if not scored:
        raise UsageError("no run has finished: there are no scores for a profile yet")
    every = np.concatenate([group.scores for group in scored])
    margin = 0.02 * float(np.ptp(every)) or 1.0
    thresholds = np.linspace(every.min() - margin, every.max() + margin, _THRESHOLDS)
    lines = []
    for group in scored:
        names = [run.name for run in group.runs if run.score is not None]
        above = performance_profile(group.scores, thresholds)
        lines.append(Line.of(group.label, names, thresholds, above, "mean"))
    return lines


def require_picture(
    path: Path | None, size: tuple[float, float] | None, names: tuple[str, str]
) -> None:
    """Refuse a file or a size that no picture can have; ``names`` are those of the two options."""
    if path and path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{names[0]} {str(path)!r} must end in .png, .svg or .pdf")
    if size and not all(0 < inches <= _MAX_INCHES for inches in size):
        raise UsageError(f"{names[1]} {size[0]:g} {size[1]:g} must be inches, up to {_MAX_INCHES}")


def draw_comparison(
    panels: dict[str, list[Line]], options: PictureOptions, path: Path, option: str = "--plot"
) -> None:
    """Draw the panels into a file, as PNG, SVG or PDF by its suffix.

    Raises:
        UsageError: It cannot be written; the message names the option.
    """
    width, height = options.size or (PANEL_INCHES[0] * len(panels), PANEL_INCHES[1])
    with styled((width / len(panels), height)) as points:
        figure = new_figure(len(panels))
        figure.set_size_inches(width, height)
        figure.set_layout_engine("constrained")
        curve_axes, *others = figure.subplots(1, len(panels), squeeze=False)[0]
        _draw_curves(curve_axes, panels["curve"], options)
        order = [line.group for line in panels["curve"]]
        for axes in others:
            _draw(axes, panels["profile"], shows_runs=False, order=order)
            axes.set_ylim(-0.02, 1.02)
            finish(axes, "score τ: mean return of the last weights", "share of runs above τ")
            axes.get_legend().remove()
        letters = int(width * _POINTS_PER_INCH / (_LETTER_WIDTH * points))
        title = textwrap.fill(title_of(panels["curve"], options), max(1, letters))
        figure.suptitle(title, fontsize="medium")
        content = io.BytesIO()
        metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        suffix = path.suffix.lower()
        figure.savefig(content, format=suffix[1:], dpi=_DPI, metadata=metadata.get(suffix))
    _write(option, path, content.getvalue())


def draw_curves(axes: "Axes", lines: Sequence[Line], options: PictureOptions) -> None:
    """Draw the curves into axes of a figure that the user made, without a title of ours."""
    _draw_curves(axes, lines, options)
    if options.title:
        axes.set_title(options.title, fontsize="medium")


def _draw_curves(axes: "Axes", lines: Sequence[Line], options: PictureOptions) -> None:
    _draw(axes, lines, shows_runs=True)
    finish(axes, _X_LABELS[options.x_axis], metric_in_words(options.metric), loc="best")


def metric_in_words(metric: str) -> str:
    """Return the label of a metric of the journal: ``mean return of a batch``, ``sampling (s)``."""
    section, _, name = metric.rpartition("/")
    end = next((end for end in _UNITS if name.endswith(end)), "")
    quantity = name.removesuffix(end).removesuffix("_mean")
    words = f"{quantity.replace('_', ' ')}{_UNITS.get(end, '')}"
    if name.endswith("_mean"):
        words = "success rate" if quantity in SUCCESS_METRICS else f"mean {words}"
    return f"{words} of a batch" if section == "rollout" else words


def _draw(
    axes: "Axes", lines: Sequence[Line], *, shows_runs: bool, order: Sequence[str] = ()
) -> None:
    """Draw lines in the colours that the groups have by their order, in all panels alike."""
    order = list(dict.fromkeys([*order, *(line.group for line in lines)]))
    for line in lines:
        number = order.index(line.group)
        colour = COLOURS[number % len(COLOURS)]
        dashes = _DASHES[number % len(_DASHES)]
        label = textwrap.fill(f"{line.group} ({counted(len(line.runs), 'seed')})", _LEGEND_LETTERS)
        axes.plot(line.x, line.value, dashes, color=colour, linewidth=1.8, label=label)
        if line.interval:
            axes.fill_between(line.x, *line.interval, alpha=0.2, color=colour, linewidth=0)
        elif shows_runs and len(line.runs) > 1:
            axes.plot(line.x, line.runs.T, color=colour, linewidth=0.8, alpha=0.45)


def title_of(lines: Sequence[Line], options: PictureOptions) -> str:
    """Return the title of a picture; by default, what its lines and bands are."""
    if options.title is not None:
        return options.title
    counts = sorted({len(line.runs) for line in lines})
    seeds = counted(counts[0], "seed") if len(counts) == 1 else "seeds"
    words = [f"{statistic_in_words(options.statistic, counts)} over {seeds}".capitalize()]
    if any(line.interval for line in lines):
        words.append("band: 95 % bootstrap interval")
    if any(not line.interval and len(line.runs) > 1 for line in lines):
        words.append("thin lines are single seeds")
    return "; ".join(words)


def write_data(panels: dict[str, list[Line]], path: Path) -> None:
    """Write the lines as CSV: a row per point of each run and of the statistic (without a run).

    Raises:
        UsageError: It cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for panel, lines in panels.items():
        for line in lines:
            writer.writerows((panel, line.group, *row) for row in rows_of(line))
    _write("--data", path, text.getvalue().encode())


def rows_of(line: Line) -> Iterator[tuple[str, float, float, float | None, float | None]]:
    """Yield (run, x, value, low, high) of the statistic, without a run, and then of each run."""
    low, high = line.interval or ([None] * len(line.x),) * 2
    yield from zip([""] * len(line.x), line.x.tolist(), line.value.tolist(), low, high, strict=True)
    for name, values in zip(line.names, line.runs.tolist(), strict=True):
        for x, value in zip(line.x.tolist(), values, strict=True):
            yield name, x, value, None, None


def _write(option: str, path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{option} {str(path)!r}: {error.strerror or error}") from None

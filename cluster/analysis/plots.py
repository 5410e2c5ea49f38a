"""The pictures of a run: an overview, and lengths and metrics of its episodes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.analysis.picture_style import STEPS, finish, new_figure, styled
from reinforce.cluster.files import write_atomically
from reinforce.cluster.run_store.journal import JournalEntry, read_entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
_MAX_UPDATES, _MAX_POINTS = 2_000, 20_000
"""Most updates and episodes drawn for a long run, approximately."""

_WINDOW_EPISODES, _BARS = 10, 40


def draw_run(journal: Path, folder: Path, title: str) -> list[Path]:
    """Draw the content of a journal, and return the files; none without episodes.

    Raises:
        OSError: The folder cannot be written.
    """
    entries = list(read_entries(journal))
    if not any(entry.batch for entry in entries):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"overview.png": _overview, "episode_length.png": _episode_lengths}
    if any(entry.batch and entry.batch.episode_metrics for entry in entries):
        pictures["episode_metrics.png"] = _episode_metrics
    with styled():
        for name, picture in pictures.items():
            content = io.BytesIO()
            picture(entries, f"{title} (one run)").savefig(content)
            write_atomically(folder / name, content.getvalue())
    return [folder / name for name in pictures]


def _overview(entries: Sequence[JournalEntry], title: str) -> "Figure":
    """Draw returns against steps and against time, lengths, and where the time went."""
    stride = max(1, sum(entry.batch is not None for entry in entries) // _MAX_UPDATES)
    entries = [entry for entry in entries if not entry.batch or entry.updates % stride == 0]
    figure = new_figure(2, 2)
    figure.suptitle(title)
    (by_steps, by_time), (lengths, split) = figure.subplots(2, 2)
    # Fixed margins: to have them computed takes as long again as to draw.
    figure.subplots_adjust(0.07, 0.07, 0.98, 0.93, wspace=0.18, hspace=0.22)
    _draw_returns(by_steps, entries, "environment_steps", STEPS)
    _draw_returns(by_time, entries, "training_time_s", "training time (s)")
    _draw_lengths(lengths, entries)
    _draw_times(split, entries)
    return figure


def _draw_returns(axes: "Axes", entries: Sequence[JournalEntry], counter: str, label: str) -> None:
    """Draw mean and middle 80 % of each batch, and the evaluations with their intervals."""
    batches = [entry.batch.episode_returns for entry in entries if entry.batch]
    at = [getattr(entry, counter) for entry in entries if entry.batch]
    low, high = np.array([np.percentile(returns, [10, 90]) for returns in batches]).T
    axes.fill_between(at, low, high, alpha=0.2, label="middle 80 % of a batch")
    means = [np.mean(returns) for returns in batches]
    axes.plot(at, means, linewidth=1, label="mean of a batch")
    names = [f"evaluation/return_{end}" for end in ("mean", "ci_low", "ci_high")]
    rows = [
        (getattr(entry, counter), *(entry.metrics[name] for name in names))
        for entry in entries
        if names[0] in entry.metrics
    ]
    if rows:
        at, means, lows, highs = np.array(rows).T
        errors = np.abs([means - lows, highs - means])
        axes.errorbar(at, means, errors, fmt="o-", markersize=3, label="evaluation, 95 %")
    finish(axes, label, "return of an episode", loc="lower right")


def _draw_lengths(axes: "Axes", entries: Sequence[JournalEntry]) -> None:
    """Draw the lengths of the first and the last quarter of the shown episodes."""
    lengths = np.concatenate([entry.batch.episode_lengths for entry in entries if entry.batch])
    quarter, edges = max(1, len(lengths) // 4), length_edges(lengths)
    for part, name in ((lengths[:quarter], "first"), (lengths[-quarter:], "last")):
        counts, _ = np.histogram(part, edges)
        label = f"{name} quarter of the episodes ({quarter:,})"
        axes.stairs(counts, edges, fill=True, alpha=0.6, label=label)
    finish(axes, "length of an episode (steps)", "episodes", loc="upper center")


def length_edges(lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the edges of up to 40 bars that hold equally many integers each."""
    first, last = int(lengths.min()), int(lengths.max())
    width = -(-(last - first + 1) // _BARS)
    return np.arange(first, last + width + 1, width).astype(np.float64) - 0.5


def _draw_times(axes: "Axes", entries: Sequence[JournalEntry]) -> None:
    """Draw the time of each update as a bar, with its steps as the width."""
    spent = seconds_per_update(entries)
    steps = [entry.environment_steps for entry in entries if entry.batch]
    edges = [max(0, 2 * steps[0] - steps[1]) if len(steps) > 1 else 0, *steps]
    bottom = np.zeros(len(steps))
    for name, seconds in spent.items():
        axes.stairs(bottom + seconds, edges, baseline=bottom, fill=True, alpha=0.8, label=name)
        bottom = bottom + seconds
    finish(axes, STEPS, "time of an update (s)")


def seconds_per_update(entries: Sequence[JournalEntry]) -> dict[str, NDArray[np.float64]]:
    """Return [n] seconds of the n updates by activity.

    An update represents those left out after it, so it gets its share of their evaluations.
    """
    updates = [entry for entry in entries if entry.batch]
    spent = {
        name: np.array([entry.metrics.get(f"time/{name}_s", 0.0) for entry in updates])
        for name in ("sampling", "learning")
    }
    numbers = np.array([entry.updates for entry in updates])
    evaluation = np.zeros(len(updates))
    for entry in entries:
        # The one that precedes all updates belongs to none.
        if entry.batch is None and entry.updates >= numbers[0]:
            place = np.searchsorted(numbers, entry.updates, side="right") - 1
            evaluation[place] += entry.metrics.get("time/evaluation_s", 0.0)
    stands_for = np.diff(numbers, append=entries[-1].updates + 1)
    return {**spent, "evaluation": evaluation / stands_for}


def _episode_lengths(entries: Sequence[JournalEntry], title: str) -> "Figure":
    """Draw the length of every episode, and a moving mean."""
    lengths = np.concatenate([entry.batch.episode_lengths for entry in entries if entry.batch])
    sums = np.concatenate([[0], np.cumsum(lengths)])
    ends = np.arange(1, len(lengths) + 1)
    starts = np.maximum(ends - _WINDOW_EPISODES, 0)
    means = (sums[ends] - sums[starts]) / (ends - starts)
    shown = slice(None, None, max(1, len(lengths) // _MAX_POINTS))
    figure = new_figure(2)
    axes = figure.add_axes((0.07, 0.13, 0.91, 0.78))
    axes.plot(ends[shown], lengths[shown], linewidth=0.6, alpha=0.6, label="episode")
    label = f"mean of the last {_WINDOW_EPISODES}"
    axes.plot(ends[shown], means[shown], linewidth=1.4, label=label)
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    finish(axes, "episode", "length of an episode (steps)")
    return figure


def _episode_metrics(entries: Sequence[JournalEntry], title: str) -> "Figure":
    """Draw each metric from ``info``: its mean in every batch and in regular evaluations."""
    names = sorted(
        {name for entry in entries if entry.batch for name in entry.batch.episode_metrics}
    )
    figure = new_figure(2, len(names))
    figure.set_layout_engine("constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(len(names), squeeze=False).flat, names, strict=True):
        for section, style, label in (
            ("rollout", "-", "mean of a batch"),
            ("evaluation", "o-", "evaluation"),
        ):
            key = f"{section}/{name}_mean"
            points = [(e.environment_steps, e.metrics[key]) for e in entries if key in e.metrics]
            if points:
                axes.plot(*np.array(points).T, style, markersize=3, label=label)
        finish(axes, STEPS, name)
    return figure

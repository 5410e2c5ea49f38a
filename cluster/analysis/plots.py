"""The picture of a whole run: returns, against steps and time, lengths, and where the time went."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.run_store.journal import JournalEntry, read_entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes


from reinforce.cluster.analysis.comparison import Group
from reinforce.cluster.analysis.seed_statistics import Statistic
from reinforce.cluster.errors import UsageError

_MAX_UPDATES = 2_000
_MARGINS = {
    "left": 0.07,
    "right": 0.98,
    "bottom": 0.07,
    "top": 0.93,
    "wspace": 0.18,
    "hspace": 0.22,
}
"""Shares of the picture. Fixed: to have them computed takes as long again as to draw."""


def plot_overview(journal: Path, destination: Path, title: str) -> bool:
    """Draw four panels as a PNG.

    Returns:
        False, and draws nothing, if no episode was played.
    """
    entries = _read(journal)
    updates = [entry for entry in entries if entry.batch]
    if not updates:
        return False
    # Imported late and without pyplot: it takes a second, and needs no screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8))
    figure.suptitle(title)
    (by_steps, by_time), (lengths, split) = figure.subplots(2, 2, gridspec_kw=_MARGINS)
    _draw_returns(by_steps, entries, [r.environment_steps for r in entries], "environment steps")
    _draw_returns(by_time, entries, [r.training_time_s for r in entries], "training time (s)")
    _draw_lengths(lengths, updates)
    _draw_time_split(split, entries)
    for axes in (by_steps, by_time, lengths, split):
        axes.grid(alpha=0.3)
    figure.savefig(destination, dpi=100)
    return True


def _read(journal: Path) -> list[JournalEntry]:
    """Return the entries; of a long run every so many updates, and all evaluations."""
    entries = list(read_entries(journal))
    num_updates = sum(entry.batch is not None for entry in entries)
    stride = max(1, num_updates // _MAX_UPDATES)
    return [r for r in entries if r.batch is None or r.updates % stride == 0]


def _draw_returns(
    axes: "Axes", entries: Sequence[JournalEntry], x: Sequence[float], label: str
) -> None:
    """Draw mean and middle 80 % of each batch, and the evaluations with their intervals."""
    batches = [
        (at, entry.batch.episode_returns)
        for at, entry in zip(x, entries, strict=True)
        if entry.batch
    ]
    at = [place for place, _ in batches]
    spread = np.array([np.percentile(returns, [10, 90]) for _, returns in batches])
    axes.fill_between(at, spread[:, 0], spread[:, 1], alpha=0.2, label="middle 80 % of a batch")
    axes.plot(
        at, [np.mean(returns) for _, returns in batches], linewidth=1, label="mean of a batch"
    )
    names = [f"evaluation/return_{end}" for end in ("mean", "ci_low", "ci_high")]
    rows = [
        (place, *(entry.metrics[name] for name in names))
        for place, entry in zip(x, entries, strict=True)
        if names[0] in entry.metrics
    ]
    if rows:
        places, means, lows, highs = np.array(rows).T
        errors = np.abs([means - lows, highs - means])
        axes.errorbar(places, means, errors, fmt="o-", markersize=3, label="evaluation, 95 %")
    axes.set(xlabel=label, ylabel="return of an episode")
    axes.legend(fontsize="small", loc="best" if len(batches) < 100 else "lower right")


def _draw_lengths(axes: "Axes", updates: Sequence[JournalEntry]) -> None:
    """Draw the lengths of the first and of the last quarter of the episodes that are shown."""
    lengths = np.concatenate([entry.batch.episode_lengths for entry in updates if entry.batch])
    quarter = max(1, len(lengths) // 4)
    bins = np.linspace(0, lengths.max(), 41).tolist()
    for part, name in ((lengths[:quarter], "first"), (lengths[-quarter:], "last")):
        axes.hist(part, bins=bins, alpha=0.6, label=f"{name} quarter of the episodes")
    axes.set(xlabel="length of an episode (steps)", ylabel="episodes")
    axes.legend(fontsize="small")


def _draw_time_split(axes: "Axes", entries: Sequence[JournalEntry]) -> None:
    """Draw the seconds of an update by what they were spent on, stacked."""
    x = [entry.environment_steps for entry in entries if entry.batch]
    spent = seconds_per_update(entries)
    axes.stackplot(x, list(spent.values()), labels=list(spent), alpha=0.7)
    axes.set(xlabel="environment steps", ylabel="seconds of an update")
    axes.legend(fontsize="small", loc="upper left")


def seconds_per_update(entries: Sequence[JournalEntry]) -> dict[str, NDArray[np.float64]]:
    """Return [n] seconds by what they were spent on, of the n updates among the records.

    An update stands for those left out behind it, and so has its share of their evaluations.
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


_WINDOW_EPISODES = 10
_MAX_POINTS = 20_000


def plot_episode_lengths(journal: Path, destination: Path, title: str) -> bool:
    """Draw the episode lengths that a journal holds as a PNG.

    Returns:
        False, and draws nothing, if no episode was played.
    """
    lengths: list[int] = []
    for entry in read_entries(journal):
        if entry.batch:
            lengths.extend(entry.batch.episode_lengths)
    if not lengths:
        return False
    # Imported late and without pyplot: it takes a second, and needs no screen.
    from matplotlib.figure import Figure

    values = np.array(lengths, dtype=np.float64)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - _WINDOW_EPISODES, 0)
    means = (sums[ends] - sums[starts]) / (ends - starts)
    shown = slice(None, None, max(1, len(values) // _MAX_POINTS))
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(ends[shown], values[shown], linewidth=0.6, alpha=0.6, label="episode")
    axes.plot(
        ends[shown], means[shown], linewidth=1.4, label=f"mean of the last {_WINDOW_EPISODES}"
    )
    axes.set(xlabel="episode", ylabel="length (steps)", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    figure.savefig(destination, dpi=120)
    return True


_DRAWINGS = {"overview.png": plot_overview, "episode_length.png": plot_episode_lengths}


def draw_run(journal: Path, folder: Path, title: str) -> list[Path]:
    """Draw what a journal holds, and return the files; none if no episode was played.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        folder / name for name, draw in _DRAWINGS.items() if draw(journal, folder / name, title)
    ]


def plot_comparison(groups: Sequence[Group], statistic: Statistic, path: Path, name: str) -> None:
    """Draw one curve per group, as PNG, SVG or PDF by the suffix of the path.

    Raises:
        UsageError: The path cannot be written, or its suffix is of no picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for group in groups:
        curve = group.curve(statistic)
        if curve is None:
            continue
        (line,) = axes.plot(curve.steps, curve.values, label=f"{group.label} ({len(group.runs)})")
        axes.fill_between(curve.steps, curve.low, curve.high, alpha=0.2, color=line.get_color())
    axes.set(xlabel="environment steps", ylabel="mean return of an episode")
    axes.set_title(f"{name} over seeds, 95 % bootstrap interval (number of runs)")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--plot {str(path)!r}: {reason}") from None

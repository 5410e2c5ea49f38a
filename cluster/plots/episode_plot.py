"""The article's picture: the length of every episode, and the mean of the last ten."""

from pathlib import Path

import numpy as np

from cluster.records.journal import read_records

_WINDOW_EPISODES = 10
_MAX_POINTS = 20_000


def plot_episode_lengths(journal: Path, destination: Path, title: str) -> bool:
    """Draw the episode lengths that a journal holds as a PNG.

    Returns:
        False, and draws nothing, if no episode was played.
    """
    lengths: list[int] = []
    for record in read_records(journal):
        if record.batch:
            lengths.extend(record.batch.episode_lengths)
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

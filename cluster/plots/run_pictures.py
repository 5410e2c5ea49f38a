"""The pictures of a run, each in a file of its own: drawn at its end, and whenever asked for."""

from pathlib import Path

from cluster.plots.episode_plot import plot_episode_lengths
from cluster.plots.overview_plot import plot_overview

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

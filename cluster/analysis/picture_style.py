"""The common style of all pictures: size, grid, and colours for the colour-blind.

Matplotlib is imported late, because it takes a second, and without pyplot, which needs a screen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, without yellow, which is lost on white: doi.org/10.1038/nmeth.1618."""

PANEL_INCHES = (6.0, 4.0)
"""Width and height of one panel."""

_POINTS, _MIN_POINTS = 10.0, 6.0

STEPS = "environment steps"

_STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": "figure",
    "axes.prop_cycle": f"cycler(color={list(COLOURS)})",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.fontsize": "small",
    "pdf.fonttype": 42,  # letters that a publisher's tools can read
    "svg.hashsalt": "reinforce",
}


@contextmanager
def styled(panel: tuple[float, float] = PANEL_INCHES) -> Iterator[float]:
    """Context in which pictures are drawn and saved; yields the size of letters in points.

    Letters shrink with a panel that is smaller, in inches, than usual; ticks get fewer with it.
    """
    from matplotlib import rc_context

    scale = min(1.0, panel[0] / PANEL_INCHES[0], panel[1] / PANEL_INCHES[1])
    points = max(_MIN_POINTS, _POINTS * scale**0.5)
    with rc_context({**_STYLE, "font.size": points}):
        yield points


def new_figure(columns: int, rows: int = 1) -> "Figure":
    """Return an empty figure for this many panels."""
    from matplotlib.figure import Figure

    width, height = PANEL_INCHES
    return Figure(figsize=(width * columns, height * rows))


def finish(axes: "Axes", x: str, y: str, **legend: Any) -> None:
    """Label the axes, with units, and add a legend."""
    axes.set(xlabel=x, ylabel=y)
    if x == STEPS:
        from matplotlib.ticker import EngFormatter

        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**{"loc": "upper left", **legend})

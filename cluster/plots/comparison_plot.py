"""The picture of a comparison: returns against steps, with the intervals over seeds."""

from collections.abc import Sequence
from pathlib import Path

from cluster.errors import UsageError
from cluster.plots.comparison import Group
from cluster.plots.seed_statistics import Statistic


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

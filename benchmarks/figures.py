"""The pictures of docs/performance.md, made from what the benchmarks wrote down."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = Mapping[str, Any]
GREEDY, SAMPLED, LATE = "tab:blue", "tab:orange", "lightgray"


def picture(name: str) -> str | None:
    """Return the file name of a result's picture, or None if it has none."""
    return f"performance-{name}.png" if name in BY_NAME else None


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw the picture of a result that has one as a PNG."""
    figure = BY_NAME[result["name"]](result["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def limit(rows: Sequence[Row]) -> Figure:
    """Draw how much of the limit each environment reaches, beside the goal."""
    figure = Figure(figsize=(8, 1 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    axes.barh(places, [row["ratio"] for row in rows], color=GREEDY, label="reached")
    axes.scatter([row["goal"] for row in rows], places, marker="|", s=600, color="k", label="goal")
    name_rows(axes, [row["environment"] for row in rows])
    axes.set(xlabel="trained steps per second / bare steps per second", xlim=(0, 1))
    axes.legend(fontsize="small")
    return figure


def scaling(rows: Sequence[Row]) -> Figure:
    """Draw the steps per second over the number of workers, beside the ideal."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    workers = sorted({row["workers"] for row in rows})
    ideal = {row["workers"]: row["ideal_steps_per_s"] for row in rows}
    axes.plot(workers, [ideal[number] for number in workers], color=LATE, label="ideal")
    for ticket_ms, marker in zip(sorted({row["ticket_ms"] for row in rows}), "ox^s", strict=False):
        reached = [(r["workers"], r["steps_per_s"]) for r in rows if r["ticket_ms"] == ticket_ms]
        label = f"tickets of {ticket_ms} ms"
        axes.plot(*zip(*reached, strict=True), marker, color=GREEDY, label=label)
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="environment steps per second")
    axes.set_xticks(workers, [str(number) for number in workers])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def peers(rows: Sequence[Row]) -> Figure:
    """Draw seconds to 475 and steps per second of every program: a dot per seed."""
    programs = tables.by_program(rows)
    figure = Figure(figsize=(12, 5), layout="constrained")
    times, rates = figure.subplots(1, 2)
    for place, runs in enumerate(programs.values()):
        draw_times(times, place, runs)
        seen = [run["environment_steps_per_s"] for run in runs]
        rates.barh(place, statistics.median(seen), color=GREEDY, alpha=0.5)
        rates.scatter(seen, [place] * len(seen), s=12, color="k", zorder=3)
    for axes in (times, rates):
        name_rows(axes, list(programs))
        axes.set_xscale("log")
    for color, label in ((GREEDY, "greedy"), (SAMPLED, "sampled"), (LATE, "not reached")):
        times.scatter([], [], color=color, label=label)
    times.legend(fontsize="small")
    times.set(xlabel="training until a mean of 475 over 100 episodes (s)")
    rates.set(xlabel="environment steps per second, learning included")
    return figure


def draw_times(axes: Axes, place: int, runs: Sequence[Row]) -> None:
    """Draw a dot per seed for both judgements; those that did not get there at their end."""
    for kind, color, shift in (("greedy", GREEDY, -0.15), ("sampled", SAMPLED, 0.15)):
        for run in runs:
            seconds = run[f"{kind}_training_s"]
            reached = seconds is not None
            axes.scatter(
                seconds if reached else run["training_s"],
                place + shift,
                s=24,
                color=color if reached else LATE,
                marker="o" if reached else ">",
            )


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write the names down the left side, the first on top."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")


BY_NAME: dict[str, Callable[[Sequence[Row]], Figure]] = {
    "limit": limit,
    "peers": peers,
    "scaling": scaling,
}

"""Fill docs/results.md, and draw its curves, from what `benchmarks/preset_results.py` wrote down.

.venv/bin/python benchmarks/preset_report.py
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import report
import results
import tables
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reinforce.cluster.analysis.comparison import CURVES, Group, RunHistory

FOLDER = results.FOLDER / "presets"
PAGE = report.ROOT / "docs" / "results.md"
PICTURE = "results-presets.png"

Result = Mapping[str, Any]


def group_of(result: Result) -> Group:
    """Return the runs of a preset as `reinforce compare` has them."""
    evaluation, rollout = CURVES
    runs = [
        RunHistory(str(row["seed"]), {}, {evaluation: [], rollout: row["curve"]})
        for row in result["rows"]
    ]
    return Group(result["name"], runs)


def filled(page: str, measured: Sequence[Result]) -> str:
    """Return the page with the table of all presets that were measured."""
    text = table(measured) if measured else "Not measured yet."
    return report.PLACE.sub(
        lambda place: f"{place[1]}{text}\n{place[3]}" if place[2] == "presets" else place[0], page
    )


def table(measured: Sequence[Result]) -> str:
    """Return a row per preset over its seeds, and where each comes from."""
    cells, origins = [], []
    usual = statistics.mode(cpu for result in measured for cpu in processors(result))
    for result in measured:
        rows = result["rows"]
        scores = [row["return_mean"] for row in rows]
        middle = {key: statistics.median(row[key] for row in rows) for key in COUNTS}
        cells.append(
            [
                result["name"],
                f"{rows[0]['seed']} to {rows[-1]['seed']}",
                f"{number(statistics.mean(scores))}{interval_in_words(scores)}",
                " ".join(number(score) for score in scores),
                *(tables.value(round(middle[key])) for key in COUNTS),
            ]
        )
        commits = ", ".join(unique(row["commit"] for row in rows))
        on = " on " + " and ".join(used) if (used := unique(processors(result))) != [usual] else ""
        origins.append(f"{result['name']} {rows[-1]['date']} at {commits}{on}")
    headings = ["preset", "seeds", "mean (95 %)", "each", "steps", "updates", "training (s)"]
    machine = measured[-1]["machine"]
    where = f"{machine['cores']} cores of {usual}, {machine['system']}"
    versions = tables.listed(measured[-1]["versions"])
    return (
        f"{tables.grid(headings, cells)}\n\n![Mean returns during training: thin lines are seeds; "
        "the thick line is their mean, until the first seed ends, with its 95 % interval]"
        f"(images/{PICTURE})\n\n"
        f"(`{measured[-1]['command']}`; {where}; {versions}; {'; '.join(origins)}.)"
    )


def processors(result: Result) -> list[str]:
    """Return the processor of each row; older rows have that of their file."""
    return [row.get("cpu", result["machine"]["cpu"]) for row in result["rows"]]


def unique(names: Iterable[str]) -> list[str]:
    """Return the names without repetitions, in order."""
    return list(dict.fromkeys(names))


COUNTS = ("environment_steps", "updates", "training_s")


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds, by Student's t; NaN for one seed."""
    from scipy.stats import sem, t

    if len(scores) < 2:
        return float("nan"), float("nan")
    middle = statistics.mean(scores)
    half = float(t.ppf(0.975, len(scores) - 1) * sem(scores))
    return middle - half, middle + half


def interval_in_words(scores: Sequence[float]) -> str:
    """Return the interval in brackets; nothing for one seed."""
    low, high = interval(scores)
    return f" ({number(low)} to {number(high)})" if len(scores) > 1 else ""


def number(value: float) -> str:
    """Return a score with as many digits as mean something."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def draw(measured: Sequence[Result], path: Path) -> None:
    """Draw a panel per preset."""
    num_rows = ceil(len(measured) / 3)
    figure = Figure(figsize=(12, 3 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, 3, squeeze=False).flat
    for axes, result in zip(panels, measured, strict=False):
        draw_panel(axes, group_of(result))
    for axes in panels[len(measured) :]:
        axes.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def draw_panel(axes: Axes, group: Group) -> None:
    """Draw every seed thin, their mean up to where the shortest ended, and its interval."""
    for run in group.runs:
        steps, returns = np.array(run.metrics[CURVES[1]]).T
        axes.plot(steps / 1000, returns, color="tab:blue", linewidth=0.5, alpha=0.6)
    curve = group.curve(np.mean)
    if curve is not None:
        steps = curve.steps / 1000
        axes.plot(steps, curve.values, color="tab:blue", linewidth=1.8)
        axes.fill_between(steps, curve.low, curve.high, color="tab:blue", alpha=0.2)
    axes.set(title=group.label, xlabel="thousands of steps", ylabel="mean return of a batch")
    axes.grid(alpha=0.3)


def main() -> None:
    """Rewrite the page and its picture."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    measured = [result for name in names if (result := results.read(name, folder=FOLDER))]
    PAGE.write_text(filled(PAGE.read_text(), measured))
    if measured:
        draw(measured, report.IMAGES / PICTURE)
        print(f"wrote docs/results.md and docs/images/{PICTURE}")


if __name__ == "__main__":
    main()

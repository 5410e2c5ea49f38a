"""The tables of docs/performance.md, made from what the benchmarks wrote down."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
OURS = "ours, Ray"
UNITS = {"per_s": "/ s", "s": "s", "ms": "ms", "us": "us", "mb": "MB", "bytes": "bytes"}
KEY = re.compile(
    rf"(?P<words>.+?)_(?P<unit>{'|'.join(UNITS)})(?P<more>_per_[a-z]+|_and_[a-z]+)?(?P<end>_min|_max)?"
)


def of(result: Mapping[str, Any]) -> str:
    """Return the table of a result, with a line below it that says where it comes from."""
    make: Callable[[Sequence[Row]], str] = BY_NAME.get(result["name"], plain)
    return f"{make(result['rows'])}\n\n{origin(result)}"


def origin(result: Mapping[str, Any]) -> str:
    """Return command, machine, date and versions as a sentence."""
    machine = result["machine"]
    theirs: dict[str, list[str]] = {}
    for row in result["rows"]:
        for name, number in row.get("versions", {}).items():
            if number not in theirs.setdefault(name, []):
                theirs[name].append(number)
    joined = {name: " and ".join(numbers) for name, numbers in theirs.items()}
    return (
        f"`{result['command']}`, {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, {result['date']}; "
        f"{listed(result['versions'])}{'; theirs: ' + listed(joined) if joined else ''}"
        f"{'; ' + result['note'] if 'note' in result else ''}."
    )


def listed(versions: Mapping[str, str]) -> str:
    """Return names with their versions."""
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def plain(rows: Sequence[Row]) -> str:
    """Return the rows as they are: a column per key, units in the headings."""
    if not rows:
        return "Nothing was measured."
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return grid(
        [heading(column) for column in columns],
        [[value(row.get(column)) for column in columns] for row in rows],
    )


def grid(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def heading(key: str) -> str:
    """Return a key in words: ``cpu_ms_per_ticket_max`` is "cpu, max (ms per ticket)"."""
    found = KEY.fullmatch(key)
    if not found:
        return key.replace("_", " ")
    words = found["words"].replace("_", " ")
    end = found["end"].replace("_", ", ") if found["end"] else ""
    unit = UNITS[found["unit"]] + (found["more"] or "").replace("_", " ")
    return f"{words} {unit}{end}" if found["unit"] == "per_s" else f"{words}{end} ({unit})"


def value(cell: Any) -> str:
    """Return a number with as many digits as mean something, and anything else as it is."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)


def peers(rows: Sequence[Row]) -> str:
    """Return how long every program took to learn CartPole-v1; medians over the seeds."""
    cells = []
    for program, runs in by_program(rows).items():
        cells.append(
            [
                program,
                value(len(runs)),
                time_to(runs, "greedy"),
                time_to(runs, "sampled"),
                value(round(statistics.median(run["start_s"] for run in runs), 1)),
                steps_to(runs),
                value(round(statistics.median(run["environment_steps_per_s"] for run in runs))),
                value(median_ratio(by_program(rows), program)),
            ]
        )
    headings = [
        *("program", "seeds", "greedy 475 (s)", "sampled 475 (s)", "start and exit (s)"),
        *("steps to sampled 475", "steps / s", "ours on Ray / theirs"),
    ]
    return grid(headings, cells)


def by_program(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each program by seed, in the order of their first runs."""
    programs: dict[str, list[Row]] = {}
    for row in rows:
        programs.setdefault(row["program"], []).append(row)
    return {name: sorted(runs, key=lambda run: run["seed"]) for name, runs in programs.items()}


def time_to(runs: Sequence[Row], kind: str) -> str:
    """Return median and range of the training seconds, and how many seeds got there."""
    times = sorted(
        run[f"{kind}_training_s"] for run in runs if run[f"{kind}_training_s"] is not None
    )
    if not times:
        limit = value(float(runs[0]["time_limit_s"]))
        return f"not within {limit} s" if out_of_time(runs) else "not within its own budget"
    spread = f"{value(times[0])} to {value(times[-1])}"
    if len(times) < len(runs):
        return f"{spread}; {len(times)} of {len(runs)} seeds"
    return f"{value(statistics.median(times))} ({spread})"


def out_of_time(runs: Sequence[Row]) -> bool:
    """Return whether a run was ended by the limit of time."""
    return any(run.get("outcome") == "time limit" for run in runs)


def steps_to(runs: Sequence[Row]) -> str:
    """Return the median of the steps of those that got there."""
    steps = [run["sampled_environment_steps"] for run in runs]
    reached = [number for number in steps if number is not None]
    return value(round(statistics.median(reached))) if reached else "-"


def median_ratio(programs: Mapping[str, Sequence[Row]], program: str) -> float | None:
    """Return the median over seeds of our steps per second by theirs, None without ours."""
    ours = {
        run["seed"]: run["environment_steps_per_s"]
        for name, runs in programs.items()
        for run in runs
        if name.startswith(OURS)
    }
    ratios = [
        ours[run["seed"]] / run["environment_steps_per_s"]
        for run in programs[program]
        if run["seed"] in ours
    ]
    return statistics.median(ratios) if ratios else None


def peers_wide(rows: Sequence[Row]) -> str:
    """Return the steps per second with many environments; medians over the seeds."""
    programs = by_program(rows)
    cells = [speed_of(program, programs) for program in programs]
    return grid(["program", "seeds", "steps / s", "ours / theirs"], cells)


def peers_tasks(rows: Sequence[Row]) -> str:
    """Return the steps per second of every program on every task; medians over the seeds."""
    cells = []
    for task in dict.fromkeys(row["task"] for row in rows):
        programs = by_program([row for row in rows if row["task"] == task])
        cells += [[task, *speed_of(program, programs)] for program in programs]
    return grid(["task", "program", "seeds", "steps / s", "ours on Ray / theirs"], cells)


def speed_of(program: str, programs: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return name, number of seeds, steps per second and our ratio to it."""
    rates = sorted(run["environment_steps_per_s"] for run in programs[program])
    spread = f"{value(rates[0])} to {value(rates[-1])}"
    median = value(round(statistics.median(rates)))
    ratio = value(median_ratio(programs, program))
    return [program, value(len(rates)), f"{median} ({spread})", ratio]


BY_NAME: dict[str, Callable[[Sequence[Row]], str]] = {
    "peers": peers,
    "peers_more": peers,
    "peers_wide": peers_wide,
    "peers_tasks": peers_tasks,
}
"""Results whose rows are runs, of which the table tells the medians."""

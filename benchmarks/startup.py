"""From the shell's prompt to the first update, and to a trained CartPole: whole processes.

    .venv/bin/python benchmarks/startup.py

Times from the start of the process: until it prints something, until the journal holds the first
update, and until the process of `reinforce train cartpole` (what `make train` runs) has ended,
evaluated and logged to MLflow. In turn with the floor: a script that starts Ray by itself, with two
actors that import Torch and answer one call, which no run on Ray can do without.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import results

TIMEOUT_S = 300.0
GOAL = 1.3
"""Times of a run on Ray over those of the floor."""

FLOOR = """
import time

import ray


@ray.remote
class Actor:
    def __init__(self):
        import torch

    def answer(self):
        return True


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
actors = [Actor.remote() for _ in range(2)]
ray.get([actor.answer.remote() for actor in actors])
print(time.time_ns() // 1_000_000)
"""


def timed(folder: Path, words: Sequence[str]) -> tuple[int, int, int, str]:
    """Run a Python program; return when it started, printed and ended (ms), and what it printed.

    Raises:
        RuntimeError: It failed, or took too long and was killed.
    """
    started_ms = now_ms()
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        bufsize=0,  # what is read first is missing from the rest, and nothing else
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        first = process.stdout.read(1)  # type: ignore[union-attr]  # it is a pipe
        printed_ms = now_ms()
        rest, _ = process.communicate()
        watchdog.cancel()
    printed = (first + rest).decode()
    if process.returncode:
        raise RuntimeError(printed)
    return started_ms, printed_ms, now_ms(), printed


def now_ms() -> int:
    """Return the time of day, as the journal has it."""
    return time.time_ns() // 1_000_000


def floor(folder: Path) -> dict[str, float]:
    """Return how long Ray and two actors take that import Torch."""
    started_ms, _, ended_ms, printed = timed(folder, ["-c", FLOOR])
    answered_ms = int(printed.splitlines()[-1])
    return {
        "first_update_s": (answered_ms - started_ms) / 1e3,
        "whole_process_s": (ended_ms - started_ms) / 1e3,
    }


def run(folder: Path, name: str, backend: str) -> dict[str, float]:
    """Return the times of a run."""
    words = ["-m", "reinforce", "train", "cartpole", "--run.name", name]
    started_ms, printed_ms, ended_ms, _ = timed(folder, [*words, "--cluster.backend", backend])
    journal = folder / "runs" / name / "metrics.jsonl"
    first = json.loads(journal.read_text().splitlines()[0])
    summary = json.loads((folder / "runs" / name / "summary.json").read_text())
    return {
        "first_line_s": (printed_ms - started_ms) / 1e3,
        "first_update_s": (first["timestamp_ms"] - started_ms) / 1e3,
        "whole_process_s": (ended_ms - started_ms) / 1e3,
        "training_s": summary["training_time_s"],
    }


def row_of(
    program: str, measured: Sequence[dict[str, float]], floors: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """Return medians, and those of the ratios to the floor of the same round."""
    row: dict[str, Any] = {"program": program}
    for key in ("first_line_s", "first_update_s", "whole_process_s", "training_s"):
        values = [each[key] for each in measured if key in each]
        row[key] = round(statistics.median(values), 2) if values else None
    for key in ("first_update_s", "whole_process_s"):
        ratios = [each[key] / base[key] for each, base in zip(measured, floors, strict=True)]
        name = key.removesuffix("_s")
        row[f"{name}_over_floor"] = round(statistics.median(ratios), 2)
        row[f"{name}_over_floor_min"] = round(min(ratios), 2)
        row[f"{name}_over_floor_max"] = round(max(ratios), 2)
    row["goal"] = GOAL if program == "ray" else None
    row["rounds"] = len(measured)
    return row


def main() -> None:
    """Run the floor and each backend in turn and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"floor": [], "ray": [], "inline": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(arguments.rounds):
            for program, measured in found.items():
                is_run = program != "floor"
                times = run(folder, f"{program}-{turn}", program) if is_run else floor(folder)
                measured.append(times)
                print(program, times, flush=True)
    rows = [row_of(program, measured, found["floor"]) for program, measured in found.items()]
    results.write("startup", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

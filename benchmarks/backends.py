"""What Ray costs: steps per second and core of the Ray backend against the inline one.

    .venv/bin/python benchmarks/backends.py

The same run twice: on a local Ray with one worker per core, and inline, with as many processes side
by side as there are cores, so that neither has a core to itself. Tickets take about 100 ms.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import results
import runs

NUM_WARM = 3


def settings_of(backend: str, updates: int, num_cores: int) -> dict[str, Any]:
    """Return the settings of a run; the batch is the same on both backends."""
    return {
        **runs.WITHOUT_EXTRAS,
        "environment.id": "CartPole-v1",
        "environment.use_vector_implementation": False,
        "stop.max_updates": updates,
        "workers.num_workers": num_cores,
        "workers.envs_per_worker": 32,
        "workers.episodes_per_ticket": 64,
        "learner.episodes_per_update": 64 * 8 * num_cores,
        "learner.learning_rate": 0.003,
        "cluster.backend": backend,
    }


def rates(backend: str, updates: int, folder: Path) -> tuple[float, float]:
    """Return steps per second and core, and the seconds that a ticket took."""
    num_cores = len(os.sched_getaffinity(0))
    num_processes = 1 if backend == "ray" else num_cores
    names = [f"{backend}-{time.time_ns()}" for _ in range(num_processes)]
    settings = settings_of(backend, updates, num_cores)
    processes = [runs.start(folder, name, settings) for name in names]
    together, ticket_s = 0.0, 0.0
    for process, name in zip(processes, names, strict=True):
        updates_of_run = runs.finish(process, folder, name)
        together += runs.steps_per_s(updates_of_run, NUM_WARM)
        workers = num_cores if backend == "ray" else 1
        sampling_s = updates_of_run[-1]["metrics"]["time/sampling_s"]
        ticket_s = sampling_s * workers / (8 * num_cores)
    return together / num_cores, ticket_s


def main() -> None:
    """Measure both in turn and write the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=18)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {"inline": [], "ray": []}
    ticket_s = 0.0
    with tempfile.TemporaryDirectory() as name:
        for _ in range(arguments.rounds):
            for backend, measured in found.items():
                rate, ticket_s = rates(backend, arguments.updates, Path(name))
                measured.append(rate)
                print(
                    f"{backend:<8}{rate:>9.0f} steps/s and core, {1e3 * ticket_s:.0f} ms a ticket"
                )
    ratios = [ray / inline for ray, inline in zip(found["ray"], found["inline"], strict=True)]
    row = {
        "ray_steps_per_s_and_core": round(statistics.median(found["ray"])),
        "inline_steps_per_s_and_core": round(statistics.median(found["inline"])),
        "ticket_ms": round(1e3 * ticket_s),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "goal": 0.95,
    }
    print(row)
    results.write("backends", [row], results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

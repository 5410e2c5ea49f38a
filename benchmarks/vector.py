"""CartPole as fast as it goes: its own vector implementation, many lanes, through Ray.

    .venv/bin/python benchmarks/vector.py

Whole runs on a local Ray, learning included, with more and more lanes per worker. One ticket is one
round of all lanes, and every update takes two tickets per worker.
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


def trained_steps_per_s(lanes: int, updates: int, lookahead: int, folder: Path) -> float:
    """Train on a local Ray and return the steps per second after the first updates."""
    num_workers = len(os.sched_getaffinity(0))
    settings = {
        **runs.WITHOUT_EXTRAS,
        "environment.id": "CartPole-v1",
        "stop.max_updates": updates,
        "workers.num_workers": num_workers,
        "workers.envs_per_worker": lanes,
        "workers.episodes_per_ticket": lanes,
        "learner.episodes_per_update": 2 * num_workers * lanes,
        "learner.learning_rate": 0.003,
        "learner.importance_cap": 1.0,
        "cluster.lookahead": lookahead,
    }
    name = f"{lanes}-{lookahead}-{time.time_ns()}"
    process = runs.start(folder, name, settings)
    return runs.steps_per_s(runs.finish(process, folder, name), NUM_WARM)


def main() -> None:
    """Measure each number of lanes, with and without lookahead, in turn; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lanes", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    cases = [(lanes, lookahead) for lanes in arguments.lanes for lookahead in (0, 1)]
    found: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(arguments.rounds):
            for case, rates in found.items():
                rates.append(trained_steps_per_s(case[0], arguments.updates, case[1], Path(name)))
                print(f"{case[0]:>5} lanes, lookahead {case[1]}: {rates[-1]:>9.0f} steps/s")
    rows: list[dict[str, Any]] = [
        {
            "lanes": lanes,
            "lookahead": lookahead,
            "steps_per_s": round(statistics.median(rates)),
            "steps_per_s_min": round(min(rates)),
            "steps_per_s_max": round(max(rates)),
            "goal": 500_000,
        }
        for (lanes, lookahead), rates in found.items()
    ]
    results.write("vector", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

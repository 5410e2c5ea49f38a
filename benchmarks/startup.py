"""From the shell's prompt to the first update, and to a trained CartPole: whole processes.

    .venv/bin/python benchmarks/startup.py

Times from the start of the process: until the journal holds the first update, and until the process
of `reinforce train cartpole` (what `make train` runs) has ended, evaluated and logged to MLflow.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import results

TIMEOUT_S = 300.0


def timed_run(folder: Path, name: str, options: list[str]) -> dict[str, Any]:
    """Run the command; return both times and how it ended."""
    started_ms = time.time_ns() // 1_000_000
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", name, *options],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=TIMEOUT_S,
        )
    whole_s = time.time_ns() // 1_000_000 - started_ms
    run = folder / "runs" / name
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    summary = json.loads((run / "summary.json").read_text())
    return {
        "first_update_s": (first["timestamp_ms"] - started_ms) / 1e3,
        "whole_process_s": whole_s / 1e3,
        "training_s": summary["training_time_s"],
        "evaluated_return": summary["evaluation"]["return_mean"],
    }


def main() -> None:
    """Run each backend in turn and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"ray": [], "inline": []}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(arguments.rounds):
            for backend, measured in found.items():
                options = ["--cluster.backend", backend]
                measured.append(timed_run(Path(name), f"{backend}-{turn}", options))
                print(backend, measured[-1], flush=True)
    rows = [
        {
            "backend": backend,
            **{
                key: round(statistics.median(row[key] for row in measured), 2)
                for key in measured[0]
            },
            "whole_process_s_min": round(min(row["whole_process_s"] for row in measured), 2),
            "whole_process_s_max": round(max(row["whole_process_s"] for row in measured), 2),
            "goal_first_update_s": 6.0,
            "goal_whole_process_s": 10.0,
            "rounds": arguments.rounds,
        }
        for backend, measured in found.items()
    ]
    results.write("startup", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

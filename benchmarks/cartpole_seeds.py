"""Does `reinforce train cartpole` reach 475, seed after seed, and how long does it take?

    .venv/bin/python benchmarks/cartpole_seeds.py --seeds 10 [--lookahead 1]

Each seed and backend is a process of its own, as a user would start it. Exit code 1 if one of them
misses the target or the limits that the README states.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_RETURN = 475.0
MAX_ENVIRONMENT_STEPS = 400_000
MAX_TRAINING_TIME_S = 3.0
MAX_PROCESS_TIME_S = 15.0


def run(seed: int, backend: str, lookahead: int, folder: Path) -> dict[str, float | bool | str]:
    """Train in a process of its own and return what its summary says."""
    name = f"{backend}-{seed}"
    started = time.perf_counter()
    result = subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole"],
            *["--run.seed", str(seed), "--run.name", name, "--cluster.backend", backend],
            *["--cluster.lookahead", str(lookahead)],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    process_s = time.perf_counter() - started
    if result.returncode != 0:
        raise RuntimeError(f"{name} ended with {result.returncode}: {result.stderr}")
    summary = json.loads((folder / "runs" / name / "summary.json").read_text())
    return {
        "return_mean": summary["evaluation"]["return_mean"],
        "environment_steps": summary["environment_steps"],
        "training_time_s": summary["training_time_s"],
        "process_s": process_s,
        "weights_sha256": summary["weights_sha256"],
        "holds": summary["evaluation"]["return_mean"] >= TARGET_RETURN
        and summary["environment_steps"] <= MAX_ENVIRONMENT_STEPS
        and summary["training_time_s"] <= MAX_TRAINING_TIME_S
        and process_s <= MAX_PROCESS_TIME_S,
    }


def main() -> int:
    """Run all seeds on both backends; print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lookahead", type=int, default=0)
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, float | bool | str]]] = {"ray": [], "inline": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for backend, rows in results.items():
                row = run(seed, backend, arguments.lookahead, Path(folder))
                rows.append(row)
                print(
                    f"seed {seed} {backend:<7} return {row['return_mean']:6.1f}  "
                    f"steps {row['environment_steps']:>7,}  training {row['training_time_s']:.2f} s"
                    f"  process {row['process_s']:5.1f} s  {'holds' if row['holds'] else 'FAILS'}",
                    flush=True,
                )
    for backend, rows in results.items():
        steps = [row["environment_steps"] for row in rows]
        print(
            f"{backend}: {sum(bool(row['holds']) for row in rows)} of {len(rows)} hold; "
            f"steps median {statistics.median(steps):,.0f}, most {max(steps):,}; "
            f"training median {statistics.median(row['training_time_s'] for row in rows):.2f} s; "
            f"process median {statistics.median(row['process_s'] for row in rows):.1f} s, "
            f"most {max(row['process_s'] for row in rows):.1f} s"
        )
    same = all(
        a["weights_sha256"] == b["weights_sha256"] for a, b in zip(*results.values(), strict=True)
    )
    print(f"both backends have the same weights for every seed: {same}")
    return 0 if same and all(row["holds"] for rows in results.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

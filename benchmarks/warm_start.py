"""Does LunarLander reach 200 in fewer steps from weights that landed under another gravity?

    .venv/bin/python benchmarks/warm_start.py --seeds 5 [--gravity -9] [--max-steps 1500000]

One run learns under the other gravity. Then each seed trains twice under the usual one, with the
same settings: from random weights, and from the best weights of that run with its optimizer and
value function. Exit code 1 unless every warm start gets there and is sooner.
"""

import argparse
import statistics
import sys
import tempfile

import reinforce

TARGET_RETURN = 200.0


def train(folder: str, name: str, seed: int, max_steps: int, **overrides: object) -> reinforce.Run:
    """Train the preset until a confirmed mean return of 200, in this process."""
    return reinforce.train(
        "lunarlander",
        {
            "stop.target_return": TARGET_RETURN,
            "stop.max_environment_steps": max_steps,
            "tracking.enabled": False,
            **overrides,
        },
        seed=seed,
        name=name,
        directory=folder,
        backend="inline",
        progress=False,
    )


def in_words(run: reinforce.Run) -> str:
    """Return how long a run took, and what it reached."""
    mean = run.summary["evaluation"]["return_mean"]
    ending = "" if is_there(run) else ", not there"
    return f"{run.summary['environment_steps']:>9,} steps, return {mean:6.1f}{ending}"


def is_there(run: reinforce.Run) -> bool:
    """Return whether a run ended because its mean return was confirmed."""
    return bool(run.summary["stop_reason"] == "target_return")


def main() -> int:
    """Train all runs; print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--gravity", type=float, default=-9.0)
    parser.add_argument("--max-steps", type=int, default=3_000_000, help="of each run")
    arguments = parser.parse_args()
    steps: dict[str, list[int]] = {"random weights": [], "warm start": []}
    are_warm_there = True
    with tempfile.TemporaryDirectory() as folder:
        kwargs = {"environment.kwargs": {"gravity": arguments.gravity}}
        parent = train(folder, "parent", 0, arguments.max_steps, **kwargs)
        print(f"gravity {arguments.gravity:g}: {in_words(parent)}", flush=True)
        warm = {"run.start_from": f"{parent.path}@best", "run.start_from_optimizer": True}
        starts = {"random weights": {}, "warm start": warm}
        for seed in range(1, arguments.seeds + 1):
            for kind, overrides in starts.items():
                name = f"{kind.replace(' ', '-')}-{seed}"
                run = train(folder, name, seed, arguments.max_steps, **overrides)
                are_warm_there &= overrides is not warm or is_there(run)
                steps[kind].append(run.summary["environment_steps"])
                print(f"seed {seed}, {kind:<14} {in_words(run)}", flush=True)
    for kind, found in steps.items():
        print(f"{kind}: median {statistics.median(found):,.0f} steps, most {max(found):,}")
    is_sooner = are_warm_there and all(w < c for c, w in zip(*steps.values(), strict=True))
    print(f"the warm start is sooner for every seed: {is_sooner}")
    return 0 if is_sooner else 1


if __name__ == "__main__":
    sys.exit(main())

"""Does a limit on the divergence of a step save a learning rate that is ten times too large?

    .venv/bin/python benchmarks/kl_limit.py --seeds 8 [--first-seed 200] [--max-kl 0.02]

Each seed trains CartPole twice at the same learning rate, without the limit and with it. Exit code
1 unless every run with the limit reaches 475 within the preset's steps.
"""

import argparse
import statistics
import sys
import tempfile

import reinforce


def train(folder: str, seed: int, learning_rate: float, max_kl: float | None) -> reinforce.Run:
    """Train the preset in this process until a confirmed mean return of 475, or its last step."""
    return reinforce.train(
        "cartpole",
        {
            "learner.learning_rate": learning_rate,
            "learner.max_kl": max_kl,
            "tracking.enabled": False,
        },
        seed=seed,
        name=f"max-kl-{max_kl}-seed-{seed}",
        directory=folder,
        backend="inline",
        progress=False,
    )


def in_words(run: reinforce.Run) -> str:
    """Return how long a run took, and how far its steps moved the policy."""
    divergence = run.updates["learner/kl"]
    return (
        f"{run.summary['environment_steps']:>7,} steps, return "
        f"{run.summary['evaluation']['return_mean']:5.1f}, "
        f"KL median {divergence.median():.3f}, largest {divergence.max():.3f} nats"
    )


def main() -> int:
    """Train all runs; print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=0.15)
    parser.add_argument("--max-kl", type=float, default=0.02)
    arguments = parser.parse_args()
    limits = {"no limit": None, f"max_kl {arguments.max_kl:g}": arguments.max_kl}
    steps: dict[str, list[int]] = {name: [] for name in limits}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for name, limit in limits.items():
                run = train(folder, seed, arguments.learning_rate, limit)
                print(f"seed {seed}, {name:<12} {in_words(run)}", flush=True)
                if run.summary["stop_reason"] == "target_return":
                    steps[name].append(run.summary["environment_steps"])
    for name, reached in steps.items():
        middle = f", median {statistics.median(reached):,.0f} steps" if reached else ""
        print(f"{name}: {len(reached)} of {arguments.seeds} reach 475{middle}")
    return 0 if len(reached) == arguments.seeds else 1


if __name__ == "__main__":
    sys.exit(main())

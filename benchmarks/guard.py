"""Is this checkout slower than an earlier version of it? Processor time of both, in turn.

    .venv/bin/python benchmarks/guard.py --base v0.1.0

Each round runs three commands in both versions, whichever came second the round before first:

- ``start-up``: ``reinforce config cartpole``, which loads what every verb loads;
- ``steps``: ``reinforce train cartpole`` in one process: environment, policy, gradient, journal;
- ``tickets``: CartPole of one step per episode and one episode per ticket on Ray: the driver's own
  work for each ticket.

The driver counts its own processor time (``time.process_time``), so that other work on the machine
disturbs little and Ray's processes are left out. A command has become slower if, by Wilcoxon's
signed-rank test over the rounds, its median ratio exceeds the limit with the confidence asked for.
Exit code 1 then.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap, wilcoxon

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300.0

PROGRAM = """
import sys, time
from pathlib import Path
import reinforce
assert Path(reinforce.__file__).is_relative_to(Path(sys.argv.pop(1))), reinforce.__file__
from reinforce.cluster.cli import main
if code := main(sys.argv[1:]):
    sys.exit(code)
print(time.process_time())
"""
"""Runs a command and prints the processor time of its process, in seconds, last."""

ALONE = (
    *("--tracking.enabled", "false", "--evaluation.every_updates", "None"),
    *("--evaluation.episodes", "5", "--stop.target_return", "None"),
)
"""Nothing but sampling and learning."""


def commands(scale: float) -> dict[str, list[str]]:
    """Return what is run, by name, with ``scale`` times as much work as in a round of `make`."""
    steps, updates = round(60_000 * scale), max(1, round(40 * scale))
    inline = ["--cluster.backend", "inline", "--stop.max_environment_steps", str(steps)]
    on_ray = ["--workers.num_workers", "1", "--stop.max_updates", str(updates)]
    short = ["--environment.max_episode_steps", "1", "--workers.episodes_per_ticket", "1"]
    return {
        "start-up": ["config", "cartpole"],
        "steps": ["train", "cartpole", *ALONE, *inline],
        "tickets": ["train", "cartpole", *ALONE, *on_ray, *short],
    }


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """Context of a checkout of ``revision`` beside this one, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="guard") as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", f"{folder}/base", revision], check=True)
        try:
            yield Path(folder) / "base"
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/base"], check=True)


def processor_time_s(checkout: Path, command: list[str]) -> float:
    """Return the processor time of ``command``'s own process, run with the code of ``checkout``.

    Raises:
        RuntimeError: It failed; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(checkout), *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} with {checkout}:\n{result.stdout}{result.stderr}")
    return float(result.stdout.split()[-1])


def ratios(base: Path, command: list[str], num_rounds: int) -> np.ndarray:
    """Return this version's processor time over that of ``base``, one number per round."""
    found = []
    for turn in range(num_rounds):
        order = [ROOT, base] if turn % 2 else [base, ROOT]
        seconds = {checkout: processor_time_s(checkout, command) for checkout in order}
        found.append(seconds[ROOT] / seconds[base])
    return np.array(found)


def is_slower(found: np.ndarray, limit: float, confidence: float) -> bool:
    """Return whether the median of ``found`` exceeds ``limit`` with ``confidence`` in (0, 1).

    One-sided signed-rank test of the logarithms (Wilcoxon 1945): no normal distribution of timings
    is assumed.
    """
    test = wilcoxon(np.log(found) - np.log(limit), alternative="greater", method="exact")
    return bool(test.pvalue < 1 - confidence)


def main() -> int:
    """Compare, print a line per command, and return 1 if one of them has become slower."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True, help="revision to compare with, such as a tag")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0, help="of the work in a round")
    parser.add_argument("--only", nargs="+", choices=list(commands(1.0)))
    parser.add_argument("--limit", type=float, default=1.15, help="ratio that is still accepted")
    parser.add_argument("--confidence", type=float, default=0.99)
    arguments = parser.parse_args()
    if 0.5**arguments.rounds >= 1 - arguments.confidence:
        parser.error(f"--rounds {arguments.rounds} cannot show --confidence {arguments.confidence}")
    slower = []
    with checkout_of(arguments.base) as base:
        for name, command in commands(arguments.scale).items():
            if arguments.only and name not in arguments.only:
                continue
            found = ratios(base, command, arguments.rounds)
            interval = bootstrap(
                (found,), np.median, confidence_level=arguments.confidence, rng=0
            ).confidence_interval
            print(
                f"{name:<10}{np.median(found):.3f} times {arguments.base}"
                f" ({interval.low:.3f} to {interval.high:.3f}, {len(found)} rounds)",
                flush=True,
            )
            if is_slower(found, arguments.limit, arguments.confidence):
                slower.append(name)
    if slower:
        print(f"slower than {arguments.limit} times {arguments.base}: {', '.join(slower)}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long from a fault until a word about it, and from a signal until the command has returned?

    python tests/chaos/signals.py --trials 20 --backends ray inline --parallel 3

Runs get a SIGTERM while Ray starts, between updates, in the middle of a ticket (of environments
that stall, that never end, and that die again and again), and when the run is over. In a ticket it
comes once the screen has said what is wrong. Prints the median and the longest time of each, and
exits with 1 if a word took more than 40 seconds or a command more than five, had another exit code,
lost the checkpoint, or left a process of Ray behind.
"""

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "fakes")]

from processes import processes_in, ray_folders, wait_for  # noqa: E402

MAX_S = 5.0
MAX_WORD_S = 40.0
RAY_DIES_WITHIN_S = 10.0

SMALL = [
    *("--workers.num_workers", "1", "--policy.hidden_sizes", "8", "--evaluation.episodes", "5"),
    *("--learner.episodes_per_update", "8", "--workers.episodes_per_ticket", "4"),
]
ENDLESS = ["--environment.id", "endless_maze:Maze", "--evaluation.max_episode_steps", str(10**12)]
STALLING = ["--environment.id", "stalling_on_order:Simulator"]
DYING = {
    "ray": ["--environment.kwargs", "{dies: true}", "--workers.max_ticket_attempts", "1000"],
    "inline": ["--environment.kwargs", "{when_interrupted: dies}"],
}
"""Its process dies, or, where that would be the command's own, it dies of the signal."""


def has_lines(run, count):
    file = run / "metrics.jsonl"
    return file.exists() and file.read_bytes().count(b"\n") >= count


def is_over(run):
    return (run / "summary.json").exists()


def stall(run):
    """Have the next step of an environment last a minute, or end its process."""
    if not has_lines(run, 3):
        return False
    (run.parent.parent / "stall").touch()
    return True


def cases(backend):
    """When the signal comes, options, exit code, and what the screen says of the fault before it.

    A run that is over stays finished.
    """
    both = {
        "updates": (lambda run: has_lines(run, 3), ["--stop.target_return", "None"], 143, None),
        "slow": (stall, STALLING, 143, r"^ticket .* (has not returned|has waited)"),
        "dying": (stall, [*STALLING, *DYING[backend]], 143, r"has waited for|worker .* lost"),
        "endless": (
            lambda run: (run / "history.jsonl").exists(),
            ENDLESS,
            143,
            r"^ticket .* has (been )?played",
        ),
        "the end": (is_over, ["--stop.max_updates", "2"], 0, None),
    }
    return both if backend == "inline" else {"ray starts": (None, [], 143, None), **both}


@dataclass
class Trial:
    """One run: seconds to a word, to the return of the command, to the end of Ray; what failed."""

    word_s: float = 0.0
    took_s: float = 0.0
    ray_took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def trial(backend, name):
    condition, options, code, word = cases(backend)[name]
    done = Trial()
    with tempfile.TemporaryDirectory(prefix="signal-") as folder:
        place = Path(folder)
        run = place / "runs" / "run"
        paths = [str(ROOT / "tests" / each) for each in ("fakes", "cases")]
        environment = {**os.environ, "TMPDIR": folder, "PYTHONPATH": os.pathsep.join(paths)}
        words = ["train", "cartpole", "--run.name", "run", "--cluster.backend", backend]
        with (place / "said").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "reinforce", *words, *SMALL, *options],
                cwd=place,
                env=environment,
                stdout=said,
                stderr=said,
            )
            if condition:
                wait_for(lambda: condition(run) or process.poll() is not None, pause_s=0.02)
            else:
                wait_for(lambda: ray_folders(place), pause_s=0.02)
            fault_s = time.monotonic()
            if word:
                pattern = re.compile(word, re.MULTILINE)
                wait_for(
                    lambda: pattern.search((place / "said").read_text()) or process.poll(),
                    pause_s=0.1,
                )
                done.word_s = time.monotonic() - fault_s
            time.sleep(0.5 if condition else random.uniform(0, 8))
            sent_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            returned = process.wait(120)
            done.took_s = time.monotonic() - sent_s
        try:
            # MLflow's follower works in the folder, too, and may go on for longer.
            wait_for(lambda: not rays_in(place), pause_s=0.1)
        finally:
            done.ray_took_s = time.monotonic() - sent_s - done.took_s
        done.wrong = [
            *([f"exit code {returned}"] if returned != code else []),
            *(["nothing was said for long"] if done.word_s > MAX_WORD_S else []),
            *(["took too long"] if done.took_s > MAX_S else []),
            *(["Ray lived on"] if done.ray_took_s > RAY_DIES_WITHIN_S else []),
            *(["a folder of Ray's is left"] if ray_folders(place) else []),
            *([] if not condition or list(run.glob("checkpoints/*")) else ["no checkpoint"]),
            *([] if condition or not run.exists() else ["a run that never began is left"]),
        ]
        if done.wrong:
            print(f"{name}: {', '.join(done.wrong)} ({done.took_s:.1f} s)", flush=True)
            print((place / "said").read_text()[-3000:])
        wait_for(lambda: not processes_in(place), pause_s=0.1)
        return done


def rays_in(place):
    """Processes of Ray: all but MLflow's."""
    found = []
    for pid in processes_in(place):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found += [pid] if b"ray" in words and b"tracking.follower" not in words else []
    return found


def report(backend, name, trials):
    """Print the figures of a case."""
    took_s = [each.took_s for each in trials]
    words = f"a word after at most {max(t.word_s for t in trials):.1f} s; "
    print(
        f"{backend:<6} {name:<10} {words if cases(backend)[name][3] else ''}"
        f"returned after a median of {statistics.median(took_s):.2f} s, max {max(took_s):.2f} s; "
        f"Ray was gone at most {max(t.ray_took_s for t in trials):.1f} s later",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--backends", nargs="*", choices=["ray", "inline"], default=["ray"])
    parser.add_argument("--cases", nargs="*", choices=cases("ray"), default=list(cases("ray")))
    parser.add_argument("--parallel", type=int, default=1)
    arguments = parser.parse_args()
    is_wrong = False
    for backend in arguments.backends:
        for name in [each for each in cases(backend) if each in arguments.cases]:
            with ThreadPoolExecutor(arguments.parallel) as threads:
                waited = [threads.submit(trial, backend, name) for _ in range(arguments.trials)]
                trials = [each.result() for each in waited]
            report(backend, name, trials)
            is_wrong |= any(each.wrong for each in trials)
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()

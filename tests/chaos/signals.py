"""How long from a signal until the command has returned?

    python tests/chaos/signals.py --trials 10

Runs on a local Ray get a SIGTERM while Ray starts, in the middle of a ticket (of environments that
stall, that never end, and whose process dies again and again), and when the run is over and Ray
ends. Prints the median and the longest time of each, and exits with 1 if one took more than five
seconds, had another exit code, lost the checkpoint, or left a process of Ray behind.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "fakes")]

from processes import processes_in, ray_folders, wait_for  # noqa: E402

MAX_S = 5.0
RAY_DIES_WITHIN_S = 10.0

SMALL = [
    *("--workers.num_workers", "1", "--policy.hidden_sizes", "8", "--evaluation.episodes", "5"),
    *("--learner.episodes_per_update", "8", "--workers.episodes_per_ticket", "4"),
]
ENDLESS = ["--environment.id", "endless_maze:Maze", "--evaluation.max_episode_steps", str(10**12)]
STALLING = ["--environment.id", "stalling_on_order:Simulator"]
DYING = ["--environment.kwargs", "{dies: true}", "--workers.max_ticket_attempts", "1000"]


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


CASES = {
    "ray starts": (None, [], 143),
    "updates": (lambda run: has_lines(run, 3), ["--stop.target_return", "None"], 143),
    "slow": (stall, STALLING, 143),
    "dying": (stall, [*STALLING, *DYING], 143),
    "endless": (lambda run: (run / "history.jsonl").exists(), ENDLESS, 143),
    "the end": (is_over, ["--stop.max_updates", "2"], 0),
}
"""When the signal comes, options, and the exit code; a run that is over stays finished."""


def trial(name):
    condition, options, code = CASES[name]
    with tempfile.TemporaryDirectory(prefix="signal-") as folder:
        place = Path(folder)
        run = place / "runs" / "run"
        paths = [str(ROOT / "tests" / each) for each in ("fakes", "cases")]
        environment = {**os.environ, "TMPDIR": folder, "PYTHONPATH": os.pathsep.join(paths)}
        words = ["-m", "reinforce", "train", "cartpole", "--run.name", "run", *SMALL, *options]
        with (place / "said").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=place, env=environment, stdout=said, stderr=said
            )
            if condition:
                wait_for(lambda: condition(run) or process.poll() is not None, pause_s=0.02)
                time.sleep(0.5)
            else:
                wait_for(lambda: ray_folders(place), pause_s=0.02)
                time.sleep(random.uniform(0, 8))
            sent_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            returned = process.wait(120)
            took_s = time.monotonic() - sent_s
        try:
            # MLflow's follower works in the folder, too, and may go on for longer.
            wait_for(lambda: not rays_in(place), pause_s=0.1)
        finally:
            ray_took_s = time.monotonic() - sent_s - took_s
        wrong = [
            *([f"exit code {returned}"] if returned != code else []),
            *(["took too long"] if took_s > MAX_S else []),
            *(["Ray lived on"] if ray_took_s > RAY_DIES_WITHIN_S else []),
            *(["a folder of Ray's is left"] if ray_folders(place) else []),
            *([] if not condition or list(run.glob("checkpoints/*")) else ["no checkpoint"]),
            *([] if condition or not run.exists() else ["a run that never began is left"]),
        ]
        if wrong:
            print((place / "said").read_text()[-3000:])
        wait_for(lambda: not processes_in(place), pause_s=0.1)
        return took_s, ray_took_s, wrong


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    is_wrong = False
    for name in arguments.cases:
        times_s, ray_s = [], []
        for _ in range(arguments.trials):
            took_s, ray_took_s, wrong = trial(name)
            times_s.append(took_s)
            ray_s.append(ray_took_s)
            if wrong:
                is_wrong = True
                print(f"{name}: {', '.join(wrong)} ({took_s:.1f} s)", flush=True)
        print(
            f"{name:<12} median {statistics.median(times_s):.2f} s, max {max(times_s):.2f} s; "
            f"Ray was gone at most {max(ray_s):.1f} s later",
            flush=True,
        )
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()

"""How long from the death of a worker until its replacement has returned a ticket?

    python tests/chaos/replacement.py --kills 10

One of two workers of a run is killed again and again; the other goes on meanwhile. Prints the
times, their median, and how many updates were made while one worker was missing. Exits with 1 if
the median is more than five seconds, or if it takes more than a minute for each of them.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])

from runs import RecordingDisplay, train  # noqa: E402
from soak import actor_pids  # noqa: E402

from reinforce.cluster.interrupts import Interrupts  # noqa: E402
from reinforce.configs.config import Config  # noqa: E402

_PAUSE_UPDATES = 10
"""Updates between the return of a worker and the next kill."""

MAX_MEDIAN_S = 5.0
DEADLINE_S = 60.0
"""For each of the kills."""


class Killer:
    """Kills a worker, waits until there are two again, and so on; called with each record."""

    def __init__(self, num_kills, interrupts):
        self.num_kills, self.interrupts = num_kills, interrupts
        self.times_s, self.updates_meanwhile = [], []
        self.killed_at_s, self.next_kill = None, _PAUSE_UPDATES

    def __call__(self, record):
        if not record.batch:
            return
        now_s = time.monotonic()
        if self.killed_at_s is None:
            if record.updates >= self.next_kill:
                workers = [pid for name, pid in actor_pids().items() if name.startswith("worker")]
                os.kill(workers[0], signal.SIGKILL)
                self.killed_at_s, self.killed_after = now_s, record.updates
            return
        # The update after the one that it was killed in: two workers have played its batch.
        is_back = record.metrics["cluster/workers_alive"] == 2
        if is_back and record.metrics["cluster/worker_restarts"] > len(self.times_s):
            self.times_s.append(now_s - self.killed_at_s)
            self.updates_meanwhile.append(record.updates - self.killed_after)
            self.killed_at_s, self.next_kill = None, record.updates + _PAUSE_UPDATES
            if len(self.times_s) == self.num_kills:
                self.interrupts._on_signal(signal.SIGTERM, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    arguments = parser.parse_args()
    interrupts = Interrupts()
    killer = Killer(arguments.kills, interrupts)
    deadline = threading.Timer(
        DEADLINE_S * arguments.kills, interrupts._on_signal, [signal.SIGTERM, None]
    )
    deadline.daemon = True
    deadline.start()
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "run": {"directory": folder, "name": "replacement"},
                "environment": {
                    "id": "fake_environments:ShortOrLong-v0",
                    "kwargs": {"step_s": 0.002},
                },
                "stop": {"max_updates": 1_000_000},
                "policy": {"hidden_sizes": [8]},
                "learner": {"episodes_per_update": 8},
                "workers": {"num_workers": 2, "envs_per_worker": 1, "episodes_per_ticket": 1},
                "evaluation": {"episodes": 6, "every_updates": None},
                "tracking": {"enabled": False},
            }
        )
        train(config, RecordingDisplay(killer, keep=False), interrupts)
    print("seconds until two workers play again:", [round(t, 2) for t in killer.times_s])
    if len(killer.times_s) < arguments.kills:
        raise SystemExit("the next one was not replaced in time")
    median_s = statistics.median(killer.times_s)
    print(f"median {median_s:.2f} s, max {max(killer.times_s):.2f} s")
    print("updates meanwhile:", killer.updates_meanwhile)
    raise SystemExit(median_s > MAX_MEDIAN_S)


if __name__ == "__main__":
    main()

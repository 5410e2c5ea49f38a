"""Ten thousand updates of a tiny task on Ray: does anything grow?

    python tests/chaos/soak.py --updates 10000

Prints memory (MB), open files and references to Ray objects of driver, learner and workers every so
many updates, and their growth per 1000 updates after the first 1000. Exits with 1 if the memory of
a process grows by more than 1 MB per 1000 updates, or files or references grow at all.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])

from runs import RecordingDisplay, train  # noqa: E402

from reinforce.configs.config import Config  # noqa: E402

WARM_UP = 1000
MAX_MB_PER_1000 = 1.0


class Meter:
    """Measures every so many updates; called with each record."""

    def __init__(self, every):
        self.every = every
        self.rows = []
        self.processes = None

    def __call__(self, record):
        if not record.batch or record.updates % self.every:
            return
        import ray

        if self.processes is None:
            self.processes = {"driver": os.getpid(), **actor_pids()}
        references = ray._private.worker.global_worker.core_worker.get_all_reference_counts()
        row = {"updates": record.updates, "references": len(references)}
        for name, pid in self.processes.items():
            row[f"{name} MB"] = resident_mb(pid)
            row[f"{name} files"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        self.rows.append(row)
        print("  ".join(f"{key} {value:g}" for key, value in row.items()), flush=True)


def actor_pids():
    """Return the processes of the actors of the local Ray by a short name."""
    from ray._private.worker import _global_node

    raylet = _global_node.all_processes["raylet"][0].process.pid
    pids = {}
    for process in sorted(Path("/proc").glob("[0-9]*")):
        try:
            title = (process / "cmdline").read_bytes()
            if f"PPid:\t{raylet}\n" not in (process / "status").read_text():
                continue
        except OSError:
            continue
        if title.startswith(b"ray::LearnerActor"):
            pids["learner"] = int(process.name)
        elif title.startswith(b"ray::RolloutActor"):
            pids[f"worker{sum(name.startswith('worker') for name in pids)}"] = int(process.name)
    return pids


def resident_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


def growth(rows):
    """Return the growth per 1000 updates of every column, by least squares."""
    updates = np.array([row["updates"] for row in rows])
    return {
        name: float(np.polyfit(updates, [row[name] for row in rows], 1)[0] * 1000)
        for name in rows[0]
        if name != "updates"
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=10_000)
    arguments = parser.parse_args()
    meter = Meter(max(1, arguments.updates // 50))
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "run": {"directory": folder, "name": "soak"},
                "environment": {"id": "fake_environments:Countdown-v0"},
                "stop": {"max_updates": arguments.updates},
                "policy": {"hidden_sizes": [8]},
                "learner": {"episodes_per_update": 4},
                "workers": {"num_workers": 2, "envs_per_worker": 2, "episodes_per_ticket": 2},
                "evaluation": {"episodes": 6, "every_updates": 100},
                "checkpoint": {"every_s": 1},
                "tracking": {"enabled": False},
            }
        )
        train(config, RecordingDisplay(meter, keep=False))
    rows = [row for row in meter.rows if row["updates"] >= min(WARM_UP, arguments.updates // 2)]
    slopes = growth(rows)
    print("growth per 1000 updates: ", {name: round(value, 3) for name, value in slopes.items()})
    grows = [
        name
        for name, value in slopes.items()
        if value > (MAX_MB_PER_1000 if name.endswith("MB") else 0.5)
    ]
    if grows:
        print(f"these grow: {', '.join(grows)}")
    raise SystemExit(bool(grows))


if __name__ == "__main__":
    main()

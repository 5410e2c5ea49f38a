"""What tracking costs the training loop, and how a large store is to use.

The cost is what a loop that computes, and records updates at a fixed rate, gets done less while
the follower sends its journal than while it is stopped. The store is filled with many points and
read as MLflow's UI reads it.

    python benchmarks/tracking.py cost --seconds 60
    python benchmarks/tracking.py store --points 5000000
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import BatchEntry, Journal, JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.follower_process import Tracking
from reinforce.configs.config import Config

METRICS = 40


def main() -> int:
    """Measure and print what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    cost = parts.add_parser("cost", help="what the training loop pays for tracking")
    cost.add_argument("--seconds", type=int, default=60, help="with it, and as many without")
    cost.add_argument(
        "--store", choices=["sqlite", "refused", "silent"], default="sqlite", help="what answers"
    )
    cost.add_argument("--rate", type=int, default=50, help="updates per second")
    cost.add_argument("--busy", action="store_true", help="all cores compute, none is free for it")
    store = parts.add_parser("store", help="how a large store is to use")
    store.add_argument("--points", type=int, default=5_000_000, help="points in the store")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        if arguments.part == "cost":
            with store_address(arguments.store, folder) as uri, busy_cores(arguments.busy):
                measure_cost(folder, uri, arguments)
        else:
            measure_store(folder, arguments.points)
    finally:
        shutil.rmtree(folder)
    return 0


@contextmanager
def store_address(kind: str, folder: Path) -> Iterator[str]:
    """Yield the address of a store that answers, refuses, or accepts and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if kind == "silent":
            silent.listen(128)
        port = silent.getsockname()[1]
        yield f"sqlite:///{folder}/mlflow.db" if kind == "sqlite" else f"http://127.0.0.1:{port}"


@contextmanager
def busy_cores(are_busy: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep all cores but that of the loop busy, as rollout workers do."""
    loop = "import numpy as np\na = np.ones((64, 64))\nwhile True: a = np.tanh(a @ a)"
    num = (os.cpu_count() or 1) - 1 if are_busy else 0
    others = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(num)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure_cost(folder: Path, uri: str, arguments: argparse.Namespace) -> None:
    """Print how much less a loop gets done while the follower works than while it is stopped.

    Both are measured in turn, second by second, so that whatever else the machine does falls on
    both alike. What the follower could not send while it was stopped it sends afterwards: all of
    its work is counted.
    """
    config = Config.model_validate(
        {"run": {"directory": str(folder / "runs"), "name": "one"}, "tracking": {"uri": uri}}
    )
    run = RunDirectory.create(config)
    done: dict[bool, list[int]] = {False: [], True: []}
    with (
        Tracking(config.tracking, PlainConsole(), Interrupts()) as tracking,
        Journal(run.journal_file) as journal,
    ):
        tracking.follow(run)
        # It imports MLflow and makes the store while Ray starts, or meets its first error.
        while not tracking.run_id() and "MLflow: " not in log_of(run):
            time.sleep(0.1)
        (follower,) = [
            child for child in psutil.Process().children() if "follower" in "".join(child.cmdline())
        ]
        cpu_s = sum(follower.cpu_times()[:2])
        updates = 0
        for number in range(2 * arguments.seconds):
            works = number % 2 == 0
            follower.send_signal(signal.SIGCONT if works else signal.SIGSTOP)
            done[works].append(products_in_a_second(journal, updates, arguments.rate))
            updates += arguments.rate
        follower.send_signal(signal.SIGCONT)
        cpu_s = sum(follower.cpu_times()[:2]) - cpu_s
    with_it, without = np.array(done[True]), np.array(done[False])
    rows = np.random.default_rng(0).integers(len(with_it), size=(2000, len(with_it)))
    low, high = np.quantile(loss(with_it[rows], without[rows]), [0.025, 0.975])
    busy = ", all cores busy" if arguments.busy else ""
    print(
        f"{arguments.store}, {arguments.rate} updates/s, {METRICS} metrics, 2 x "
        f"{arguments.seconds} s{busy}: the loop loses "
        f"{loss(with_it, without):+.2f} "
        f"% (95 % interval {low:+.2f} to {high:+.2f}); the follower takes "
        f"{100 * cpu_s / (2 * arguments.seconds):.1f} % of a core"
    )


def loss(with_it: NDArray[np.int64], without: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the percentage that [..., n] seconds with the follower and [..., n] without it tell.

    In each second in which it works it does what two seconds have left it to do, so what the loop
    loses in that one is the loss of two.
    """
    lost: NDArray[np.float64] = 1 - with_it.mean(axis=-1) / without.mean(axis=-1)
    return 100 * lost / 2


def log_of(run: RunDirectory) -> str:
    """Return what the follower has had to say so far."""
    return run.tracking_log.read_text() if run.tracking_log.exists() else ""


def products_in_a_second(journal: Journal, updates: int, rate: int) -> int:
    """Return how many matrix products a loop does that records updates at a fixed rate."""
    matrix = np.random.default_rng(0).normal(size=(64, 64))
    num_products, recorded = 0, 0
    started_s = time.perf_counter()
    while (elapsed_s := time.perf_counter() - started_s) < 1:
        matrix = np.tanh(matrix @ matrix)
        num_products += 1
        if elapsed_s * rate > recorded:
            recorded += 1
            journal.append(record(updates + recorded, (updates + recorded) / rate))
    return num_products


def record(updates: int, elapsed_s: float) -> JournalEntry:
    """Return the record of an update of 64 episodes."""
    metrics = {f"section/metric_{number}": elapsed_s + number for number in range(METRICS)}
    batch = BatchEntry("0" * 64, [1.0] * 64, [200] * 64)
    now_ms = time.time_ns() // 1_000_000
    return JournalEntry(updates, 12_800 * updates, elapsed_s, now_ms, metrics, batch)


def measure_store(folder: Path, num_points: int) -> None:
    """Print how long MLflow takes for what the follower and the UI ask, in a store of this size."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    path = folder / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    run_id = client.create_run(client.create_experiment("large")).info.run_id
    fill(path, run_id, num_points)
    print(f"{num_points:,} points: {path.stat().st_size / 1e6:,.0f} MB")
    newest = num_points // METRICS + 1
    batch = [
        Metric(f"section/metric_{point % METRICS}", 0.5, newest, newest + point // METRICS)
        for point in range(1000 + METRICS)
    ]
    batch, update = batch[:1000], batch[1000:]
    for name, ask in {
        "the run's page (get_run)": lambda: client.get_run(run_id),
        "the list of runs (search_runs)": lambda: client.search_runs(["1"]),
        "one request of 1000 new points": lambda: client.log_batch(run_id, metrics=batch),
        "one request of one update": lambda: client.log_batch(run_id, metrics=update),
        "one chart (320 points per run)": lambda: chart(client, run_id),
    }.items():
        started_s = time.perf_counter()
        ask()
        print(f"  {name}: {time.perf_counter() - started_s:.3f} s")


def chart(client: object, run_id: str) -> None:
    """Ask for one metric as the UI does: sampled in the database."""
    store = client._tracking_client.store  # the UI asks the server's own store
    steps = store.get_max_step_for_metric(run_id, "section/metric_0")
    wanted = np.linspace(0, steps, 320).astype(int).tolist()
    store.get_metric_history_bulk_interval_from_steps(run_id, "section/metric_0", wanted, 320)


def fill(path: Path, run_id: str, num_points: int) -> None:
    """Write points straight into the tables, in the order in which a follower would send them."""
    import sqlite3

    with sqlite3.connect(path) as store:
        for first in range(0, num_points, 100_000):
            rows = [
                (
                    f"section/metric_{point % METRICS}",
                    float(point),
                    point,
                    run_id,
                    point // METRICS,
                    0,
                )
                for point in range(first, min(first + 100_000, num_points))
            ]
            store.executemany(
                "insert into metrics (key, value, timestamp, run_uuid, step, is_nan) "
                "values (?, ?, ?, ?, ?, ?)",
                rows,
            )
        last = num_points // METRICS - 1
        store.executemany(
            "insert into latest_metrics (key, value, timestamp, run_uuid, step, is_nan) "
            "values (?, 0.0, ?, ?, ?, 0)",
            [(f"section/metric_{n}", last, run_id, last) for n in range(METRICS)],
        )


if __name__ == "__main__":
    sys.exit(main())

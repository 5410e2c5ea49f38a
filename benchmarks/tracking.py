"""What tracking costs the training loop, and how a large store is to use.

The cost is what a loop that computes, and records updates at a fixed rate, gets done less with the
follower sending its journal than without. The store is filled with many points and read as
MLflow's UI reads it.

    python benchmarks/tracking.py cost --seconds 60
    python benchmarks/tracking.py store --points 5000000
"""

import argparse
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cluster.journal import BatchRecord, Journal, Record
from cluster.run_directory import RunDirectory
from cluster.tracking import Tracking
from configs.config import Config

METRICS = 40


def main() -> int:
    """Measure and print what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    cost = parts.add_parser("cost", help="what the training loop pays for tracking")
    cost.add_argument("--seconds", type=float, default=30.0, help="length of each loop")
    cost.add_argument("--rounds", type=int, default=3, help="loops with and without, in turn")
    cost.add_argument(
        "--store", choices=["sqlite", "refused", "silent"], default="sqlite", help="what answers"
    )
    cost.add_argument("--rate", type=float, default=50.0, help="updates per second")
    store = parts.add_parser("store", help="how a large store is to use")
    store.add_argument("--points", type=int, default=5_000_000, help="points in the store")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        if arguments.part == "cost":
            with store_address(arguments.store, folder) as uri:
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


def measure_cost(folder: Path, uri: str, arguments: argparse.Namespace) -> None:
    """Print how much work a loop gets done at a fixed rate, with the follower and without."""
    done: dict[bool, list[float]] = {False: [], True: []}
    for number in range(arguments.rounds):
        # In turn first and second, so that a machine that slows down favours neither.
        for enabled in (False, True) if number % 2 else (True, False):
            config = Config.model_validate(
                {
                    "run": {"directory": str(folder / "runs"), "name": f"{number}-{enabled}"},
                    "tracking": {"enabled": enabled, "uri": uri},
                }
            )
            done[enabled].append(work_done(config, arguments.seconds, arguments.rate))
    pairs = zip(done[False], done[True], strict=True)
    losses = [100 * (1 - with_it / without) for without, with_it in pairs]
    follower = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (follower.ru_utime + follower.ru_stime) / arguments.rounds
    print(
        f"{arguments.store}, {arguments.rate:.0f} updates/s, {METRICS} metrics, "
        f"{arguments.rounds} rounds of {arguments.seconds:.0f} s: the loop loses "
        f"{statistics.median(losses):+.2f} % of its work (median; {min(losses):+.2f} to "
        f"{max(losses):+.2f}); a follower takes {cpu_s:.1f} s of CPU, its start included"
    )


def work_done(config: Config, seconds: float, rate: float) -> float:
    """Return matrix products per second of CPU of a loop that records an update now and then.

    Of CPU, since other processes may share the machine; what the follower takes of another core is
    counted by itself.
    """
    run = RunDirectory.create(config)
    matrix = np.random.default_rng(0).normal(size=(64, 64))
    num_products, updates = 0, 0
    with Tracking(config.tracking) as tracking, Journal(run.journal_file) as journal:
        tracking.follow(run)
        time.sleep(15.0)  # the follower imports MLflow while a real run starts Ray
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        while (elapsed_s := time.perf_counter() - started_s) < seconds:
            matrix = np.tanh(matrix @ matrix)
            num_products += 1
            if elapsed_s * rate > updates:
                updates += 1
                journal.append(record(updates, elapsed_s))
        cpu_s = time.thread_time() - started_cpu_s
    return num_products / cpu_s


def record(updates: int, elapsed_s: float) -> Record:
    """Return the record of an update of 64 episodes."""
    metrics = {f"section/metric_{number}": elapsed_s + number for number in range(METRICS)}
    batch = BatchRecord("0" * 64, [1.0] * 64, [200] * 64)
    now_ms = time.time_ns() // 1_000_000
    return Record(updates, 12_800 * updates, elapsed_s, now_ms, metrics, batch)


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

"""New weights for 16 workers on one node, against one copy at the speed of memory.

    .venv/bin/python benchmarks/broadcast.py

The learner's result is put into the object store once; every worker reads it from there. Measured
is the time until the last of 16 actors has the weights at hand: mapped into its memory, not copied
The yardstick is one copy of as many bytes within one process. A third figure is 16 actors
that are given a few bytes: what the calls alone take.
"""

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import results

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.session import ray_session
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config
from reinforce.learner.policies.weights import Weights

TIMEOUT_S = 300.0
NUM_WORKERS = 16


class Receiver:
    """Receives weights as a rollout worker does."""

    def ready(self) -> bool:
        """Answer."""
        return True

    def receive(self, weights: Weights) -> int:
        """Look at the first and the last number, so that the memory is there."""
        return weights.version + int(weights.values[0] + weights.values[-1])


def copy_s(values: np.ndarray) -> float:
    """Return the seconds that one copy into fresh memory takes."""
    started_s = time.perf_counter()
    values.copy()
    return time.perf_counter() - started_s


def broadcast_s(values: np.ndarray, receivers: list[Any]) -> float:
    """Return the seconds from weights in one process to weights in all."""
    import ray  # after cluster, which decides how Ray lets processes in

    started_s = time.perf_counter()
    reference = ray.put(Weights(0, values))
    ray.get([receiver.receive.remote(reference) for receiver in receivers], timeout=TIMEOUT_S)
    return time.perf_counter() - started_s


def measure(num_bytes: int, rounds: int, receivers: list[Any]) -> dict[str, Any]:
    """Return the row of one size; everything takes turns."""
    values, few = np.ones(num_bytes // 4, np.float32), np.ones(2, np.float32)
    found: dict[str, list[float]] = {"copy": [], "broadcast": [], "calls": []}
    for _ in range(rounds):
        found["copy"].append(copy_s(values))
        found["broadcast"].append(broadcast_s(values, receivers))
        found["calls"].append(broadcast_s(few, receivers))
    copy, broadcast, calls = (1e3 * statistics.median(found[name][1:]) for name in found)
    return {
        "megabytes": num_bytes / 1e6,
        "workers": len(receivers),
        "broadcast_ms": round(broadcast, 2),
        "calls_alone_ms": round(calls, 2),
        "one_copy_ms": round(copy, 2),
        "ratio": round(broadcast / copy, 2),
        "ratio_beyond_calls": round(max(0.0, broadcast - calls) / copy, 2),
        "goal": 2.0,
    }


def main() -> None:
    """Measure both sizes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1.0, 100.0])
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        stack.enter_context(ray_session(Config(), Driver(stack.enter_context(Interrupts()))))
        import ray

        actor_class = ray.remote(Receiver).options(num_cpus=0.001)
        receivers = [actor_class.remote() for _ in range(NUM_WORKERS)]
        ray.get([receiver.ready.remote() for receiver in receivers], timeout=TIMEOUT_S)
        rows = []
        for megabytes in arguments.megabytes:
            rows.append(measure(int(megabytes * 1e6), arguments.rounds, receivers))
            print(rows[-1], flush=True)
    results.write("broadcast", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

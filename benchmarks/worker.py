"""What one more rollout worker costs: memory and the time until it can play.

    .venv/bin/python benchmarks/worker.py

Actors as the Ray backend starts them, on a local Ray that is up already. Memory: what the process
holds (RSS), and its own part of it (USS), after it has played a ticket. Start: from the call to the
answer of `ready`, of the first worker, and of later ones with the machine otherwise idle.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import results

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.actors import RolloutActor
from reinforce.cluster.backends.ray.plain_values import plain_ticket
from reinforce.cluster.backends.ray.session import ray_session
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

TIMEOUT_S = 120.0


def zero_weights(architecture: PolicyArchitecture) -> Weights:
    """Return weights that fit; what they are does not matter here."""
    return Weights(0, np.zeros(architecture.num_parameters, np.float32))


def measure(config: Config, num_workers: int, folder: Path) -> list[dict[str, float]]:
    """Start workers one after the other; return what each took."""
    import ray  # after cluster, which decides how Ray lets processes in

    spec = inspect_environment(config.environment)
    weights = zero_weights(architecture_of(config, spec))
    ticket = draw_tickets(0, Purpose.TRAINING, 0, 16, 16)[0]
    actor_class = ray.remote(RolloutActor).options(num_cpus=0.001)
    found, actors = [], []
    for _ in range(num_workers):
        started_s = time.perf_counter()
        actor = actor_class.remote(config, spec, str(folder))
        ray.get(actor.ready.remote(), timeout=TIMEOUT_S)
        start_s = time.perf_counter() - started_s
        ray.get(list(actor.play.remote(plain_ticket(ticket), weights)), timeout=TIMEOUT_S)
        process = _new_worker({row["pid"] for row in found})
        memory = process.memory_full_info()
        found.append({"pid": process.pid, "start_s": start_s, "rss": memory.rss, "uss": memory.uss})
        actors.append(actor)
    return found


def _new_worker(known: set[int]) -> psutil.Process:
    """Return the process below this one that runs a rollout actor and was not seen so far.

    Ray starts processes ahead, so it may be older than the actor: its title says what it runs.
    """
    below = psutil.Process().children(recursive=True)
    (process,) = [p for p in below if "RolloutActor" in str(p.cmdline()) and p.pid not in known]
    return process


def main() -> None:
    """Measure and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    config = Config.model_validate({"environment": {"id": "CartPole-v1"}})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(ray_session(config, Driver(stack.enter_context(Interrupts()))))
        found = measure(config, arguments.workers, folder)
    later = [row["start_s"] for row in found[1:]] or [found[0]["start_s"]]
    row: dict[str, Any] = {
        "rss_mb": round(statistics.median(row["rss"] for row in found) / 1e6, 1),
        "uss_mb": round(statistics.median(row["uss"] for row in found) / 1e6, 1),
        "goal_mb": 150,
        "start_first_s": round(found[0]["start_s"], 2),
        "start_later_s": round(statistics.median(later), 2),
        "start_later_s_max": round(max(later), 2),
        "goal_start_s": 1.0,
    }
    print(row)
    results.write("worker", [row], results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

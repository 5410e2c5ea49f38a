"""More workers, more speed: 1 to 32 workers on an environment that waits, and what the driver pays.

    .venv/bin/python benchmarks/scaling.py

Every step of the environment sleeps 5 ms, as one does that waits for a simulator or a robot, so the
workers of a cluster can be played on few cores. The batch is the same for every number of workers.
Ideal is N times what one worker sleeps away. The driver's CPU time per ticket is that of its
process, all threads of Ray's in it included. The scheduler alone is measured with 256 and 10,000
workers, of which one returns at a time; ``--workers`` without a number measures nothing else.
"""

import argparse
import os
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import results

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.scheduler import Scheduler
from reinforce.cluster.batches import training_tickets
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.configs.config import Config
from reinforce.configs.execution import WorkersConfig
from reinforce.workers.environment import inspect_environment
from reinforce.workers.tickets import Purpose, draw_tickets

STEP_S = 0.005


class Waiting(gymnasium.Env[Any, Any]):
    """Sleeps in every step; ends after a fixed number of them."""

    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, steps_per_episode: int) -> None:
        self._steps_per_episode = steps_per_episode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        super().reset(seed=seed)
        self._num_steps = 0
        self._wake_s = time.monotonic()
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> Any:
        """Sleep until the step's time is over: an ideal sleeper does not add up its delays."""
        self._num_steps += 1
        self._wake_s += STEP_S
        time.sleep(max(0.0, self._wake_s - time.monotonic()))
        over = self._num_steps == self._steps_per_episode
        return np.zeros(4, np.float32), 1.0, over, False, {}


def configured(num_workers: int, num_tickets: int, episode_steps: int) -> Config:
    """Return the configuration of a run; nothing but the number of workers differs."""
    return Config.model_validate(
        {
            "environment": {
                "id": "scaling:Waiting",
                "kwargs": {"steps_per_episode": episode_steps},
            },
            "learner": {"episodes_per_update": num_tickets},
            "workers": {
                "num_workers": num_workers,
                "envs_per_worker": 1,
                "episodes_per_ticket": 1,
            },
        }
    )


@dataclass(frozen=True)
class Measured:
    """What some updates took.

    Attributes:
        workers: How many played.
        ticket_s: What a ticket sleeps away.
        tickets: All of them together.
        updates: Among which they were divided equally.
        steps: Of the environment.
        elapsed_s: Of the clock, for everything.
        learning_s: Of these, for the learner.
        driver_cpu_s: Processor time of the driver's process, all threads of Ray's in it included.
        driver_thread_s: Of its main thread alone, which serves one ticket after the other.
        cluster_cpu_s: Of all processes of the cluster.
    """

    workers: int
    ticket_s: float
    tickets: int
    updates: int
    steps: int
    elapsed_s: float
    learning_s: float
    driver_cpu_s: float
    driver_thread_s: float
    cluster_cpu_s: float

    def row(self) -> dict[str, Any]:
        """Return the row of the table."""
        ideal = self.workers / STEP_S
        return {
            "ticket_ms": round(1e3 * self.ticket_s),
            "workers": self.workers,
            "steps_per_s": round(self.steps / self.elapsed_s, 1),
            "ideal_steps_per_s": ideal,
            "ratio": round(self.steps / self.elapsed_s / ideal, 3),
            "driver_cpu_ms_per_ticket": round(1e3 * self.driver_cpu_s / self.tickets, 3),
        }


def measure(num_workers: int, num_tickets: int, episode_steps: int, seconds: float) -> Measured:
    """Sample and learn with so many workers, updates of so many tickets, for about so long."""
    config = configured(num_workers, num_tickets, episode_steps)
    ticket_s = episode_steps * STEP_S
    updates = max(1, round(seconds * num_workers / (num_tickets * ticket_s)))
    spec = inspect_environment(config.environment)
    with ExitStack() as stack:
        driver = Driver(stack.enter_context(Interrupts()))
        backend = stack.enter_context(open_backend(config, spec, driver))
        pool, learner = backend.pool, backend.learner
        weights = learner.weights()
        while pool.workers_alive < num_workers:
            pool.submit(draw_tickets(1, Purpose.EVALUATION, 0, num_workers, 1), weights)
            pool.collect(Purpose.EVALUATION, 0)
        clocks = (time.perf_counter, time.process_time, time.thread_time, cluster_cpu_s)
        started, steps, learning_s = [clock() for clock in clocks], 0, 0.0
        for update in range(updates):
            pool.submit(training_tickets(config, update, num_tickets), weights)
            batch = pool.collect(Purpose.TRAINING, update)
            steps += sum(int(report.episode_lengths.sum()) for report in batch.reports)
            learning_s -= time.perf_counter()
            _, weights = learner.update(batch.trajectories)
            learning_s += time.perf_counter()
        elapsed_s, *cpu_s = [
            clock() - before for clock, before in zip(clocks, started, strict=True)
        ]
    tickets = updates * num_tickets
    return Measured(
        *(num_workers, ticket_s, tickets, updates, steps, elapsed_s, learning_s), *cpu_s
    )


def let_workers_import_this() -> None:
    """Put this folder, whose environment sleeps, on the search path of processes that start."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])


def cluster_cpu_s() -> float:
    """Return the processor time of this process and of all that it or they have started."""
    driver = psutil.Process()
    times = [process.cpu_times() for process in (driver, *driver.children(recursive=True))]
    return sum(of.user + of.system for of in times)


def scheduler_alone(num_workers: int, num_tickets: int) -> dict[str, Any]:
    """Return what the scheduler itself takes per ticket, with workers that return one by one."""
    scheduler = Scheduler(WorkersConfig(), num_workers)
    for action in scheduler.decide(0.0):
        scheduler.started(action.worker, "node", 0.0)
    scheduler.submit(draw_tickets(0, Purpose.TRAINING, 0, num_workers + num_tickets, 1))
    busy = deque(action.worker for action in scheduler.decide(0.0))
    started_s = time.process_time()
    for number in range(num_tickets):
        now_s = 0.001 * number
        scheduler.completed(busy.popleft(), now_s)
        busy.extend(action.worker for action in scheduler.decide(now_s))
        scheduler.longest(now_s)
    elapsed_s = time.process_time() - started_s
    return {
        "workers": num_workers,
        "tickets": num_tickets,
        "scheduler_cpu_ms_per_ticket": round(1e3 * elapsed_s / num_tickets, 4),
    }


def main() -> None:
    """Measure each number of workers in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--tickets", type=int, default=128, help="of one update")
    parser.add_argument("--episode-steps", type=int, nargs="+", default=[40, 200])
    parser.add_argument("--seconds", type=float, default=20.0, help="of sampling, per row")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    let_workers_import_this()
    rows = []
    for episode_steps in arguments.episode_steps:
        for num_workers in arguments.workers:
            size = num_workers, arguments.tickets, episode_steps
            rows.append(measure(*size, arguments.seconds).row())
            print(rows[-1], flush=True)
    simulated = [scheduler_alone(num_workers, 1_000) for num_workers in (256, 10_000)]
    print(simulated)
    command = results.this_command()
    if rows:
        results.write("scaling", rows, command, folder=arguments.output)
    results.write("scheduler", simulated, command, folder=arguments.output)


if __name__ == "__main__":
    main()

"""A model of how a run scales, made of measured costs: for this machine's table, then for more.

    .venv/bin/python benchmarks/scaling_model.py

The tickets of an update are played in simulated time: the scheduler is the real one, and the driver
serves one ticket after the other. The costs come from one and eight workers that sleep 5 ms per
step; the other rows of benchmarks/scaling.py, measured in the same run, are predicted. Then workers
have cores of their own, as on the nodes of a cluster, and play environments that compute.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import results
from scaling import Measured, let_workers_import_this, measure

from reinforce.cluster.backends.ray.scheduler import Play, Scheduler, Start
from reinforce.configs.execution import WorkersConfig
from reinforce.workers.tickets import Purpose, draw_tickets

TICKETS_PER_WORKER = 4
NUM_UPDATES = 3
SPREAD = 0.2
"""Standard deviation of a ticket's seconds, as a part of their mean, where they are simulated."""

RESTART_S = 15.0
"""From the loss of a worker until another is ready."""

WORLDS = {
    # Steps per second of a worker, and steps of an episode.
    "MuJoCo, 15,000 steps / s": (15_000, 1_000),
    "simulator, 200 steps / s": (200, 500),
}

TICKETS = ((1, 0, 0.0), (16, 0, 0.0), (16, 1, 0.0), (16, 1, 0.001))
"""Episodes per ticket, lookahead, and the part of calls whose worker is lost."""


@dataclass(frozen=True)
class Costs:
    """What sampling and learning take, in seconds.

    Attributes:
        driver: Per ticket, in the driver's main thread.
        call: Per ticket, for the way to the worker and back, beside the driver.
        cpu_per_ticket: Of any processor, all processes of the cluster together.
        cpu_per_step: The same per step of the environment.
        update: Of the learner, per update.
        learner_step: Of the learner, per step.
    """

    driver: float
    call: float
    cpu_per_ticket: float
    cpu_per_step: float
    update: float
    learner_step: float


def costs_of(one: Measured, short: Measured, long: Measured) -> Costs:
    """Return the costs.

    Args:
        one: One worker with short tickets.
        short: Some workers with short tickets.
        long: The same with longer ones.
    """
    driver = short.driver_thread_s / short.tickets
    call = (one.elapsed_s - one.learning_s) / one.tickets - one.ticket_s - driver
    cpu = line([(m.steps / m.tickets, m.cluster_cpu_s / m.tickets) for m in (short, long)])
    learner = line([(m.steps / m.updates, m.learning_s / m.updates) for m in (short, long)])
    return Costs(driver, max(0.0, call), *cpu, *learner)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the line through two points, neither below 0."""
    (x, y), (further_x, further_y) = points
    slope = max(0.0, (further_y - y) / (further_x - x))
    return max(0.0, y - slope * x), slope


class SimulatedRun:
    """Tickets in simulated time, played as the driver and the scheduler would have them played.

    Attributes:
        now_s: The driver's clock.
        driver_s: What it has spent on tickets so far.
    """

    def __init__(self, costs: Costs, num_workers: int, losses: Iterable[bool] = ()) -> None:
        """Begin with idle workers; of the n-th call, the n-th loss says if its worker is lost."""
        self._costs = costs
        self._scheduler = Scheduler(WorkersConfig(), num_workers)
        for action in self._scheduler.decide(0.0):
            self._scheduler.started(action.worker, "node", 0.0)
        self._fates = chain(losses, repeat(object=False))
        self._batches: list[Sequence[float]] = []
        self._num_missing: list[int] = []
        self._events: list[tuple[float, int, bool | None]] = []
        """When, to which worker, and whether it is lost; None: it is ready again."""
        self.now_s = self.driver_s = 0.0

    def submit(self, ticket_s: Sequence[float]) -> None:
        """Queue the tickets of the next update, which take their workers so long."""
        tickets = draw_tickets(0, Purpose.TRAINING, len(self._batches), len(ticket_s), 1)
        self._scheduler.submit(tickets)
        self._batches.append(ticket_s)
        self._num_missing.append(len(ticket_s))
        self._carry_out()

    def collect(self, update: int) -> None:
        """Go on until all tickets of an update have come back."""
        while self._num_missing[update]:
            self._handle_event()

    def learn(self, seconds: float) -> None:
        """Go on while the learner makes an update."""
        end_s = self.now_s + seconds
        while self._events and self._events[0][0] < end_s:
            self._handle_event()
        self.now_s = max(self.now_s, end_s)

    def _handle_event(self) -> None:
        event_s, worker, is_lost = heappop(self._events)
        self.now_s = max(self.now_s, event_s)
        self._serve()
        if is_lost is None:
            self._scheduler.started(worker, "node", self.now_s)
        elif is_lost:
            self._scheduler.lost(worker, self.now_s, to_blame=False)
        else:
            self._num_missing[self._scheduler.completed(worker, self.now_s).update] -= 1
        self._carry_out()

    def _serve(self) -> None:
        """Spend what half a ticket costs: it is handed out, and it comes back."""
        self.now_s += self._costs.driver / 2
        self.driver_s += self._costs.driver / 2

    def _carry_out(self) -> None:
        for action in self._scheduler.decide(self.now_s):
            if isinstance(action, Play):
                self._serve()
                is_lost = next(self._fates)
                seconds = self._batches[action.ticket.update][action.ticket.index]
                back_s = self.now_s + self._costs.call + seconds * (0.5 if is_lost else 1.0)
                heappush(self._events, (back_s, action.worker, is_lost))
            elif isinstance(action, Start):
                heappush(self._events, (self.now_s + RESTART_S, action.worker, None))


def simulate(
    run: SimulatedRun, batches: Sequence[Sequence[float]], learning_s: float, lookahead: int
) -> None:
    """Make updates of these tickets, as the training loop does."""
    num_submitted = 0
    for update in range(len(batches)):
        while num_submitted <= min(update + lookahead, len(batches) - 1):
            run.submit(batches[num_submitted])
            num_submitted += 1
        run.collect(update)
        run.learn(learning_s)


def predicted_here(costs: Costs, measured: Measured, num_cores: int) -> dict[str, Any]:
    """Return what was measured beside what the model says of it."""
    tickets, steps = (n // measured.updates for n in (measured.tickets, measured.steps))
    run = SimulatedRun(costs, measured.workers)
    simulate(run, [[measured.ticket_s] * tickets], 0.0, lookahead=0)
    cpu_s = (tickets * costs.cpu_per_ticket + steps * costs.cpu_per_step) / num_cores
    update_s = max(run.now_s, cpu_s) + costs.update + steps * costs.learner_step
    reached, predicted = measured.steps / measured.elapsed_s, steps / update_s
    return {
        "ticket_ms": round(1e3 * measured.ticket_s),
        "workers": measured.workers,
        "measured_steps_per_s": round(reached, 1),
        "predicted_steps_per_s": round(predicted, 1),
        "error": f"{predicted / reached - 1:+.0%}",
        "limit": "workers" if run.now_s > cpu_s else "cores",
    }


def predicted_there(
    costs: Costs, world: str, num_workers: int, episodes: int, lookahead: int, loss_rate: float
) -> dict[str, Any]:
    """Return what the model says of workers with cores of their own.

    Args:
        costs: Of driver and learner; workers compute on other machines.
        world: What they play.
        num_workers: How many there are.
        episodes: In each ticket.
        lookahead: 0 or 1, as ``cluster.lookahead``.
        loss_rate: Part of the calls whose worker is lost.
    """
    steps_per_s, episode_steps = WORLDS[world]
    rng = np.random.default_rng(num_workers)
    num_tickets = TICKETS_PER_WORKER * num_workers
    mean_s = episodes * episode_steps / steps_per_s
    factors = rng.normal(1.0, SPREAD, (NUM_UPDATES, num_tickets)).clip(0.2, 2.0)
    losses = rng.random(2 * NUM_UPDATES * num_tickets) < loss_rate
    run = SimulatedRun(costs, num_workers, losses.tolist())
    steps = num_tickets * episodes * episode_steps
    learning_s = costs.update + steps * costs.learner_step
    simulate(run, (mean_s * factors).tolist(), learning_s, lookahead)
    reached = NUM_UPDATES * steps / run.now_s
    return {
        "environment": world,
        "workers": num_workers,
        "ticket_s": round(mean_s, 2),
        "lookahead": lookahead,
        "workers_lost": f"{loss_rate:.1%}",
        "batch_steps": steps,
        "steps_per_s": round(reached),
        "ratio": round(reached / (num_workers * steps_per_s), 4),
        "driver_busy": f"{run.driver_s / run.now_s:.0%}",
        "learner_busy": f"{NUM_UPDATES * learning_s / run.now_s:.0%}",
    }


def main() -> None:
    """Measure, predict what was measured, and go on to more workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 16, 32])
    parser.add_argument("--tickets", type=int, default=128, help="of one update")
    parser.add_argument("--episode-steps", type=int, nargs=2, default=[40, 200])
    parser.add_argument("--seconds", type=float, default=10.0, help="of sampling, per row")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    if len({*arguments.episode_steps}) < 2:
        parser.error("costs per step need two different --episode-steps")
    let_workers_import_this()

    def of(num_workers: int, episode_steps: int) -> Measured:
        return measure(num_workers, arguments.tickets, episode_steps, arguments.seconds)

    short, long = arguments.episode_steps
    costs = costs_of(of(1, short), of(8, short), of(8, long))
    print(costs, flush=True)
    num_cores, rows = len(os.sched_getaffinity(0)), []
    for episode_steps in (short, long):
        for num_workers in arguments.workers:
            rows.append(predicted_here(costs, of(num_workers, episode_steps), num_cores))
            print(rows[-1], flush=True)
    further = [
        predicted_there(costs, world, num_workers, *ticket)
        for world in WORLDS
        for num_workers in (100, 1_000, 10_000)
        for ticket in TICKETS
    ]
    command = results.this_command()
    cost_row = {f"{name}_us": round(1e6 * seconds, 3) for name, seconds in vars(costs).items()}
    for name, table in (("costs", [cost_row]), ("here", rows), ("further", further)):
        results.write(f"scaling_model_{name}", table, command, folder=arguments.output)


if __name__ == "__main__":
    main()

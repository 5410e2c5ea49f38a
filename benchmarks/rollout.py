"""What a worker adds to each step of an environment: microseconds of CPU time.

    .venv/bin/python benchmarks/rollout.py

A worker plays tickets with the default network (two hidden layers of 64). Beside it stands the
environments alone: the same episodes, each begun with the same seed, with the actions that the
worker took. The worker and the environment take turns in short rounds; the figures are medians
over them. A vector implementation is not played alone: its goal includes the environment.

To compare two versions, run this with PYTHONPATH set to the one checkout and the other in turn.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import results

from reinforce.configs.config import Config
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment, make_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.seeds import environment_seed
from reinforce.workers.spaces import ActionDecoder
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets


class Free(gymnasium.Env[np.ndarray, Any]):
    """Costs next to nothing: the same observation in every step, and an end after 200."""

    def __init__(self, size: int, action_space: gymnasium.Space[Any]) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (size,))
        self.action_space = action_space
        self._observation = np.linspace(-1.0, 1.0, size, dtype=np.float32)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self._num_steps = 0
        return self._observation, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._num_steps += 1
        return self._observation, 1.0, False, self._num_steps == 200, {}


def free_discrete() -> Free:
    """Shaped like CartPole-v1."""
    return Free(4, gymnasium.spaces.Discrete(2))


def free_box() -> Free:
    """Shaped like HalfCheetah-v5."""
    return Free(17, gymnasium.spaces.Box(-1.0, 1.0, (6,)))


@dataclass(frozen=True)
class Case:
    """What is played.

    Attributes:
        title: What the table says.
        environment: Its id.
        lanes: Copies of it.
        goal_us: Of what the worker adds, or with a vector implementation of everything; None if no
            goal is set.
        is_vector: Step its vector implementation.
        normalizes: Normalise observations.
    """

    title: str
    environment: str
    lanes: int = 16
    goal_us: float | None = None
    is_vector: bool = False
    normalizes: bool = False

    @property
    def config(self) -> Config:
        """A whole configuration."""
        environment = {"id": self.environment, "use_vector_implementation": self.is_vector}
        workers = {"envs_per_worker": self.lanes, "episodes_per_ticket": self.lanes}
        policy = {"normalize_observations": self.normalizes}
        return Config.model_validate(
            {"environment": environment, "workers": workers, "policy": policy}
        )


CASES = [
    Case("Discrete, free", "rollout:free_discrete", goal_us=1.5),
    Case("Box of six, free, normalised", "rollout:free_box", goal_us=2.5, normalizes=True),
    Case("CartPole-v1, one by one", "CartPole-v1"),
    Case("LunarLander-v3", "LunarLander-v3"),
    Case("CartPole-v1, vector", "CartPole-v1", lanes=1024, goal_us=0.5, is_vector=True),
]


def weights_of(architecture: PolicyArchitecture, case: Case) -> Weights:
    """Return small random weights; those of CartPole-v1 lean with the pole, and balance it."""
    values = np.random.default_rng(0).normal(0.0, 0.1, architecture.num_parameters)
    if case.environment == "CartPole-v1":
        layers, start = [], 0
        for shape in architecture.parameter_shapes:
            layers.append(values[start : start + np.prod(shape)].reshape(shape))
            start += int(np.prod(shape))
        values *= 0.1
        layers[0][0] = [0.05, 0.2, 1.0, 0.5]  # position, speed, angle, speed of the angle
        layers[2][0, 0], layers[4][:, 0] = 5.0, [-10.0, 10.0]
    return Weights(0, values.astype(np.float32))


def step_alone(
    environments: list[gymnasium.Env[Any, Any]],
    ticket: Ticket,
    lengths: list[int],
    actions: list[Any],
) -> None:
    """Play the episodes of a ticket again, one in each environment, with their actions in a row."""
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    lanes = list(zip(environments, starts, lengths, ticket.episode_seeds, strict=True))
    for environment, _, _, seed in lanes:
        environment.reset(seed=environment_seed(seed))
    steps = 0
    for end in sorted(set(lengths)):
        live = [(one.step, start) for one, start, length, _ in lanes if length >= end]
        while steps < end:
            for step, start in live:
                step(actions[start + steps])
            steps += 1


def cpu_us(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time that the process spends on something, and what it returns."""
    started = time.process_time_ns()
    result = work()
    return (time.process_time_ns() - started) / 1000, result


class Player:
    """A worker, and environments beside it."""

    def __init__(self, case: Case) -> None:
        config = case.config
        spec = inspect_environment(config.environment)
        self._case = case
        self._worker = RolloutWorker(config, spec)
        self._weights = weights_of(architecture_of(config, spec), case)
        count = 0 if case.is_vector else case.lanes
        self._alone = [make_environment(config.environment) for _ in range(count)]
        self._decoder = ActionDecoder(spec.action)
        self._num_tickets = 0

    def round(self) -> tuple[float, float]:
        """Return the microseconds per step of the worker, and of the environment alone."""
        lanes, number = self._case.lanes, self._num_tickets
        (ticket,) = draw_tickets(0, Purpose.TRAINING, number, lanes, lanes)
        self._num_tickets += 1
        worker_us, (_, played) = cpu_us(lambda: self._worker.play(ticket, self._weights))
        alone_us = 0.0
        if self._alone:
            lengths = played.episode_lengths.tolist()
            actions = self._decoder.singles(played.actions)
            alone_us, _ = cpu_us(lambda: step_alone(self._alone, ticket, lengths, actions))
        return worker_us / played.num_steps, alone_us / played.num_steps


def row_of(case: Case, rounds: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the line of the table."""
    added = [worker - alone for worker, alone in rounds]
    return {
        "environment": case.title,
        "lanes": case.lanes,
        "worker_us_per_step": round(statistics.median(worker for worker, _ in rounds), 2),
        "environment_us_per_step": None
        if case.is_vector
        else round(statistics.median(alone for _, alone in rounds), 2),
        "added_us_per_step": round(statistics.median(added), 2),
        "added_us_per_step_min": round(min(added), 2),
        "added_us_per_step_max": round(max(added), 2),
        "goal_us": case.goal_us,
    }


def main() -> None:
    """Measure every case in turn; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--only", help="one case, by the beginning of its title")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.title.startswith(arguments.only or "")]
    players = {case: Player(case) for case in cases}
    for player in players.values():
        player.round()  # warm
    found: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(arguments.rounds):
        for case, player in players.items():
            found[case].append(player.round())
    rows = [row_of(case, rounds) for case, rounds in found.items()]
    for row in rows:
        print(row)
    results.write("rollout", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

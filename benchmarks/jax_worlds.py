"""What gymnax's worlds make of a worker, beside the same games through Gymnasium.

    pip install 'distributed-reinforce[gymnax]' minatar
    .venv/bin/python benchmarks/jax_worlds.py

Steps per CPU second of one process, in which untrained policies play. "worker" counts the steps
that are recorded, of whole rounds with inference and digest; "environment" all steps of its lanes.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tables

from reinforce.configs.config import Config
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import (
    inspect_environment,
    make_environment,
    make_vector_environment,
)
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

IDS = [
    "minatar.gym:BaseEnv",
    "gymnax/SpaceInvaders-MinAtar",
    "CartPole-v1",
    "gymnax/CartPole-v1",
]
KWARGS = {"minatar.gym:BaseEnv": {"game": "space_invaders", "use_minimal_action_set": True}}


def per_cpu_second(play: Callable[[], int], seconds: float) -> float:
    """Return the steps of ``play`` per CPU second, after a first call that may compile."""
    play()
    began_s, num_steps = time.process_time(), 0
    while time.process_time() - began_s < seconds:
        num_steps += play()
    return num_steps / (time.process_time() - began_s)


def steps_of_lanes(config: Config) -> Callable[[], int]:
    """Return what steps all lanes with random actions, and returns how many steps that were."""
    num_lanes = config.workers.envs_per_worker
    if inspect_environment(config.environment).has_vector_implementation:
        environment = make_vector_environment(config.environment, num_lanes)
        environment.reset(seed=0)
        actions = [environment.action_space.sample() for _ in range(64)]

        def step_all() -> int:
            for each in actions:
                environment.step(each)
            return 64 * num_lanes

        return step_all
    single = make_environment(config.environment)
    single.reset(seed=0)

    def step_one() -> int:
        for action in np.random.default_rng(0).integers(single.action_space.n, size=256):
            if any(single.step(action)[2:4]):
                single.reset()
        return 256

    return step_one


def steps_of_worker(config: Config) -> Callable[[], int]:
    """Return what plays one ticket, and returns how many steps were recorded."""
    spec = inspect_environment(config.environment)
    worker = RolloutWorker(config, spec)
    weights = Weights(0, np.zeros(architecture_of(config, spec).num_parameters, np.float32))
    lanes = config.workers.envs_per_worker
    (ticket,) = draw_tickets(0, Purpose.TRAINING, 0, lanes, lanes)
    return lambda: worker.play(ticket, weights)[1].num_steps


def main() -> None:
    """Measure all cases in turn, and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--ids", nargs="+", default=IDS)
    parser.add_argument("--lanes", type=int, nargs="+", default=[32, 256, 1024])
    arguments = parser.parse_args()
    rows: list[list[Any]] = []
    for name, lanes in itertools.product(arguments.ids, arguments.lanes):
        workers = {"envs_per_worker": lanes, "episodes_per_ticket": lanes}
        environment = {"id": name, "kwargs": KWARGS.get(name, {})}
        policy = {"hidden_sizes": [128], "activation": "relu"}
        settings = {"environment": environment, "policy": policy, "workers": workers}
        config = Config.model_validate(settings)
        rates = [
            statistics.median(
                per_cpu_second(play, arguments.seconds) for _ in range(arguments.rounds)
            )
            for play in (steps_of_lanes(config), steps_of_worker(config))
        ]
        rows.append([name, str(lanes), *(tables.value(round(rate)) for rate in rates)])
    print(tables.grid(["environment.id", "lanes", "environment", "worker"], rows))


if __name__ == "__main__":
    main()

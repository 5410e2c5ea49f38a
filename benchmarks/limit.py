"""How much of the machine's limit is reached: trained steps per second against bare ones.

    .venv/bin/python benchmarks/limit.py

The limit is the environment itself: as many processes as there are cores, each stepping one copy
with random actions and nothing else. Against it stands a whole run on a local Ray, with as many
workers: policy, recording, sending, learning and broadcasting included, with the default network
and estimator. Bare and trained take turns; the figures are medians over the rounds.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import results
import runs

NUM_WARM = 3


@dataclass(frozen=True)
class Case:
    """An environment, and the settings that suit it.

    Attributes:
        title: What the table says.
        environment: Its id.
        goal: Least ratio of trained to bare steps per second.
        settings: Of the run.
        updates: Of the run, at full size.
    """

    title: str
    environment: str
    goal: float
    settings: dict[str, Any]
    updates: int


def _single(lanes: int, episodes_per_ticket: int, episodes: int) -> dict[str, Any]:
    """Return settings of single environments; a lane that falls free starts the next episode."""
    return {
        "environment.use_vector_implementation": False,
        "workers.envs_per_worker": lanes,
        "workers.episodes_per_ticket": episodes_per_ticket,
        "learner.episodes_per_update": episodes,
    }


_LUNAR_LANDER = _single(16, 64, 512)

CASES = [
    Case("LunarLander-v3", "LunarLander-v3", 0.80, _LUNAR_LANDER, 12),
    Case(
        *("LunarLander-v3, lookahead 1", "LunarLander-v3", 0.80),
        {**_LUNAR_LANDER, "cluster.lookahead": 1},
        updates=12,
    ),
    Case("HalfCheetah-v5", "HalfCheetah-v5", 0.80, _single(16, 16, 64), 8),
    Case("CartPole-v1, one by one", "CartPole-v1", 0.50, _single(64, 64, 512), 30),
]


def bare_steps_per_s(environment_id: str, num_steps: int) -> float:
    """Step one copy with random actions that were drawn beforehand."""
    environment = gymnasium.make(environment_id, disable_env_checker=True)
    environment.action_space.seed(0)
    actions = [environment.action_space.sample() for _ in range(num_steps)]
    environment.reset(seed=0)
    started_s = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()
    return num_steps / (time.perf_counter() - started_s)


def limit_steps_per_s(environment_id: str, num_steps: int, num_processes: int) -> float:
    """Return what all processes together step per second."""
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        pool.starmap(bare_steps_per_s, [(environment_id, 100)] * num_processes, chunksize=1)
        rates = pool.starmap(
            bare_steps_per_s, [(environment_id, num_steps)] * num_processes, chunksize=1
        )
    return sum(rates)


def trained_steps_per_s(case: Case, updates: int, num_workers: int, folder: Path) -> float:
    """Train on a local Ray and return the steps per second after the first updates."""
    settings = {
        **runs.WITHOUT_EXTRAS,
        **case.settings,
        "workers.num_workers": num_workers,
        "environment.id": case.environment,
        "stop.max_updates": updates,
    }
    name = f"{case.environment}-{time.time_ns()}"
    process = runs.start(folder, name, settings)
    return runs.steps_per_s(runs.finish(process, folder, name), NUM_WARM)


def measure(case: Case, rounds: int, scale: float) -> dict[str, Any]:
    """Return the row of one environment; both sides take turns."""
    num_cores = len(os.sched_getaffinity(0))
    updates = max(NUM_WARM + 1, round(case.updates * scale))
    bare, trained = [], []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(rounds):
            num_steps = round(100_000 * scale)
            bare.append(limit_steps_per_s(case.environment, num_steps, num_cores))
            trained.append(trained_steps_per_s(case, updates, num_cores, Path(name)))
            print(f"{case.title:<26}{bare[-1]:>9.0f} bare {trained[-1]:>9.0f} trained", flush=True)
    ratios = np.array(trained) / np.array(bare)
    return {
        "environment": case.title,
        "cores": num_cores,
        "bare_steps_per_s": round(statistics.median(bare)),
        "trained_steps_per_s": round(statistics.median(trained)),
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_min": round(float(ratios.min()), 3),
        "ratio_max": round(float(ratios.max()), 3),
        "goal": case.goal,
        "rounds": rounds,
    }


def main() -> None:
    """Measure every environment that is installed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="size of every run")
    parser.add_argument("--only", help="an environment's id")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        if arguments.only not in (None, case.environment):
            continue
        try:
            gymnasium.make(case.environment).close()
        except gymnasium.error.DependencyNotInstalled as error:
            print(f"left out: {case.title}: {error}")
            continue
        rows.append(measure(case, arguments.rounds, arguments.scale))
        print(rows[-1])
    command = results.this_command()
    packages = (*results.PACKAGES, "box2d", "mujoco")
    results.write("limit", rows, command, folder=arguments.output, packages=packages)


if __name__ == "__main__":
    main()

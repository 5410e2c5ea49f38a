"""What lookahead buys in wall-clock time: workers sample the next batch while the learner learns.

    .venv/bin/python benchmarks/lookahead.py

The environment sleeps in every step, as one that waits for a simulator or a robot does, and the
network is large enough for learning to take about as long as sampling. The two settings run in
turn on a local Ray; what counts is the ratio of their medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class SleepingCartPole(CartPoleEnv):
    """CartPole whose steps take at least ``sleep_s`` seconds, of which the CPU sees nothing."""

    def __init__(self, sleep_s: float = 0.0005) -> None:
        super().__init__()
        self._sleep_s = sleep_s

    def step(self, action: Any) -> Any:
        """Sleep, then step."""
        time.sleep(self._sleep_s)
        return super().step(action)


if "SleepingCartPole-v0" not in gymnasium.registry:
    gymnasium.register("SleepingCartPole-v0", SleepingCartPole, max_episode_steps=100)


def training_time_s(lookahead: int, updates: int, folder: Path, name: str) -> float:
    """Train in a process of its own and return the training time of its summary."""
    here = str(Path(__file__).parent)
    subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", str(folder / "sleeping.yaml")],
            *["--run.name", name, "--cluster.lookahead", str(lookahead)],
            *["--stop.max_updates", str(updates)],
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    summary = json.loads((folder / "runs" / name / "summary.json").read_text())
    return float(summary["training_time_s"])


CONFIG = """\
environment: {id: 'lookahead:SleepingCartPole-v0', use_vector_implementation: false}
policy: {hidden_sizes: [1024, 1024]}
learner: {episodes_per_update: 32, learning_rate: 0.0003, importance_cap: 1.0}
workers: {envs_per_worker: 4, episodes_per_ticket: 4, num_workers: 2}
evaluation: {every_updates: null, episodes: 5}
tracking: {enabled: false}
"""


def main() -> None:
    """Run both settings in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=20)
    arguments = parser.parse_args()
    times: dict[int, list[float]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sleeping.yaml").write_text(CONFIG)
        for turn in range(arguments.rounds):
            for lookahead, found in times.items():
                seconds = training_time_s(
                    lookahead, arguments.updates, folder, f"{turn}-{lookahead}"
                )
                found.append(seconds)
                print(f"round {turn}  lookahead {lookahead}  {seconds:.2f} s", flush=True)
    medians = {lookahead: statistics.median(found) for lookahead, found in times.items()}
    print(
        f"median {medians[0]:.2f} s without, {medians[1]:.2f} s with lookahead: "
        f"{medians[0] / medians[1]:.2f} times as fast"
    )


if __name__ == "__main__":
    main()

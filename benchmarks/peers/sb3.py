"""Stable-Baselines3 with the CartPole-v1 settings of its RL Zoo.

rl_zoo3 2.9.2, hyperparams/ppo.yml and a2c.yml, section CartPole-v1: eight environments in turn;
PPO with 32 steps each, batches of 256, 20 epochs, lambda 0.8, gamma 0.98, learning rate and
clipping falling linearly from 1e-3 and 0.2 over 100,000 steps; A2C with its defaults over 500,000.

    python benchmarks/peers/sb3.py ppo|a2c --seed 0
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from judge import EPISODES, Act, Judge, run
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

NUM_ENVIRONMENTS = 8


def falling_linearly_from(start: float) -> Callable[[float], float]:
    """Return a schedule of the share of training that is left."""
    return lambda share_left: share_left * start


PPO_SETTINGS: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 256,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "n_epochs": 20,
    "ent_coef": 0.0,
    "learning_rate": falling_linearly_from(0.001),
    "clip_range": falling_linearly_from(0.2),
}
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any], int]] = {
    "ppo": (PPO, PPO_SETTINGS, 100_000),
    "a2c": (A2C, {"ent_coef": 0.0}, 500_000),
}


class Judged(BaseCallback):
    """Shows the judge the policy before each rollout, that is, after each update."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge

    def _on_rollout_start(self) -> None:
        self._judge.look(self.num_timesteps, greedy(self.model), recent_return(self.model))

    def _on_step(self) -> bool:
        return True


def greedy(model: BaseAlgorithm) -> Act:
    """Return the policy as the judge calls it."""
    return lambda observations: model.predict(observations, deterministic=True)[0]


def recent_return(model: BaseAlgorithm) -> float | None:
    """Return the mean of the last 100 episodes, which Stable-Baselines3 keeps."""
    episodes = model.ep_info_buffer
    if not episodes or len(episodes) < EPISODES:
        return None
    return float(np.mean([episode["r"] for episode in episodes]))


def train(seed: int, judge: Judge) -> None:
    """Train the algorithm that the command line names."""
    torch.set_num_threads(1)
    algorithm, settings, total_steps = ALGORITHMS[sys.argv[1]]
    environments = make_vec_env("CartPole-v1", n_envs=NUM_ENVIRONMENTS, seed=seed)
    model = algorithm("MlpPolicy", environments, seed=seed, device="cpu", **settings)
    judge.start()
    model.learn(total_steps, callback=Judged(judge))
    judge.look(model.num_timesteps, greedy(model), recent_return(model), last=True)


if __name__ == "__main__":
    run(train, ["stable_baselines3", "torch", "gymnasium"])

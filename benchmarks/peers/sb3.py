"""Stable-Baselines3 with the settings of its RL Zoo.

rl_zoo3 2.9.2, hyperparams/ppo.yml and a2c.yml. Section CartPole-v1: eight environments in turn;
PPO with 32 steps each, batches of 256, 20 epochs, lambda 0.8, gamma 0.98, learning rate and
clipping falling linearly from 1e-3 and 0.2 over 100,000 steps; A2C with its defaults over 500,000.
Sections LunarLander-v3 and HalfCheetah-v4 (there is none for v5) at eec15dc, as below.

    python benchmarks/peers/sb3.py ppo|a2c --seed 0
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from judge import EPISODES, Act, Judge, run
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize


def falling_linearly_from(start: float) -> Callable[[float], float]:
    """Return a schedule of the share of training that is left."""
    return lambda share_left: share_left * start


@dataclass(frozen=True)
class Section:
    """A section of the zoo."""

    num_environments: int
    total_steps: int
    settings: dict[str, Any]
    is_normalized: bool = False


PPO_SECTIONS = {
    "CartPole-v1": Section(
        num_environments=8,
        total_steps=100_000,
        settings={
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": falling_linearly_from(0.001),
            "clip_range": falling_linearly_from(0.2),
        },
    ),
    "LunarLander-v3": Section(
        num_environments=16,
        total_steps=1_000_000,
        settings={
            "n_steps": 1024,
            "batch_size": 64,
            "gae_lambda": 0.98,
            "gamma": 0.999,
            "n_epochs": 4,
            "ent_coef": 0.01,
        },
    ),
    "HalfCheetah-v5": Section(
        num_environments=1,
        total_steps=1_000_000,
        settings={
            "n_steps": 512,
            "batch_size": 64,
            "gae_lambda": 0.92,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.000401762,
            "learning_rate": 2.0633e-05,
            "clip_range": 0.1,
            "max_grad_norm": 0.8,
            "vf_coef": 0.58096,
            "policy_kwargs": {
                "log_std_init": -2,
                "ortho_init": False,
                "activation_fn": torch.nn.ReLU,
                "net_arch": {"pi": [256, 256], "vf": [256, 256]},
            },
        },
        is_normalized=True,
    ),
}
A2C_SECTIONS = {
    "CartPole-v1": Section(8, 500_000, {"ent_coef": 0.0}),
    "LunarLander-v3": Section(
        num_environments=8,
        total_steps=200_000,
        settings={
            "gamma": 0.995,
            "n_steps": 5,
            "learning_rate": falling_linearly_from(0.00083),
            "ent_coef": 0.00001,
        },
    ),
    "HalfCheetah-v5": Section(1, 1_000_000, {}, is_normalized=True),
}
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], dict[str, Section]]] = {
    "ppo": (PPO, PPO_SECTIONS),
    "a2c": (A2C, A2C_SECTIONS),
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
    algorithm, sections = ALGORITHMS[sys.argv[1]]
    section = sections[judge.task]
    environments = make_vec_env(judge.task, n_envs=section.num_environments, seed=seed)
    if section.is_normalized:
        environments = VecNormalize(environments, gamma=section.settings.get("gamma", 0.99))
    model = algorithm("MlpPolicy", environments, seed=seed, device="cpu", **section.settings)
    judge.start()
    model.learn(section.total_steps, callback=Judged(judge))
    judge.look(model.num_timesteps, greedy(model), recent_return(model), last=True)


if __name__ == "__main__":
    run(train, ["stable_baselines3", "torch", "gymnasium"])

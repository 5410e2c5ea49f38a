"""Sample Factory's APPO with the settings of its own examples, in its serial mode.

sample_factory 2.1.1: for CartPole-v1 the command line in sf_examples/train_gym_env.py, for
HalfCheetah sf_examples/mujoco/mujoco_params.py. It has no example for LunarLander, which is played
with the settings of CartPole-v1. Serial mode is one process, as with most other peers.
"""

import os

import gymnasium
import numpy as np
import torch
from judge import EPISODES, Act, Judge, Over, run
from sample_factory.algo.runners.runner import Runner
from sample_factory.algo.utils.misc import LEARNER_ENV_STEPS, ExperimentStatus
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.train import make_runner
from sample_factory.utils.typing import Config
from sf_examples.mujoco.mujoco_params import mujoco_override_defaults

OLDER_IDS = {"LunarLander-v3": "LunarLander-v2", "HalfCheetah-v5": "HalfCheetah-v4"}
"""It asks for Gymnasium 0.29, which has these."""

GYM_SETTINGS = [
    *("--use_rnn=False", "--num_envs_per_worker=20", "--policy_workers_per_policy=2"),
    *("--recurrence=1", "--with_vtrace=False", "--batch_size=512", "--reward_scale=0.1"),
    *("--save_every_sec=10", "--experiment_summaries_interval=10"),
]


def make_config(seed: int, environment_id: str) -> Config:
    """Return the example's configuration."""
    words = ["--algo=APPO", f"--env={environment_id}", f"--seed={seed}", "--device=cpu"]
    words += ["--serial_mode=True", "--train_dir=.", "--experiment=peer"]
    if not environment_id.startswith("HalfCheetah"):
        words += GYM_SETTINGS
    parser, _ = parse_sf_args(words)
    if environment_id.startswith("HalfCheetah"):
        mujoco_override_defaults(environment_id, parser)
    return parse_full_cfg(parser, words)


def make_environment(
    environment_id: str, config: Config, env_config: object, render_mode: str | None = None
) -> gymnasium.Env:
    """Return the environment as Sample Factory asks for it."""
    return gymnasium.make(environment_id, render_mode=render_mode)


def greedy(runner: Runner) -> Act:
    """Return the policy as the judge calls it."""

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        network = runner.learners[0].learner.actor_critic.eval()
        # It normalises in place.
        normalized = network.normalize_obs({"obs": torch.from_numpy(observations.copy())})
        output = network(normalized, torch.zeros(len(observations), 1))
        network.train()
        return output["action_logits"].argmax(dim=1).numpy()

    return act


def recent_return(runner: Runner) -> float | None:
    """Return the mean of the last 100 episodes, which Sample Factory keeps."""
    returns = runner.policy_avg_stats.get("reward", [[]])[0]
    return float(np.mean(returns)) if len(returns) == EPISODES else None


def train(seed: int, judge: Judge) -> None:
    """Train as the example does; the clock starts when the learner is ready."""
    torch.set_num_threads(1)
    environment_id = OLDER_IDS.get(judge.task, judge.task)
    register_env(environment_id, make_environment)
    config, runner = make_runner(make_config(seed, environment_id))

    def look(_: Runner, message: dict, policy: int) -> None:
        num_steps = message[LEARNER_ENV_STEPS]
        if num_steps == 0:
            judge.start()
            return
        try:
            judge.look(num_steps, greedy(runner), recent_return(runner))
        except Over:
            config.train_for_env_steps = 0

    runner.policy_msg_handlers[LEARNER_ENV_STEPS].append(look)
    if runner.init() != ExperimentStatus.SUCCESS or runner.run() != ExperimentStatus.SUCCESS:
        raise RuntimeError("Sample Factory gave up; its log says why")


if __name__ == "__main__":
    run(train, ["sample-factory", "torch", "gymnasium"])
    # One of its threads stays.
    os._exit(0)

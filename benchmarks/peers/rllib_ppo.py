"""RLlib's PPO with the settings of its own examples for CartPole-v1 and MuJoCo.

ray-project/ray, rllib/examples/algorithms/ppo/cartpole_ppo.py at 438af5c: one linear layer of 32
shared with the value function, learning rate 3e-4, six epochs, value loss times 0.01; mujoco_ppo.py
at 151e6f8: 256-256-256, batches of 2,048, ten epochs in minibatches of 512. Both have four env
runners with 16 environments each and one learner. For LunarLander it has no example, and PPO's
defaults serve, with as many runners and environments. Ray counts a processor for each, so it is
told that there are enough, also where there are fewer.
"""

from typing import Any

import numpy as np
import ray
import torch
from judge import Judge, run
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.connectors.env_to_module.mean_std_filter import MeanStdFilter
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

NUM_ENV_RUNNERS = 4
MAX_STEPS = 4_000_000


CARTPOLE_NETWORK = DefaultModelConfig(
    fcnet_hiddens=[32], fcnet_activation="linear", vf_share_layers=True
)
MUJOCO_NETWORK = DefaultModelConfig(
    fcnet_hiddens=[256, 256],
    fcnet_activation="tanh",
    fcnet_kernel_initializer=torch.nn.init.orthogonal_,
    head_fcnet_hiddens=[256],
    head_fcnet_activation=None,
    vf_share_layers=False,
    free_log_std=True,
)
MUJOCO_TRAINING: dict[str, Any] = {
    "train_batch_size_per_learner": 2048,
    "minibatch_size": 512,
    "num_epochs": 10,
    "lr": 0.0003,
    "vf_loss_coeff": 1.0,
    "entropy_coeff": [[0, 0.01], [2_000_000, 0.0]],
    "gamma": 0.99,
    "lambda_": 0.95,
    "kl_coeff": 0.5,
    "clip_param": 0.2,
    "vf_clip_param": 10.0,
    "grad_clip": 50.0,
    "grad_clip_by": "global_norm",
}


def make_algorithm(seed: int, task: str) -> PPO:
    """Return the example's algorithm."""
    config = (
        PPOConfig()
        .environment(task)
        .env_runners(num_env_runners=NUM_ENV_RUNNERS, num_envs_per_env_runner=16)
        .learners(num_learners=1)
        .debugging(seed=seed, log_level="ERROR")
    )
    if task == "CartPole-v1":
        config.training(lr=0.0003, num_epochs=6, vf_loss_coeff=0.01)
        config.rl_module(model_config=CARTPOLE_NETWORK)
    elif task == "HalfCheetah-v5":
        config.training(**MUJOCO_TRAINING).rl_module(model_config=MUJOCO_NETWORK)
        config.env_runners(
            rollout_fragment_length=32,
            env_to_module_connector=lambda *_, **__: MeanStdFilter(),
        )
    return config.build_algo()


def train(seed: int, judge: Judge) -> None:
    """Train iteration by iteration, as the example does without Tune."""
    torch.set_num_threads(1)
    ray.init(
        num_cpus=NUM_ENV_RUNNERS + 2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    algorithm = make_algorithm(seed, judge.task)

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        module = algorithm.get_module()
        output = module.forward_inference({Columns.OBS: torch.from_numpy(observations)})
        return output[Columns.ACTION_DIST_INPUTS].argmax(dim=1).numpy()

    num_steps = 0
    judge.start()
    while num_steps < MAX_STEPS:
        result = algorithm.train()
        sampled = result["env_runners"]
        num_steps = int(sampled["num_env_steps_sampled_lifetime"])
        # Their own mean over the last 100 episodes; NaN before the first has finished.
        judge.look(num_steps, act, float(sampled.get("episode_return_mean", np.nan)))


if __name__ == "__main__":
    run(train, ["ray", "torch", "gymnasium"])

"""RLlib's PPO with the settings of its own CartPole-v1 example.

ray-project/ray, rllib/examples/algorithms/ppo/cartpole_ppo.py at 438af5c: one linear layer of 32
shared with the value function, learning rate 3e-4, six epochs, value loss times 0.01; four env
runners with 16 environments each and one learner. The example asks for more processors than small
machines have, so Ray is told of enough of them.
"""

import numpy as np
import ray
import torch
from judge import Judge, run
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

NUM_ENV_RUNNERS = 4
MAX_STEPS = 4_000_000


def make_algorithm(seed: int) -> PPO:
    """Return the example's algorithm."""
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=NUM_ENV_RUNNERS, num_envs_per_env_runner=16)
        .learners(num_learners=1)
        .training(lr=0.0003, num_epochs=6, vf_loss_coeff=0.01)
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=[32], fcnet_activation="linear", vf_share_layers=True
            )
        )
        .debugging(seed=seed, log_level="ERROR")
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
    algorithm = make_algorithm(seed)

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
        judge.look(num_steps, act, float(sampled["episode_return_mean"]))


if __name__ == "__main__":
    run(train, ["ray", "torch", "gymnasium"])

"""Tianshou's REINFORCE with the settings of its own MuJoCo example.

thu-ml/tianshou, examples/mujoco/mujoco_reinforce.py at 770334d: 64-64 with tanh, orthogonal
weights, the last layer's a hundredth of that, Adam at 1e-3 falling linearly over 100 epochs of
30,000 steps, gamma 0.99, returns standardised by running statistics, normalised observations, ten
environments in turn, 2,048 steps per update. Its own test episodes are left out.
"""

import gymnasium
import numpy as np
import torch
from judge import Judge, run
from tianshou.algorithm import Reinforce
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory, LRSchedulerFactoryLinear
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, VectorEnvNormObs
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic
from torch.distributions import Distribution, Independent, Normal

NUM_ENVIRONMENTS = 10
BUFFER_SIZE = 4_096
UPDATE_STEPS = 2_048
NUM_EPOCHS, EPOCH_STEPS = 100, 30_000


def make_actor(task: str) -> ContinuousActorProbabilistic:
    """Return the example's network: observations to means, and a scale of its own."""
    environment = gymnasium.make(task)
    network = Net(
        state_shape=environment.observation_space.shape,
        hidden_sizes=[64, 64],
        activation=torch.nn.Tanh,
    )
    actor = ContinuousActorProbabilistic(
        preprocess_net=network, action_shape=environment.action_space.shape, unbounded=True
    )
    torch.nn.init.constant_(actor.sigma_param, -0.5)
    for module in actor.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.orthogonal_(module.weight, gain=np.sqrt(2))
            torch.nn.init.zeros_(module.bias)
    for module in actor.mu.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data *= 0.01
    return actor


def normal(mean_and_scale: tuple[torch.Tensor, torch.Tensor]) -> Distribution:
    """Return the distribution of actions."""
    return Independent(Normal(*mean_and_scale), 1)


def make_algorithm(task: str) -> Reinforce:
    """Return REINFORCE as the example sets it up."""
    optimizer = AdamOptimizerFactory(lr=1e-3).with_lr_scheduler_factory(
        LRSchedulerFactoryLinear(NUM_EPOCHS, EPOCH_STEPS, UPDATE_STEPS)
    )
    policy = ProbabilisticActorPolicy(
        actor=make_actor(task),
        dist_fn=normal,
        action_space=gymnasium.make(task).action_space,
        action_scaling=True,
        action_bound_method="tanh",
    )
    return Reinforce(policy=policy, optim=optimizer, gamma=0.99, return_standardization=True)


def train(seed: int, judge: Judge) -> None:
    """Train as the example does."""
    torch.set_num_threads(1)
    np.random.seed(seed)
    torch.manual_seed(seed)
    environments = VectorEnvNormObs(
        DummyVectorEnv([lambda: gymnasium.make(judge.task)] * NUM_ENVIRONMENTS)
    )
    environments.seed(seed)
    algorithm = make_algorithm(judge.task)
    collector = Collector(
        algorithm, environments, VectorReplayBuffer(BUFFER_SIZE, NUM_ENVIRONMENTS)
    )
    settings = OnPolicyTrainerParams(
        training_collector=collector,
        max_epochs=NUM_EPOCHS,
        epoch_num_steps=EPOCH_STEPS,
        update_step_num_repetitions=1,
        batch_size=None,
        collection_step_num_env_steps=UPDATE_STEPS,
        training_fn=lambda _, num_steps: judge.look(num_steps, lambda _: np.empty(0, int), None),
        show_progress=False,
        verbose=False,
    )
    judge.start()
    algorithm.run_training(settings)


if __name__ == "__main__":
    run(train, ["tianshou", "torch", "gymnasium"])

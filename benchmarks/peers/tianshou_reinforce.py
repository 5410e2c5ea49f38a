"""Tianshou's REINFORCE with the settings of its own CartPole-v1 example.

thu-ml/tianshou, test/discrete/test_reinforce.py at 03132cc: 64-64, orthogonal weights, Adam at
1e-3, gamma 0.95, returns standardised by running statistics, eight environments in turn, eight
episodes per update used twice in minibatches of 64, ten epochs of 40,000 steps. Its own test
episodes are left out: the judge plays them. LunarLander, for which it has no example of REINFORCE,
is played with the same settings.
"""

import gymnasium
import numpy as np
import torch
from judge import Judge, RecentReturns, Recorded, run
from tianshou.algorithm import Reinforce
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net

NUM_ENVIRONMENTS = 8
BUFFER_SIZE = 20_000


def make_network(environment: gymnasium.Env) -> Net:
    """Return the example's network: observations to action probabilities."""
    network = Net(
        state_shape=environment.observation_space.shape,
        action_shape=int(environment.action_space.n),
        hidden_sizes=[64, 64],
        softmax=True,
    )
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.orthogonal_(module.weight, gain=np.sqrt(2))
            torch.nn.init.zeros_(module.bias)
    return network


def make_algorithm(network: Net, actions: gymnasium.spaces.Discrete) -> Reinforce:
    """Return REINFORCE for the network."""
    policy = ProbabilisticActorPolicy(
        actor=network,
        dist_fn=torch.distributions.Categorical,
        action_space=actions,
        action_scaling=False,
    )
    return Reinforce(
        policy=policy,
        optim=AdamOptimizerFactory(lr=1e-3),
        gamma=0.95,
        return_standardization=True,
    )


def train(seed: int, judge: Judge) -> None:
    """Train as the example does."""
    torch.set_num_threads(1)
    np.random.seed(seed)
    torch.manual_seed(seed)
    recent = RecentReturns()
    environments = DummyVectorEnv(
        [lambda: Recorded(gymnasium.make(judge.task), recent)] * NUM_ENVIRONMENTS
    )
    environments.seed(seed)
    example = gymnasium.make(judge.task)
    network = make_network(example)
    algorithm = make_algorithm(network, example.action_space)
    buffer = VectorReplayBuffer(BUFFER_SIZE, NUM_ENVIRONMENTS)
    collector = Collector(algorithm, environments, buffer)

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        return network(observations)[0].argmax(dim=1).numpy()

    settings = OnPolicyTrainerParams(
        training_collector=collector,
        max_epochs=10,
        epoch_num_steps=40_000,
        update_step_num_repetitions=2,
        batch_size=64,
        collection_step_num_episodes=NUM_ENVIRONMENTS,
        collection_step_num_env_steps=None,
        training_fn=lambda _, num_steps: judge.look(num_steps, act, recent.mean()),
        show_progress=False,
        verbose=False,
    )
    judge.start()
    algorithm.run_training(settings)
    judge.look(collector.collect_step, act, recent.mean(), last=True)


if __name__ == "__main__":
    run(train, ["tianshou", "torch", "gymnasium"])

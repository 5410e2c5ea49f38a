"""TorchRL's DQN with the settings of its own CartPole-v1 implementation.

pytorch/rl, sota-implementations/dqn: config_cartpole.yaml at 05dda00, the only settings that it
publishes for CartPole-v1, and the network of utils_cartpole.py at 0918e89. 120-84 with relu, 100
updates of 128 steps from the last 10,000 for every 1,000 played, the first 10,000 without; Adam at
2.5e-4, target network copied every 50 updates, epsilon from 1 to 0.05 over 250,000 steps, 500,100
steps in all. Its logger and its own evaluations are left out.
"""

import numpy as np
import torch
from judge import Judge, RecentReturns, run
from tensordict.nn import TensorDictSequential
from torchrl.collectors import Collector
from torchrl.data import Composite, LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs import RewardSum, StepCounter, TransformedEnv
from torchrl.envs.libs.gym import GymEnv
from torchrl.modules import MLP, EGreedyModule, QValueActor
from torchrl.objectives import DQNLoss, HardUpdate

TOTAL_STEPS = 500_100
BATCH_STEPS = 1_000
RANDOM_STEPS = 10_000
NUM_UPDATES = 100


def make_environment(task: str, seed: int) -> TransformedEnv:
    """Return the environment with what counts its episodes."""
    environment = TransformedEnv(GymEnv(task, device="cpu"))
    environment.append_transform(RewardSum())
    environment.append_transform(StepCounter())
    environment.set_seed(seed)
    return environment


def make_policy(environment: TransformedEnv) -> QValueActor:
    """Return the network: observations to the action of the highest value."""
    spec = environment.action_spec
    network = MLP(
        in_features=environment.observation_spec["observation"].shape[-1],
        out_features=spec.space.n,
        num_cells=[120, 84],
        activation_class=torch.nn.ReLU,
    )
    return QValueActor(module=network, spec=Composite(action=spec), in_keys=["observation"])


def make_collector(
    environment: TransformedEnv, policy: QValueActor, exploration: EGreedyModule
) -> Collector:
    """Return what plays 1,000 steps at a time."""
    return Collector(
        environment,
        TensorDictSequential(policy, exploration),
        frames_per_batch=BATCH_STEPS,
        total_frames=TOTAL_STEPS,
        max_frames_per_traj=-1,
        init_random_frames=RANDOM_STEPS,
    )


def train(seed: int, judge: Judge) -> None:
    """Train as its script does."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    environment = make_environment(judge.task, seed)
    policy = make_policy(environment)
    exploration = EGreedyModule(
        policy.spec, eps_init=1.0, eps_end=0.05, annealing_num_steps=250_000
    )
    collector = make_collector(environment, policy, exploration)
    memory = TensorDictReplayBuffer(
        storage=LazyTensorStorage(10_000), prefetch=10, batch_size=128, pin_memory=False
    )
    loss = DQNLoss(policy, loss_function="l2", delay_value=True)
    loss.make_value_estimator(gamma=0.99)
    target = HardUpdate(loss, value_network_update_interval=50)
    optimizer = torch.optim.Adam(loss.parameters(), lr=2.5e-4)

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        return policy[0].module(torch.from_numpy(observations)).argmax(dim=1).numpy()

    num_steps, recent = 0, RecentReturns()
    judge.start()
    for batch in collector:
        memory.extend(batch.reshape(-1))
        num_steps += batch.numel()
        exploration.step(batch.numel())
        for _ in range(NUM_UPDATES if num_steps >= RANDOM_STEPS else 0):
            optimizer.zero_grad()
            loss(memory.sample())["loss"].backward()
            optimizer.step()
            target.step()
        collector.update_policy_weights_()
        after = batch["next"]
        for episode_return in after["episode_reward"][after["done"]]:
            recent.add(float(episode_return))
        judge.look(num_steps, act, recent.mean())
    judge.look(num_steps, act, recent.mean(), last=True)


if __name__ == "__main__":
    run(train, ["torchrl", "torch", "gymnasium"])

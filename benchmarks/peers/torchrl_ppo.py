"""TorchRL's PPO with the settings of its own HalfCheetah implementation.

pytorch/rl, sota-implementations/ppo: config_mujoco.yaml at 6a79e10, networks of utils_mujoco.py at
0490bc1. Actor and critic of 64-64 with tanh, one environment with normalised observations, 2,048
steps, ten epochs in minibatches of 64, lambda 0.95, Adam at 3e-4 falling linearly over a million
steps. Its logger and its own evaluations are left out.
"""

import numpy as np
import torch
from judge import Judge, run
from tensordict.nn import AddStateIndependentNormalScale, TensorDictModule
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.data.replay_buffers.samplers import SamplerWithoutReplacement
from torchrl.envs import (
    ClipTransform,
    DoubleToFloat,
    ExplorationType,
    RewardSum,
    StepCounter,
    TransformedEnv,
    VecNorm,
)
from torchrl.envs.libs.gym import GymEnv
from torchrl.modules import MLP, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

TOTAL_STEPS = 1_000_000
BATCH_STEPS = 2_048
MINIBATCH_STEPS = 64
NUM_EPOCHS = 10
LEARNING_RATE = 3e-4


def make_environment(task: str, seed: int) -> TransformedEnv:
    """Return the environment with its transforms."""
    environment = TransformedEnv(GymEnv(task, device="cpu"))
    environment.append_transform(VecNorm(in_keys=["observation"], decay=0.99999, eps=1e-2))
    environment.append_transform(ClipTransform(in_keys=["observation"], low=-10, high=10))
    environment.append_transform(RewardSum())
    environment.append_transform(StepCounter())
    environment.append_transform(DoubleToFloat(in_keys=["observation"]))
    environment.set_seed(seed)
    return environment


def make_network(num_inputs: int, num_outputs: int, gain: float) -> MLP:
    """Return 64-64 with tanh and orthogonal weights."""
    network = MLP(num_inputs, num_outputs, num_cells=[64, 64], activation_class=torch.nn.Tanh)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.orthogonal_(layer.weight, gain)
            torch.nn.init.zeros_(layer.bias)
    return network


def make_actor(environment: TransformedEnv) -> ProbabilisticActor:
    """Return the policy: a normal distribution through tanh, its scale independent of the state."""
    spec = environment.action_spec
    num_inputs, num_outputs = environment.observation_spec["observation"].shape[-1], spec.shape[-1]
    network = torch.nn.Sequential(
        make_network(num_inputs, num_outputs, 1.0),
        AddStateIndependentNormalScale(num_outputs, scale_lb=1e-8),
    )
    return ProbabilisticActor(
        TensorDictModule(network, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=environment.full_action_spec,
        distribution_class=TanhNormal,
        distribution_kwargs={"low": spec.space.low, "high": spec.space.high, "tanh_loc": False},
        return_log_prob=True,
        default_interaction_type=ExplorationType.RANDOM,
    )


def train(seed: int, judge: Judge) -> None:
    """Train as its script does."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    environment = make_environment(judge.task, seed)
    actor = make_actor(environment)
    num_inputs = environment.observation_spec["observation"].shape[-1]
    critic = ValueOperator(make_network(num_inputs, 1, 0.01), in_keys=["observation"])
    collector = Collector(
        environment, actor, frames_per_batch=BATCH_STEPS, total_frames=TOTAL_STEPS
    )
    memory = TensorDictReplayBuffer(
        storage=LazyTensorStorage(BATCH_STEPS),
        sampler=SamplerWithoutReplacement(),
        batch_size=MINIBATCH_STEPS,
    )
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic, average_gae=False)
    loss = ClipPPOLoss(
        *(actor, critic),
        clip_epsilon=0.2,
        entropy_coeff=0.0,
        critic_coeff=0.25,
        loss_critic_type="l2",
        normalize_advantage=True,
    )
    optimizers = [
        torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, eps=1e-5)
        for module in (actor, critic)
    ]

    def learn(batch: torch.Tensor, num_steps: int) -> None:
        for epoch in range(NUM_EPOCHS):
            with torch.no_grad():
                memory.extend(advantage(batch).reshape(-1))
            share_done = (num_steps - BATCH_STEPS * (1 - epoch / NUM_EPOCHS)) / TOTAL_STEPS
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - share_done)
            for minibatch in memory:
                losses = loss(minibatch)
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()

    num_steps = 0
    judge.start()
    for batch in collector:
        num_steps += batch.numel()
        learn(batch, num_steps)
        collector.update_policy_weights_()
        judge.look(num_steps, lambda _: np.empty(0, int), None)


if __name__ == "__main__":
    run(train, ["torchrl", "torch", "gymnasium"])

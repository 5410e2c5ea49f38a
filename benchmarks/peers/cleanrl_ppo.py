"""CleanRL's PPO with its settings.

vwxyzjn/cleanrl, cleanrl/ppo.py and cleanrl/ppo_continuous_action.py at e421c2e, is a repository to
copy from, not a package: this is our own program of the same structure and settings. The first is
for CartPole-v1 and plays LunarLander with the same settings; the second is for HalfCheetah. Actor
and critic of 64-64 with tanh, lambda 0.95, clipping at 0.2 also of the value loss, gradients
clipped at 0.5, Adam whose learning rate falls linearly. What it writes for TensorBoard is left out.
"""

from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from judge import Judge, RecentReturns, Recorded, run
from torch import nn
from torch.distributions import Categorical, Independent, Normal

GAMMA, LAMBDA = 0.99, 0.95
CLIP = 0.2
VALUE_COEFFICIENT = 0.5
MAX_GRADIENT_NORM = 0.5


class Settings(NamedTuple):
    """What its two programs do not share."""

    num_environments: int
    num_steps: int
    num_minibatches: int
    num_epochs: int
    entropy_coefficient: float
    learning_rate: float
    total_steps: int


DISCRETE = Settings(4, 128, 4, 4, 0.01, 2.5e-4, 500_000)
CONTINUOUS = Settings(1, 2048, 32, 10, 0.0, 3e-4, 1_000_000)


def layer(num_inputs: int, num_outputs: int, gain: float = np.sqrt(2)) -> nn.Linear:
    """Return a layer with orthogonal weights."""
    made = nn.Linear(num_inputs, num_outputs)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.zeros_(made.bias)
    return made


def network(num_inputs: int, num_outputs: int, gain: float) -> nn.Sequential:
    """Return 64-64 with tanh."""
    hidden = [layer(num_inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh()]
    return nn.Sequential(*hidden, layer(64, num_outputs, gain))


class Agent(nn.Module):
    """Actor and critic, which share nothing."""

    def __init__(self, environments: gymnasium.vector.VectorEnv) -> None:
        super().__init__()
        (num_inputs,) = environments.single_observation_space.shape
        actions = environments.single_action_space
        self.is_discrete = isinstance(actions, gymnasium.spaces.Discrete)
        num_outputs = int(actions.n) if self.is_discrete else actions.shape[0]
        self.critic = network(num_inputs, 1, 1.0)
        self.actor = network(num_inputs, num_outputs, 0.01)
        self.log_std = nn.Parameter(torch.zeros(num_outputs))

    def policy(self, observations: torch.Tensor) -> torch.distributions.Distribution:
        """Return the distribution of actions for observations [N, *]."""
        output = self.actor(observations)
        if self.is_discrete:
            return Categorical(logits=output)
        return Independent(Normal(output, self.log_std.exp().expand_as(output)), 1)


def make_environment(task: str, recent: RecentReturns) -> gymnasium.Env:
    """Return the environment with the original's wrappers."""
    environment: gymnasium.Env = Recorded(gymnasium.make(task), recent)
    if isinstance(environment.action_space, gymnasium.spaces.Box):
        space = environment.observation_space
        environment = gymnasium.wrappers.ClipAction(environment)
        environment = gymnasium.wrappers.NormalizeObservation(environment)
        environment = gymnasium.wrappers.TransformObservation(
            environment, lambda observation: np.clip(observation, -10, 10), space
        )
        environment = gymnasium.wrappers.NormalizeReward(environment, gamma=GAMMA)
        environment = gymnasium.wrappers.TransformReward(
            environment, lambda reward: float(np.clip(reward, -10, 10))
        )
    return environment


def advantages_of(rollout: dict[str, torch.Tensor], last_value: torch.Tensor) -> torch.Tensor:
    """Return generalised advantage estimates [T, N]."""
    advantages = torch.zeros_like(rollout["reward"])
    next_value, advantage = last_value, torch.zeros_like(last_value)
    for t in reversed(range(len(advantages))):
        goes_on = 1.0 - rollout["over"][t]
        error = rollout["reward"][t] + GAMMA * next_value * goes_on - rollout["value"][t]
        advantage = error + GAMMA * LAMBDA * goes_on * advantage
        advantages[t], next_value = advantage, rollout["value"][t]
    return advantages


def loss(agent: Agent, batch: dict[str, torch.Tensor], entropy_coefficient: float) -> torch.Tensor:
    """Return PPO's clipped loss of a minibatch."""
    policy, value = agent.policy(batch["observation"]), agent.critic(batch["observation"])[:, 0]
    ratio = (policy.log_prob(batch["action"]) - batch["log_prob"]).exp()
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    gain = torch.min(advantage * ratio, advantage * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
    near = batch["value"] + (value - batch["value"]).clamp(-CLIP, CLIP)
    target = batch["advantage"] + batch["value"]
    value_loss = 0.5 * torch.max((value - target) ** 2, (near - target) ** 2).mean()
    return VALUE_COEFFICIENT * value_loss - gain - entropy_coefficient * policy.entropy().mean()


@torch.no_grad()
def sample(
    environments: gymnasium.vector.VectorEnv, agent: Agent, observations: torch.Tensor, length: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return so many steps of every environment [T * N, ...] and what follows them [N, *]."""
    steps: list[dict[str, torch.Tensor]] = []
    for _ in range(length):
        policy = agent.policy(observations)
        action = policy.sample()
        following, reward, terminated, truncated, _ = environments.step(action.numpy())
        steps.append(
            {
                "observation": observations,
                "action": action,
                "log_prob": policy.log_prob(action),
                "value": agent.critic(observations)[:, 0],
                "reward": torch.as_tensor(reward, dtype=torch.float32),
                "over": torch.as_tensor(terminated | truncated, dtype=torch.float32),
            }
        )
        observations = torch.as_tensor(following, dtype=torch.float32)
    rollout = {key: torch.stack([step[key] for step in steps]) for key in steps[0]}
    rollout["advantage"] = advantages_of(rollout, agent.critic(observations)[:, 0])
    return {key: values.flatten(0, 1) for key, values in rollout.items()}, observations


def train(seed: int, judge: Judge) -> None:
    """Train as the original's main loop does."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    settings = CONTINUOUS if judge.task.startswith("HalfCheetah") else DISCRETE
    recent = RecentReturns()
    environments = gymnasium.vector.SyncVectorEnv(
        [lambda: make_environment(judge.task, recent)] * settings.num_environments,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )
    agent = Agent(environments)
    optimizer = torch.optim.Adam(agent.parameters(), lr=settings.learning_rate, eps=1e-5)
    observations = torch.as_tensor(environments.reset(seed=seed)[0], dtype=torch.float32)
    batch_steps = settings.num_environments * settings.num_steps
    num_updates = settings.total_steps // batch_steps

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        return agent.actor(torch.from_numpy(observations)).argmax(dim=1).numpy()

    judge.start()
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - update / num_updates)
        batch, observations = sample(environments, agent, observations, settings.num_steps)
        for _ in range(settings.num_epochs):
            for indices in np.random.permutation(batch_steps).reshape(settings.num_minibatches, -1):
                minibatch = {key: values[indices] for key, values in batch.items()}
                optimizer.zero_grad()
                loss(agent, minibatch, settings.entropy_coefficient).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRADIENT_NORM)
                optimizer.step()
        judge.look((update + 1) * batch_steps, act, recent.mean())
    judge.look(num_updates * batch_steps, act, recent.mean(), last=True)


if __name__ == "__main__":
    run(train, ["torch", "gymnasium"])

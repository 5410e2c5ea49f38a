"""PyTorch's own REINFORCE example, with its settings and its loop.

pytorch/examples, reinforcement_learning/reinforce.py at 2f5815e: one hidden layer of 128 with
dropout of 0.6 and relu, Adam at 1e-2, gamma 0.99, one episode per update, rewards-to-go
standardised within the episode, CartPole-v1. Like the example it looks at `terminated` alone: an
episode goes on beyond the limit of 500 steps, up to 9999. Evaluations play without dropout.
"""

import itertools
from collections import deque

import gymnasium
import numpy as np
import torch
from judge import Judge, RecentReturns, run
from torch import nn
from torch.distributions import Categorical

GAMMA = 0.99
LEARNING_RATE = 1e-2
MAX_STEPS = 10_000
EPSILON = float(np.finfo(np.float32).eps)


class Policy(nn.Module):
    """State to action probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.affine1 = nn.Linear(4, 128)
        self.dropout = nn.Dropout(p=0.6)
        self.affine2 = nn.Linear(128, 2)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Return probabilities [N, 2] for states [N, 4]."""
        hidden = torch.relu(self.dropout(self.affine1(state)))
        return torch.softmax(self.affine2(hidden), dim=1)


def play_episode(
    environment: gymnasium.Env, policy: Policy, seed: int | None
) -> tuple[list[torch.Tensor], list[float]]:
    """Return the log-probabilities and the rewards of one episode."""
    log_probs, rewards = [], []
    state, _ = environment.reset(seed=seed)
    for _ in range(1, MAX_STEPS):
        distribution = Categorical(policy(torch.from_numpy(state).float().unsqueeze(0)))
        action = distribution.sample()
        log_probs.append(distribution.log_prob(action))
        state, reward, terminated, _, _ = environment.step(action.item())
        rewards.append(float(reward))
        if terminated:
            break
    return log_probs, rewards


def finish_episode(
    optimizer: torch.optim.Optimizer, log_probs: list[torch.Tensor], rewards: list[float]
) -> None:
    """Take one step along the standardised rewards-to-go."""
    reward_to_go = 0.0
    returns: deque[float] = deque()
    for reward in rewards[::-1]:
        reward_to_go = reward + GAMMA * reward_to_go
        returns.appendleft(reward_to_go)
    weights = torch.tensor(returns)
    weights = (weights - weights.mean()) / (weights.std() + EPSILON)
    terms = [-log_prob * weight for log_prob, weight in zip(log_probs, weights, strict=True)]
    optimizer.zero_grad()
    torch.cat(terms).sum().backward()
    optimizer.step()


def train(seed: int, judge: Judge) -> None:
    """Train until the judge has seen enough: the example itself has no budget."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    environment = gymnasium.make("CartPole-v1")
    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        policy.eval()
        actions = policy(torch.from_numpy(observations)).argmax(dim=1).numpy()
        policy.train()
        return actions

    num_steps, recent = 0, RecentReturns()
    judge.start()
    for episode in itertools.count():
        log_probs, rewards = play_episode(environment, policy, seed if episode == 0 else None)
        finish_episode(optimizer, log_probs, rewards)
        num_steps += len(rewards)
        recent.add(sum(rewards))
        judge.look(num_steps, act, recent.mean())


if __name__ == "__main__":
    run(train, ["torch", "gymnasium"])

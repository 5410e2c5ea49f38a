"""The listing that this project starts from, in today's Gymnasium and PyTorch.

Chris Yoon, "Deriving Policy Gradients and Implementing REINFORCE", 2018: one hidden layer of 128
with relu, Adam at 3e-4, gamma 0.9, one episode per update, 5000 episodes; actions drawn by NumPy,
returns by the double loop. Only the environment is another: the article's CartPole-v0 ends at 200
steps, where no mean of 475 can be reached.
"""

import gymnasium
import numpy as np
import torch
from judge import Judge, RecentReturns, run
from torch import nn

GAMMA = 0.9
LEARNING_RATE = 3e-4
NUM_EPISODES = 5000
MAX_STEPS = 10_000


class PolicyNetwork(nn.Module):
    """State to action probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(4, 128)
        self.linear2 = nn.Linear(128, 2)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Return probabilities [N, 2] for states [N, 4]."""
        return torch.softmax(self.linear2(torch.relu(self.linear1(state))), dim=1)

    def get_action(self, state: np.ndarray) -> tuple[int, torch.Tensor]:
        """Return an action and its log-probability."""
        probabilities = self(torch.from_numpy(state).float().unsqueeze(0))
        # NumPy refuses float32 probabilities whose sum is not 1 in float64.
        weights = probabilities.detach().numpy().squeeze(0).astype(np.float64)
        action = int(np.random.choice(2, p=weights / weights.sum()))
        return action, torch.log(probabilities.squeeze(0)[action])


def update(
    optimizer: torch.optim.Optimizer, rewards: list[float], log_probs: list[torch.Tensor]
) -> None:
    """Take one step along the standardised rewards-to-go of one episode."""
    discounted = []
    for t in range(len(rewards)):
        reward_to_go, power = 0.0, 0
        for reward in rewards[t:]:
            reward_to_go = reward_to_go + GAMMA**power * reward
            power = power + 1
        discounted.append(reward_to_go)
    weights = torch.tensor(discounted)
    weights = (weights - weights.mean()) / (weights.std() + 1e-9)
    terms = [-log_prob * weight for log_prob, weight in zip(log_probs, weights, strict=True)]
    optimizer.zero_grad()
    torch.stack(terms).sum().backward()
    optimizer.step()


def train(seed: int, judge: Judge) -> None:
    """Train as the article's main loop does."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    environment = gymnasium.make("CartPole-v1")
    policy = PolicyNetwork()
    optimizer = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)

    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        return policy(torch.from_numpy(observations)).argmax(dim=1).numpy()

    num_steps, recent = 0, RecentReturns()
    judge.start()
    for episode in range(NUM_EPISODES):
        state, _ = environment.reset(seed=seed if episode == 0 else None)
        log_probs, rewards = [], []
        for _ in range(MAX_STEPS):
            action, log_prob = policy.get_action(state)
            state, reward, terminated, truncated, _ = environment.step(action)
            log_probs.append(log_prob)
            rewards.append(float(reward))
            num_steps += 1
            if terminated or truncated:
                update(optimizer, rewards, log_probs)
                break
        recent.add(sum(rewards))
        judge.look(num_steps, act, recent.mean())
    judge.look(num_steps, act, recent.mean(), last=True)


if __name__ == "__main__":
    run(train, ["torch", "gymnasium"])

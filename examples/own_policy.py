"""Your own policy: a torch module from observations to logits."""

import torch

import reinforce


class Wide(torch.nn.Module):
    """One wide layer; ``observation_shapes`` and ``num_outputs`` come from the environment."""

    def __init__(self, observation_shapes, num_outputs, width=256):
        super().__init__()
        (size,) = observation_shapes["observation"]
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(size, width), torch.nn.Tanh(), torch.nn.Linear(width, num_outputs)
        )

    def forward(self, observations):
        return self.layers(observations["observation"])


run = reinforce.train(
    "cartpole",
    {"stop.max_updates": 8, "policy.arguments": {"width": 128}},
    policy=Wide,
    backend="inline",
)
policy = run.policy()
action, _ = policy.act([0.0, 0.1, 0.02, -0.1])
print("push", "right" if action else "left")
assert run.evaluate(episodes=20).mean > 60

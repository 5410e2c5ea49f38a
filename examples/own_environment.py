"""Your own environment with a success rate: just a class, nothing to register."""

import gymnasium
import numpy as np

import reinforce


class Lift(gymnasium.Env):
    """Carry a passenger from floor 0 to floor 5 of 8, in at most 20 steps."""

    observation_space = gymnasium.spaces.Box(0, 1, (8,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)  # down, up

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.floor, self.steps = int(self.np_random.integers(3)), 0
        return self._seen(), {}

    def step(self, action):
        self.floor = int(np.clip(self.floor + (1 if action else -1), 0, 7))
        self.steps += 1
        is_there = self.floor == 5
        info = {"is_success": is_there}
        return self._seen(), float(is_there) - 0.05, is_there, self.steps == 20, info

    def _seen(self):
        return np.eye(8, dtype=np.float32)[self.floor]


run = reinforce.train(
    environment=Lift,
    overrides={
        "learner.learning_rate": 0.03,
        "stop.max_updates": 30,
        "stop.target_metric": "is_success",
        "stop.target_return": 0.99,
    },
    backend="inline",
)
result = run.evaluate(episodes=100)
print(result, result.metrics["is_success"].mean())
print(run.episodes.tail())
assert result.metrics["is_success"].mean() > 0.9

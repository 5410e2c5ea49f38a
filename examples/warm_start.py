"""A curriculum: trains with a heavy cart, starting from weights for a light one."""

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

import reinforce


class HeavyCartPole(gymnasium.Wrapper):
    """CartPole whose cart is pushed with less force."""

    def __init__(self, force=7.0):
        super().__init__(gymnasium.wrappers.TimeLimit(CartPoleEnv(), 500))
        self.unwrapped.force_mag = force


light = reinforce.train("cartpole", {"stop.max_updates": 12}, backend="inline", name="light")
settings = {"stop.max_updates": 2}
warm = reinforce.train(
    "cartpole",
    {**settings, "run.start_from": light},
    environment=HeavyCartPole,
    backend="inline",
    name="warm",
)
cold = reinforce.train(
    "cartpole", settings, environment=HeavyCartPole, backend="inline", name="cold"
)
print("after two updates:", warm.evaluate().mean, "warm,", cold.evaluate().mean, "cold")
assert warm.evaluate().mean > cold.evaluate().mean

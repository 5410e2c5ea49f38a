"""A user's own wrappers, and an environment of another kind of gravity."""

import gymnasium


class Doubled(gymnasium.RewardWrapper):
    """Pays twice as much."""

    def reward(self, reward):
        return 2 * reward


def cart_pole(gravity):
    """Return CartPole with this gravity."""
    environment = gymnasium.make("CartPole-v1")
    environment.unwrapped.gravity = gravity
    return environment


class Scaled(gymnasium.wrappers.NormalizeReward):
    """One of Gymnasium's under another name."""

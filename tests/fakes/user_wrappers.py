"""A user's own wrapper."""

import gymnasium


class Doubled(gymnasium.RewardWrapper):
    """Pays twice as much."""

    def reward(self, reward):
        return 2 * reward


class Scaled(gymnasium.wrappers.NormalizeReward):
    """One of Gymnasium's under another name."""

"""Environments that do not say what is seen or done, or only for each of several agents."""

import gymnasium
from gymnasium.spaces import Box, Discrete


class NoObservations(gymnasium.Env):
    """Has nothing to see."""

    def __init__(self):
        self.action_space = Discrete(2)


class NoActions(gymnasium.Env):
    """Has nothing to do."""

    def __init__(self):
        self.observation_space = Box(-1.0, 1.0, (2,))


class Unset(NoObservations):
    """As RLlib's MultiAgentEnv."""

    observation_space = None


class PerAgent(NoObservations):
    """As PettingZoo's, wrapped."""

    def observation_space(self, agent):
        return Box(-1.0, 1.0, (2,))


class Failing(NoObservations):
    """Fails when it is asked."""

    @property
    def observation_space(self):
        raise KeyError("map")


class MultiAgents:
    """As RLlib's or PettingZoo's, as it is."""

    metadata = {"render_modes": []}  # noqa: RUF012


class NoEnvironment:
    """Looks like one, and is not derived from one."""

    metadata = {"render_modes": []}  # noqa: RUF012

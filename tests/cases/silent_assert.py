"""An environment whose constructor fails without words."""

import gymnasium


class Own(gymnasium.Env):
    """Checks an argument."""

    def __init__(self, size=0):
        assert size > 0

"""One Gymnasium space of every kind that is supported, by name; shared by tests of all floors."""

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

ACTION_SPACES = {
    "discrete": Discrete(3),
    "discrete from 7": Discrete(2, start=7),
    "discrete of int32": Discrete(3, dtype=np.int32),
    "tuple of one choice": Tuple([Discrete(3)]),
    "dict of one choice": Dict({"a": Discrete(3, dtype=np.int32)}),
    "multi-discrete": MultiDiscrete([2, 3]),
    "multi-discrete grid": MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [0, -2]]),
    "multi-binary": MultiBinary(3),
    "box of whole numbers": Box(
        np.array([[-2, 0]], np.int8), np.array([[1, 2]], np.int8), dtype=np.int8
    ),
    "bounded box": Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)),
    "unbounded box": Box(-np.inf, np.inf, (2,), np.float32),
    "half-bounded box": Box(0.0, np.inf, (1, 2), np.float64),
    "tuple": Tuple([Discrete(2), Box(-2.0, 2.0, (1,), np.float32)]),
    "dict": Dict(
        {
            "arm": Dict({"joints": Box(-1.0, 1.0, (3,), np.float32), "grip": MultiBinary(1)}),
            "gear": Discrete(4, start=1),
            "lamps": Tuple([MultiDiscrete([2, 2]), Discrete(2)]),
        }
    ),
}

OBSERVATION_SPACES = {
    "box": Box(-1.0, 1.0, (3,), np.float32),
    "box of float64": Box(-1.0, 1.0, (2, 2), np.float64),
    "image": Box(0, 255, (6, 8, 3), np.uint8),
    "two images": Dict(
        {"eye": Box(0, 255, (6, 8, 3), np.uint8), "map": Box(0, 255, (5, 5), np.uint8)}
    ),
    "board": Box(0, 9, (3, 3), np.uint8),
    "discrete": Discrete(4, start=2),
    "multi-discrete": MultiDiscrete([2, 3], start=[0, 5]),
    "multi-binary": MultiBinary([2, 2]),
    "tuple": Tuple([Discrete(3), Box(-1.0, 1.0, (2,), np.float32)]),
    "dict": Dict(
        {
            "eye": Box(0, 255, (6, 8, 3), np.uint8),
            "body": Dict({"speed": Box(-1.0, 1.0, (2,), np.float32), "leg": Discrete(2)}),
            "map": Box(0, 255, (5, 5), np.uint8),
        }
    ),
}

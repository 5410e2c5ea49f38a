"""What learning Pong costs beside the emulator, in CPU time of one process with one thread.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/pong_speed.py [--rounds 3]

In each round every variant is trained for some updates in its turn, and the bare emulator is
stepped. CPU time, so that what else the machine does counts for less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

import reinforce

_POINTS = {"PointsAsEpisodes": {"points": 5}}
_LARGE = [
    _POINTS,
    {"AtariPreprocessing": {"frame_skip": 1, "screen_size": (80, 105), "noop_max": 15}},
    {"ActionSubset": {"actions": [0, 2, 3]}},
    {"FrameDifferences": {"rows": [17, 97], "background": 87, "unit": 64, "previous": 0.5}},
]
_STACK = [
    _POINTS,
    {"AtariPreprocessing": {"frame_skip": 1, "screen_size": 42, "noop_max": 15}},
    {"ActionSubset": {"actions": [0, 2, 3]}},
    {"FrameStackObservation": {"stack_size": 2}},
]
_NATURE = [
    _POINTS,
    {"AtariPreprocessing": {"frame_skip": 1, "noop_max": 15}},
    {"FrameStackObservation": {"stack_size": 4}},
]
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pong": ("pong", {}),
    "pong, 64 units": ("pong", {"policy.hidden_sizes": (64,)}),
    "pong, max_kl": ("pong", {"learner.max_kl": 0.02}),
    "pong, 80 x 80": ("pong", {"environment.wrappers": _LARGE}),
    "pong, two frames of 42 x 42": ("pong", {"environment.wrappers": _STACK}),
    "pong, two frames of 42 x 42, convolutions": (
        "pong",
        {"environment.wrappers": _STACK, "policy.kind": "cnn"},
    ),
    "pong, four frames of 84 x 84, network of Nature": (
        "pong",
        {
            "environment.wrappers": _NATURE,
            "policy.kind": "cnn",
            "policy.hidden_sizes": (512,),
        },
    ),
    "pong_karpathy": ("pong_karpathy", {"learner.episodes_per_update": 60}),
}


def emulator_steps_per_s(num_steps: int) -> float:
    """Return steps of four frames per CPU-second of the emulator alone, random actions."""
    environment = gymnasium.make("ALE/Pong-v5", frameskip=4, disable_env_checker=True)
    environment.reset(seed=0)
    actions = np.random.default_rng(0).integers(6, size=num_steps)
    started_s = time.process_time()
    for action in actions:
        _, _, terminated, truncated, _ = environment.step(int(action))
        if terminated or truncated:
            environment.reset()
    return num_steps / (time.process_time() - started_s)


def training_steps_per_s(preset: str, settings: Mapping[str, Any], num_updates: int) -> float:
    """Return steps per CPU-second that are played and learned from, from the first update on."""
    clock: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        reinforce.train(
            preset,
            {
                **settings,
                "evaluation.environment": {},
                "evaluation.every_updates": None,
                "evaluation.episodes": 5,
                "stop.max_updates": num_updates + 1,
                "tracking.enabled": False,
            },
            directory=folder,
            backend="inline",
            progress=False,
            callbacks=[
                lambda event: (
                    event.is_evaluation
                    or clock.append((time.process_time(), event.environment_steps))
                )
            ],
        )
    (first_s, first), (last_s, last) = clock[0], clock[-1]
    return (last - first) / (last_s - first_s)


def main() -> None:
    """Measure in turn and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    arguments = parser.parse_args()
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    rates: dict[str, list[float]] = {name: [] for name in ("the emulator alone", *arguments.only)}
    for _ in range(arguments.rounds):
        rates["the emulator alone"].append(emulator_steps_per_s(4000))
        for name in arguments.only:
            preset, settings = VARIANTS[name]
            rates[name].append(training_steps_per_s(preset, settings, arguments.updates))
    bare = statistics.median(rates["the emulator alone"])
    for name, measured in rates.items():
        middle = statistics.median(measured)
        print(f"{name:<50}{middle:>7,.0f} steps per CPU-second  {middle / bare:5.2f}")


if __name__ == "__main__":
    main()

"""The learner on a GPU against what the GPU and the way to it allow: Nature's network on images.

    .venv/bin/python benchmarks/learner_gpu.py

Two ceilings. Arithmetic: the same forward and backward passes over rows that are on the device
already, at the best size of micro-batch. Transfer: a copy of the same bytes to the device from
pinned memory. The learner's update is the whole of it, estimator, transfer, diagnostics and step;
its share is that of the lower ceiling. Without a GPU it runs on the CPU, where all of it is memory,
and says so.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.device import differentiated_body, prepare_device
from reinforce.learner.learner import Learner
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import Categorical
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.spaces import (
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
)
from reinforce.learner.policies.trajectories import Trajectories

NUM_ACTIONS = 6
ARCHITECTURE = PolicyArchitecture(
    ObservationLayout((ObservationLeaf((), "pixels", (84, 84, 4)),)),
    ActionLayout((ActionLeaf((), "categorical", (), "int64", counts=(NUM_ACTIONS,), starts=(0,)),)),
    hidden_sizes=(512,),
    activation="relu",
    kind="cnn",
)
STEPS_PER_EPISODE = 500
DIFFERENT_STEPS = 500
"""Images of a batch that differ: their log-probabilities are computed on the CPU beforehand."""


def batch_of(num_steps: int) -> Trajectories:
    """Return a batch that a learner of seed 0 could have played before its first update."""
    generator = np.random.default_rng(0)
    num_different = min(num_steps, DIFFERENT_STEPS)
    images = generator.integers(0, 256, (num_different, 84, 84, 4), dtype=np.uint8)
    network = PolicyNetwork(
        ARCHITECTURE, torch.Generator().manual_seed(seed_of(0, Stream.POLICY_WEIGHTS))
    )
    with torch.no_grad():
        logits = network(images).numpy()
    actions = generator.integers(0, NUM_ACTIONS, num_different)
    log_probs = Categorical().log_prob(logits, actions)
    rows = np.arange(num_steps) % num_different
    lengths = np.diff([*range(0, num_steps, STEPS_PER_EPISODE), num_steps])
    return Trajectories(
        policy_version=0,
        observations=images[rows],
        actions=actions[rows],
        rewards=generator.normal(size=num_steps),
        behavior_log_probs=log_probs[rows],
        episode_lengths=lengths,
        terminated=np.ones(len(lengths), np.bool_),
        truncated=np.zeros(len(lengths), np.bool_),
        final_observations=np.zeros((len(lengths), 84, 84, 4), np.uint8),
    )


def seconds_of(call: Callable[[], object], device: str, rounds: int) -> float:
    """Return the median seconds of a call, until the device has done all of it; one warms up."""
    times = []
    for _ in range(rounds + 1):
        started_s = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times[1:])


def arithmetic(config: LearnerConfig, batch: Trajectories, sizes: list[int], rounds: int) -> Any:
    """Return (steps per second, size of micro-batch) at the size that is best."""
    network = PolicyNetwork(ARCHITECTURE, torch.Generator().manual_seed(0), config.device)
    body = differentiated_body(network, config)
    found = []
    for size in sizes:
        parts = network.parts(batch.observations[:size])
        actions = torch.from_numpy(batch.actions[:size]).to(config.device).unsqueeze(1)

        def passes(parts: Any = parts, actions: Any = actions) -> None:
            log_policy = torch.log_softmax(body(parts), dim=1)
            log_policy.gather(1, actions).sum().backward()

        seconds = seconds_of(passes, config.device, max(5, rounds * batch.num_steps // size // 10))
        found.append((len(actions) / seconds, size))
    return max(found)


def transfer(batch: Trajectories, size: int, device: str, rounds: int) -> float:
    """Return steps per second of a copy of all images, a micro-batch at a time."""
    source = torch.from_numpy(batch.observations[:size].copy())
    if device == "cuda":
        source = source.pin_memory()
    target = torch.empty_like(source, device=device)
    copies = -(-batch.num_steps // len(source))

    def copy() -> None:
        for _ in range(copies):
            target.copy_(source, non_blocking=True)

    return copies * len(source) / seconds_of(copy, device, rounds)


def update(config: LearnerConfig, batch: Trajectories, rounds: int) -> float:
    """Return steps per second of the learner's whole update, from the same state every time."""
    learner = Learner(config, ARCHITECTURE, seed=0)
    state = learner.state()

    def step() -> None:
        learner.load_state(state)
        learner.update([batch])

    return batch.num_steps / seconds_of(step, config.device, rounds)


def row_of(config: LearnerConfig, batch: Trajectories, sizes: list[int], rounds: int) -> Any:
    """Return the row of one precision, compiled or not."""
    arithmetic_per_s, size = arithmetic(config, batch, sizes, rounds)
    transfer_per_s = transfer(batch, size, config.device, rounds)
    lower = min(arithmetic_per_s, transfer_per_s)
    config = config.model_copy(update={"micro_batch_steps": size})
    update_per_s = update(config, batch, rounds)
    return {
        "device": torch.cuda.get_device_name() if config.device == "cuda" else "cpu",
        "precision": config.precision,
        "compiled": config.compile,
        "micro_batch_steps": size,
        "arithmetic_steps_per_s": round(arithmetic_per_s),
        "transfer_steps_per_s": round(transfer_per_s),
        "lower_ceiling": "arithmetic" if lower == arithmetic_per_s else "transfer",
        "update_steps_per_s": round(update_per_s),
        "share": round(update_per_s / lower, 2),
        "rounds": rounds,
    }


def main() -> None:
    """Measure each precision, plain and compiled, and write the table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--device", choices=["cpu", "cuda"], default=device)
    parser.add_argument("--compiled", choices=["yes", "no", "both"], default="both")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    prepare_device(arguments.device)  # for the ceilings, too, which come first
    batch, sizes = batch_of(arguments.steps), arguments.sizes
    choices = {"yes": [True], "no": [False], "both": [False, True]}[arguments.compiled]
    rows = []
    for compiled, precision in itertools.product(choices, ["float32", "bfloat16"]):
        config = LearnerConfig(
            device=arguments.device,
            precision=precision,
            compile=compiled,
            micro_batch_steps=max(sizes),
        )
        rows.append(row_of(config, batch, sizes, arguments.rounds))
        print(rows[-1], flush=True)
    results.write("learner_gpu", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

"""The learner against a plain PyTorch step: the same batch, and what memory each takes.

    .venv/bin/python benchmarks/learner_step.py

The yardstick does what a short script does: one forward pass over the whole batch, one loss, one
backward pass, one step of Adam, with the advantages given. The learner does its whole update:
estimator, micro-batches, diagnostics and the new weights, in as many threads as it takes by
itself, where the yardstick has one. They take turns, each in a process of its own: the learner
sets how its process treats memory. Each memory figure is the growth of the highest resident memory
of another process of its own.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch
from torch import nn

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.learner import Learner
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import Categorical
from reinforce.learner.policies.policy import MLPPolicy
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights

ARCHITECTURE = PolicyArchitecture.mlp(4, (64, 64), "tanh", 2)
STEPS_PER_EPISODE = 256


def batch_of(num_steps: int) -> Trajectories:
    """Return a batch that the policy of a learner with seed 0 could have played."""
    generator = np.random.default_rng(0)
    num_episodes = num_steps // STEPS_PER_EPISODE
    observations = generator.normal(size=(num_steps, 4)).astype(np.float32)
    seed = seed_of(0, Stream.POLICY_WEIGHTS)
    network = PolicyNetwork(ARCHITECTURE, torch.Generator().manual_seed(seed))
    policy = MLPPolicy(ARCHITECTURE)
    policy.load(Weights(0, network.flat_weights()))
    actions, parameters = policy.act(observations, generator.random(num_steps))
    return Trajectories(
        policy_version=0,
        observations=observations,
        actions=actions,
        rewards=np.ones(num_steps),
        behavior_log_probs=Categorical().log_prob(parameters, actions),
        episode_lengths=np.full(num_episodes, STEPS_PER_EPISODE),
        terminated=np.ones(num_episodes, np.bool_),
        truncated=np.zeros(num_episodes, np.bool_),
        final_observations=np.zeros((num_episodes, 4), np.float32),
    )


def plain_step(batch: Trajectories) -> Callable[[], object]:
    """Return one pass over the whole batch, as a short script does it."""
    network = nn.Sequential(
        *(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    observations, actions = torch.from_numpy(batch.observations), torch.from_numpy(batch.actions)
    advantages = torch.ones(batch.num_steps)

    def step() -> object:
        optimizer.zero_grad()
        log_probs = torch.distributions.Categorical(logits=network(observations)).log_prob(actions)
        (-(log_probs * advantages).sum() / batch.num_episodes).backward()
        return optimizer.step()

    return step


def our_update(batch: Trajectories) -> Callable[[], object]:
    """Return the learner's whole update, from the same state every time."""
    learner = Learner(LearnerConfig(), ARCHITECTURE, seed=0)
    state = learner.state()

    def step() -> object:
        learner.load_state(state)
        return learner.update([batch])

    return step


MAKERS = {"plain": plain_step, "ours": our_update}


class Candidate:
    """One of both on the same batch, ready to be called, in this process."""

    step: Callable[[], object]

    @classmethod
    def prepare(cls, name: str, num_steps: int) -> None:
        """Make it; called once in each process."""
        torch.set_num_threads(1)
        cls.step = MAKERS[name](batch_of(num_steps))

    @classmethod
    def seconds(cls) -> float:
        """Return how long one update takes."""
        started_s = time.perf_counter()
        cls.step()
        return time.perf_counter() - started_s


def peak_growth_mb(name: str, num_steps: int) -> float:
    """Return how far the highest resident memory rises while one update is made."""
    Candidate.prepare(name, num_steps)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
    before_mb = _peak_mb()
    Candidate.step()
    return _peak_mb() - before_mb


def _peak_mb() -> float:
    """Return the highest resident memory of this process, as Linux counts it."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) / 1024


def measure(num_steps: int, rounds: int) -> dict[str, Any]:
    """Return the row of one size of batch."""
    times: dict[str, list[float]] = {name: [] for name in MAKERS}
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(spawn.Pool(1, Candidate.prepare, (name, num_steps)))
            for name in MAKERS
        }
        for name, pool in [*pools.items()] * (rounds + 1):  # the first round warms up
            times[name].append(pool.apply(Candidate.seconds))
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    with spawn.Pool(1, maxtasksperchild=1) as pool:
        memory = {name: pool.apply(peak_growth_mb, (name, num_steps)) for name in MAKERS}
    return {
        "batch_steps": num_steps,
        "plain_steps_per_s": round(num_steps / medians["plain"]),
        "our_steps_per_s": round(num_steps / medians["ours"]),
        "ratio": round(medians["plain"] / medians["ours"], 2),
        "goal": 2.0,
        "plain_memory_mb": round(memory["plain"], 1),
        "our_memory_mb": round(memory["ours"], 1),
    }


def main() -> None:
    """Measure each size of batch and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, nargs="+", default=[8192, 32768, 131_072, 524_288])
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    rows = []
    for num_steps in arguments.steps:
        rows.append(measure(num_steps, arguments.rounds))
        print(rows[-1], flush=True)
    results.write("learner_step", rows, results.this_command(), folder=arguments.output)


if __name__ == "__main__":
    main()

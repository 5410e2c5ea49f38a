"""Does a natural gradient learn in fewer steps than Adam? A study; nothing of it is in the product.

    .venv/bin/python benchmarks/natural_gradient.py lunarlander --seeds 5 [--first-seed 200]

Each seed trains the preset twice, as it is and with the natural gradient: conjugate gradients
solve ``F x = g`` with the Fisher information F of some states of the batch, and the step is as long
as the divergence ``--kl`` allows, as in TRPO. What counts is the number of steps until the mean
return of the last ten updates reaches ``--goal``.

Source: Kakade (2001), "A Natural Policy Gradient"; Schulman et al. (2015), arXiv:1502.05477.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import reinforce
from reinforce.learner.learner import Learner
from reinforce.learner.micro_batches import some_states

_NUM_STATES = 2048
_ITERATIONS = 10
_DAMPING = 0.1
_UPDATES = 10
PLAIN_GRADIENT, PLAIN_STEP = Learner._gradient, Learner._step


def conjugate_gradients(product: Callable[[Tensor], Tensor], right: Tensor) -> Tensor:
    """Return x with about ``product(x) = right``, after a fixed number of iterations."""
    solution, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), residual @ residual
    for _ in range(_ITERATIONS):
        along = product(direction)
        length = square / (direction @ along)
        solution += length * direction
        residual -= length * along
        square, before = residual @ residual, square
        if square < 1e-10 * (right @ right):
            break
        direction = residual + square / before * direction
    return solution


def natural(learner: Any, max_kl: float) -> None:
    """Replace the gradient of a learner by a step of the natural gradient of this divergence."""
    parameters, batch = learner._parameters, learner.batch_of_study
    states = some_states(
        batch.episode_lengths, _NUM_STATES, whole_episodes=learner._passes.are_whole_episodes
    )
    with torch.no_grad():
        before = learner._passes.distribution(batch, states)
    divergence = learner._passes.distribution(batch, states).kl_from(before).mean()
    first = torch.autograd.grad(divergence, parameters, create_graph=True)
    slope = torch.cat([part.flatten() for part in first])

    def product(vector: Tensor) -> Tensor:
        second = torch.autograd.grad(slope @ vector, parameters, retain_graph=True)
        return torch.cat([part.flatten() for part in second]) + _DAMPING * vector

    gradient = torch.cat([parameter.grad.flatten() for parameter in parameters])
    step = conjugate_gradients(product, gradient)
    step *= torch.sqrt(2 * max_kl / (step @ product(step)))
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, part in zip(parameters, torch.split(step, sizes), strict=True):
        parameter.grad = part.view_as(parameter)


def use_natural_gradient(max_kl: float | None) -> None:
    """Have learners of this process use the natural gradient, or not."""

    def gradient(learner: Any, batch: Any) -> Any:
        learner.batch_of_study = batch
        return PLAIN_GRADIENT(learner, batch)

    def step(learner: Any, kl_of_now: Callable[[], float]) -> dict[str, float]:
        natural(learner, float(max_kl or 0))
        return PLAIN_STEP(learner, kl_of_now)

    Learner._gradient = gradient if max_kl else PLAIN_GRADIENT  # type: ignore[method-assign]
    Learner._step = step if max_kl else PLAIN_STEP  # type: ignore[method-assign]


def steps_to(run: reinforce.Run, goal: float) -> float | None:
    """Return the steps after which the mean return of ten updates first reached the goal."""
    updates = run.updates
    means = updates["rollout/return_mean"].rolling(_UPDATES).mean()
    reached = updates["environment_steps"][means >= goal]
    return float(reached.iloc[0]) if len(reached) else None


def train(preset: str, seed: int, max_kl: float | None, max_steps: int, folder: str) -> Any:
    """Train a preset in this process, without its target, and return the run."""
    use_natural_gradient(max_kl)
    settings: dict[str, Any] = {
        "stop.max_environment_steps": max_steps,
        "stop.target_return": None,
        "evaluation.every_updates": None,
        "tracking.enabled": False,
    }
    if max_kl:
        settings |= {
            "learner.optimizer": "sgd",
            "learner.learning_rate": 1.0,
            "learner.schedule_updates": None,
            "learner.max_gradient_norm": None,
            "learner.max_kl": 2 * max_kl,
        }
    name = f"{preset}-{seed}-{max_kl}"
    return reinforce.train(
        preset, settings, seed=seed, name=name, directory=folder, backend="inline", progress=False
    )


def main() -> None:
    """Train all runs and print what each needed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--kl", type=float, default=0.01)
    parser.add_argument("--goal", type=float, default=200.0)
    parser.add_argument("--max-steps", type=int, default=1_000_000)
    arguments = parser.parse_args()
    limits = {"adam": None, f"natural, {arguments.kl:g}": arguments.kl}
    needed: dict[str, list[float]] = {name: [] for name in limits}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for name, max_kl in limits.items():
                run = train(arguments.preset, seed, max_kl, arguments.max_steps, folder)
                steps = steps_to(run, arguments.goal)
                needed[name].append(steps or float("inf"))
                last = run.updates["rollout/return_mean"].tail(_UPDATES).mean()
                reached = f"{steps:,.0f} steps" if steps else "not reached"
                seconds = run.summary["training_time_s"]
                print(
                    f"seed {seed}, {name:<14} {reached}; at the end {last:.1f}, {seconds:.0f} s",
                    flush=True,
                )
    for name, all_steps in needed.items():
        reached = sum(steps < float("inf") for steps in all_steps)
        print(f"{name}: {reached} of {arguments.seeds}, median {statistics.median(all_steps):,.0f}")


if __name__ == "__main__":
    main()

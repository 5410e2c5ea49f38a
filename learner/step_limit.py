"""A limit on how far one step moves the policy: shorter steps in the optimizer's direction."""

from collections.abc import Callable, Sequence
from math import isfinite, sqrt

import torch
from torch.nn import Parameter

_AIM = 0.9
"""Share of the limit that a shorter step aims at, to allow for small errors of the estimate."""

_MIN_FACTOR = 0.5
"""Lower bound of one shortening: for deep networks the estimate would be far too short."""

_MAX_TRIES = 30
"""Most tries; the last one, at worst, is 2e-9 of the step."""


def shorter(fraction: float, kl: float, limit: float) -> float:
    """Return the next fraction of a step to try, > 0, after ``fraction`` diverged by ``kl``.

    To second order the divergence is ``fraction^2`` times a constant, because it has its minimum at
    0: so ``fraction * sqrt(0.9 limit / kl)``, but at least half of the fraction.

    Args:
        fraction: The last try, in (0, 1].
        kl: Its divergence (nats), above the limit or not finite.
        limit: The largest allowed divergence (nats), > 0.

    Source: Schulman et al. (2015), arXiv:1502.05477, appendix C, whose search uses a constant
    factor; Kakade (2001), "A Natural Policy Gradient", for the second order.
    """
    return fraction * max(_MIN_FACTOR, sqrt(_AIM * limit / kl) if isfinite(kl) else 0.0)


@torch.no_grad()
def step_within(
    limit: float,
    parameters: Sequence[Parameter],
    move: Callable[[], None],
    kl_of_now: Callable[[], float],
) -> float:
    """Move the parameters, then back toward their old place until the limit holds.

    The optimizer keeps its state: its moments are means of gradients, not of steps.

    Args:
        limit: On the divergence (nats), > 0.
        parameters: What ``move`` changes.
        move: Takes the whole step.
        kl_of_now: Returns the divergence (nats) of the policy with the current parameters.

    Returns:
        The fraction of the step that was taken: 1 for all of it, 0 if every try failed.
    """
    starts = [parameter.clone() for parameter in parameters]
    move()
    ends = [parameter.clone() for parameter in parameters]
    fraction = 1.0
    for _ in range(_MAX_TRIES):
        kl = kl_of_now()
        if kl <= limit:
            return fraction
        fraction = shorter(fraction, kl, limit)
        for parameter, start, end in zip(parameters, starts, ends, strict=True):
            parameter.copy_(torch.lerp(start, end, fraction))
    for parameter, start in zip(parameters, starts, strict=True):
        parameter.copy_(start)
    return 0.0

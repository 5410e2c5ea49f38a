"""A limit on how far one step moves the policy: shorter steps in the optimizer's direction."""

from collections.abc import Callable, Sequence
from math import isfinite, sqrt

import torch
from torch.nn import Parameter

_AIM = 0.9
"""Share of the limit that a shorter step aims at, so that small errors of the guess still hold."""

_MIN_FACTOR = 0.5
"""Through many layers it grows much faster than a parabola, whose guess would be far too short."""

_MAX_TRIES = 30
"""Measurements; the last one, at worst, is of 2e-9 of the step."""


def shorter(fraction: float, kl: float, limit: float) -> float:
    """Return the next fraction of a step to try, > 0, where ``fraction`` diverges by ``kl``.

    To second order the divergence is ``fraction^2`` times a constant, since at 0 it is as small as
    can be: ``fraction * sqrt(0.9 limit / kl)``, and half of the fraction at least.

    Args:
        fraction: What was tried, in (0, 1].
        kl: Its divergence (nats), above the limit or not finite.
        limit: What is allowed (nats), > 0.

    Source: Schulman et al. (2015), arXiv:1502.05477, appendix C, whose search goes by a constant
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
    """Move the parameters, then back toward where they were until the divergence holds.

    What moved them keeps its state: an optimizer's moments are means of gradients, not of steps.

    Args:
        limit: On the divergence (nats), > 0.
        parameters: What ``move`` changes.
        move: Takes the whole step.
        kl_of_now: Returns the divergence (nats) of the policy with the parameters as they are.

    Returns:
        The fraction of the step that was taken: 1 the whole, 0 none, where no try held.
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

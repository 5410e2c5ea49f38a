"""The check before a run, told: what it found, and that it takes long."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.markup import escape

from configs.config import Config
from workers.environment import EnvironmentSpec
from workers.preflight import preflight

_PATIENCE_S = 15.0
"""Longer than any check takes whose environment answers at once."""


def check_environment(config: Config, console: Console) -> EnvironmentSpec:
    """Try environment and policy, print what is odd about them, and return what the run relies on.

    Raises:
        UnsuitableEnvironmentError, UnsuitablePolicyError: As ``preflight``.
        NoGPUError: The learner is to compute on a GPU of this machine, which has none.
    """
    if config.learner.device == "cuda" and config.cluster.is_this_machine:
        # Imports Torch, seconds that only who asks for a GPU has to wait.
        from learner.computation import require_device

        require_device(config.learner.device)
    with told_if_slow(console, config.environment.id):
        found = preflight(config)
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    return found.spec


@contextmanager
def told_if_slow(
    console: Console, environment_id: str, patience_s: float = _PATIENCE_S
) -> Iterator[None]:
    """Say once, if what happens in this context takes long, what it waits for and what to do."""
    text = (
        f"still trying environment.id = {environment_id!r} after {patience_s:g} s: if its "
        "constructor, reset or step hangs, Ctrl-C ends this"
    )
    timer = Timer(
        patience_s, console.print, (text,), {"style": "yellow", "highlight": False, "markup": False}
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

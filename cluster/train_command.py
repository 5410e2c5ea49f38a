"""``reinforce train``: puts a run together, and takes it apart again however it ends."""

import os
import time
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console

from cluster.backend import Backend
from cluster.display import make_display
from cluster.episode_plot import plot_episode_lengths
from cluster.errors import InterruptedRunError, UsageError
from cluster.interrupts import Interrupts
from cluster.run_directory import RunDirectory
from cluster.summary import add_run_id, print_summary, write_failure, write_summary
from cluster.tracking import Tracking
from cluster.training import Outcome, Training
from configs.config import Config
from workers.environment import EnvironmentSpec, inspect_environment


def open_backend(
    config: Config, spec: EnvironmentSpec, interrupts: Interrupts
) -> AbstractContextManager[Backend]:
    """Return the backend that the configuration names; only that one is imported."""
    if config.cluster.backend == "inline":
        from cluster.inline_backend import inline_backend

        return inline_backend(config, spec, interrupts)
    if config.cluster.address is None:
        # Read when Ray is imported: every server of a local Ray then listens on loopback only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from cluster.ray_backend import ray_backend

    return ray_backend(config, spec, interrupts)


def run_training(config: Config, console: Console, started_s: float) -> int:
    """Train as configured and return the exit code.

    Args:
        config: What to run.
        console: Where the display and the summary go.
        started_s: ``time.monotonic()`` when the program began.

    Raises:
        UnsuitableEnvironmentError, UsageError: Nothing was started, and nothing is left behind.
        TrainingError: The run failed; its directory says why.
        InterruptedRunError: The user stopped it before it had begun; nothing is left behind.
    """
    spec = inspect_environment(config.environment)
    run = RunDirectory.create(config)
    with Interrupts() as interrupts, Tracking(config.tracking) as tracking:
        try:
            with open_backend(config, spec, interrupts) as backend:
                tracking.follow(run)
                with make_display(console, config, run.name) as display:
                    outcome = Training(config, backend, run, display).run()
                summary = _conclude(run, backend, outcome, started_s)
                tracking.let_go()
        except (UsageError, InterruptedRunError):
            run.discard()
            raise
        except BaseException as error:
            write_failure(run, error, time.monotonic() - started_s)
            tracking.follow(run)
            raise
    summary = add_run_id(run, summary, tracking.run_id())
    print_summary(console, run, summary)
    tracking.print_link(console)
    return outcome.exit_code


def _conclude(
    run: RunDirectory, backend: Backend, outcome: Outcome, started_s: float
) -> dict[str, Any]:
    plot = run.plots / "episode_length.png"
    plot_episode_lengths(run.journal_file, plot, title=run.name)
    return write_summary(run, outcome, backend.pool.counts, time.monotonic() - started_s)

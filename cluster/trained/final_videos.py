"""``evaluation.video``: one episode of the last and one of the best weights, when a run is over."""

import subprocess
from collections.abc import Callable

from cluster.own_command import own_command, own_environment
from cluster.records.run_directory import RunDirectory
from cluster.trained.video import check_video_support
from configs.experiment import EnvironmentConfig, EvaluationConfig
from workers.filming import frames_per_second

_PATIENCE_S = 300.0
"""For one episode, drawn and encoded."""


def check_filming(config: EnvironmentConfig) -> None:
    """Raise now what would be said after hours of training.

    Raises:
        UsageError: What encodes videos is not installed.
        UnsuitableEnvironmentError: The environment cannot draw pictures.
    """
    check_video_support()
    frames_per_second(config)


def film_last_and_best(
    run: RunDirectory, config: EvaluationConfig, warn: Callable[[str], None]
) -> None:
    """Film both; a failure is said and harms nothing.

    In a process of its own: what draws environments is native code, and may take its process along.
    """
    for options in [[], ["--best"]] if config.every_updates else [[]]:
        failure = _film(run, options)
        if failure:
            warn(f"no video was made ({failure}); `reinforce record {run.path}` tries again")


def _film(run: RunDirectory, options: list[str]) -> str:
    """Return what went wrong, or nothing."""
    command = own_command("record", str(run.path), "--episodes", "1", *options)
    try:
        result = subprocess.run(  # noqa: S603  (our own command and an existing folder)
            command,
            env=own_environment(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {_PATIENCE_S:.0f} s"
    return result.stderr.strip() if result.returncode else ""

"""A user's environment, made once as a worker makes it: in the main thread of a process of its own.

There it may set signal handlers; and whether it hangs or crashes, the doctor goes on.
"""

import subprocess
import sys

from cluster.own_command import own_environment, own_program
from configs.experiment import EnvironmentConfig
from workers.environment import UnsuitableEnvironmentError, inspect_environment

_MARK = "\0"
"""Stands before what is wrong: the environment may have printed something, too."""


def environment_problem(
    environment: EnvironmentConfig, user_path: str, patience_s: float
) -> str | None:
    """Return why an environment cannot be played on this machine, or None if it can.

    Args:
        environment: Which.
        user_path: Folder in which the user's own environments may be.
        patience_s: How long to wait for it.

    Raises:
        TimeoutError: It is not there by then.
    """
    try:
        trial = subprocess.run(  # noqa: S603  (our own program)
            own_program("cluster.doctor.environment_trial", user_path),
            input=environment.model_dump_json(),  # may hold a secret: not for the list of processes
            env=own_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not made within {patience_s:g} s") from error
    if _MARK in trial.stdout:
        return trial.stdout.rpartition(_MARK)[2]
    if trial.returncode:
        last = (trial.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return f"its process ended with code {trial.returncode}: {last}"
    return None


def _main() -> None:
    sys.path.append(sys.argv[1])  # last, as in a worker
    try:
        inspect_environment(EnvironmentConfig.model_validate_json(sys.stdin.read()))
    except UnsuitableEnvironmentError as error:
        sys.stdout.write(f"{_MARK}{error}")
    except Exception as error:  # noqa: BLE001 - whatever the user's environment raises is news
        sys.stdout.write(f"{_MARK}{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main()

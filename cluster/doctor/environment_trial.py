"""What ``reinforce train`` tries before it starts, tried as a worker does: in a main thread.

It has a process of its own: there a user's environment may set signal handlers; and whether it
hangs or crashes, the doctor goes on.
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from cluster.errors import UsageError
from cluster.own_command import own_environment, own_program
from cluster.trained.final_videos import check_filming
from configs.config import Config
from configs.section import ConfigError
from workers.environment import UnsuitableEnvironmentError
from workers.preflight import preflight

_MARK = "\0"
"""Stands before what was found: the environment may have printed something, too."""


@dataclass(frozen=True)
class EnvironmentTrial:
    """What a machine found when it tried environment and policy.

    Attributes:
        problem: Why they cannot be used there; None if they can.
        warnings: What is odd about them.
    """

    problem: str | None
    warnings: tuple[str, ...] = ()


def try_environment(config: Config, user_path: str, patience_s: float) -> EnvironmentTrial:
    """Try the environment and the policy of a configuration on this machine.

    Args:
        config: What is to run.
        user_path: Folder in which the user's own modules may be.
        patience_s: How long to wait for it.

    Raises:
        TimeoutError: It is not over by then.
    """
    try:
        trial = subprocess.run(  # noqa: S603  (our own program)
            own_program("cluster.doctor.environment_trial", user_path),
            input=config.model_dump_json(),  # may hold a secret: not for the list of processes
            env=own_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not over within {patience_s:g} s") from error
    if _MARK in trial.stdout:
        found = json.loads(trial.stdout.rpartition(_MARK)[2].splitlines()[0])
        return EnvironmentTrial(found["problem"], tuple(found["warnings"]))
    last = (trial.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return EnvironmentTrial(f"its process ended with code {trial.returncode}: {last}")


def _main() -> None:
    sys.path.append(sys.argv[1])  # last, as in a worker
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    try:
        config = Config.model_validate_json(sys.stdin.read())
        warnings = preflight(config).warnings
        if config.evaluation.video:
            check_filming(config.environment)
    except (ConfigError, UnsuitableEnvironmentError, UsageError) as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever the user's environment raises is news
        problem = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{_MARK}{json.dumps({'problem': problem, 'warnings': warnings})}\n")


if __name__ == "__main__":
    _main()

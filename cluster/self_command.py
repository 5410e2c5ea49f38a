"""This command line, and other modules of ours, started as processes of their own."""

import os
import sys
import sysconfig
from pathlib import Path

import reinforce


def self_command(*arguments: str) -> list[str]:
    """Return the words that start ``reinforce`` with these arguments, whatever is on the PATH."""
    return module_command("reinforce", *arguments)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the words that run one of our modules as a program."""
    # -P: the current directory is the user's, who may have modules of any name there.
    return [sys.executable, "-P", "-m", module, *arguments]


def search_current_directory() -> None:
    """Let the user's own modules be found in the current directory, after all that is installed.

    Not in a run directory: what lies there may be a stranger's.
    """
    here = Path.cwd()
    in_a_run = any((each / "metrics.jsonl").exists() for each in (here, *here.parents))
    if str(here) not in sys.path and not in_a_run:
        sys.path.append(str(here))


def self_search_path() -> list[str]:
    """Return the folder that other processes need on their search path to find this package.

    Empty where it is installed, as a wheel or editable: everything else that lies beside it would
    come before modules of the user, who may have a ``configs`` or ``workers`` of their own.
    """
    folder = str(Path(reinforce.__file__).parent.parent)
    is_needed = folder in sys.path and folder != sysconfig.get_path("purelib")
    return [folder] if is_needed else []


def self_environment() -> dict[str, str]:
    """Return the environment variables with which another process finds this very package."""
    known = os.environ.get("PYTHONPATH")
    python_path = os.pathsep.join([*self_search_path(), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": python_path} if python_path else dict(os.environ)

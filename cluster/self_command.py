"""Commands that start this command line, or other modules of ours, as processes."""

import os
import sys
import sysconfig
from pathlib import Path

import reinforce


def self_command(*arguments: str) -> list[str]:
    """Return the command that starts ``reinforce`` with these arguments, whatever is on PATH."""
    return module_command("reinforce", *arguments)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules as a program."""
    # -P: the current directory is the user's, who may have modules of any name there.
    return [sys.executable, "-P", "-m", module, *arguments]


def search_current_directory() -> None:
    """Make the user's modules in the current directory importable, after everything installed.

    Not in a run directory, whose files may be a stranger's.
    """
    here = Path.cwd()
    in_a_run = any((each / "metrics.jsonl").exists() for each in (here, *here.parents))
    if str(here) not in sys.path and not in_a_run:
        sys.path.append(str(here))


def self_search_path() -> list[str]:
    """Return the folder that other processes need on their search path for this package.

    Empty if it is installed, as a wheel or editable: other files beside it would come before the
    user's modules, which may include ``configs`` or ``workers``.
    """
    folder = str(Path(reinforce.__file__).parent.parent)
    is_needed = folder in sys.path and folder != sysconfig.get_path("purelib")
    return [folder] if is_needed else []


def self_environment() -> dict[str, str]:
    """Return the environment variables with which another process finds this very package."""
    known = os.environ.get("PYTHONPATH")
    python_path = os.pathsep.join([*self_search_path(), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": python_path} if python_path else dict(os.environ)

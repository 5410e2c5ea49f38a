"""This command line, and other programs of ours, started as processes of their own."""

import os
import sys
from pathlib import Path

import cluster


def own_command(*arguments: str) -> list[str]:
    """Return the words that start ``reinforce`` with these arguments, whatever is on the PATH."""
    return own_program("cluster", *arguments)


def own_program(module: str, *arguments: str) -> list[str]:
    """Return the words that run one of our modules as a program."""
    # -P: a folder of the user's that is called like one of ours must not be imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def own_environment() -> dict[str, str]:
    """Return the environment variables with which these very packages are found."""
    root = str(Path(cluster.__file__).parent.parent)
    python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": python_path}

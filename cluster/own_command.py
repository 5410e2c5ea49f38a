"""This command line, started once more as a process of its own."""

import os
import sys
from pathlib import Path

import cluster


def own_command(*arguments: str) -> list[str]:
    """Return the words that start ``reinforce`` with these arguments, whatever is on the PATH."""
    # -P: a folder of the user's that is called like one of ours must not be imported.
    return [sys.executable, "-P", "-m", "cluster", *arguments]


def own_environment() -> dict[str, str]:
    """Return the environment variables with which ``own_command`` finds these very packages."""
    root = str(Path(cluster.__file__).parent.parent)
    python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": python_path}

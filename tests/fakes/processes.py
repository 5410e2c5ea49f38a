"""What a command has started, and waiting for it."""

import os
import time
from pathlib import Path


def processes_in(folder):
    """Processes whose current directory is the folder: all that a command started there."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def ray_folders(folder):
    """Where local Rays have their files in a folder for temporary ones."""
    return list(folder.glob("reinforce-*"))


def wait_for(condition, pause_s=0.1):
    """Wait until something is so, or fail after two minutes."""
    deadline_s = time.monotonic() + 120
    while not (result := condition()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(pause_s)
    return result

"""Steps of a proof: commands, what they must show, and what is waited for."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(command: list[Any], cwd: Path | None = None) -> str:
    """Return what a command prints; end with what it says if it fails."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        print(result.stdout[-4000:], result.stderr[-4000:], file=sys.stderr)
        raise SystemExit(f"FAILED: {' '.join(map(str, command))} ended with {result.returncode}")
    return result.stdout.strip()


def works(command: list[str]) -> bool:
    """Return whether a command ends well, in silence."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def step(title: str) -> None:
    """Say what comes next, and when."""
    print(f"{time.strftime('%H:%M:%S')} {title}", flush=True)


def expect(what: str, holds: bool) -> None:  # noqa: FBT001
    """End here unless a statement holds."""
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"         {what}", flush=True)


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAILED: waited {seconds:.0f} s for {what}")
        time.sleep(1)

"""The type of processor that this process runs on."""

import platform
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """Return the type of processor, which decides how sums are rounded."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        if name := next(named, ""):
            return name
    return platform.processor() or platform.machine()

"""How a benchmark writes down what it measured: `benchmarks/results/NAME.json`.

A file holds the rows of one run beside the command, the date, the machine and the versions that
they were measured with. `benchmarks/report.py` makes the tables and plots of docs/performance.md
from these files and from nothing else.
"""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("gymnasium", "mlflow", "numpy", "ray", "torch")


def write(
    name: str,
    rows: list[dict[str, Any]],
    command: str,
    *,
    folder: Path = FOLDER,
    packages: Iterable[str] = PACKAGES,
    note: str | None = None,
) -> Path:
    """Write ``folder/name.json`` and return its path; an older file is replaced as a whole.

    Args:
        name: what was measured, the file's name without its ending.
        rows: one flat JSON object per line of the table; units in the keys (``_s``, ``_per_s``).
        command: what repeats the measurement from the root of the repository.
        folder: where tests write instead.
        packages: whose versions are recorded; what is not installed is left out.
        note: what else the line below the table says.
    """
    result = {
        "name": name,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | versions(packages),
        **({"note": note} if note else {}),
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)
    return path


def this_command() -> str:
    """Return the command line of this process, from the root of the repository."""
    return shlex.join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def read(name: str, *, folder: Path = FOLDER) -> dict[str, Any] | None:
    """Return what `write` wrote, or None where nothing was measured yet."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def machine() -> dict[str, Any]:
    """Return the processor's name, the cores that this process may use, memory and system."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor_name() -> str:
    """Return the model name of the first processor as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package that is installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

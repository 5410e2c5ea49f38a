"""Runs of our own command, as the benchmarks start them and read their journals."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT_S = 600.0

WITHOUT_EXTRAS: Mapping[str, Any] = {
    "evaluation.every_updates": None,
    "evaluation.episodes": 5,
    "tracking.enabled": False,
    "stop.target_return": None,
}
"""Nothing but sampling and learning: evaluation and tracking have figures of their own."""


def start(folder: Path, name: str, settings: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start ``reinforce train`` in a process of its own, with ``folder`` as current directory.

    Args:
        folder: Receives the configuration, what is printed, and the run.
        name: Of the run.
        settings: ``section.field`` to value; defaults for what is not named.
    """
    config: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, field = key.split(".")
        config.setdefault(section, {})[field] = value
    (folder / f"{name}.yaml").write_text(json.dumps(config))  # every JSON text is YAML
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "reinforce", "train", f"{name}.yaml", "--run.name", name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen[bytes], folder: Path, name: str) -> list[dict[str, Any]]:
    """Wait for a run and return the records of its updates.

    Raises:
        RuntimeError: It failed; the message holds what it printed.
    """
    if process.wait(timeout=TIMEOUT_S):
        raise RuntimeError((folder / f"{name}.log").read_text())
    lines = (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["batch"]]


def steps_per_s(updates: Sequence[Mapping[str, Any]], num_warm: int) -> float:
    """Return environment steps that were played and learned from, per second of training.

    Args:
        updates: Records of the journal.
        num_warm: Updates at the start that are left out, >= 1.
    """
    first, last = updates[num_warm - 1], updates[-1]
    steps = last["environment_steps"] - first["environment_steps"]
    return float(steps / (last["training_time_s"] - first["training_time_s"]))

"""`reinforce train`, measured like its peers.

Two runs of the preset `cartpole` make a row. The first is what a user types: it evaluates, records
everything in MLflow and stops at a confirmed greedy mean of 475. The second goes on without either,
as a peer does while the judge's clock stands still: from its journal come the episodes of training
and the steps per second. On other tasks there is only the second.
"""

import json
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judge import EPISODES, TARGET_RETURN
from programs import finish

WITHOUT_EVALUATION = (
    *("--evaluation.every_updates", "None", "--stop.target_return", "None"),
    *("--tracking.enabled", "false", "--evaluation.episodes", "5"),
)
NUM_WARM = 1
"""Updates that do not count for the steps per second: programs warm up in the first (`judge`)."""


def measure(seed: int, settings: Sequence[str], timeout_s: float, folder: Path) -> dict[str, Any]:
    """Return the row of one seed."""
    summary, process_s = train("cartpole", "greedy", seed, settings, timeout_s, folder)
    reached = summary["stop_reason"] == "target_return"
    row = {
        "seed": seed,
        "greedy_training_s": summary["training_time_s"] if reached else None,
        "greedy_environment_steps": summary["environment_steps"] if reached else None,
        "process_s": round(process_s, 2),
        "start_s": round(process_s - summary["training_time_s"], 2),
    }
    return row | throughput(seed, settings, timeout_s, folder)


def throughput(
    seed: int, settings: Sequence[str], timeout_s: float, folder: Path, preset: str = "cartpole"
) -> dict[str, Any]:
    """Return what the second run shows: its steps per second, and when training reached 475."""
    train(preset, "sampled", seed, [*settings, *WITHOUT_EVALUATION], timeout_s, folder)
    lines = (folder / "runs" / "sampled" / "metrics.jsonl").read_text().splitlines()
    updates = [record for record in map(json.loads, lines) if record["batch"]]
    time_s, steps = first_at_target(updates)
    first, last = updates[NUM_WARM - 1], updates[-1]
    played = last["environment_steps"] - first["environment_steps"]
    seconds = last["training_time_s"] - first["training_time_s"]
    return {
        "sampled_training_s": time_s,
        "sampled_environment_steps": steps,
        "environment_steps": last["environment_steps"],
        "training_s": last["training_time_s"],
        "environment_steps_per_s": round(played / seconds),
    }


def train(
    preset: str, name: str, seed: int, settings: Sequence[str], timeout_s: float, folder: Path
) -> tuple[dict[str, Any], float]:
    """Train the preset; return its summary and the seconds of the whole process."""
    command = [sys.executable, "-m", "reinforce", "train", preset, "--run.name", name]
    command += ["--run.seed", str(seed), *settings]
    _, process_s = finish(command, folder, {}, timeout_s)
    return json.loads((folder / "runs" / name / "summary.json").read_text()), process_s


def first_at_target(updates: list[dict[str, Any]]) -> tuple[float | None, int | None]:
    """Return training time and steps at which the last 100 episodes have a mean of 475."""
    recent: deque[float] = deque(maxlen=EPISODES)
    for record in updates:
        recent.extend(record["batch"]["episode_returns"])
        if len(recent) == EPISODES and sum(recent) / EPISODES >= TARGET_RETURN:
            return round(record["training_time_s"], 3), record["environment_steps"]
    return None, None

"""How many environment steps does pruning save a sweep that finds an equally good policy?

    .venv/bin/python benchmarks/sweep_pruning.py [--trials 40] [--steps 18000] [--folder DIR]

The same random trials of LunarLander-v3 (extra box2d), once without a pruner and once with
successive halving at a ninth and a third of the steps. Exit code 1 unless pruning takes 2.5 times
fewer steps and its best score lies within the 95 % interval of the best without. Called again with
a --folder, it goes on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.sweeps.ledger import SweepLedger, run_name
from reinforce.configs.sweep import load_sweep

BASE = {
    "environment": {"id": "LunarLander-v3"},
    "learner": {"baseline": "value", "gae_lambda": 0.97, "max_gradient_norm": 1.0},
    "cluster": {"backend": "inline"},
    "evaluation": {"episodes": 50, "every_updates": None},
    "tracking": {"enabled": False},
}
SETTINGS = {
    "learner.learning_rate": {"low": 0.0003, "high": 0.1, "log": True},
    "learner.episodes_per_update": {"low": 4, "high": 32, "log": True, "integer": True},
    "learner.entropy_coefficient": [0.0, 0.01, 0.1],
    "policy.hidden_sizes": [[32], [64, 64], [128, 128]],
}


def swept(folder: Path, name: str, arguments: argparse.Namespace, **pruner: object) -> dict:
    """Run a sweep; return its steps, and score and 95 % interval of its best trial."""
    stop = {"max_environment_steps": arguments.steps, "max_updates": 100_000}
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, "stop": stop}))
    about = {"base": "base.yaml", "method": "random", "trials": arguments.trials}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**about, "settings": SETTINGS, **pruner}))
    words = ["sweep", str(file), "--directory", str(folder / name)]
    parallel = ["--parallel", str(arguments.parallel)]
    subprocess.run([sys.executable, "-m", "reinforce", *words, *parallel], check=True)
    ledger = SweepLedger(folder / name, load_sweep(file)[0])
    summaries = [
        read_summary(folder / name / "runs" / run_name(number, 0) / "summary.json") or {}
        for number in ledger.trials
    ]
    (best,) = ledger.front()
    return {
        "sweep": name,
        "steps": sum(summary["environment_steps"] for summary in summaries),
        "pruned": sum(trial.state.name == "PRUNED" for trial in ledger.trials.values()),
        "best": best + 1,
        "score": summaries[best]["evaluation"]["return_mean"],
        "interval": summaries[best]["evaluation"]["return_ci95"],
    }


def main() -> int:
    """Run both sweeps; print what they took and found; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--steps", type=int, default=18_000)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        halving = {"pruner": "successive_halving", "first_rung": arguments.steps // 9}
        pruned = swept(folder, "pruned", arguments, **halving)
        whole = swept(folder, "whole", arguments)
    for row in (whole, pruned):
        print(json.dumps(row))
    saved = whole["steps"] / pruned["steps"]
    is_as_good = pruned["score"] >= whole["interval"][0]
    print(f"{saved:.2f} times fewer steps; as good within the interval: {is_as_good}")
    return int(saved < 2.5 or not is_as_good)


if __name__ == "__main__":
    sys.exit(main())

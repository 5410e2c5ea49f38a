"""What every preset reaches, on seeds that no setting was chosen on: docs/results.md.

    .venv/bin/python benchmarks/preset_results.py [--presets cartpole frozenlake] [--seeds 100 104]

Runs what `benchmarks/results/presets/` lacks, one run after the other, and goes on in the middle of
a run that was stopped. The score of a run is the mean return of its last weights over fresh
episodes, with greedy actions: as many as its evaluations play. A preset whose settings have changed
is run again.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import preset_report
import results

from reinforce.cluster.analysis.comparison import history_of
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, preset_names
from reinforce.configs.roles import flat

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "results"
CURVE_POINTS = 100
NEEDS_HOURS = ("article", "pong", "pong_karpathy")
COMMAND = "make results"
CODE = ("configs", "learner", "workers", "cluster", "reinforce")


def settings_of(preset: str) -> dict[str, Any]:
    """Return the settings of a preset that are not the defaults, as JSON."""
    defaults = flat(Config().model_dump(mode="json"))
    return {
        name: value
        for name, value in flat(load_config(preset).model_dump(mode="json")).items()
        if value != defaults[name]
    }


def run_name(preset: str, seed: int) -> str:
    """Return the name of a run: another one if the preset has changed, for it begins again then."""
    settings = json.dumps(settings_of(preset), sort_keys=True)
    return f"{preset}-{seed}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def call(*words: str) -> str:
    """Return what our own command prints.

    Raises:
        KeyboardInterrupt: It was interrupted, after a checkpoint.
        RuntimeError: It failed.
    """
    result = subprocess.run(
        [sys.executable, "-m", "reinforce", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode > 128:
        raise KeyboardInterrupt
    if result.returncode:
        raise RuntimeError(f"`reinforce {' '.join(words)}` ended with {result.returncode}")
    return result.stdout


def measure(preset: str, seed: int) -> dict[str, Any]:
    """Train one run, or go on with it, evaluate it, and return its row."""
    name = run_name(preset, seed)
    place = ["--run.directory", str(RUNS), "--run.name", name, "--resume", "auto"]
    how = ["--cluster.backend", "inline", "--tracking.enabled", "false"]
    call("train", preset, "--run.seed", str(seed), *place, *how)
    episodes = load_config(preset).evaluation.episodes
    score = json.loads(
        call("evaluate", str(RUNS / name), "--episodes", str(episodes), "--json").splitlines()[-1]
    )
    summary = json.loads((RUNS / name / "summary.json").read_text())
    points = history_of(RUNS / name).metrics["rollout/return_mean"]
    every = -(-len(points) // CURVE_POINTS)
    return {
        "seed": seed,
        "return_mean": score["return_mean"],
        "return_ci95": score["return_ci95"],
        "episodes": episodes,
        "environment_steps": summary["environment_steps"],
        "updates": summary["updates"],
        "training_s": round(summary["training_time_s"], 1),
        "stop_reason": summary["stop_reason"],
        "weights_sha256": summary["weights_sha256"],
        "commit": commit(),
        "cpu": results.processor_name(),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": settings_of(preset),
        "curve": [[int(steps), round(value, 4)] for steps, value in points[::-every][::-1]],
    }


def commit() -> str:
    """Return the commit that is checked out, with a plus if our code differs from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.check_output([*git, "rev-parse", "--short=12", "HEAD"], text=True).strip()
    differs = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *CODE], check=False).returncode
    return head + "+" * bool(differs)


def rows_of(preset: str, folder: Path) -> list[dict[str, Any]]:
    """Return what earlier calls measured with the settings of today."""
    earlier = results.read(preset, folder=folder)
    rows = earlier["rows"] if earlier else []
    return [row for row in rows if row["settings"] == settings_of(preset)]


def parse() -> argparse.Namespace:
    """Return the command line."""
    quick = [name for name in preset_names() if name not in NEEDS_HOURS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=preset_names(), default=quick)
    parser.add_argument("--seeds", nargs=2, type=int, default=(100, 104), help="first and last")
    parser.add_argument("--output", type=Path, default=preset_report.FOLDER)
    return parser.parse_args()


def run_seeds(preset: str, seeds: range, folder: Path) -> None:
    """Run the seeds of a preset that the folder lacks, and write each down."""
    rows = rows_of(preset, folder)
    for seed in sorted({*seeds} - {row["seed"] for row in rows}):
        row = measure(preset, seed)
        rows = sorted([*rows, row], key=lambda row: row["seed"])
        results.write(preset, rows, COMMAND, folder=folder)
        print(
            f"{preset} {seed}: {row['return_mean']:.3g} after "
            f"{row['environment_steps']:,} steps, {row['training_s']} s",
            flush=True,
        )


def main() -> int:
    """Run what has not been run yet, make the page of all that there is; 1 if something failed."""
    arguments = parse()
    first, last = arguments.seeds
    failed = []
    for preset in arguments.presets:
        try:
            run_seeds(preset, range(first, last + 1), arguments.output)
        except RuntimeError as error:  # what it needs is not installed, for example
            failed.append(f"{preset}: {error}")
    if arguments.output == preset_report.FOLDER:
        preset_report.main()
    print(*failed, sep="\n", end="\n" * bool(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""CartPole-v1 to a mean of 475: ours and what a user would pick instead, side by side.

    make bench-peers

Seed by seed every program runs once, so that what else the machine does falls on all alike. Each
is a process of its own with one thread (RLlib and ours on Ray: one per process) and its published
settings. What was measured is kept after every run; the next call goes on from there.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ours
from programs import finish

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import results  # noqa: E402  (it lies one folder up)

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
"""Their pins do not agree with ours, so they have an environment of their own."""

START_S = 120.0
"""What a process may take beyond its training, evaluations included."""

OURS = {
    "ours, Ray": ["--cluster.backend", "ray"],
    "ours, inline": ["--cluster.backend", "inline"],
}
PEERS = {
    "PureJaxRL PPO": ["purejaxrl_ppo.py"],
    "Stable-Baselines3 PPO": ["sb3.py", "ppo"],
    "Stable-Baselines3 A2C": ["sb3.py", "a2c"],
    "Tianshou REINFORCE": ["tianshou_reinforce.py"],
    "RLlib PPO": ["rllib_ppo.py"],
    "PyTorch's REINFORCE example": ["pytorch_example.py"],
    "the article's listing": ["article.py"],
}
WIDE_STEPS = 2_000_000
WIDE = {
    "ours, Ray, 1024 lanes": [
        *("--cluster.backend", "ray", "--workers.envs_per_worker", "512"),
        *("--workers.episodes_per_ticket", "512", "--learner.episodes_per_update", "1024"),
        *("--stop.max_environment_steps", str(WIDE_STEPS)),
    ],
    "PureJaxRL PPO, 1024 environments": [
        *("purejaxrl_ppo.py", "--environments", "1024", "--max-steps", str(WIDE_STEPS)),
    ],
}
"""The two with vectorised environments, with as many of them as is good for steps per second."""

PROGRAMS = {**OURS, **PEERS, **WIDE}


def measure(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the row of one program and seed."""
    timeout_s = arguments.time_limit_s + START_S
    # Ray may still write to a folder that goes.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if name in OURS:
            row = ours.measure(seed, OURS[name], timeout_s, Path(folder))
        elif PROGRAMS[name][0].endswith(".py"):
            row = run_peer(name, seed, arguments, Path(folder))
        else:
            row = ours.throughput(seed, WIDE[name], timeout_s, Path(folder)) | {"seed": seed}
    return {"program": name, "time_limit_s": arguments.time_limit_s} | row


def run_peer(name: str, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a peer's program; the time that the judge took is nobody's."""
    program, *words = PROGRAMS[name]
    command = [str(PYTHON), str(HERE / program), *words, "--seed", str(seed)]
    command += ["--time-limit-s", str(arguments.time_limit_s)]
    if arguments.max_steps is not None:
        command += ["--max-steps", str(arguments.max_steps)]
    # RLlib writes to the home directory; what is cached there stays in use.
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(Path("~/.cache").expanduser())}
    output, seconds = finish(command, folder, home, arguments.time_limit_s + START_S)
    row = json.loads(output.splitlines()[-1])
    process_s = seconds - row["judging_s"]
    times = {"process_s": round(process_s, 2), "start_s": round(process_s - row["training_s"], 2)}
    return row | times


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*PROGRAMS], default=[*PROGRAMS])
    parser.add_argument("--time-limit-s", type=float, default=120.0, help="training of one run")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no more runs after them")
    parser.add_argument("--max-steps", type=int, help="environment steps of a peer (tests)")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    return parser.parse_args()


def rows_of(name: str, folder: Path) -> list[dict[str, Any]]:
    """Return what earlier calls measured."""
    earlier = results.read(name, folder=folder)
    return earlier["rows"] if earlier else []


def main() -> None:
    """Run what has not been run yet, seed by seed."""
    arguments = parse()
    started = time.perf_counter()
    rows = {name: rows_of(name, arguments.output) for name in ("peers", "peers_wide")}
    done = {(row["program"], row["seed"]) for part in rows.values() for row in part}
    todo = [(name, seed) for seed in range(arguments.seeds) for name in arguments.only]
    for name, seed in todo:
        if (name, seed) in done:
            continue
        if time.perf_counter() - started > 60 * arguments.minutes:
            print("time is up; the same command goes on from here")
            return
        row = measure(name, seed, arguments)
        part = "peers_wide" if name in WIDE else "peers"
        rows[part].append(row)
        print(
            f"seed {seed}  {name:<33}{row['environment_steps']:>10,} steps"
            f"{row['training_s']:>8.1f} s{row['environment_steps_per_s']:>10,} steps/s",
            flush=True,
        )
        results.write(part, rows[part], "make bench-peers", folder=arguments.output)


if __name__ == "__main__":
    main()

"""Ours and what a user would pick instead, side by side.

    make bench-peers

On CartPole-v1 to a mean of 475; on LunarLander-v3 and HalfCheetah-v5 the steps per second alone.

Seed by seed every program runs once, so that what else the machine does falls on all alike. Each
is a process of its own with one thread (RLlib and ours on Ray: one per process) and its published
settings. What was measured is kept after every run; the next call goes on from there.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ours
from judge import JUDGED_TASK
from programs import finish

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
import results  # noqa: E402  (it lies one folder up)

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
"""Their pins do not agree with ours, so they have an environment of their own."""

OLDER_PYTHON = ROOT / ".venv-peers-older" / "bin" / "python"
"""Sample Factory asks for NumPy and Gymnasium below those of the others."""

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
MORE = {
    "CleanRL PPO": ["cleanrl_ppo.py"],
    "Sample Factory APPO": ["sample_factory_appo.py"],
    "TorchRL DQN": ["torchrl_dqn.py"],
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

TABLES = {"peers": {**OURS, **PEERS}, "peers_more": {**OURS, **MORE}, "peers_wide": WIDE}
"""The programs of each table on CartPole-v1."""

ALL_TABLES = [*TABLES, "peers_tasks"]

PRESETS = {"LunarLander-v3": "lunarlander", "HalfCheetah-v5": "halfcheetah"}
TASK_STEPS = 100_000
TASK_LIMIT_S = 20.0
"""Where only the speed is measured, a run ends after so many steps or seconds of training."""


def programs_on(task: str) -> dict[str, list[str]]:
    """Return the programs that play another task than CartPole-v1."""
    left_out = {"PureJaxRL PPO", "PyTorch's REINFORCE example", "the article's listing"}
    left_out |= {"TorchRL DQN"}  # its first 10,000 steps are played without learning
    programs = {name: words for name, words in (PEERS | MORE).items() if name not in left_out}
    if task == "HalfCheetah-v5":
        programs["TorchRL PPO"] = ["torchrl_ppo.py"]
        programs["Tianshou REINFORCE"] = ["tianshou_mujoco.py"]
    return {**OURS, **programs}


@dataclass(frozen=True)
class Run:
    """A program, a seed and a task; `words` are settings of ours, or what starts a peer."""

    table: str
    program: str
    words: Sequence[str]
    seed: int
    task: str = JUDGED_TASK

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells the rows of a table apart."""
        return self.program, self.task, self.seed


def planned(tables: Sequence[str], num_seeds: int) -> Iterator[Run]:
    """Yield all runs, table by table and seed by seed."""
    for table in tables:
        for seed in range(num_seeds):
            for program, words in TABLES.get(table, {}).items():
                yield Run(table, program, words, seed)
            for task in PRESETS if table == "peers_tasks" else ():
                for program, words in programs_on(task).items():
                    yield Run(table, program, words, seed, task)


def measure(run: Run, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the row of one run."""
    limit_s = arguments.time_limit_s if run.task == JUDGED_TASK else TASK_LIMIT_S
    row: dict[str, Any] = {"program": run.program, "seed": run.seed, "time_limit_s": limit_s}
    # Ray may still write to a folder that goes.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if run.words[0].endswith(".py"):
            return row | run_peer(run, limit_s, arguments.max_steps, folder)
        if run.task != JUDGED_TASK:
            words = [*run.words, "--stop.max_environment_steps", str(TASK_STEPS)]
            preset = PRESETS[run.task]
            speed = ours.throughput(run.seed, words, limit_s + START_S, folder, preset)
            return row | speed | {"task": run.task}
        judge = ours.measure if run.program in OURS else ours.throughput
        return row | judge(run.seed, run.words, limit_s + START_S, folder)


def run_peer(run: Run, limit_s: float, max_steps: int | None, folder: Path) -> dict[str, Any]:
    """Run a peer's program; the time that the judge took is nobody's."""
    program, *words = run.words
    python = OLDER_PYTHON if program == "sample_factory_appo.py" else PYTHON
    command = [str(python), str(HERE / program), *words, "--seed", str(run.seed)]
    command += ["--time-limit-s", str(limit_s), "--task", run.task]
    if run.task != JUDGED_TASK:
        max_steps = max_steps or TASK_STEPS
    if max_steps is not None:
        command += ["--max-steps", str(max_steps)]
    # RLlib writes to the home directory; what is cached there stays in use.
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(Path("~/.cache").expanduser())}
    output, seconds = finish(command, folder, home, limit_s + START_S)
    row = json.loads(output.splitlines()[-1])
    process_s = seconds - row["judging_s"]
    times = {"process_s": round(process_s, 2), "start_s": round(process_s - row["training_s"], 2)}
    return row | times


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="+", choices=ALL_TABLES, default=ALL_TABLES)
    programs = sorted({run.program for run in planned(ALL_TABLES, 1)})
    parser.add_argument("--only", nargs="+", choices=programs, default=programs)
    parser.add_argument("--time-limit-s", type=float, default=120.0, help="training of one run")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no more runs after them")
    parser.add_argument("--max-steps", type=int, help="environment steps of a peer (tests)")
    parser.add_argument("--note", help="what else the line below the table should say")
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
    rows = {table: rows_of(table, arguments.output) for table in arguments.tables}
    for run in planned(arguments.tables, arguments.seeds):
        done = {
            (row["program"], row.get("task", JUDGED_TASK), row["seed"]) for row in rows[run.table]
        }
        if run.key in done or run.program not in arguments.only:
            continue
        if time.perf_counter() - started > 60 * arguments.minutes:
            print("time is up; the same command goes on from here")
            return
        row = measure(run, arguments)
        rows[run.table].append(row)
        print(
            f"{run.task:<15}seed {run.seed}  {run.program:<33}{row['environment_steps']:>10,} steps"
            f"{row['training_s']:>8.1f} s{row['environment_steps_per_s']:>10,} steps/s",
            flush=True,
        )
        results.write(
            *(run.table, rows[run.table], "make bench-peers"),
            folder=arguments.output,
            note=arguments.note,
        )


if __name__ == "__main__":
    main()

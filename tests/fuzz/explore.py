"""Draws cases of a category, by Hypothesis, and gives each to the judge."""

import cases
from hypothesis import HealthCheck, Phase, given, seed, settings

from reinforce.cluster.cli import main

STRATEGIES = {
    "configurations": lambda run: cases.configurations(),
    "settings in words": lambda run: cases.settings_in_words(),
    "command lines": lambda run: cases.command_lines(),
    "run directories": lambda run: cases.run_directories(_template(run)),
    "sweeps": lambda run: cases.sweeps(),
    "trainings": lambda run: cases.trainings(),
}


def explore(name, judge, run, num_cases, number):
    """Judge so many cases of a category; the seed ``number`` decides which."""

    @seed(number)
    @settings(
        max_examples=num_cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[name](run))
    def judge_each(case):
        judge(name, case)

    judge_each()


def finished_run(folder):
    """Train two tiny updates and return the run directory."""
    short = ["--stop.max_updates", "2", "--evaluation.episodes", "5", "--checkpoint.keep", "2", "1"]
    small = ["--learner.episodes_per_update", "4", "--policy.hidden_sizes", "4"]
    where = ["--run.directory", str(folder / "runs"), "--run.name", "run"]
    assert main(["train", "cartpole", *cases.SAFE, *short, *small, *where]) == 0
    return folder / "runs" / "run"


def _template(run):
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()
    }

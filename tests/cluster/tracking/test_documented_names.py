"""docs/tracking.md names every metric of the journal and every file of a run, and no other."""

import json
import re
from pathlib import Path

from fake_environments import Countdown

import reinforce
from reinforce.cluster.run_store.run_directory import RunDirectory

PAGE = (Path(__file__).parents[3] / "docs" / "tracking.md").read_text()

NOT_IN_THIS_RUN = {
    "cluster/spilled_bytes",
    "evaluation/NAME_best",
    "evaluation/NAME_episodes",
    "evaluation/num_cut",
    "rollout/NAME_episodes",
    "tickets/longest_episode_steps",
    "tickets/longest_s",
    "custom/...",
    "system/...",
}
"""What a goal, a full store, an episode without an end, a slow ticket and so on bring about."""

PREFIXES = ("evaluation/sampled_", "evaluation/confirmed_")


class Succeeding(Countdown):
    """Says something in ``info``."""

    def step(self, action):
        *outcome, info = super().step(action)
        return *outcome, {**info, "is_success": True}


def section(heading):
    """Return the rows of the table below a heading, as they stand."""
    return re.findall(rf"^## {heading}\n(.*?)^## ", PAGE, re.M | re.S)[0]


def documented_name(name):
    """Return what the page calls a metric of the journal."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return f"{prefix}..."
    return name.replace("/is_success_", "/NAME_")


def test_every_metric_of_a_journal_is_in_the_table_and_no_other(tmp_path):
    overrides = {
        "stop.max_updates": 2,
        "learner.baseline": "value",
        "learner.max_kl": 0.01,
        "learner.episodes_per_update": 4,
        "evaluation.greedy": "both",
        "evaluation.episodes": 5,
        "evaluation.every_updates": 1,
        "tracking.enabled": False,
    }
    options = {"backend": "inline", "directory": tmp_path, "progress": False}
    run = reinforce.train(environment=Succeeding, overrides=overrides, **options)
    lines = (run.path / "metrics.jsonl").read_text().splitlines()

    written = {documented_name(name) for line in lines for name in json.loads(line)["metrics"]}

    named = set(re.findall(r"`([a-z]+/[\w.]+)`", section("Metrics")))
    assert written - named == set()
    assert named - written == NOT_IN_THIS_RUN


def test_every_file_of_a_run_is_in_the_table(tmp_path):
    paths = [path for path in vars(RunDirectory(tmp_path)).values() if isinstance(path, Path)]

    named = {name.rstrip("/") for name in re.findall(r"`([^`]+)`", section("Files of a run"))}
    assert {path.name for path in paths if path != tmp_path} - named == set()

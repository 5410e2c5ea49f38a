"""What MLflow is told about a run in words."""

import os
import sys

import pytest

from reinforce.cluster.tracking.provenance import describe_provenance
from reinforce.cluster.tracking.run_description import (
    group_of,
    note_of,
    params_of,
    status_of,
    tags_of,
)

ORIGIN = {
    "command": ["train", "cartpole", "--run.name", "a b"],
    "directory": "/somewhere",
    "user": "me",
    "host": "here",
    "machine": "2 CPUs",
    "git": {"commit": "0123456789abcdef", "branch": "main", "remote": None, "is_dirty": True},
    "versions": {"python": "3.11.0"},
    "packages": [],
}

SUMMARY = {
    "status": "finished",
    "stop_reason": "target_return",
    "environment_steps": 66726,
    "training_time_s": 0.9,
    "evaluation": {"return_mean": 498.84, "return_ci95": [497.4, 500.2], "episodes": 100},
}


@pytest.mark.parametrize(
    "sections",
    [
        {"run": {"seed": 7, "name": "other"}},
        {"workers": {"num_workers": 9, "ticket_timeout_s": 5.0}},
        {"cluster": {"backend": "ray", "address": "auto"}},
        {"checkpoint": {"every_s": 1.0}},
        {"tracking": {"experiment": "other"}},
        {"evaluation": {"video": True}},
    ],
)
def test_seed_name_workers_and_machines_do_not_change_the_group(make_config, sections):
    assert group_of(make_config(**sections)) == group_of(make_config())


@pytest.mark.parametrize(
    "sections",
    [
        {"learner": {"learning_rate": 0.5}},
        {"environment": {"id": "CartPole-v1"}},
        {"workers": {"envs_per_worker": 3}},
        {"cluster": {"lookahead": 1}},
        {"policy": {"hidden_sizes": [9]}},
    ],
)
def test_what_changes_the_result_changes_the_group(make_config, sections):
    assert group_of(make_config(**sections)) != group_of(make_config())


def test_the_note_says_what_how_to_repeat_it_and_the_result(make_config):
    note = note_of(make_config(), ORIGIN, [], SUMMARY)

    assert "REINFORCE on `fake_environments:Countdown-v0`, seed 0" in note
    assert "finished (target_return): mean return **498.8 (95 %: 497.4 to 500.2)**" in note
    assert "`reinforce train config.yaml --run.name NEW_NAME`" in note
    assert "`reinforce train cartpole --run.name 'a b'` at commit `0123456789ab` with" in note


def test_the_note_has_the_metrics_from_info(make_config):
    metrics = {"metrics": {"energy": 2.5, "is_success": 0.93125}, "metric_episodes": {"energy": 7}}
    summary = {**SUMMARY, "evaluation": {**SUMMARY["evaluation"], **metrics}}

    note = note_of(make_config(), ORIGIN, [], summary)

    assert "66,726 steps and 0.9 s; energy 2.500 (in 7 episodes), is_success 0.931." in note


def test_the_note_of_a_run_without_command_or_repository_leaves_them_out(make_config):
    note = note_of(make_config(), {**ORIGIN, "command": [], "git": None}, [], None)

    assert "It was started as" not in note
    assert "It is running" in note


@pytest.mark.parametrize("name", ["api_key", "private_key", "key", "pwd", "auth"])
def test_words_of_the_command_that_hold_a_secret_are_not_shown(make_config, name):
    words = ["train", "cartpole", "--environment.kwargs", f"{{{name}: hush}}"]

    note = note_of(make_config(), {**ORIGIN, "command": words}, [], None)

    assert "hush" not in note
    assert "train cartpole --environment.kwargs" in note


SECRET_NAMES = [
    *("password", "db_passwd", "pwd", "passphrase", "client_secret", "access_token", "credentials"),
    *("key", "license_key", "private_key", "access_key", "api_key", "apikey", "apiKey", "ssh-key"),
    *("auth", "oauth", "Authorization", "key_id"),
]
PLAIN_NAMES = ["author", "authors", "authority", "monkey", "keyboard", "num_keys", "turkey"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_setting_that_is_called_a_secret_is_hidden_at_any_depth(make_config, name):
    kwargs = {name: "hush", "servers": [{"a": [{name: "hush"}]}], "of": {name: {"value": "hush"}}}
    wrappers = [{"TimeAwareObservation": {name: "hush"}}]

    params = params_of(make_config(environment={"kwargs": kwargs, "wrappers": wrappers}))

    assert params["environment.wrappers"] == f"[{{'TimeAwareObservation': {{'{name}': '***'}}}}]"
    assert params["environment.kwargs"].count("***") == 3
    assert "hush" not in str(params)


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_name_that_only_looks_like_a_secret_is_shown(make_config, name):
    params = params_of(make_config(environment={"kwargs": {name: "shown"}}))

    assert params["environment.kwargs"] == f"{{'{name}': 'shown'}}"


def test_no_setting_of_ours_is_taken_for_a_secret(make_config):
    assert "***" not in str(params_of(make_config()))


def test_params_hold_every_setting_and_no_secret(make_config):
    params = params_of(make_config(environment={"kwargs": {"password": "hush", "length": 3}}))

    assert params["environment.kwargs"] == "{'password': '***', 'length': 3}"
    assert params["policy.hidden_sizes"] == "[8]"
    assert params["stop.max_updates"] == "2"


def test_tags_say_commit_state_and_versions(make_config):
    tags = tags_of(make_config(), "/runs/one", ORIGIN)

    assert tags["mlflow.source.git.commit"] == "0123456789abcdef"
    assert tags["git.is_dirty"] == "true"
    assert tags["version.python"] == "3.11.0"
    assert tags["run_directory"] == "/runs/one"


def test_a_repository_too_large_to_be_looked_through_in_time_is_not_called_clean(
    make_config, tmp_path, monkeypatch
):
    """A git that knows the commit at once and needs for ever to compare the files."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in *status*) exec sleep 60;; esac\necho 0123456789ab\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("reinforce.cluster.tracking.provenance._GIT_TIMEOUT_S", 0.5)

    origin = describe_provenance(["train", "cartpole"])

    assert origin["git"]["is_dirty"] is None
    assert tags_of(make_config(), "/runs/one", origin)["git.is_dirty"] == "unknown"
    note = note_of(make_config(), origin, [], None)
    assert "`0123456789ab`, perhaps with uncommitted changes" in note


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        ({"status": "finished"}, "FINISHED"),
        ({"status": "interrupted"}, "KILLED"),
        ({"status": "failed"}, "FAILED"),
        (None, "FAILED"),
    ],
)
def test_the_status_follows_the_summary(summary, status):
    assert status_of(summary) == status


def test_the_origin_is_known_outside_a_repository_and_without_a_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    origin = describe_provenance([])

    assert origin["git"] is None
    assert origin["user"]
    assert {"python", "ray", "torch"} <= origin["versions"].keys()
    assert any(line.startswith("numpy==") for line in origin["packages"])


def test_a_package_is_named_once_however_often_its_folder_is_searched(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, *sys.path])

    packages = describe_provenance([])["packages"]

    assert len(packages) == len(set(packages))

"""Evaluation of a finished policy: the numbers of training, fresh episodes, nothing written."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from small_runs import train

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.evaluation import Evaluation, evaluation_tickets
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.files import read_json
from reinforce.cluster.number_format import number
from reinforce.workers.tickets import Purpose


def evaluated(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_named_version_that_is_torn_is_refused_with_the_way_out(trained_run, tmp_path, capsys):
    run = shutil.copytree(trained_run, tmp_path / "torn")
    (checkpoint,) = (run / "checkpoints").glob("update-000000003*")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])

    assert main(["evaluate", f"{run}@3", "--trust"]) == 2

    assert "without @3, the newest checkpoint is taken" in capsys.readouterr().err


def test_the_tickets_of_training_give_the_numbers_of_training_again(trained_run):
    policy = TrainedPolicy.load(trained_run, best=False)
    tickets = evaluation_tickets(policy.config, Purpose.CONFIRMATION, policy.weights.version)

    returns = np.concatenate([report.episode_returns for report, _ in policy.play(tickets)])

    expected = read_json(trained_run / "summary.json")["evaluation"]
    assert json.loads(json.dumps(Evaluation.of(returns, greedy=True).as_json())) == expected


def test_a_seed_gives_the_same_result_again_and_another_seed_another(trained_run, capsys):
    first = evaluated(capsys, trained_run, "--episodes", 12, "--seed", 7)
    again = evaluated(capsys, trained_run, "--episodes", 12, "--seed", 7)
    other = evaluated(capsys, trained_run, "--episodes", 12, "--seed", 8)

    assert first == again
    assert first["update"] == 3
    assert first["episodes"] == 12
    assert first["return_mean"] != other["return_mean"]


def test_sampled_actions_differ_from_greedy_ones(trained_run, capsys):
    greedy = evaluated(capsys, trained_run, "--episodes", 12)
    sampled = evaluated(capsys, trained_run, "--episodes", 12, "--sampled")

    assert (greedy["greedy"], sampled["greedy"]) == (True, False)
    assert greedy["return_mean"] != sampled["return_mean"]


def test_people_are_told_policy_interval_and_episodes(trained_run, capsys):
    assert main(["evaluate", str(trained_run), "--episodes", "12"]) == 0

    said = capsys.readouterr().out
    assert "newest checkpoint: update 3, " in said
    assert " (95 %: " in said
    assert "12 fresh, " in said


def test_a_single_episode_has_no_interval(trained_run, capsys):
    """As in Python, any number may be played."""
    one = evaluated(capsys, trained_run, "--episodes", 1)
    assert main(["evaluate", str(trained_run), "--episodes", "1"]) == 0

    assert one["return_ci95"] is None
    assert f"return      mean {one['return_mean']:.1f}, from" in capsys.readouterr().out
    result = reinforce.load(trained_run).evaluate(1)
    assert np.isnan(result.interval).all()
    assert repr(result).startswith(f"<mean return {number(one['return_mean'])} over 1 episode,")


def test_nothing_in_the_run_directory_changes(trained_run):
    before = {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")}

    assert main(["evaluate", str(trained_run), "--episodes", "5"]) == 0

    assert {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")} == before


def test_the_newest_whole_checkpoint_counts(trained_run, tmp_path, capsys):
    run = shutil.copytree(trained_run, tmp_path / "torn")
    newest = run / "checkpoints" / "update-000000003.safetensors"
    shutil.copy(newest, run / "checkpoints" / "update-000000009.safetensors")
    os.truncate(run / "checkpoints" / "update-000000009.safetensors", 500)

    assert evaluated(capsys, run, "--episodes", 5)["update"] == 3


def test_a_version_is_named_as_in_start_from(trained_run, capsys):
    by_update = evaluated(capsys, f"{trained_run}@3", "--episodes", 5)
    by_option = evaluated(capsys, trained_run, "--episodes", 5, "--best")
    best = evaluated(capsys, f"{trained_run}@best", "--episodes", 5)

    assert by_update["update"] == 3
    assert best == by_option
    assert best["checkpoint"] == "best"


@pytest.mark.slow
def test_where_no_terminal_shows_it_a_line_says_how_far_a_long_evaluation_is(tmp_path, capsys):
    heavy = {"environment.id": "fake_environments:Heavy", "environment.kwargs": {"step_s": 0.0}}
    run = train(tmp_path, {**heavy, "stop.max_updates": 1})
    slow = ["--environment.kwargs", "{step_s: 0.008}"]  # 64 episodes of 40 steps take 20 s

    assert main(["evaluate", str(run.path), "--episodes", "64", *slow]) == 0

    said = capsys.readouterr().err
    assert re.search(r"still playing episodes after 1\d s: [1-9]\d* of 64 are over\n", said), said


BAD = {
    "no run directory": (["none"], "none does not exist"),
    "no episode": (["RUN", "--episodes", "0"], "episodes = 0 must be >= 1"),
    "too many episodes": (
        ["RUN", "--episodes", "1000000000000"],
        "episodes = 1,000,000,000,000 must be <= 1,000,000: all returns are kept in memory",
    ),
    "seed below zero": (["RUN", "--seed", "-1"], "seed = -1 must be >= 0\n"),
    "no checkpoint": (["EMPTY"], "has no readable checkpoint"),
    "no such version": (
        ["RUN@99"],
        "give only the place, or add @best or @UPDATE; Python's run.at(99) computes it again",
    ),
    "a version of what cannot be looked at": (["a" * 300 + "@best"], "File name too long"),
    "a version by name and by option": (["RUN@3", "--best"], "leave out --best, or @3"),
    "no best checkpoint": (["EMPTY", "--best"], "without `best`, the newest is taken"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_evaluated_is_said_once(case, trained_run, tmp_path, capsys):
    arguments, message = BAD[case]
    empty = shutil.copytree(trained_run, tmp_path / "empty")
    for file in (empty / "checkpoints").iterdir():
        file.unlink()
    words = [
        word.replace("RUN", str(trained_run)).replace("EMPTY", str(empty)) for word in arguments
    ]

    assert main(["evaluate", *words]) == 2
    assert message in capsys.readouterr().err


def test_help_and_wrong_options_exit_as_everywhere(capsys):
    for arguments, code in [(["--help"], 0), ([], 2), (["run", "--greedy"], 2)]:
        assert main(["evaluate", *arguments]) == code


@pytest.mark.parametrize(
    ("option", "word", "message"),
    [
        ("--episodes", "many", "'many' is not an integer"),
        ("--episodes", "None", "'None' is not an integer"),
        ("--seed", "1.5", "'1.5' is not an integer or None"),
    ],
)
def test_what_is_no_number_is_refused_in_plain_words(option, word, message, capsys):
    assert main(["evaluate", "run", option, word]) == 2

    said = capsys.readouterr().err
    assert f"Error parsing {option}: {message} " in said
    assert "NoneType" not in said

"""Configurations side by side: the same from run directories and from MLflow."""

import csv
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import train
from written_runs import update_entry, write_end, write_run

from reinforce.cluster.analysis.comparison import (
    SCORE,
    RunHistory,
    group_runs,
    history_of,
    told_apart,
)
from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of two step sizes, in a folder whose mlflow.db holds them, too."""
    folder = tmp_path_factory.mktemp("compare")
    short = ["--stop.max_updates", "2", "--evaluation.episodes", "5", "--cluster.backend", "inline"]
    before = Path.cwd()
    os.chdir(folder)
    try:
        for rate in ("0.01", "0.001"):
            for seed in "12":
                names = ["--run.name", f"rate-{rate}-seed-{seed}", "--run.seed", seed]
                settings = ["--learner.learning_rate", rate, "--tracking.enabled", "false"]
                assert main(["train", "cartpole", *short, *names, *settings]) == 0
                sync_run_directory(RunDirectory(folder / "runs" / f"rate-{rate}-seed-{seed}"))
    finally:
        os.chdir(before)
    return sorted((folder / "runs").iterdir())


def compared(capsys, *arguments):
    capsys.readouterr()
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_grouped_by_what_differs_but_the_seed(runs, capsys):
    rows = compared(capsys, *runs, "--statistic", "mean")

    assert [row["configuration"] for row in rows] == [
        "learner.learning_rate 0.001",
        "learner.learning_rate 0.01",
    ]
    for row in rows:
        scores = [
            read_json(path / "summary.json")["evaluation"]["return_mean"]
            for path in runs
            if path.name in row["runs"]
        ]
        assert row["scores"] == scores
        assert row["value"] == pytest.approx(np.mean(scores))
        steps = [
            read_json(path / "summary.json")["environment_steps"]
            for path in runs
            if path.name in row["runs"]
        ]
        assert row["steps"] == [min(steps), max(steps)]
        assert min(scores) - 1e-9 <= row["ci95"][0] <= row["value"] <= row["ci95"][1]


def test_the_store_of_mlflow_says_the_same_as_the_run_directories(runs, capsys):
    uri = f"sqlite:///{runs[0].parent.parent}/mlflow.db"

    from_store = compared(capsys, "--experiment", "reinforce", "--uri", uri)

    from_directories = compared(capsys, *runs)
    key = lambda row: row["configuration"]  # noqa: E731
    assert sorted(from_store, key=key) == sorted(from_directories, key=key)


def test_people_see_a_table_and_a_picture(runs, tmp_path, capsys, monkeypatch):
    """Through a pipe, as here, a row is a line however wide it is."""
    monkeypatch.setenv("COLUMNS", "40")
    picture = tmp_path / "curves.png"

    assert main(["compare", *map(str, runs), "--plot", str(picture)]) == 0

    said = capsys.readouterr().out
    title, slow, fast, _ = said.splitlines()
    assert re.fullmatch(r"configuration +runs +finished +mean return +95 % interval +steps", title)
    for row, rate in ((slow, "0.001"), (fast, "0.01")):
        assert re.match(
            rf"learner\.learning_rate {rate} +2 +2 +[\d.]+ +[\d.]+ to [\d.]+ +[\d,]+ to [\d,]+$",
            row,
        )
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_and_its_numbers_are_as_the_options_say(runs, tmp_path, capsys):
    picture, numbers = tmp_path / "curves.svg", tmp_path / "curves.csv"
    options = ["--labels", "slow", "fast", "--title", "Two rates", "--size", "5", "3", "--profile"]
    options += ["--x-axis", "updates", "--metric", "learner/entropy", "--data", str(numbers)]

    assert main(["compare", *map(str, runs), *options, "--plot", str(picture)]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [f"drawn in {picture}", f"written in {numbers}"]
    assert 'width="360pt" height="216pt"' in picture.read_text()
    with numbers.open() as file:
        rows = [row for row in csv.DictReader(file) if row["panel"] == "curve"]
    assert {row["group"] for row in rows} == {"slow", "fast"}
    assert {row["run"] for row in rows} == {"", *(path.name for path in runs)}
    assert {float(row["x"]) for row in rows} >= {1.0, 2.0}
    assert all(0 < float(row["value"]) <= np.log(2) for row in rows)
    assert not any(row["low"] for row in rows), "two seeds have no interval"


def test_a_configuration_without_a_curve_is_named(runs, make_config, tmp_path, capsys):
    short = train(make_config(run={"name": "short"}, stop={"max_updates": 1}))[2].path

    assert main(["compare", str(runs[0]), str(short), "--data", str(tmp_path / "a.csv")]) == 0

    said = " ".join(capsys.readouterr().err.split())
    assert "no curve for fake_environments:Countdown-v0: not all of its runs have roll" in said


def test_a_metric_may_have_its_name_in_mlflow(runs, tmp_path):
    written = []
    for section in ("rollout", "batch"):
        written.append(tmp_path / f"{section}.csv")
        options = ["--metric", f"{section}/return_max", "--data", str(written[-1])]
        assert main(["compare", *map(str, runs), *options]) == 0

    first, second = (file.read_text() for file in written)
    assert first == second


def test_one_run_alone_has_a_score_and_no_interval(runs, capsys):
    (row,) = compared(capsys, runs[0])

    assert row["configuration"] == "CartPole-v1"
    assert row["ci95"] is None
    assert row["value"] == row["scores"][0]


def history(seed, points, *, score=None, metric="rollout/return_mean"):
    metrics = {"evaluation/return_mean": [], "rollout/return_mean": [], SCORE: []}
    metrics[metric] = points
    metrics[SCORE] = [] if score is None else [(points[-1][0], score)]
    return RunHistory(f"seed {seed}", {"run.seed": str(seed)}, metrics)


def test_a_curve_is_drawn_no_further_than_its_shortest_run():
    short, long = history(1, [(0, 0), (10, 10)]), history(2, [(0, 2), (20, 42)])
    (group,) = group_runs([short, long])

    curve = group.curve(np.mean)

    assert (curve.steps[0], curve.steps[-1]) == (0, 10)
    np.testing.assert_allclose(curve.values, (curve.steps + (2 + 2 * curve.steps)) / 2)
    assert (curve.low <= curve.values).all()
    assert (curve.values <= curve.high).all()


def test_runs_that_did_not_come_to_their_end_are_counted_and_not_scored(runs, capsys):
    (group,) = group_runs([history(1, [(0, 0), (5, 5)]), history(2, [(0, 1), (5, 5)], score=4.0)])

    assert len(group.runs) == 2
    assert group.summary(np.mean)[0] == 4.0


def test_another_run_of_the_same_seed_is_no_further_evidence():
    points = [(0, 0), (5, 5)]
    first, second = history(1, points), history(2, points, score=6.0)
    copy = history(1, points, score=4.0)

    (group,) = group_runs([first, second, copy])

    assert group.runs == [second, copy]
    assert group.copies == [first], "the one that did not come to its end"
    assert sorted(group.scores) == [4.0, 6.0]


def named(*configurations):
    runs = [RunHistory("a run", settings, {}) for settings in configurations]
    return [group.label for group in group_runs(runs)]


def test_configurations_are_named_by_what_differs_within_their_environment():
    """Presets differ from each other in a dozen settings, of which nobody asks for any."""
    pong = {"environment.id": "Pong-v5", "learner.discount": "0.9", "policy.kind": "cnn"}
    cartpole = {"environment.id": "CartPole-v1", "learner.discount": "0.99"}

    assert named(cartpole, pong) == ["CartPole-v1", "Pong-v5"]
    assert named(cartpole, pong, {**pong, "policy.kind": "mlp"}) == [
        "CartPole-v1",
        "Pong-v5, policy.kind cnn",
        "Pong-v5, policy.kind mlp",
    ]


def test_long_numbers_are_named_as_a_sweep_shows_them_unless_two_would_be_the_same():
    rates = lambda *values: named(*({"learner.learning_rate": each} for each in values))  # noqa: E731

    assert rates("0.03265563848609072", "0.01") == [
        "learner.learning_rate 0.03266",
        "learner.learning_rate 0.01",
    ]
    assert rates("0.032655", "0.032656") == [
        "learner.learning_rate 0.032655",
        "learner.learning_rate 0.032656",
    ]


def test_of_many_settings_those_are_named_that_tell_most_configurations_apart():
    many = [f"learner.{name}" for name in ("optimizer", "baseline", "max_kl", "device", "discount")]
    names = named(
        *(
            {**dict.fromkeys(many, str(number > 0)), "policy.activation": str(number)}
            for number in range(3)
        )
    )

    assert names == [
        f"learner.baseline {flag}, learner.device {flag}, learner.discount {flag}, "
        f"policy.activation {number}, 2 other settings"
        for number, flag in enumerate(["False", "True", "True"])
    ]


def test_what_a_run_began_with_is_named_by_its_digest_only_where_that_tells_more():
    starts = lambda *values: named(  # noqa: E731
        *({"run.start_from": a, "run.start_from_sha256": b} for a, b in values)
    )

    assert starts(("None", "None"), ("runs/a", "f8aa")) == [
        "run.start_from None",
        "run.start_from runs/a",
    ]
    assert starts(("runs/a", "f8aa"), ("runs/a", "33b5")) == [
        "run.start_from_sha256 f8aa",
        "run.start_from_sha256 33b5",
    ]


def test_a_single_setting_that_is_not_named_is_one_setting():
    every = RunHistory("", {}, {}).experiment
    many = [name for name in every if name.startswith("learner.")][:5]

    assert all(
        name.endswith(", 1 other setting")
        for name in named(*(dict.fromkeys(many, value) for value in "ab"))
    )


def test_as_many_settings_are_named_as_it_takes_to_tell_all_apart():
    many = list(RunHistory("", {}, {}).experiment)[:7]

    names = named(*({name: str(name == own) for name in many} for own in many))

    assert len(set(names)) == len(many)


def test_copies_are_named_beside_the_table(runs, capsys):
    assert main(["compare", str(runs[0]), str(runs[0])]) == 0

    assert "not counted, since another run has the same seed: " in capsys.readouterr().out


def test_runs_of_one_name_in_two_folders_are_told_apart(runs, tmp_path, capsys):
    other = Path(shutil.copytree(runs[1], tmp_path / "elsewhere" / runs[0].name))

    (group,) = compared(capsys, runs[0], other)

    assert group["runs"] == [str(runs[0]), str(other)]


def test_only_runs_that_share_a_name_are_called_by_their_places():
    runs = [RunHistory(name, {}, {}, place=place) for name, place in ("aX", "bY", "aZ")]

    assert [run.name for run in told_apart(runs)] == ["X", "b", "Z"]


def test_a_run_without_an_update_is_left_out_with_a_line(runs, make_config, capsys):
    empty = write_run(make_config(run={"name": "empty"})).path

    assert main(["compare", str(runs[0]), str(empty)]) == 0
    said = capsys.readouterr()
    assert "CartPole-v1" in said.out
    assert f"left out: {empty}/metrics.jsonl has no update yet" in said.err
    assert main(["compare", str(empty)]) == 2


BAD = {
    "nothing": ([], "name run directories, or an experiment of MLflow by --experiment"),
    "both": (["RUN", "--experiment", "x"], "name run directories, or an experiment"),
    "no run directory": (["none"], "none does not exist"),
    "no such experiment": (
        ["--experiment", "none", "--uri", "STORE"],
        "there is no experiment 'none'; there are: 'reinforce', 'Default'",
    ),
    "no picture": (["RUN", "--plot", "curves.xyz"], "--plot 'curves.xyz' must end in .png"),
    "no table": (["RUN", "--data", "summary.json"], "--data 'summary.json' must end in .csv"),
    "too few labels": (
        ["RUN", "--plot", "a.png", "--labels", "a", "b"],
        "--labels names 2 configurations, and there are 1: CartPole-v1",
    ),
    "no such metric": (
        ["RUN", "--data", "a.csv", "--metric", "rollout/x"],
        "no run has the metric 'rollout/x'; ",
    ),
    "a metric without its section": (
        ["RUN", "--data", "a.csv", "--metric", "return"],
        "or 'rollout/return_max' or 'rollout/return_mean' or 'rollout/return_min'?",
    ),
    "a misspelled metric": (
        ["RUN", "--data", "a.csv", "--metric", "learner/entropi"],
        "no run has the metric 'learner/entropi'; did you mean 'learner/entropy' or ",
    ),
    "a metric of nothing": (
        ["RUN", "--metric", "learner/entropy"],
        "--metric is for the curves: add --plot FILE.png or --data FILE.csv",
    ),
    "no size": (["RUN", "--plot", "a.png", "--size", "0", "4"], "--size 0 4 must be inches"),
    "no size without a picture": (
        ["RUN", "--data", "a.csv", "--size", "0", "4"],
        "--size 0 4 must be inches",
    ),
    "time from MLflow": (
        ["--experiment", "reinforce", "--uri", "STORE", "--x-axis", "time"],
        "--x-axis time needs run directories",
    ),
    "no folder": (["RUN", "--plot", "none/a.png"], "--plot 'none/a.png': No such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared_is_said_once(case, runs, tmp_path, monkeypatch, capsys):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    store = f"sqlite:///{runs[0].parent.parent}/mlflow.db"
    places = {"RUN": str(runs[0]), "STORE": store}

    assert main(["compare", *(places.get(word, word) for word in arguments)]) == 2
    said = capsys.readouterr()
    assert (said.out, message in said.err) == ("", True)
    assert list(tmp_path.iterdir()) == []


def test_a_confirmation_that_failed_is_no_score(make_config):
    confirmed = replace(update_entry(2), metrics={SCORE: 475.0}, batch=None)
    run = write_run(make_config(), [update_entry(1), confirmed, update_entry(2)])

    assert history_of(run.path).score is None
    write_end(run, "interrupted")
    assert history_of(run.path).score is None
    write_end(run)
    assert history_of(run.path).score == 475.0

"""Sweeps: every trial a normal run, in MLflow below its sweep, and none run twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest
import yaml
from processes import processes_in, wait_for
from small_sweeps import rows_of, states_of, summary_of, text_of

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sweep import check
from reinforce.cluster.files import read_json
from reinforce.cluster.number_format import number
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.sweeps.ledger import SweepLedger, sweep_lock
from reinforce.configs.sweep import load_sweep


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_trial_runs_with_every_seed_and_none_runs_twice(write_sweep, capsys):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}, "seeds": [3, 4]})

    assert main(["sweep", "sweep.yaml"]) == 0

    (row,) = rows_of(folder)
    assert (row.params, row.value) == ({"learner.discount": "0.9"}, 3.0)
    for seed in (3, 4):
        run = folder / "runs" / f"trial-0000-seed-{seed}"
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert (config["run"]["seed"], config["learner"]["discount"]) == (seed, 0.9)
    assert "trial-0000 (1 of 1): learner.discount 0.9: mean return 3.0" in capsys.readouterr().out

    text = text_of(folder)
    assert main(["sweep", "sweep.yaml"]) == 0
    assert "\nalready over: 1 of 1\n" in capsys.readouterr().out
    assert text_of(folder) == text


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_goal_from_info_is_the_score(write_sweep, capsys):
    folder = write_sweep(
        {"settings": {"learner.learning_rate": [0.01]}},
        environment={"id": "talkative_corridor:Corridor-v0", "use_vector_implementation": False},
        stop={"max_updates": 1, "target_metric": "is_success"},
        evaluation={"episodes": 7, "every_updates": None, "greedy": False},
    )

    assert main(["sweep", "sweep.yaml"]) == 0

    (row,) = rows_of(folder)
    evaluation = summary_of(folder, 0)["evaluation"]
    assert row.value == evaluation["metrics"]["is_success"] != evaluation["return_mean"]
    assert f"mean is_success {number(row.value)}" in capsys.readouterr().out


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_run_without_the_goal_from_info_has_failed(write_sweep, capsys):
    folder = write_sweep(
        {"settings": {"learner.learning_rate": [0.01]}},
        stop={"max_updates": 1, "target_metric": "is_success"},
    )

    assert main(["sweep", "sweep.yaml"]) == 1

    assert states_of(folder) == [(0, "FAIL")]
    assert (
        "failed: seed 0: no episode of its last evaluation has stop.target_metric = 'is_success'"
        in (capsys.readouterr().out)
    )


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_trial_that_fails_is_noted_and_the_others_run(write_sweep, capsys):
    fault = [{"fault": "none"}, {"fault": "raise"}]
    folder = write_sweep(
        {"settings": {"environment.kwargs": fault, "learner.discount": [0.9]}},
        environment={"id": "fake_environments:Faulty-v0"},
    )

    assert main(["sweep", "sweep.yaml"]) == 0

    assert states_of(folder) == [(0, "COMPLETE"), (1, "FAIL")]
    assert "ArithmeticError: the environment is faulty" in rows_of(folder)[1].user_attrs["error"]
    assert "trial-0001 (2 of 2): environment.kwargs {'fault': 'raise'}" in capsys.readouterr().out

    assert main(["sweep", "sweep.yaml", "--retry-failed"]) == 0
    assert states_of(folder) == [(0, "COMPLETE"), (1, "FAIL"), (1, "FAIL")]


@pytest.mark.slow
def test_ctrl_c_stops_the_run_in_good_order_and_the_same_command_goes_on(write_sweep, tmp_path):
    folder = write_sweep(
        {"settings": {"learner.discount": [0.9, 1.0]}},
        stop={"max_updates": 400},
        environment={"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.001}},
    )
    command = [sys.executable, "-m", "reinforce", "sweep", "sweep.yaml"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = folder / "runs" / "trial-0000-seed-0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "interrupted; run the same command again to continue" in said
    summary = read_json(journal.parent / "summary.json")
    assert summary["status"] == "interrupted"
    assert states_of(folder) == [(0, "RUNNING")]
    played = journal.read_text().count('"batch": {')

    again = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while journal.read_text().count('"batch": {') <= played:
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    again.terminate()
    assert again.wait(120) == 143


@pytest.mark.slow
def test_runs_stop_in_good_order_when_their_sweep_is_killed_and_the_same_command_goes_on(
    write_sweep, tmp_path
):
    folder = write_sweep(
        {"settings": {"learner.discount": [0.9, 1.0]}},
        stop={"max_updates": 1000},
        environment={"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.001}},
    )
    runs = [folder / "runs" / f"trial-000{number}-seed-0" for number in (0, 1)]
    command = [sys.executable, "-m", "reinforce", "sweep", "sweep.yaml", "--parallel", "2"]

    def begin():
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)

    def played():
        journals = [run / "metrics.jsonl" for run in runs]
        return [path.exists() and path.read_text().count('"batch": {') for path in journals]

    sweep = begin()
    wait_for(lambda: all(played()))
    sweep.kill()
    sweep.wait()
    wait_for(lambda: processes_in(tmp_path) == [])

    for run in runs:
        assert read_json(run / "summary.json")["stop_reason"] == "interrupted by SIGTERM"
        assert list((run / "checkpoints").glob("*.safetensors"))
    assert states_of(folder) == [(0, "RUNNING"), (1, "RUNNING")]

    before = played()
    again = begin()
    wait_for(lambda: all(now > then for now, then in zip(played(), before, strict=True)))
    again.terminate()
    assert again.wait(120) == 143
    assert processes_in(tmp_path) == []


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_run_that_another_process_still_makes_is_waited_for(write_sweep, capsys):
    """Of a sweep that was killed: it was refused as in use, and failed although it finished."""
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    assert main(["sweep", "sweep.yaml"]) == 0
    run, lines = folder / "runs" / "trial-0000-seed-0", text_of(folder).splitlines(keepends=True)
    (folder / "study.jsonl").write_text("".join(lines[:-1]))  # all but the end
    (run / "summary.json").rename(run / "not yet")

    with Journal(run / "metrics.jsonl") as journal:

        def finish():
            (run / "not yet").rename(run / "summary.json")
            journal.__exit__()

        Timer(1.0, finish).start()
        assert main(["sweep", "sweep.yaml"]) == 0

    assert states_of(folder) == [(0, "COMPLETE")]
    assert f"other processes are still training: 1, such as {run}" in capsys.readouterr().out


def test_runs_side_by_side_give_what_each_gives_alone(write_sweep):
    folder = write_sweep({"settings": {"learner.discount": [0.8, 0.9]}})

    assert main(["sweep", "sweep.yaml", "--parallel", "2"]) == 0

    assert [(row.params["learner.discount"], row.value) for row in rows_of(folder)] == [
        ("0.8", 3.0),
        ("0.9", 3.0),
    ]


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_trial_that_has_begun_keeps_its_settings_whatever_would_be_proposed_now(write_sweep):
    """The run directory holds these: it could not be resumed under others."""
    discount = {"low": 0.5, "high": 1.0}
    folder = write_sweep({"settings": {"learner.discount": discount}, "method": "tpe", "trials": 2})
    assert main(["sweep", "sweep.yaml"]) == 0
    first, second = (row.params["learner.discount"] for row in rows_of(folder))
    lines = text_of(folder).splitlines(keepends=True)
    # As if the second, of which nothing but its beginning is known, had been proposed another.
    other = "".join(lines[:-1]).replace(str(second), "0.75")
    (folder / "study.jsonl").write_text(other)
    shutil.rmtree(folder / "runs" / "trial-0001-seed-0")

    assert main(["sweep", "sweep.yaml"]) == 0

    assert [row.params["learner.discount"] for row in rows_of(folder)] == [first, 0.75]
    config = yaml.safe_load((folder / "runs" / "trial-0001-seed-0" / "config.yaml").read_text())
    assert config["learner"]["discount"] == 0.75


def test_runs_that_would_take_the_whole_machine_each_are_not_put_side_by_side(write_sweep, capsys):
    settings = {"learner.discount": [0.9, 1.0]}
    for workers in ({}, {"max_workers": 2}):
        about = {"cluster": {"backend": "ray"}, "workers": workers}
        folder = write_sweep({"settings": settings}, **about)

        assert main(["sweep", "sweep.yaml", "--parallel", "2"]) == 2

        assert "each run would take all CPUs for itself; in the base" in capsys.readouterr().err
        assert not folder.exists()


def test_runs_of_a_sweep_on_a_cluster_share_it(write_sweep, tmp_path):
    cluster = {"backend": "ray", "address": "auto"}
    write_sweep({"settings": {"learner.discount": [0.9, 1.0]}}, cluster=cluster)

    check(*load_sweep(tmp_path / "sweep.yaml"), 2)


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_in_mlflow_the_trials_stand_below_their_sweep(write_sweep, tmp_path, capsys):
    from mlflow import MlflowClient

    folder = write_sweep({"settings": {"learner.discount": [0.9, 1.0]}}, tracking={"enabled": True})

    assert main(["sweep", "sweep.yaml"]) == 0

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    parent = client.get_run(read_json(folder / "tracking.json")["run_id"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert parent.info.status == "FINISHED"
    assert {child.data.metrics["sweep/score"] for child in children} == {3.0}
    view = f"mlflow.sharedViewState.{parent.info.run_id}"
    assert (
        json.loads(client.get_experiment(parent.info.experiment_id).tags[view])["name"] == "sweep"
    )
    link = f"runs?workflowType=machine_learning&viewStateShareKey={parent.info.run_id}"
    assert link in capsys.readouterr().out
    assert sorted(child.data.tags["trial"] for child in children) == ["0", "1"]
    assert {child.info.status for child in children} == {"FINISHED"}
    assert {child.data.tags["trial_state"] for child in children} == {"COMPLETE"}


@pytest.mark.parametrize(
    "line", ['{"op_code": "0"}', "{}", "[]", "no JSON", '{"op_code":4,"study_id":0}', '"\\ud800"']
)
def test_a_damaged_line_of_the_study_is_said_and_nothing_is_cut(line, write_sweep, capsys):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    (folder / "study.jsonl").write_text(f"{line}\n")

    assert main(["sweep", "sweep.yaml"]) == 2

    assert f"{folder}/study.jsonl is damaged (" in capsys.readouterr().err
    assert text_of(folder) == f"{line}\n"


def test_the_folder_of_an_older_sweep_is_refused_and_left_as_it_was(write_sweep, capsys):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    (folder / "settings.jsonl").write_text('{"trial": 0, "settings": {"learner.discount": 0.9}}\n')

    assert main(["sweep", "sweep.yaml"]) == 2

    assert "holds a sweep of version 0.1, which kept other records" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["settings.jsonl"]


@pytest.mark.parametrize("package", ["optuna", "cmaes"])
def test_a_sweep_without_the_extra_is_told_how_to_get_it(package, write_sweep, monkeypatch, capsys):
    def find(name):
        return None if name == package else name

    monkeypatch.setattr("reinforce.cluster.commands.sweep.find_spec", find)
    settings = {"learner.discount": {"low": 0.5, "high": 1.0}}
    folder = write_sweep({"settings": settings, "method": "cmaes", "trials": 1})

    assert main(["sweep", "sweep.yaml"]) == 2

    said = capsys.readouterr().err
    assert f"a sweep needs the package {package}, of the extra `sweep`: pip install" in said
    assert not folder.exists()


def test_two_processes_do_not_run_one_sweep_nor_touch_each_others_study(write_sweep, capsys):
    """The line that another process is writing looks like one that is torn."""
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    with sweep_lock(folder):
        pass
    being_written = '{"op_code": 0, "se'
    (folder / "study.jsonl").write_text(being_written)

    with sweep_lock(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert main(["sweep", "sweep.yaml"]) == 2

    assert "another process runs this sweep" in capsys.readouterr().err
    assert text_of(folder) == being_written
    assert not (folder / "sweep.yaml").exists(), "the other one has still to say what it sweeps"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.yaml", "metrics.jsonl"], "sweep is a run directory"),
        (["tracking.json"], "tracking.json is not of a sweep"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(
    files, words, write_sweep, capsys
):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("keep")

    assert main(["sweep", "sweep.yaml"]) == 2

    assert f"{words}; choose another --directory" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == files


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_lock_of_optuna_that_a_killed_sweep_left_is_not_waited_for(write_sweep):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    (folder / "study.jsonl.lock").symlink_to("study.jsonl")
    began_s = time.monotonic()

    assert main(["sweep", "sweep.yaml"]) == 0

    assert time.monotonic() - began_s < 25
    assert states_of(folder) == [(0, "COMPLETE")]


GRID = (
    *("learning_rate", "discount", "gae_lambda"),
    *("value_learning_rate", "max_gradient_norm", "entropy_coefficient"),
)

BAD = {
    "no such setting": ({"settings": {"learner.rate": [1]}}, "'learner.rate' cannot be swept"),
    "the seed": ({"settings": {"run.seed": [1]}}, "'run.seed' cannot be swept; `seeds` lists"),
    "a word for the seed": ({"settings": {"seed": [1]}}, "'seed' cannot be swept; `seeds` lists"),
    "the goal": (
        {"settings": {"stop.target_metric": ["success", None]}},
        "'stop.target_metric' cannot be swept",
    ),
    "a value out of range": (
        {"settings": {"learner.learning_rate": [0.1, -1]}},
        "learner.learning_rate = -1 is refused",
    ),
    "nothing": ({"settings": {}}, "sweep.settings = {} is refused"),
    "a range in a grid": (
        {"settings": {"learner.discount": {"low": 0.5, "high": 1.0}}},
        "learner.discount is a range, but method = 'grid' tries all combinations",
    ),
    "no number of trials": (
        {"settings": {"learner.discount": [1.0]}, "method": "random"},
        "method = 'random' needs the number of trials",
    ),
    "a range turned round": (
        {"settings": {"learner.discount": {"low": 1, "high": 0}}, "method": "random", "trials": 1},
        "it has to be low < high",
    ),
    "an unknown key": (
        {"settings": {"learner.discount": [1]}, "seed": 1},
        "unknown key 'sweep.seed'; did you mean 'sweep.seeds'?",
    ),
    "a setting with a slip": (
        {"settings": {"learner.discoun": [1]}},
        "'learner.discoun' cannot be swept; did you mean 'learner.discount'",
    ),
    "a section of settings": (
        {"settings": {"learner": {"discount": [1]}}},
        "'learner' cannot be swept; did you mean 'learner.",
    ),
    "one value": (
        {"settings": {"learner.discount": 0.9}},
        "learner.discount = 0.9 is neither a list of choices, such as [a, b], nor a range",
    ),
    "no choice": ({"settings": {"learner.discount": []}}, "learner.discount = [] is neither"),
    "a list of settings": (
        {"settings": ["learner.discount"]},
        "sweep.settings = ['learner.discount'] is refused: it should be a mapping of keys",
    ),
    "a value of another kind": (
        {"settings": {"learner.discount": ["high"]}},
        "learner.discount = 'high' is refused: it should be a number",
    ),
    "a method with a slip": (
        {"settings": {"learner.discount": [1]}, "method": "gird"},
        "sweep.method = 'gird' is refused: it should be 'grid', 'random', 'tpe', 'cmaes' or 'gp'",
    ),
    "trials that are no number": (
        {"settings": {"learner.discount": [1]}, "method": "random", "trials": "many"},
        "sweep.trials = 'many' is refused: it should be an integer",
    ),
    "a negative seed": (
        {"settings": {"learner.discount": [1]}, "seeds": [0, -1]},
        "sweep.seeds = -1 is refused",
    ),
    "a seed twice": (
        {"settings": {"learner.discount": [1]}, "seeds": [3, 3]},
        "sweep.seeds = [3, 3]: list each seed once",
    ),
    "a range without an end": (
        {"settings": {"learner.discount": {"low": 0, "hgih": 1}}, "method": "random", "trials": 1},
        "the range of learner.discount: unknown key 'range.hgih'; did you mean 'range.high'?",
    ),
    "a range that leaves the bounds": (
        {"settings": {"learner.discount": {"low": 0, "high": 2}}, "method": "random", "trials": 1},
        "the range of learner.discount: learner.discount = 2.0 is refused",
    ),
    "fractions for whole numbers": (
        {
            "settings": {"learner.episodes_per_update": {"low": 2, "high": 8}},
            "method": "random",
            "trials": 1,
        },
        "is refused: it should be an integer or 'auto'",
    ),
    "a range of whole numbers without end": (
        {
            "settings": {"learner.episodes_per_update": {"low": 1, "high": 1e30, "integer": True}},
            "method": "random",
            "trials": 1,
        },
        "whole numbers go up to 9,007,199,254,740,992",
    ),
    "a range over all numbers": (
        {
            "settings": {"stop.target_return": {"low": -1e308, "high": 1e308, "integer": True}},
            "method": "random",
            "trials": 1,
        },
        "whole numbers go up to 9,007,199,254,740,992",
    ),
    "a grid without end": (
        {"settings": {f"learner.{name}": [0.5] * 100 for name in GRID}},
        "1,000,000,000,000 trials with 1 seed each are more than the 10,000 runs",
    ),
    "seeds without end": (
        {
            "settings": {"learner.discount": [1]},
            "method": "random",
            "trials": 5000,
            "seeds": [0, 1, 2],
        },
        "5,000 trials with 3 seeds each are more than the 10,000 runs",
    ),
    "a seed of the draws that Optuna cannot take": (
        {"settings": {"learner.discount": [1]}, "sampler_seed": 2**40},
        "sweep.sampler_seed = 1099511627776 is refused",
    ),
    "a pruner without a rung": (
        {"settings": {"learner.discount": [1]}, "pruner": "median"},
        "pruner = 'median' and first_rung = None do not go together; a pruner needs",
    ),
    "a rung without a pruner": (
        {"settings": {"learner.discount": [1]}, "first_rung": 5},
        "pruner = 'none' and first_rung = 5 do not go together",
    ),
    "a pruner of two minds": (
        {
            "settings": {"learner.discount": [1]},
            "pruner": "median",
            "first_rung": 5,
            "objectives": [{"metric": "score"}, {"metric": "success"}],
        },
        "pruner = 'median' judges by one objective, and there are 2; use pruner: none",
    ),
    "a pruner that compares steps after equally many": (
        {
            "settings": {"learner.discount": [1]},
            "pruner": "median",
            "first_rung": 5,
            "objectives": [{"metric": "environment_steps", "direction": "minimize"}],
        },
        "compares trials after equally many environment_steps, which cannot be the objective",
    ),
    "an objective twice": (
        {"settings": {"learner.discount": [1]}, "objectives": [{}, {"metric": "score"}]},
        "sweep.objectives = ['score', 'score']: list each metric once",
    ),
    "a metric that is not measured": (
        {"settings": {"learner.discount": [1]}, "constraints": {"energy": 1}},
        "'energy' is not measured, only score, environment_steps, is_success, success; name it in",
    ),
    "CMA-ES without a range": (
        {"settings": {"learner.discount": [1]}, "method": "cmaes", "trials": 2},
        "method = 'cmaes' needs a range; of choices alone use method: tpe",
    ),
    "CMA-ES with a constraint": (
        {
            "settings": {"learner.discount": {"low": 0, "high": 1}},
            "method": "cmaes",
            "trials": 2,
            "constraints": {"success": 1},
        },
        "method = 'cmaes' has one objective and no constraints; use method: tpe",
    ),
    "a base that does not exist": (
        {"settings": {"learner.discount": [1]}, "base": "cartpol"},
        "there is no preset 'cartpol'; did you mean 'cartpole'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_swept_is_said_before_anything_starts(case, write_sweep, capsys):
    values, message = BAD[case]
    folder = write_sweep(values)

    assert main(["sweep", "sweep.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reinforce: sweep.yaml: ")
    assert message in said
    assert not folder.exists()


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_trial_that_an_earlier_call_began_continues_and_another_begins(write_sweep, capsys):
    folder = write_sweep({"settings": {"learner.discount": [0.9, 0.8]}})
    folder.mkdir(parents=True)
    sweep, _ = load_sweep(Path("sweep.yaml"))
    SweepLedger(folder, sweep).begin(0, {"learner.discount": "0.9"})

    assert main(["sweep", "sweep.yaml"]) == 0

    said = capsys.readouterr().out
    assert "trial-0000 (1 of 2): learner.discount 0.9: continues\n" in said
    assert "trial-0001 (2 of 2): learner.discount 0.8: begins\n" in said


NO_SWEEP = {
    "nothing": ("", "sweep.yaml: sweep.base is missing"),
    "a list": ("- cartpole\n", "sweep.yaml: it holds a list, not a mapping with 'base: cartpole'"),
    "no YAML": ("base: [\n", "sweep.yaml: it is not valid YAML"),
    "a key twice": (
        "base: cartpole\nbase: article\n",
        "it is not valid YAML, line 2: the key 'base' appears twice in a mapping",
    ),
    "a setting twice": (
        "base: cartpole\nsettings: {learner.discount: [1], learner.discount: [0.9]}\n",
        "the key 'learner.discount' appears twice in a mapping",
    ),
    "no text": (b"\xff\xfe", "cannot read the sweep 'sweep.yaml': it is not UTF-8 text"),
}


@pytest.mark.parametrize("case", NO_SWEEP)
def test_a_file_that_is_no_sweep_is_refused_by_name(case, tmp_path, monkeypatch, capsys):
    text, message = NO_SWEEP[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())

    assert main(["sweep", "sweep.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


@pytest.mark.parametrize("verb", ["sweep", "train"])
def test_layers_that_no_network_of_ones_own_has_are_refused(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text("policy: {kind: 'user_package:Attentive'}\n")
    (tmp_path / "sweep.yaml").write_text(
        "base: base.yaml\nsettings: {policy.hidden_sizes: [[8], [16]]}\n"
    )
    words = {"sweep": ["sweep.yaml"], "train": ["base.yaml", "--policy.hidden_sizes", "8"]}[verb]

    assert main([verb, *words]) == 2
    assert "policy.hidden_sizes would not be used: user_package:Att" in capsys.readouterr().err


def test_a_preset_instead_of_a_sweep_is_told_what_a_sweep_is(write_sweep, capsys):
    write_sweep({})

    assert main(["sweep", "cartpole"]) == 2
    assert (
        "cannot read the sweep 'cartpole': No such file or directory; a sweep is a YAML file; "
        "page Tools of the docs shows one"
    ) in capsys.readouterr().err


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_folder_of_another_sweep_is_refused(write_sweep, capsys):
    write_sweep({"settings": {"learner.discount": [0.9]}})
    assert main(["sweep", "sweep.yaml"]) == 0
    write_sweep({"settings": {"learner.discount": [0.8]}})

    assert main(["sweep", "sweep.yaml"]) == 2
    assert "other settings:\n  sweep.settings, learner.discount: [0.9] there, [0.8] here\n" in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_folder_of_a_sweep_with_another_base_is_refused_with_what_differs(write_sweep, capsys):
    settings = {"settings": {"learner.discount": [0.9]}}
    write_sweep(settings)
    assert main(["sweep", "sweep.yaml"]) == 0
    write_sweep({**settings, "seeds": [1]}, stop={"max_updates": 2})

    assert main(["sweep", "sweep.yaml"]) == 2
    said = capsys.readouterr().err
    assert (
        "\n  sweep.seeds: [0] there, [1] here\n  base, stop.max_updates: 1 there, 2 here\n" in said
    )


@pytest.mark.usefixtures("_sweeps_in_this_process")
def test_a_sweep_goes_on_in_a_later_version_with_more_settings(write_sweep):
    folder = write_sweep({"settings": {"learner.discount": [0.9]}})
    assert main(["sweep", "sweep.yaml"]) == 0
    noted = yaml.safe_load((folder / "sweep.yaml").read_text())
    base = yaml.safe_load(noted["base"])
    del noted["sweep"]["sampler_seed"], base["learner"]["max_kl"]
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**noted, "base": yaml.safe_dump(base)}))

    assert main(["sweep", "sweep.yaml"]) == 0

"""Sweeps: every trial a normal run, in MLflow below its sweep, and none run twice."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from threading import Timer
from types import SimpleNamespace

import pytest
import yaml
from processes import processes_in, wait_for

from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.sweeps.ledger import SweepLedger, TrialRun, sweep_lock

BASE = {
    "environment": {"id": "fake_environments:Countdown-v0"},
    "stop": {"max_updates": 1},
    "policy": {"hidden_sizes": []},
    "learner": {"episodes_per_update": 4},
    "cluster": {"backend": "inline"},
    "evaluation": {"episodes": 5, "every_updates": None},
    "tracking": {"enabled": False},
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes base.yaml and sweep.yaml into the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    def write_files(sweep, **base):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump({**BASE, **base}))
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"base": "base.yaml", **sweep}))
        return tmp_path / "sweeps" / "sweep"

    return write_files


class InThisProcess:
    """Stands for the process of a run, which is over when it has been started."""

    stdin = None

    def __init__(self, command, *, stdout, **_):
        with (
            os.fdopen(os.dup(stdout.fileno()), "w") as log,
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            self._code = main(command[command.index("train") :])

    def poll(self):
        return self._code


@pytest.fixture
def _runs_in_this_process(monkeypatch):
    """Processes, which cost seconds, are left to those tests that are about them."""
    processes = SimpleNamespace(Popen=InThisProcess, PIPE=subprocess.PIPE)
    monkeypatch.setattr("reinforce.cluster.sweeps.sweep.subprocess", processes)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_trial_runs_with_every_seed_and_none_runs_twice(write, capsys):
    folder = write({"settings": {"learner.discount": [0.9]}, "seeds": [3, 4]})

    assert main(["sweep", "sweep.yaml"]) == 0

    lines = lines_of(folder)
    assert [(each["trial"], each["seed"]) for each in lines] == [(0, 3), (0, 4)]
    for line in lines:
        assert line["settings"] == {"learner.discount": 0.9}
        assert (line["status"], line["score"]) == ("finished", 3.0)
        config = yaml.safe_load((folder / "runs" / line["run"] / "config.yaml").read_text())
        assert (config["run"]["seed"], config["learner"]["discount"]) == (line["seed"], 0.9)
    assert "trial 1 of 1, seed 4: learner.discount 0.9: mean return 3.0" in capsys.readouterr().out

    assert main(["sweep", "sweep.yaml"]) == 0
    assert lines_of(folder) == lines


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_goal_from_info_is_the_score(write, capsys):
    folder = write(
        {"settings": {"learner.learning_rate": [0.01]}},
        environment={"id": "talkative_corridor:Corridor-v0", "use_vector_implementation": False},
        stop={"max_updates": 1, "target_metric": "is_success"},
        evaluation={"episodes": 7, "every_updates": None, "greedy": False},
    )

    assert main(["sweep", "sweep.yaml"]) == 0

    (line,) = lines_of(folder)
    summary = read_json(folder / "runs" / line["run"] / "summary.json")
    assert line["score"] == summary["evaluation"]["metrics"]["is_success"]
    assert line["score"] != summary["evaluation"]["return_mean"]
    assert f"mean is_success {line['score']:.4g}" in capsys.readouterr().out


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_run_without_the_goal_from_info_has_failed(write):
    folder = write(
        {"settings": {"learner.learning_rate": [0.01]}},
        stop={"max_updates": 1, "target_metric": "is_success"},
    )

    assert main(["sweep", "sweep.yaml"]) == 1

    (line,) = lines_of(folder)
    assert (line["status"], line["score"]) == ("failed", None)
    assert "has stop.target_metric = 'is_success'" in line["error"]


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_run_that_fails_is_noted_and_the_others_run(write, capsys):
    fault = [{"fault": "none"}, {"fault": "raise"}]
    folder = write(
        {"settings": {"environment.kwargs": fault, "learner.discount": [0.9]}},
        environment={"id": "fake_environments:Faulty-v0"},
    )

    assert main(["sweep", "sweep.yaml"]) == 0

    good, bad = lines_of(folder)
    assert good["status"] == "finished"
    assert bad["status"] == "failed"
    assert bad["score"] is None
    assert "ArithmeticError: the environment is faulty" in bad["error"]
    shown = capsys.readouterr().out
    assert "trial 2 of 2, seed 0" in shown
    assert "failed: " in shown

    assert main(["sweep", "sweep.yaml", "--retry-failed"]) == 0
    assert [line["trial"] for line in lines_of(folder)] == [0, 1, 1]


@pytest.mark.slow
def test_ctrl_c_stops_the_run_in_good_order_and_the_same_command_goes_on(write, tmp_path):
    folder = write(
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
    assert "the same command goes on from here" in said
    summary = read_json(journal.parent / "summary.json")
    assert summary["status"] == "interrupted"
    assert not (folder / "trials.jsonl").exists()
    played = journal.read_text().count('"batch": {')

    again = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while journal.read_text().count('"batch": {') <= played:
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    again.terminate()
    assert again.wait(120) == 143


@pytest.mark.slow
def test_runs_stop_in_good_order_when_their_sweep_is_killed_and_the_same_command_goes_on(
    write, tmp_path
):
    folder = write(
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
        assert read_json(run / "summary.json")["stop_reason"] == "stopped by SIGTERM"
        assert list((run / "checkpoints").glob("*.safetensors"))
    assert not (folder / "trials.jsonl").exists()

    before = played()
    again = begin()
    wait_for(lambda: all(now > then for now, then in zip(played(), before, strict=True)))
    again.terminate()
    assert again.wait(120) == 143
    assert processes_in(tmp_path) == []


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_run_that_another_process_still_makes_is_waited_for(write, capsys):
    """Of a sweep that was killed: it was refused as in use, and failed although it finished."""
    folder = write({"settings": {"learner.discount": [0.9]}})
    assert main(["sweep", "sweep.yaml"]) == 0
    lines, run = lines_of(folder), folder / "runs" / "trial-0000-seed-0"
    (folder / "trials.jsonl").unlink()
    (run / "summary.json").rename(run / "not yet")

    with Journal(run / "metrics.jsonl") as journal:

        def finish():
            (run / "not yet").rename(run / "summary.json")
            journal.__exit__()

        Timer(1.0, finish).start()
        assert main(["sweep", "sweep.yaml"]) == 0

    assert lines_of(folder) == lines
    assert f"waits for their end, such as {run}" in capsys.readouterr().out


def test_runs_side_by_side_give_what_each_gives_alone(write):
    folder = write({"settings": {"learner.discount": [0.8, 0.9]}})

    assert main(["sweep", "sweep.yaml", "--parallel", "2"]) == 0

    lines = sorted(lines_of(folder), key=lambda line: line["trial"])
    assert [(line["settings"]["learner.discount"], line["score"]) for line in lines] == [
        (0.8, 3.0),
        (0.9, 3.0),
    ]


@pytest.mark.usefixtures("_runs_in_this_process")
def test_optuna_hears_of_all_trials_but_those_that_can_be_under_way(write, monkeypatch):
    heard = []

    def remembering(trial, history):
        heard.append(len(history))
        return {"learner.discount": 0.9}

    monkeypatch.setattr("reinforce.cluster.sweeps.sweep.make_sampler", lambda sweep: remembering)
    settings = {"learner.discount": {"low": 0.5, "high": 0.9}}
    write({"settings": settings, "method": "optuna", "trials": 3})

    assert main(["sweep", "sweep.yaml", "--parallel", "2"]) == 0

    assert heard == [0, 0, 1]


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_trial_that_has_begun_keeps_its_settings_whatever_would_be_proposed_now(
    write, monkeypatch
):
    """Optuna proposes others once it has heard of other trials, and the run directory holds these:
    it could not be resumed under others."""
    proposals = iter([0.9, 0.8])

    def propose(trial, history):
        return {"learner.discount": next(proposals)}

    monkeypatch.setattr("reinforce.cluster.sweeps.sweep.make_sampler", lambda sweep: propose)
    folder = write(
        {"settings": {"learner.discount": [0.9, 0.8]}, "method": "optuna", "trials": 1},
        environment={"id": "fake_environments:Faulty-v0", "kwargs": {"fault": "raise"}},
    )
    for words in ([], ["--retry-failed"]):
        assert main(["sweep", "sweep.yaml", *words]) == 1, "no run finished"

    first, again = lines_of(folder)
    assert first["settings"] == again["settings"] == {"learner.discount": 0.9}
    assert "ArithmeticError: the environment is faulty" in again["error"]


def test_a_run_that_ends_just_after_it_was_asked_is_not_lost(write, monkeypatch):
    """It is over from the second question on: whoever asks twice in a round drops it unseen."""

    class EndsBetweenQuestions:
        def __init__(self, trial, settings, config, folder):
            self._run = TrialRun(trial, config.run.seed, settings, "finished", 1.0, config.run.name)
            self._num_questions = 0

        def is_over(self):
            self._num_questions += 1
            return self._num_questions > 1

        def outcome(self):
            return self._run

        def let_go(self):
            pass

    monkeypatch.setattr("reinforce.cluster.sweeps.sweep.TrialProcess", EndsBetweenQuestions)
    folder = write({"settings": {"learner.discount": [0.9, 1.0]}})

    assert main(["sweep", "sweep.yaml"]) == 0

    assert [line["trial"] for line in lines_of(folder)] == [0, 1]


def test_runs_that_would_take_the_whole_machine_each_are_not_put_side_by_side(write, capsys):
    folder = write({"settings": {"learner.discount": [0.9, 1.0]}}, cluster={"backend": "ray"})

    assert main(["sweep", "sweep.yaml", "--parallel", "2"]) == 2

    assert "set workers.num_workers in the base" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.usefixtures("_runs_in_this_process")
def test_in_mlflow_the_trials_stand_below_their_sweep(write, tmp_path):
    from mlflow import MlflowClient

    folder = write({"settings": {"learner.discount": [0.9, 1.0]}}, tracking={"enabled": True})

    assert main(["sweep", "sweep.yaml"]) == 0

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    parent = client.get_run(read_json(folder / "tracking.json")["run_id"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"sweep/score": 3.0, "sweep/best_score": 3.0}
    assert sorted(child.data.tags["trial"] for child in children) == ["0", "1"]
    assert {child.info.status for child in children} == {"FINISHED"}


def test_what_a_trial_tries_is_known_from_its_beginning_on(tmp_path):
    SweepLedger(tmp_path, forget_failed=False).begin(0, {"learner.discount": 0.9})
    with (tmp_path / "settings.jsonl").open("a") as file:
        file.write('{"trial": 1, "se')

    again = SweepLedger(tmp_path, forget_failed=False)

    assert again.settings_of(0) == {"learner.discount": 0.9}
    assert again.settings_of(1) is None
    assert again.runs() == []


def test_a_torn_line_is_forgotten_and_the_file_stays_whole(tmp_path):
    ledger = SweepLedger(tmp_path, forget_failed=False)
    run = TrialRun(0, 1, {"learner.discount": 0.9}, "finished", 5.0, "trial-0000-seed-1")
    ledger.add(run)
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"trial": 0, "se')

    again = SweepLedger(tmp_path, forget_failed=False)
    other = TrialRun(0, 2, {"learner.discount": 0.9}, "failed", None, "trial-0000-seed-2", "x")
    again.add(other)

    assert again.runs_of(0) == again.runs() == [run, other]
    assert again.history(1) == [({"learner.discount": 0.9}, 5.0)]
    forgetful = SweepLedger(tmp_path, forget_failed=True)
    assert forgetful.runs_of(0) == [run]


@pytest.mark.parametrize("name", ["trials", "settings"])
def test_a_damaged_line_of_the_ledger_is_named_and_nothing_is_cut(name, write, capsys):
    folder = write({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    damaged = '{"trial": "0", "settings": {}}\ntorn'
    (folder / f"{name}.jsonl").write_text(damaged)

    assert main(["sweep", "sweep.yaml"]) == 2

    assert f"{folder}/{name}.jsonl, line 1 is damaged (trial: " in capsys.readouterr().err
    assert (folder / f"{name}.jsonl").read_text() == damaged


@pytest.mark.usefixtures("_runs_in_this_process")
def test_settings_that_another_noted_and_do_not_exist_are_a_failed_run(write, capsys):
    folder = write({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    (folder / "settings.jsonl").write_text('{"trial": 0, "settings": {"lerner.discount": 0.9}}\n')

    assert main(["sweep", "sweep.yaml"]) == 1

    assert "unknown key 'lerner'; did you mean 'learner'?" in capsys.readouterr().out


def test_two_processes_do_not_run_one_sweep_nor_touch_each_others_ledger(write, capsys):
    """The line that another process is writing looks like one that is torn."""
    folder = write({"settings": {"learner.discount": [0.9]}})
    folder.mkdir(parents=True)
    being_written = '{"trial": 0, "se'
    (folder / "trials.jsonl").write_text(being_written)

    with sweep_lock(folder):
        assert main(["sweep", "sweep.yaml"]) == 2

    assert "another process runs this sweep" in capsys.readouterr().err
    assert (folder / "trials.jsonl").read_text() == being_written


GRID = (
    *("learning_rate", "discount", "gae_lambda"),
    *("value_learning_rate", "max_gradient_norm", "entropy_coefficient"),
)

BAD = {
    "no such setting": ({"settings": {"learner.rate": [1]}}, "'learner.rate' cannot be swept"),
    "the seed": ({"settings": {"run.seed": [1]}}, "'run.seed' cannot be swept"),
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
        "unknown key 'sweep.seed'; did you mean 'seeds'?",
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
        "sweep.method = 'gird' is refused: it should be 'grid', 'random' or 'optuna'",
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
        "sweep.seeds = [3, 3]: each may stand there once",
    ),
    "a range without an end": (
        {"settings": {"learner.discount": {"low": 0, "hgih": 1}}, "method": "random", "trials": 1},
        "the range of learner.discount: range.high is missing",
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
        "whole numbers end at 9,007,199,254,740,992",
    ),
    "a range over all numbers": (
        {
            "settings": {"stop.target_return": {"low": -1e308, "high": 1e308, "integer": True}},
            "method": "random",
            "trials": 1,
        },
        "whole numbers end at 9,007,199,254,740,992",
    ),
    "a grid without end": (
        {"settings": {f"learner.{name}": [0.5] * 100 for name in GRID}},
        "1,000,000,000,000 trials with 1 seeds each are more than the 10,000 runs",
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
    "a base that does not exist": (
        {"settings": {"learner.discount": [1]}, "base": "cartpol"},
        "there is no preset 'cartpol'; did you mean 'cartpole'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_swept_is_said_before_anything_starts(case, write, capsys):
    values, message = BAD[case]
    folder = write(values)

    assert main(["sweep", "sweep.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reinforce: sweep.yaml: ")
    assert message in said
    assert not folder.exists()


NO_SWEEP = {
    "nothing": ("", "sweep.yaml: sweep.base is missing"),
    "a list": ("- cartpole\n", "sweep.yaml: it holds a list, not a mapping with 'base: cartpole'"),
    "no YAML": ("base: [\n", "sweep.yaml: it is not valid YAML"),
    "a key twice": (
        "base: cartpole\nbase: article\n",
        "the key 'base' stands twice in a mapping\n  in \"the text\", line 2",
    ),
    "a setting twice": (
        "base: cartpole\nsettings: {learner.discount: [1], learner.discount: [0.9]}\n",
        "the key 'learner.discount' stands twice in a mapping",
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


def test_a_preset_instead_of_a_sweep_is_told_what_a_sweep_is(write, capsys):
    write({})

    assert main(["sweep", "cartpole"]) == 2
    assert (
        "cannot read the sweep 'cartpole': No such file or directory; a sweep is a YAML file; "
        "docs/tools.md shows one"
    ) in capsys.readouterr().err


@pytest.mark.usefixtures("_runs_in_this_process")
def test_a_folder_of_another_sweep_is_refused(write, capsys):
    write({"settings": {"learner.discount": [0.9]}})
    assert main(["sweep", "sweep.yaml"]) == 0
    write({"settings": {"learner.discount": [0.8]}})

    assert main(["sweep", "sweep.yaml"]) == 2
    assert "holds another sweep, or this one with other settings" in capsys.readouterr().err

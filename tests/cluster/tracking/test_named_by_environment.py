"""The variables that MLflow and its Projects set: what they name is used as MLflow uses it."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.projects.utils import get_or_create_run, get_run_env_vars
from written_runs import records, stored_points, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json
from reinforce.cluster.tracking.experiment import missing
from reinforce.cluster.tracking.store import TrackingStore
from reinforce.configs.execution import TrackingConfig


@pytest.fixture
def client(store_uri):
    return MlflowClient(store_uri)


def sent(config, name="test"):
    """Write a run, send it, and return what is in MLflow of it."""
    run = write_run(
        config.model_copy(update={"run": config.run.model_copy(update={"name": name})}),
        records(1, 2),
    )
    write_end(run)
    assert main(["sync", str(run.path)]) == 0
    return MlflowClient().get_run(read_json(run.tracking_file)["run_id"])


def experiment_of(run):
    return MlflowClient().get_experiment(run.info.experiment_id).name


def test_an_experiment_is_named_by_name_or_by_id(make_config, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    assert experiment_of(sent(make_config(), "one")) == "by name"

    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("by id"))
    assert experiment_of(sent(make_config(), "two")) == "by id"


def test_names_and_ids_that_do_not_fit_are_refused(make_config, client, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("other"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    run = write_run(make_config(), records(1, 2))
    assert main(["sync", str(run.path)]) == 2
    assert "unset one of them" in capsys.readouterr().err

    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert main(["sync", str(run.path)]) == 2
    assert "correct or unset MLFLOW_EXPERIMENT_ID" in capsys.readouterr().err

    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert main(["sync", str(run.path)]) == 2
    assert f"MLFLOW_RUN_ID names '{'0' * 32}'" in capsys.readouterr().err


def test_what_the_configuration_says_counts_and_is_said(make_config, client, monkeypatch, capsys):
    project = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the shell")
    monkeypatch.setenv("MLFLOW_RUN_ID", project)

    run = sent(make_config(tracking={"experiment": "of the file"}))

    said = capsys.readouterr().err
    assert experiment_of(run) == "of the file"
    assert run.info.run_id != project
    sentence = "tracking.experiment = 'of the file' counts, and not MLFLOW_EXPERIMENT_NAME = "
    assert said.count(f"{sentence}'of the shell'") == 1
    assert "MLFLOW_RUN_ID has no effect" in said


def test_a_run_says_on_the_screen_which_variables_have_no_effect(
    tmp_path, store_uri, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the shell")
    words = ["--cluster.backend", "inline", "--stop.max_updates", "1", "--evaluation.episodes", "5"]

    assert main(["train", "cartpole", *words, "--tracking.experiment", "mine"]) == 0

    said = " ".join(capsys.readouterr().out.split())
    assert said.count("tracking.experiment = 'mine' counts, and not MLFLOW_EXPERIMENT_NAME") == 1
    assert [
        run.info.status
        for run in MlflowClient().search_runs(
            [MlflowClient().get_experiment_by_name("mine").experiment_id]
        )
    ] == ["FINISHED"]


WRONG = {
    "no run": ({"MLFLOW_RUN_ID": "0" * 32}, {}, "MLFLOW_RUN_ID names '0000"),
    "no experiment": (
        {"MLFLOW_EXPERIMENT_ID": "77"},
        {},
        "mlflow.db has no such experiment; corre",
    ),
    "another": (
        {"MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_EXPERIMENT_NAME": "new"},
        {},
        "are different experiments; unset one of them",
    ),
    "deleted": (
        {"MLFLOW_EXPERIMENT_NAME": "gone"},
        {},
        "the experiment 'gone' is deleted; restore",
    ),
    "overruled": ({"MLFLOW_RUN_ID": "0" * 32}, {"experiment": "mine"}, None),
    "there": ({"MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_EXPERIMENT_NAME": "here"}, {}, None),
    "the first one": ({"MLFLOW_EXPERIMENT_ID": "0"}, {}, None),
    "a name": ({"MLFLOW_EXPERIMENT_NAME": "new"}, {}, None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_store_in_a_file_does_not_have_is_said_before_the_run(case, client, monkeypatch):
    variables, settings, message = WRONG[case]
    assert client.create_experiment("here") == "1"
    client.delete_experiment(client.create_experiment("gone"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    said = list(missing(TrackingConfig(**settings), None))

    assert len(said) == (message is not None)
    assert message is None or message in said[0]
    assert list(missing(TrackingConfig(**settings), "a run that goes on")) == []


def test_a_run_says_on_the_screen_which_variables_are_wrong(
    tmp_path, store_uri, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    words = ["--cluster.backend", "inline", "--stop.max_updates", "1", "--evaluation.episodes", "5"]

    assert main(["train", "cartpole", *words]) == 0

    before, _, _ = capsys.readouterr().out.partition("\nupdate ")
    assert "MLFLOW_RUN_ID names '0000" in before


@pytest.fixture
def project_run(client, tmp_path, monkeypatch):
    """The run that MLflow makes for a Project inside another run, and its variables."""
    (tmp_path / "MLproject").write_text(
        "entry_points: {main: {command: reinforce train cartpole, parameters: {rate: float}}}"
    )
    experiment = client.create_experiment("projects")
    with mlflow.start_run(experiment_id=experiment) as parent:
        run = get_or_create_run(
            None, str(tmp_path), experiment, str(tmp_path), None, "main", {"rate": 0.1}
        )
    for name, value in get_run_env_vars(run.info.run_id, experiment).items():
        monkeypatch.setenv(name, value)
    assert client.get_run(run.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    return client.get_run(run.info.run_id)


def test_a_project_s_run_is_filled_and_keeps_what_the_project_said_of_it(
    make_config, client, project_run, store_uri
):
    run = sent(make_config())

    before, after = project_run.data, run.data
    assert run.info.run_id == project_run.info.run_id
    assert run.info.run_name == project_run.info.run_name
    assert len(stored_points(store_uri, run.info.run_id)) == 8
    assert before.tags.items() <= after.tags.items()
    assert after.tags["mlflow.source.type"] == "PROJECT"
    assert before.params.items() <= after.params.items()
    assert run.info.status == "FINISHED"


def test_a_second_run_of_a_project_is_shown_below_the_first(make_config, client, project_run):
    first, second = sent(make_config(), "one"), sent(make_config(), "two")

    assert first.info.run_id == project_run.info.run_id
    assert second.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert second.info.experiment_id == first.info.experiment_id


def test_a_run_goes_on_as_itself_whatever_the_shell_names(make_config, client, capsys, monkeypatch):
    run = write_run(make_config(), records(1, 2))
    assert main(["sync", str(run.path)]) == 0
    own = read_json(run.tracking_file)["run_id"]
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)

    assert main(["sync", str(run.path)]) == 0

    assert read_json(run.tracking_file)["run_id"] == own
    assert f"the run continues as {own} in MLflow" in capsys.readouterr().err


HERE = "file:///here/mlartifacts"
LOCAL_UI = "http://127.0.0.1:5000/#/experiments/1/runs/a?workflowType=machine_learning"
KINDS = {
    "sqlite:////here/mlflow.db": (False, HERE, LOCAL_UI),
    "sqlite:///mlflow.db": (False, HERE, LOCAL_UI),
    "postgresql+psycopg2://me:pw@host/db": (False, None, LOCAL_UI),
    "mysql://host/db": (False, None, LOCAL_UI),
    "/here/mlruns": (False, None, LOCAL_UI),
    "file:///here/mlruns": (False, None, LOCAL_UI),
    "https://me:pw@host/x/": (
        True,
        None,
        "https://host/x/#/experiments/1/runs/a?workflowType=machine_learning",
    ),
    "databricks-uc": (True, None, ""),
    "arn:aws:sagemaker:us-east-1:1:mlflow-tracking-server/x": (True, None, ""),
    "azureml://host/mlflow/v1.0": (True, None, ""),
}


@pytest.mark.parametrize("uri", KINDS)
def test_only_a_store_that_is_a_file_gets_a_folder_for_artifacts(uri):
    store = TrackingStore.of(TrackingConfig(uri=uri), Path("/here"))

    found = (store.is_server, store.artifact_location, store.link("1", "a"))
    assert found == KINDS[uri]

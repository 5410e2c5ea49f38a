"""Stores that are no file: MLflow's server as itself, as a workspace of Databricks, and proxies."""

import shutil
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import _tracking_service
from mlflow_server import running_server
from written_runs import append, records, shown_points_of, stored_points, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.doctor.machine_checks import check_artifacts, check_tracking
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.submitted_files import SUBMITTED_FILES
from reinforce.cluster.run_store.tracking_state import place_in_words
from reinforce.cluster.tracking.follower_process import Tracking

PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    with running_server(tmp_path_factory.mktemp("server"), empty_store) as server:
        yield server


@pytest.fixture
def behind_proxy(monkeypatch):
    """Return a function that puts this process and its children behind a proxy."""
    for name in ("no_proxy", "NO_PROXY", *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)

    def put(address, *names):
        for name in names:
            monkeypatch.setenv(name, address)

    return put


def followed(config, lines):
    """Write a run while its follower sends it; return it and what the screen says."""
    run = write_run(config)
    console = PlainConsole(record=True, width=1000)
    with Tracking(config.tracking, console, Interrupts()) as tracking:
        tracking.follow(run)
        append(run, lines)
        write_end(run)
    tracking.print_link()
    return run, console.export_text()


def findings(config):
    tracking = check_tracking(config.tracking)
    return tracking, check_artifacts(config.tracking, tracking)


def test_the_doctor_writes_an_artifact_to_a_server_and_removes_it(server, make_config, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)

    tracking, artifacts = findings(make_config(tracking={"enabled": True}))

    assert (tracking.level, artifacts.level) == ("ok", "ok")
    assert artifacts.message == "mlflow-artifacts:/1 can be written"
    assert list(server.folder.rglob("*probe*")) == []


def test_a_workspace_of_databricks_gets_everything_and_no_folder_of_this_machine(
    server, make_config, monkeypatch, tmp_path
):
    """Its interface is that of MLflow's server, which stands in for it, but for artifacts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    monkeypatch.setenv("DATABRICKS_HOST", server.uri)
    monkeypatch.setenv("DATABRICKS_TOKEN", "hidden")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "/Users/me/reinforce")
    lines = list(records(1, 5))
    run = write_run(make_config(), lines)
    write_end(run)

    with pytest.raises(UsageError, match="3 artifacts could not be stored"):
        sync_run_directory(run)

    state, client = read_json(run.tracking_file), MlflowClient(server.store_uri)
    assert stored_points(server.store_uri, state["run_id"]) == shown_points_of(lines)
    experiment = client.get_experiment_by_name("/Users/me/reinforce")
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")
    assert client.get_run(state["run_id"]).info.status == "FINISHED"
    page = f"{server.uri}/ml/experiments/{experiment.experiment_id}/runs/{state['run_id']}"
    assert place_in_words(state) == ["MLflow: open", page]
    assert not list(tmp_path.glob("ml*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(UsageError, match="address begins with 'databricks'"):
        sync_run_directory(run)


def test_a_store_of_a_plugin_keeps_its_artifacts_and_its_pages(
    empty_store, make_config, monkeypatch, tmp_path, capsys
):
    """MLflow takes a plugin's store by its scheme; this one is the store of databases."""
    store_uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'far.db')}"
    where = str(tmp_path / "far")
    register = _tracking_service.utils._register
    register("lab", lambda **_: SqlAlchemyStore(store_uri, where))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "lab://host/team")
    monkeypatch.chdir(tmp_path)
    run = write_run(make_config(), records(1, 2))
    write_end(run)

    sync_run_directory(run)

    state = read_json(run.tracking_file)
    stored = MlflowClient(store_uri).get_run(state["run_id"])
    assert stored.info.artifact_uri.startswith(f"{where}/")
    assert place_in_words(state) == [
        f"MLflow has it as run {state['run_id']}; its pages are where that store shows them"
    ]
    assert main(["ui", str(run.path)]) == 2
    assert "a store of kind 'lab' has its own pages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "folder", "names_run"), [("", "", False), ("a1b2", "", True), ("", "other", True)]
)
def test_the_command_that_shows_a_run_names_it_where_its_store_is_not_found(
    files, folder, names_run, monkeypatch
):
    """A submitted job is read about elsewhere, and a run may be resumed from any folder."""
    monkeypatch.setenv(SUBMITTED_FILES, files)
    link = "http://127.0.0.1:5000/#/experiments/1/runs/2"
    state = {
        "link": link,
        "run_directory": "/home/me/runs/a",
        "directory": str(Path(folder).absolute()),
    }

    said = place_in_words(state)

    command = "reinforce ui /home/me/runs/a" if names_run else "reinforce ui"
    assert said == [f"MLflow: run `{command}`, then open", link]


def test_nothing_on_loopback_is_asked_through_a_proxy(
    server, make_config, behind_proxy, monkeypatch
):
    """What does not answer stands in for a proxy that cannot see this machine."""
    behind_proxy("http://127.0.0.1:9", *PROXY_VARIABLES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    lines = list(records(1, 5))

    run, said = followed(make_config(tracking={"enabled": True}), lines)

    assert f"MLflow: open\n{server.uri}/#/" in said
    run_id = read_json(run.tracking_file)["run_id"]
    assert stored_points(server.store_uri, run_id) == shown_points_of(lines)


@pytest.mark.parametrize("name", PROXY_VARIABLES)
def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    make_config, behind_proxy, monkeypatch, capsys, name
):
    scheme = "https" if name == "https_proxy" else "http"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://mlflow.example.org")
    behind_proxy("http://me:hidden@127.0.0.1:9", name)
    run = write_run(make_config(), records(1, 2))

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert f"the request went through the proxy 127.0.0.1:9 ({name})" in said
    assert "add mlflow.example.org to no_proxy" in said
    assert "start it, or correct the address" not in said
    assert "hidden" not in said
    tracking, artifacts = findings(make_config(tracking={"enabled": True}))
    assert f"the proxy 127.0.0.1:9 ({name})" in tracking.advice
    assert (artifacts.level, artifacts.advice) == ("warning", "see tracking")


def test_a_proxy_that_answers_itself_is_named_and_not_where_mlflow_has_answered(
    server, make_config, behind_proxy, monkeypatch, capsys
):
    """This process leaves loopback in, so that its server is one behind a proxy."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    run = write_run(make_config(tracking={"experiment": "x"}), records(1, 2))
    with FaultyProxy(server.port) as proxy:
        behind_proxy(proxy.uri, "http_proxy")
        proxy.fault = "error"
        assert main(["sync", str(run.path)]) == 2
        said = capsys.readouterr().err
        assert "500 error" in said
        assert f"through the proxy {proxy.uri.removeprefix('http://')} (http_proxy)" in said

        proxy.fault = None
        sync_run_directory(run)
        client = MlflowClient(server.store_uri)
        client.delete_run(read_json(run.tracking_file)["run_id"])
        assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert "mlflow runs restore" in said
    assert "proxy" not in said


def test_a_run_follows_its_server_to_another_address(server, make_config, capsys):
    lines, later = list(records(1, 5)), list(records(6, 9))
    with FaultyProxy(server.port) as before:
        run = write_run(make_config(tracking={"uri": before.uri}), lines)
        write_end(run)
        sync_run_directory(run)
    append(run, later)
    run_id, config = read_json(run.tracking_file)["run_id"], run.config_file.read_bytes()

    assert main(["sync", str(run.path), "--uri", "sqlite:///other.db", "--trust"]) == 2
    assert f"is at {before.uri}, a server: its other" in capsys.readouterr().err
    assert run.config_file.read_bytes() == config
    assert main(["sync", str(run.path), "--uri", server.uri, "--trust"]) == 0
    assert f"is complete in MLflow\nMLflow: open\n{server.uri}/#/" in capsys.readouterr().out

    state = read_json(run.tracking_file)
    assert (state["run_id"], state["link"].startswith(server.uri)) == (run_id, True)
    assert stored_points(server.uri, run_id) == shown_points_of([*lines, *later])


def test_a_resumed_run_follows_its_server_to_another_address(server, trained_run, tmp_path, capsys):
    run = RunDirectory(shutil.copytree(trained_run, tmp_path / "trained"))
    with FaultyProxy(server.port) as before:
        assert main(["sync", str(run.path), "--uri", before.uri]) == 0
    run_id, config = read_json(run.tracking_file)["run_id"], run.config_file.read_bytes()
    resume = ["resume", str(run.path), "--tracking.enabled", "true", "--stop.max_updates", "4"]

    assert main([*resume, "--tracking.uri", "sqlite:///other.db"]) == 2
    assert f"is at {before.uri}, a server: its other" in capsys.readouterr().err
    assert run.config_file.read_bytes() == config
    assert main([*resume, "--tracking.uri", server.uri]) == 0

    state = read_json(run.tracking_file)
    assert (state["run_id"], state["link"].startswith(server.uri)) == (run_id, True)
    stored = MlflowClient(server.store_uri).get_run(run_id)
    assert stored.data.metrics["progress/updates"] == 4.0

"""MLflow's pages on the store in use: a real server that answers and leaves no process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.commands.ui import UiCommand, what_to_show
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def tracked(trained_run, tmp_path_factory):
    """A folder with spaces whose mlflow.db holds the trained run; MLflow is told of it late."""
    folder = tmp_path_factory.mktemp("Läufe hier")
    run = RunDirectory(shutil.copytree(trained_run, folder / "runs" / "trained"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        sync_run_directory(run)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def started(tracked):
    """Return a function that starts the command and gives (process, lines it says)."""
    processes = []

    # A proxy that does not see this machine: nothing of `ui` goes through it.
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    others = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "reinforce", "ui", *arguments],
            cwd=tracked,
            env={**others, **proxies, "MLFLOW_TRACKING_URI": ""},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process, [process.stdout.readline().strip() for _ in range(3)]

    yield start
    for process in processes:
        process.terminate()
        process.communicate(timeout=60)


def asked(link, path, body):
    base = link.partition("#")[0]
    request = urllib.request.Request(
        base + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_a_run_is_served_on_loopback_and_ctrl_c_ends_every_process(tracked, started):
    state = read_json(tracked / "runs" / "trained" / "tracking.json")

    process, (_, link, last) = started("runs/trained")

    assert link.startswith("http://127.0.0.1:")
    assert f"/#/experiments/{state['experiment_id']}/runs/{state['run_id']}?" in link
    assert last == "Ctrl-C stops it"
    found = asked(link, "api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})["runs"]
    assert [each["info"]["run_id"] for each in found] == [state["run_id"]]
    servers = [each for each in _processes_in(tracked) if each != process.pid]
    assert servers
    for number in servers:
        assert_no_jobs_and_no_reports(number)

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(60) == 0
    assert _processes_in(tracked) == []


def assert_no_jobs_and_no_reports(server):
    words = (Path("/proc") / str(server) / "cmdline").read_bytes()
    assert b"job" not in words  # MLflow's runner of jobs, and its workers
    settings = (Path("/proc") / str(server) / "environ").read_bytes().split(b"\0")
    assert b"MLFLOW_DISABLE_TELEMETRY=true" in settings
    assert b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in settings


def test_without_a_run_the_newest_experiment_is_shown_as_runs_and_not_as_traces(
    tracked, monkeypatch
):
    monkeypatch.chdir(tracked)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    store, link = what_to_show(UiCommand())

    assert link.endswith(
        "/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=reinforce"
    )
    assert store.is_default


def test_a_server_that_does_not_answer_is_said_to(capsys):
    assert main(["ui", "--uri", "http://127.0.0.1:9"]) == 2
    assert "the store cannot be read: MLflow" in capsys.readouterr().err


def note_where(run, **state):
    """Have tracking.json of a run say where it is."""
    where = {"directory": str(run.parent), "is_server": False, "is_default_store": False}
    (run / "tracking.json").write_text(json.dumps({"key": "k", **where, **state}))


ELSEWHERE = {
    "the default store": "",
    "another server": "https://other.example.org",
    "another port": "https://lab.example.org:444",
    "another path": "https://lab.example.org/other",
    "another scheme": "http://lab.example.org",
    "a database": "sqlite:///other.db",
}


@pytest.mark.parametrize("uri", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_run_at_a_server_is_not_looked_for_elsewhere(
    trained_run, tmp_path, monkeypatch, capsys, uri
):
    run = Path(shutil.copytree(trained_run, tmp_path / "mine"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    link = "https://lab.example.org/#/experiments/1/runs/a"
    note_where(run, run_id="a", experiment_id="1", is_server=True, link=link)

    for verb in ("ui", "sync"):
        assert main([verb, str(run)]) == 2
        said = capsys.readouterr().err
        assert "this run is at https://lab.example.org; set MLFLOW_TRACKING_URI" in said
    assert not list(tmp_path.glob("*.db"))


@pytest.mark.parametrize("uri", ["https://lab.example.org/", "https://me:hidden@lab.example.org"])
def test_a_run_at_a_server_is_shown_there_however_its_address_is_written(
    trained_run, tmp_path, monkeypatch, uri
):
    run = Path(shutil.copytree(trained_run, tmp_path / "mine"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    link = "https://lab.example.org/#/experiments/1/runs/a?workflowType=machine_learning"
    note_where(run, run_id="a", experiment_id="1", is_server=True, link=link)

    assert what_to_show(UiCommand(run=run))[1] == link


def test_a_run_in_the_default_store_is_not_looked_for_at_a_server(
    trained_run, empty_store, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
    run_id = MlflowClient(uri).create_run("0").info.run_id
    run = Path(shutil.copytree(trained_run, tmp_path / "mine"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    note_where(run, run_id=run_id, experiment_id="0", is_default_store=True, link="")

    assert main(["ui", str(run)]) == 2

    said = capsys.readouterr().err
    assert f"this run is in the store {tmp_path}/mlflow.db" in said
    assert f"`export MLFLOW_TRACKING_URI={uri}`" in said


def test_a_run_that_no_store_has_taken_yet_is_not_shown(trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(trained_run, tmp_path / "mine"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    note_where(run)

    assert main(["ui", str(run)]) == 2

    assert "is not in MLflow; `reinforce sync " in capsys.readouterr().err


BAD = {
    "no store": ([], "there is no store of MLflow at"),
    "no run directory": (["none"], "none does not exist"),
    "run that is not tracked": (["RUN"], "is not in MLflow; `reinforce sync "),
    "both": (["RUN", "--uri", "sqlite:///x.db"], "leave out --uri, or RUN_DIR"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_shown_is_said_once_and_makes_nothing(
    case, trained_run, tmp_path, monkeypatch, capsys
):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    assert main(["ui", *(str(trained_run) if word == "RUN" else word for word in arguments)]) == 2

    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_is_said_to_be_empty(tmp_path, capsys):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(uri).search_experiments()

    assert main(["ui", "--uri", uri]) == 2
    assert "holds no run yet; `reinforce train cartpole` makes one" in capsys.readouterr().err


def test_a_port_that_was_asked_for_and_is_taken_is_named(tracked, monkeypatch, capsys):
    monkeypatch.chdir(tracked)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["ui", "--port", port]) == 2

    assert f"--port {port} cannot be used (Address already in use)" in capsys.readouterr().err


def _processes_in(folder):
    """Processes whose current directory is the folder: all that a command started there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found

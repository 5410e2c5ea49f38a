"""The follower on a real SQLite store, with the files that a real run leaves."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow import MlflowClient
from processes import wait_for
from written_runs import points_of, shown_points_of, stored_points

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import JournalEntry, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.follower_process import Tracking
from reinforce.cluster.tracking.pacing import MetricWindows
from reinforce.cluster.tracking.run_description import params_of
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.loading import load_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory, empty_store):
    """A run directory of four updates, and an empty store: made once, copied for each test."""
    folder = tmp_path_factory.mktemp("trained")
    subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "mine"],
            *["--cluster.backend", "inline", "--stop.max_updates", "4"],
            *["--tracking.enabled", "false"],
        ],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def run_in_tmp(trained, tmp_path, monkeypatch):
    """Four updates without tracking, in the current directory; return the run directory."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return RunDirectory(tmp_path / "runs" / "mine")


def stored_run(run):
    client = MlflowClient(f"sqlite:///{run.path.parent.parent}/mlflow.db")
    return client, client.get_run(read_json(run.tracking_file)["run_id"])


def points_in_store(run):
    _, stored = stored_run(run)
    return stored_points(f"sqlite:///{run.path.parent.parent}/mlflow.db", stored.info.run_id)


def test_sync_sends_params_metrics_artifacts_and_status(run_in_tmp):
    sync_run_directory(run_in_tmp)

    client, stored = stored_run(run_in_tmp)
    records = [
        JournalEntry.parse(line) for line in run_in_tmp.journal_file.read_text().splitlines()
    ]
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "mine"
    assert stored.data.params == params_of(load_config(str(run_in_tmp.config_file)))
    assert stored.data.params["learner.learning_rate"] == "0.015"
    assert points_in_store(run_in_tmp) == shown_points_of(records)
    assert len(stored.data.metrics) <= 60
    artifacts = {item.path for item in client.list_artifacts(stored.info.run_id)}
    assert artifacts == {"config.yaml", "packages.txt", "summary.json", "plots"}
    pictures = {item.path for item in client.list_artifacts(stored.info.run_id, "plots")}
    assert pictures == {"plots/overview.png", "plots/episode_length.png"}
    assert (
        stored.data.tags["weights_sha256"] == read_json(run_in_tmp.summary_file)["weights_sha256"]
    )


def test_sync_twice_changes_nothing(run_in_tmp):
    sync_run_directory(run_in_tmp)
    before = points_in_store(run_in_tmp)

    sync_run_directory(run_in_tmp)

    assert points_in_store(run_in_tmp) == before
    assert stored_run(run_in_tmp)[1].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("status", "expected"), [("interrupted", "KILLED"), ("failed", "FAILED"), (None, "FAILED")]
)
def test_the_status_is_that_of_the_summary_or_failed_without_one(run_in_tmp, status, expected):
    if status:
        summary = json.loads(run_in_tmp.summary_file.read_text())
        run_in_tmp.summary_file.write_text(json.dumps({**summary, "status": status}))
    else:
        run_in_tmp.summary_file.unlink()

    sync_run_directory(run_in_tmp)

    assert stored_run(run_in_tmp)[1].info.status == expected


def test_a_run_that_is_being_followed_cannot_be_synced(run_in_tmp, capsys):
    import fcntl

    with run_in_tmp.tracking_log.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["sync", str(run_in_tmp.path)]) == 2

    assert "is being sent already" in capsys.readouterr().err


def test_sync_works_from_any_directory_and_knows_the_run_s_own_times(
    run_in_tmp, tmp_path_factory, monkeypatch
):
    summary = read_json(run_in_tmp.summary_file)
    sync_run_directory(run_in_tmp)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)

    sync_run_directory(run_in_tmp)

    assert list(elsewhere.iterdir()) == []
    info = stored_run(run_in_tmp)[1].info
    assert info.end_time == summary["timestamp_ms"]
    assert abs(summary["timestamp_ms"] - info.start_time) < 60_000


def test_a_password_in_the_store_s_address_is_never_repeated(run_in_tmp, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")

    assert main(["sync", str(run_in_tmp.path)]) == 2

    said = capfd.readouterr().err
    assert "127.0.0.1" in said
    assert "hunter2" not in said
    for path in run_in_tmp.path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()


def test_an_unreachable_store_delays_the_end_by_its_timeout_only(tmp_path):
    started = time.monotonic()
    result = subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "alone"],
            *["--cluster.backend", "inline", "--stop.max_updates", "1"],
        ],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0
    assert "`reinforce sync" in result.stdout
    assert read_json(tmp_path / "runs" / "alone" / "summary.json")["status"] == "finished"
    assert time.monotonic() - started < 30


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(401)

    do_POST = do_GET  # noqa: N815  (the name is the library's)

    def log_message(self, *arguments):
        pass


def test_a_server_that_refuses_is_reported_while_the_run_goes_on(run_in_tmp, monkeypatch):
    """With the advice of the doctor, once, and not only at the end."""
    console = PlainConsole(record=True, width=1000)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        config = TrackingConfig(enabled=True)
        with Tracking(config, console, Interrupts()) as tracking:
            tracking.follow(run_in_tmp)
            wait_for(lambda: "401" in console.export_text(clear=False))
            time.sleep(3)
        server.shutdown()

    (line,) = [each for each in console.export_text().splitlines() if "401" in each]
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; the run continues" in line
    assert f"`reinforce sync {run_in_tmp.path}` sends the rest" in line


def test_a_store_that_does_not_answer_is_named_and_nothing_is_lost(run_in_tmp, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert main(["sync", str(run_in_tmp.path)]) == 2

    assert "Nothing is lost: call `reinforce sync` again" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["sync", str(run_in_tmp.path)]) == 0


@pytest.mark.slow
def test_one_run_through_the_death_of_its_driver_and_a_resumption(tmp_path, empty_store):
    """SIGKILL leaves no chance to say goodbye: the lifeline tells, and the run is marked as failed.
    Resumed, it is running again and then finished; what was played twice is there once."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    run = RunDirectory(tmp_path / "runs" / "killed")
    driver = subprocess.Popen(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "killed"],
            *["--cluster.backend", "inline", "--stop.target_return", "1e9"],
            *["--stop.max_environment_steps", "None", "--stop.max_updates", "100000"],
            # Updates so long that MLflow gets a point for each.
            *["--learner.learning_rate", "1e-6", "--learner.episodes_per_update", "256"],
            *["--checkpoint.every_s", "0.5"],
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(lambda: (read_json(run.tracking_file) or {}).get("run_id"))
        _wait_for(lambda: stored_run(run)[1].data.metrics.get("progress/updates", 0) > 8)
    finally:
        driver.kill()
        driver.wait()
    _wait_for(lambda: stored_run(run)[1].info.status != "RUNNING")
    assert stored_run(run)[1].info.status == "FAILED"
    before = list(read_entries(run.journal_file))
    killed = before[-1]

    subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "resume", str(run.path)],
            *["--stop.max_updates", str(killed.updates + 5)],
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )

    client, stored = stored_run(run)
    assert stored.info.status == "FINISHED"
    assert "**Starts.** 2" in stored.data.tags["mlflow.note.content"]
    assert len(client.search_runs([stored.info.experiment_id])) == 1
    points = stored_points(f"sqlite:///{tmp_path}/mlflow.db", stored.info.run_id)
    journal = list(read_entries(run.journal_file))
    assert journal[-1].updates == killed.updates + 5
    assert points == shown_points_of(merged(before) + merged(not_among(before, journal)))


def merged(records):
    """What MLflow gets of updates that were sent in one life: all of a short run, later windows."""
    windows = MetricWindows()
    complete = [window for record in records for window in windows.add(record)]
    return complete + windows.flush()


def not_among(sent, records):
    """Those of which anything lies beyond what was sent: what was played twice does not."""
    last = {}
    for name, step in points_of(sent):
        last[name] = max(step, last.get(name, step))
    return [
        record
        for record in records
        if any(last.get(name, -1) < record.environment_steps for name in record.metrics)
    ]


def _wait_for(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)

"""Directories and stores in odd states: each works, or says what to do."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from written_runs import records, shown_points_of, stored_points, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import open_locked, read_json
from reinforce.cluster.run_store.tracking_state import has_tables
from reinforce.cluster.tracking.new_store import make_store
from reinforce.cluster.tracking.unfit_store import advice_for_half_made_store, lock_of


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    """A current directory with blanks, other letters and a per cent sign in its name."""
    folder = tmp_path / "Läufe von heute 100%20 ✓"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def finished_run(make_config, last=5, **sections):
    run = write_run(make_config(**sections), records(1, last))
    write_end(run)
    return run


def run_id_of(run):
    return read_json(run.tracking_file)["run_id"]


def test_a_directory_with_blanks_and_other_letters_works(make_config, odd_folder, empty_store):
    shutil.copy(empty_store, odd_folder / "mlflow.db")
    run = finished_run(make_config, run={"directory": "runs", "name": "one"})

    sync_run_directory(run)

    assert {path.name for path in odd_folder.iterdir()} == {"mlflow.db", "mlartifacts", "runs"}
    found = sqlite3.connect(odd_folder / "mlflow.db").execute("select count(*) from metrics")
    assert found.fetchone()[0] == len(shown_points_of(records(1, 5)))
    assert list((odd_folder / "mlartifacts").rglob("summary.json"))


def test_an_old_folder_mlruns_beside_the_store_does_no_harm(make_config, odd_folder, empty_store):
    """MLflow itself would take the folder for its store, and then refuse to use it."""
    shutil.copy(empty_store, odd_folder / "mlflow.db")
    (odd_folder / "mlruns" / "0").mkdir(parents=True)
    (odd_folder / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    run = finished_run(make_config)

    assert main(["sync", str(run.path)]) == 0

    assert list((odd_folder / "mlruns").rglob("*.yaml")) == [
        odd_folder / "mlruns" / "0" / "meta.yaml"
    ]


def test_two_first_starts_at_once_on_no_store_at_all_make_one(make_config, odd_folder):
    runs = [finished_run(make_config, run={"name": name}) for name in ("one", "two")]
    command = [sys.executable, "-m", "reinforce", "sync"]

    both = [
        subprocess.Popen([*command, str(run.path)], stderr=subprocess.PIPE, env={**os.environ})
        for run in runs
    ]
    said = [process.communicate(timeout=180)[1].decode() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    states = [read_json(run.tracking_file) for run in runs]
    assert states[0]["experiment_id"] == states[1]["experiment_id"]
    assert states[0]["run_id"] != states[1]["run_id"]


@pytest.mark.parametrize("uri", ["sqlite:////proc/mlflow.db", "sqlite:////proc/no/mlflow.db"])
def test_a_store_that_cannot_be_written_is_refused_with_the_way_out(
    make_config, monkeypatch, capsys, uri
):
    run = finished_run(make_config)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert main(["sync", str(run.path)]) == 2

    assert "choose another store with tracking.uri" in capsys.readouterr().err


def test_a_store_that_another_process_is_making_is_not_moved_away(tmp_path):
    file = tmp_path / "mlflow.db"
    file.touch()

    with closing(open_locked(lock_of(file), 1.0)):
        assert "another process is making the store" in advice_for_half_made_store(file)

    assert f"mv {file}" in advice_for_half_made_store(file)


FULL_DISK = """
import resource, signal, sys
from mlflow import MlflowClient
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
MlflowClient(sys.argv[1]).search_experiments()
"""


@pytest.mark.slow
def test_a_store_that_a_full_disk_left_half_made_is_told_and_made_again(
    make_config, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    making = [sys.executable, "-c", FULL_DISK, os.environ["MLFLOW_TRACKING_URI"]]
    assert subprocess.run(making, capture_output=True, check=False).returncode != 0
    assert file.stat().st_size > 0
    run = finished_run(make_config)

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    aside = f"mv {file} {file}.half-made"
    assert "half made" in said
    assert aside in said
    subprocess.run(aside.split(), check=True)
    subprocess.run([sys.executable, "-m", "reinforce", "sync", str(run.path)], check=True)
    assert "run_id" in read_json(run.tracking_file)


FULL_DISK_FOR_US = """
import resource, signal, sys
from reinforce.cluster.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sys.exit(main(["sync", sys.argv[1]]))
"""


def test_a_store_is_made_whole_or_not_at_all(make_config, tmp_path, monkeypatch):
    file = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    run = finished_run(make_config)

    making = [sys.executable, "-c", FULL_DISK_FOR_US, str(run.path)]
    failed = subprocess.run(making, capture_output=True, text=True, check=False)

    assert failed.returncode == 2
    assert "disk I/O error" in failed.stderr
    assert [path.name for path in tmp_path.glob("*mlflow*")] == []
    assert main(["sync", str(run.path)]) == 0
    assert [path.name for path in tmp_path.glob("*mlflow*")] == ["mlflow.db"]


def test_a_second_attempt_of_the_same_process_makes_a_whole_store(tmp_path, room_for):
    """MLflow keeps its connections, by address, to the file that the first one has removed."""
    file = tmp_path / "mlflow.db"
    with room_for(300_000), pytest.raises(Exception, match="disk I/O error"):
        make_store(file)

    make_store(file)

    assert has_tables(file)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_only_a_store_that_is_being_made_is_written_without_waiting_for_the_disk(tmp_path):
    found = set()

    def note(connection):
        name = Path(connection.engine.url.database).name
        found.add((name, connection.exec_driver_sql("PRAGMA synchronous").scalar()))

    event.listen(Engine, "commit", note)
    try:
        make_store(tmp_path / "mlflow.db")
        MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").create_experiment("mine")
    finally:
        event.remove(Engine, "commit", note)

    assert found == {(".mlflow.db.new", 0), ("mlflow.db", 2)}


def test_a_store_that_is_there_is_not_made(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"somebody's")

    make_store(file)

    assert file.read_bytes() == b"somebody's"


def test_an_out_of_date_schema_is_told_with_the_command_that_mends_it(
    make_config, store_uri, tmp_path, capsys
):
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.execute("update alembic_version set version_num = '451aebb31d03'")
    run = finished_run(make_config)

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert f"`mlflow db upgrade {store_uri}`" in said
    assert "make a copy of the store" in said


def test_a_deleted_experiment_is_named_with_two_ways_out(make_config, store_uri, capsys):
    client = MlflowClient(store_uri)
    client.delete_experiment(client.create_experiment("reinforce"))
    run = finished_run(make_config)

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert "mlflow experiments restore --experiment-id 1" in said
    assert "--tracking.experiment" in said
    client.restore_experiment("1")
    assert main(["sync", str(run.path)]) == 0


def test_a_deleted_run_is_named_and_sent_anew_when_asked_for(make_config, store_uri, capsys):
    run = finished_run(make_config)
    sync_run_directory(run)
    first = run_id_of(run)
    MlflowClient(store_uri).delete_run(first)

    assert main(["sync", str(run.path)]) == 2
    assert f"mlflow runs restore --run-id {first}" in capsys.readouterr().err
    run.tracking_file.unlink()
    assert main(["sync", str(run.path)]) == 0

    assert run_id_of(run) != first
    assert stored_points(store_uri, run_id_of(run)).keys() == shown_points_of(records(1, 5)).keys()


def test_a_run_in_another_database_is_told_and_stays_where_it_is(
    make_config, store_uri, empty_store, tmp_path, monkeypatch, capsys
):
    run = finished_run(make_config)
    sync_run_directory(run)
    first = run_id_of(run)
    shutil.copy(empty_store, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert f"this run is in the store {tmp_path}/mlflow.db" in said
    assert f"`export MLFLOW_TRACKING_URI={store_uri}`" in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    assert main(["sync", str(run.path)]) == 0
    assert run_id_of(run) == first


def test_a_folder_given_as_the_store_is_refused_with_the_way_to_convert_it(
    make_config, monkeypatch, capsys, tmp_path
):
    run = finished_run(make_config)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))

    assert main(["sync", str(run.path)]) == 2

    assert "mlflow migrate-filestore" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_told_by_name(make_config, store_uri, capsys):
    run = finished_run(make_config)
    run.tracking_log.mkdir()

    assert main(["sync", str(run.path)]) == 2

    assert "tracking.log" in capsys.readouterr().err

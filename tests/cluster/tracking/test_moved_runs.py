"""Runs whose folder was moved or copied: the store that has them is found, and none is made."""

import fcntl
import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from free_port import free_port
from mlflow import MlflowClient
from written_runs import append, records, shown_points_of, stored_points, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import require_run_id
from reinforce.cluster.run_store.trust import note_own
from reinforce.configs.loading import load_config

LINES = list(records(1, 5))
LATER = list(records(6, 9))


@pytest.fixture
def project(make_config, tmp_path, empty_store, monkeypatch):
    """A folder with a store and a run that is in it, from which it was started."""
    folder = tmp_path / "before"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = write_run(make_config(run={"directory": "runs", "name": "one"}), LINES)
    write_end(run)
    sync_run_directory(run)
    return folder


@pytest.fixture
def moved(project, tmp_path, monkeypatch):
    """The same under another name, with updates that MLflow does not have yet."""
    folder = project.rename(tmp_path / "after")
    monkeypatch.chdir(folder)
    run = RunDirectory(folder / "runs" / "one")
    append(run, LATER)
    return run


def run_id_of(run):
    return read_json(run.tracking_file)["run_id"]


def runs_of(store):
    query = "SELECT run_uuid FROM runs"
    return {run_id for (run_id,) in sqlite3.connect(store).execute(query)}


def test_a_moved_project_goes_on_in_its_run_and_its_artifacts_after_the_advice(
    moved, tmp_path, capsys
):
    first = run_id_of(moved)

    assert main(["sync", "runs/one"]) == 2  # artifacts have no place any more

    said = capsys.readouterr().err
    store = f"sqlite:///{tmp_path}/after/mlflow.db"
    assert runs_of(tmp_path / "after" / "mlflow.db") == {run_id_of(moved)} == {first}
    assert stored_points(store, first) == shown_points_of([*LINES, *LATER])
    assert MlflowClient(store).get_run(first).info.status == "FINISHED"
    assert {path.name for path in tmp_path.iterdir()} == {"after"}, "nothing is made anew"
    assert "4 artifacts could not be stored" not in said  # there are three
    assert "3 artifacts could not be stored (config.yaml, packages.txt, summary.json)" in said
    advice = re.search(r"`(mkdir .*?)`", said)[1]
    subprocess.run(advice, shell=True, check=True)
    assert main(["sync", "runs/one"]) == 0
    assert len(list((tmp_path / "after" / "mlartifacts").rglob("summary.json"))) == 1


def test_a_moved_project_is_asked_about_from_elsewhere_and_then_found(
    moved, tmp_path, monkeypatch, capsys
):
    """What lies beside a run is used as what the run names: if the user vouches for it."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")

    assert main(["sync", str(moved.path)]) == 2

    assert f"use the store of MLflow in '{tmp_path}/after'" in capsys.readouterr().err
    main(["sync", str(moved.path), "--trust"])
    store = f"sqlite:///{tmp_path}/after/mlflow.db"
    assert stored_points(store, run_id_of(moved)) == shown_points_of([*LINES, *LATER])
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("verb", ["sync", "ui"])
def test_a_store_that_is_gone_is_not_made_again(moved, tmp_path, capsys, verb):
    Path("mlflow.db").unlink()

    assert main([verb, "runs/one"]) == 2

    said = capsys.readouterr().err
    assert f"this run was in the store {tmp_path}/before/mlflow.db" in said
    assert list(tmp_path.rglob("*.db")) == []
    assert not (tmp_path / "before").exists()


def test_the_advice_for_a_store_that_is_gone_makes_a_new_run(moved, empty_store, tmp_path, capsys):
    first = run_id_of(moved)
    shutil.copy(empty_store, "mlflow.db")
    assert main(["sync", "runs/one"]) == 2
    remove, sync = re.search(r"`(rm .*?)`", capsys.readouterr().err)[1].split(" && ")

    subprocess.run(remove, shell=True, check=True)
    assert main(sync.split()[1:]) == 0

    assert run_id_of(moved) != first
    store = f"sqlite:///{tmp_path}/after/mlflow.db"
    assert stored_points(store, run_id_of(moved)) == shown_points_of([*LINES, *LATER])


def test_a_relative_address_finds_the_store_from_another_folder(
    project, tmp_path, monkeypatch, capsys
):
    run = RunDirectory(project / "runs" / "one")
    append(run, LATER)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    assert main(["sync", str(run.path), "--trust"]) == 0

    store = f"sqlite:///{project}/mlflow.db"
    assert stored_points(store, run_id_of(run)) == shown_points_of([*LINES, *LATER])
    assert list((tmp_path / "home").iterdir()) == []


def test_a_copy_is_a_run_of_its_own_while_its_original_is_there(project, capsys):
    original = RunDirectory(project / "runs" / "one")
    first = run_id_of(original)
    copy = RunDirectory(Path(shutil.copytree(original.path, project / "runs" / "two")))
    append(copy, LATER)

    assert main(["ui", "runs/two"]) == 2
    assert "is not in MLflow; `reinforce sync " in capsys.readouterr().err
    assert main(["sync", "runs/two"]) == 0

    store = f"sqlite:///{project}/mlflow.db"
    assert run_id_of(original) == first
    assert run_id_of(copy) != first
    assert stored_points(store, first) == shown_points_of(LINES)
    assert stored_points(store, run_id_of(copy)) == shown_points_of([*LINES, *LATER])


def test_a_resumed_run_of_a_moved_project_goes_on_in_its_run(
    trained_run, tmp_path, empty_store, monkeypatch
):
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(trained_run, before / "runs" / "trained")
    shutil.copy(empty_store, before / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(before)
    assert main(["sync", "runs/trained"]) == 0
    before.rename(after)
    monkeypatch.chdir(after)
    run = RunDirectory(after / "runs" / "trained")
    first = run_id_of(run)

    words = ["--stop.max_updates", "4", "--tracking.enabled", "true"]
    assert main(["resume", "runs/trained", *words]) == 0

    assert run_id_of(run) == first
    assert runs_of(after / "mlflow.db") == {first}
    assert not before.exists()
    stored = MlflowClient(f"sqlite:///{after}/mlflow.db").get_run(first)
    assert stored.data.metrics["progress/updates"] == 4.0
    assert stored.info.status == "FINISHED"


@pytest.mark.parametrize("words", [["sync", "runs/one"], ["ui", "runs/one"], ["ui"]])
def test_a_store_of_a_newer_mlflow_names_the_version_to_install(moved, capsys, words):
    """The newest MLflow that sent a run to it is noted there."""
    with sqlite3.connect("mlflow.db") as store:
        store.execute("update alembic_version set version_num = 'ffffffffffff'")
        store.execute("update tags set value = '99.1.0' where key = 'version.mlflow'")

    assert main(words) == 2

    said = capsys.readouterr().err
    assert "`pip install --upgrade 'mlflow>=99.1.0'`" in said
    assert "`mlflow db upgrade" not in said


def test_the_advice_for_a_run_that_is_nowhere_can_be_copied(make_config, tmp_path):
    run = write_run(make_config(run={"directory": str(tmp_path / "my runs")}), LINES)

    with pytest.raises(UsageError, match=f"`reinforce sync '{run.path}'` sends it there"):
        require_run_id(run)


@pytest.fixture
def renamed(make_config, empty_store, tmp_path, monkeypatch):
    """A run in a folder with a blank, whose store got another name than tracking.uri says."""
    (tmp_path / "my runs").mkdir()
    store = Path(shutil.copy(empty_store, tmp_path / "my runs" / "one.db"))
    tracking = {"uri": f"sqlite:///{quote(str(store))}"}
    run = write_run(make_config(run={"directory": str(store.parent)}, tracking=tracking), LINES)
    write_end(run)
    sync_run_directory(run)
    store.rename(store.with_name("mlflow.db"))
    monkeypatch.chdir(tmp_path)
    append(run, LATER)
    return run


def test_a_store_that_was_renamed_is_moved_back_by_the_advice(renamed, capsys):
    store = renamed.path.parent / "one.db"
    assert main(["sync", str(renamed.path), "--trust"]) == 2
    advice = re.search(r"`(mv .*?)`", capsys.readouterr().err)[1]

    subprocess.run(advice, shell=True, check=True)

    assert main(["sync", str(renamed.path)]) == 0
    assert stored_points(f"sqlite:///{store}", run_id_of(renamed)) == shown_points_of(
        [*LINES, *LATER]
    )


def test_a_store_whose_name_another_has_is_found_after_the_advice(renamed, empty_store, capsys):
    store = renamed.path.parent / "mlflow.db"
    shutil.copy(empty_store, store.with_name("one.db"))
    assert main(["sync", str(renamed.path), "--trust"]) == 2
    advice = re.search(r"`reinforce (sync .*?)`", capsys.readouterr().err)[1]

    assert main([*shlex.split(advice), "--trust"]) == 0
    assert stored_points(f"sqlite:///{store}", run_id_of(renamed)) == shown_points_of(
        [*LINES, *LATER]
    )


@pytest.fixture
def mistyped(make_config, tmp_path, monkeypatch):
    """A run that MLflow never got, since nobody listens at its tracking.uri."""
    monkeypatch.chdir(tmp_path)
    run = write_run(make_config(tracking={"uri": f"http://127.0.0.1:{free_port()}"}), LINES)
    write_end(run)
    note_own(run, load_config(str(run.config_file)), print)
    return run


def test_a_run_with_a_mistyped_address_is_sent_to_another_and_stays_there(
    mistyped, empty_store, tmp_path, capsys
):
    assert main(["sync", str(mistyped.path)]) == 2
    assert "with --uri if MLflow has another address" in capsys.readouterr().err
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'right.db')}"

    assert main(["sync", str(mistyped.path), "--uri", uri]) == 0
    assert stored_points(uri, run_id_of(mistyped)) == shown_points_of(LINES)
    append(mistyped, LATER)
    assert main(["sync", str(mistyped.path)]) == 0, "its address is the other one from now on"
    assert stored_points(uri, run_id_of(mistyped)) == shown_points_of([*LINES, *LATER])


def test_a_live_run_keeps_its_address(mistyped, capsys):
    with Journal(mistyped.journal_file):
        assert main(["sync", str(mistyped.path), "--uri", "sqlite:////tmp/none.db"]) == 2

    assert "is still training" in capsys.readouterr().err


def test_a_run_that_is_sent_to_its_address_still_keeps_it(mistyped, capsys):
    """As after a short run: MLflow gets the rest in the background."""
    before = mistyped.config_file.read_bytes()
    with mistyped.tracking_log.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert main(["sync", str(mistyped.path), "--uri", "http://127.0.0.1:9"]) == 2

    assert "is still being sent to the address that it was started" in capsys.readouterr().err
    assert mistyped.config_file.read_bytes() == before

"""Places of artifacts that cannot be written: everything else arrives, and they are sent later."""

import shutil
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MLflowServer
from written_runs import append, records, shown_points_of, stored_points, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.doctor.machine_checks import check_artifacts, check_tracking
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.follower import Follower
from reinforce.cluster.tracking.follower_process import Tracking

ALL = ["config.yaml", "packages.txt", "summary.json", "plots/one.png"]


@pytest.fixture
def blocked(tmp_path, store_uri):
    """The experiment ``blocked``, whose artifacts go into a folder where a file is in the way."""
    obstacle = tmp_path / "obstacle"
    obstacle.write_text("")
    MlflowClient(store_uri).create_experiment("blocked", (obstacle / "artifacts").as_uri())
    return obstacle


@pytest.fixture
def config(make_config):
    return make_config(tracking={"enabled": True, "experiment": "blocked"})


def run_of(store_uri, run):
    return MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"])


def test_the_screen_names_them_once_and_sync_sends_them_when_their_place_is_there(
    config, blocked, store_uri, tmp_path, capsys
):
    lines = list(records(1, 10))
    run = write_run(config)
    console = PlainConsole(record=True, width=1000)
    with Tracking(config.tracking, console, Interrupts()) as tracking:
        tracking.follow(run)
        append(run, lines)
        (run.plots / "one.png").write_bytes(b"picture")
        write_end(run)
    tracking.print_link()

    said, stored = console.export_text(), run_of(store_uri, run)
    assert stored_points(store_uri, stored.info.run_id) == shown_points_of(lines)
    assert stored.info.status == "FINISHED"
    assert said.count(f"4 artifacts could not be stored ({', '.join(ALL)})") == 1
    assert "Not a directory" in said
    assert f"`reinforce sync {run.path}` sends them" in said
    assert "did not get everything" not in said
    assert stored.data.tags["tracking.num_unstored"] == "4"
    assert main(["sync", str(run.path)]) == 2
    assert "4 artifacts could not be stored" in capsys.readouterr().err

    blocked.unlink()
    assert main(["sync", str(run.path)]) == 0

    names = sorted(path.name for path in blocked.rglob("*.*"))
    assert names == sorted(name.rpartition("/")[2] for name in ALL)
    stored = run_of(store_uri, run)
    assert "tracking.num_unstored" not in stored.data.tags
    assert stored.info.status == "FINISHED"
    assert stored_points(store_uri, stored.info.run_id) == shown_points_of(lines)


def test_points_go_on_meanwhile_and_artifacts_are_tried_again(
    config, blocked, store_uri, capsys, monkeypatch
):
    monkeypatch.setattr("reinforce.cluster.tracking.follower._HEARTBEAT_S", 0.0)
    run = write_run(config, records(1, 2))
    seen = []

    def is_over(wait_s):
        names = sorted(path.name for path in blocked.parent.rglob("obstacle/*/*/*/*"))
        seen.append((len(stored_points(store_uri, run_of(store_uri, run).info.run_id)), names))
        append(run, records(len(seen) + 2, len(seen) + 2))
        if len(seen) == 3:
            blocked.unlink()
        return len(seen) == 5

    Follower(run, is_over, timeout_s=0.0).follow()

    # Four metrics an update, the last of which waits for the next; one of the evaluation after 5.
    assert [count for count, _ in seen] == [0, 8, 12, 21, 21]
    assert [names for _, names in seen[:3]] == [[], [], []]
    assert seen[3][1] == ["config.yaml", "packages.txt"]
    said = capsys.readouterr().err
    assert said.count("Not a directory") == 1
    assert said.count("MLflow: artifacts are stored again") == 1


def test_a_place_that_is_full_keeps_back_only_what_does_not_fit(
    make_config, store_uri, tmp_path, room_for, capsys
):
    run = write_run(make_config(), records(1, 3))
    (run.plots / "large.png").write_bytes(b"0" * 6_000_000)
    (run.plots / "small.png").write_bytes(b"picture")
    write_end(run)

    with room_for(5_000_000):
        assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert "1 artifact could not be stored (plots/large.png): OSError: [Errno 27]" in said
    assert run_of(store_uri, run).info.status == "FINISHED"
    stored = {path.name for path in (tmp_path / "mlartifacts").rglob("*.png")}
    assert stored == {"small.png"}
    assert main(["sync", str(run.path)]) == 0
    assert len(list((tmp_path / "mlartifacts").rglob("*.png"))) == 2


def test_a_store_without_its_package_or_credentials_keeps_nothing_else_back(
    make_config, store_uri, capsys
):
    MlflowClient(store_uri).create_experiment("far", "s3://nobody-s-bucket/folder")
    config = make_config(tracking={"experiment": "far"})
    run = write_run(config, records(1, 3))
    write_end(run)

    assert main(["sync", str(run.path)]) == 2

    said = capsys.readouterr().err
    assert "3 artifacts could not be stored (config.yaml, packages.txt, summary.json)" in said
    assert "No module named 'boto3'; install the package that it names" in said
    assert run_of(store_uri, run).info.status == "FINISHED"
    found = check_artifacts(config.tracking, check_tracking(config.tracking))
    assert (found.subject, found.level) == ("artifacts", "ok"), "tracking is off"
    found = artifacts_of(config)
    assert found.level == "failure"
    assert "boto3" in found.message
    assert "`reinforce sync` sends these later" in found.advice


def artifacts_of(config):
    tracking = config.tracking.model_copy(update={"enabled": True})
    return check_artifacts(tracking, check_tracking(tracking))


def test_the_doctor_tries_an_artifact_and_leaves_nothing(
    make_config, tmp_path, store_uri, blocked, monkeypatch
):
    before = sorted(tmp_path.rglob("*"))

    assert artifacts_of(make_config()).message == f"{tmp_path}/mlartifacts can be written"
    found = artifacts_of(make_config(tracking={"experiment": "blocked"}))
    assert (found.level, "Not a directory" in found.message) == ("failure", True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")
    assert artifacts_of(make_config()).level == "ok"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = artifacts_of(make_config())
    assert (found.level, found.message) == ("warning", "not tried, because MLflow's store was not")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def half_full(trained_run, tmp_path):
    """A finished run with a picture that is too large for ``room_for(5_000_000)``."""
    run = RunDirectory(Path(shutil.copytree(trained_run, tmp_path / "runs" / "trained")))
    run.plots.mkdir(exist_ok=True)
    (run.plots / "large.png").write_bytes(b"0" * 6_000_000)
    return run


def models_of(store_uri, run):
    experiment = read_json(run.tracking_file)["experiment_id"]
    return MlflowClient(store_uri).search_logged_models([experiment])


def test_an_artifact_that_fails_does_not_keep_back_the_models(
    half_full, store_uri, room_for, capsys
):
    with room_for(5_000_000):
        assert main(["sync", str(half_full.path)]) == 2

    assert "1 artifact could not be stored (plots/large.png)" in capsys.readouterr().err
    found = models_of(store_uri, half_full)
    assert {(each.tags["kind"], each.status) for each in found} == {
        ("best", "READY"),
        ("last", "READY"),
    }


def test_models_that_were_not_reached_are_counted_and_sent_later(
    half_full, store_uri, room_for, capsys, monkeypatch
):
    monkeypatch.setattr("reinforce.cluster.tracking.run_sender._MAX_TRYING_S", 0.0)

    with room_for(5_000_000):
        assert main(["sync", str(half_full.path)]) == 2

    assert "plots/large.png" in (said := capsys.readouterr().err)
    assert "the models of its policies): " in said
    assert models_of(store_uri, half_full) == []
    assert main(["sync", str(half_full.path)]) == 0
    assert len(models_of(store_uri, half_full)) == 2


@pytest.mark.tracking
def test_a_place_that_never_answers_costs_neither_points_nor_status(
    make_config, empty_store, tmp_path, monkeypatch
):
    """It takes longer for a request to be given up than the driver waits for a silent MLflow."""
    shutil.copy(empty_store, tmp_path / "server.db")
    server, lines = MLflowServer(tmp_path), list(records(1, 10))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    config = make_config(tracking={"enabled": True, "experiment": "far"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/files"
        MlflowClient(server.store_uri).create_experiment("far", place)
        try:
            server.start()
            run = write_run(config)
            console = PlainConsole(record=True, width=1000)
            with Tracking(config.tracking, console, Interrupts()) as tracking:
                tracking.follow(run)
                append(run, lines)
                silent.settimeout(60)
                asked, _ = silent.accept()
                write_end(run)
            asked.close()
        finally:
            server.kill()
    tracking.print_link()

    said, stored = console.export_text(), run_of(server.store_uri, run)
    assert stored.info.status == "FINISHED"
    assert stored_points(server.store_uri, stored.info.run_id) == shown_points_of(lines)
    assert stored.data.tags["tracking.num_unstored"] == "4"
    names = "config.yaml, packages.txt, summary.json, the models of its policies"
    assert f"4 artifacts could not be stored ({names}): " in said
    assert "did not get everything" not in said

"""Runs whose machine went away under them: MLflow shows them as running until somebody looks."""

import fcntl

import pytest
from mlflow import MlflowClient
from written_runs import records, write_end, write_run

from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.tracking.follower import Follower
from reinforce.cluster.tracking.follower_process import Tracking


@pytest.fixture
def lost_run(make_config, store_uri):
    """A run that was being followed when the power went."""

    class PowerFailureError(Exception):
        pass

    def is_over(wait_s):
        raise PowerFailureError

    run = write_run(make_config(run={"name": "lost"}), records(1, 5))
    with pytest.raises(PowerFailureError):
        Follower(run, is_over, timeout_s=0.0).follow()
    return run


def status_of(store_uri, run):
    return MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"]).info.status


def look(make_config):
    """Send another run of the same experiment."""
    other = write_run(make_config(run={"name": "other"}), records(1, 2))
    sync_run_directory(other)
    return other


def test_the_next_run_that_is_sent_marks_it_as_failed(make_config, store_uri, lost_run):
    assert status_of(store_uri, lost_run) == "RUNNING"

    other = look(make_config)

    assert status_of(store_uri, lost_run) == "FAILED"
    run_id = read_json(lost_run.tracking_file)["run_id"]
    tags = MlflowClient(store_uri).get_run(run_id).data.tags
    assert f"reinforce sync {lost_run.path}" in tags["tracking.incomplete"]
    assert status_of(store_uri, other) == "FAILED"  # it left no summary


def test_the_process_that_follows_a_run_looks_for_lost_ones_too(make_config, store_uri, lost_run):
    config = make_config(run={"name": "other"}, tracking={"enabled": True})
    with Tracking(config.tracking, PlainConsole(), Interrupts()) as tracking:
        other = write_run(config, records(1, 2))
        tracking.follow(other)
        write_end(other)

    assert status_of(store_uri, other) == "FINISHED"
    assert status_of(store_uri, lost_run) == "FAILED"


def test_a_run_that_ended_well_and_could_not_say_so_gets_its_own_status(
    make_config, store_uri, lost_run
):
    write_end(lost_run)

    look(make_config)

    assert status_of(store_uri, lost_run) == "FINISHED"


@pytest.mark.parametrize("file", ["tracking_log", "journal_file"])
def test_a_run_that_is_followed_or_trained_is_left_alone(make_config, store_uri, lost_run, file):
    with getattr(lost_run, file).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        look(make_config)

    assert status_of(store_uri, lost_run) == "RUNNING"


def test_a_run_of_another_host_is_left_alone(make_config, store_uri, lost_run):
    run_id = read_json(lost_run.tracking_file)["run_id"]
    MlflowClient(store_uri).set_tag(run_id, "host", "elsewhere")

    look(make_config)

    assert status_of(store_uri, lost_run) == "RUNNING"


def test_a_run_whose_directory_is_not_here_is_left_alone(make_config, store_uri, lost_run):
    """It lives in a container that calls itself as this host does."""
    lost_run.path.rename(lost_run.path.with_name("elsewhere"))

    look(make_config)

    run_id = read_json(lost_run.path.with_name("elsewhere") / "tracking.json")["run_id"]
    assert MlflowClient(store_uri).get_run(run_id).info.status == "RUNNING"


def test_sync_of_a_run_that_is_trained_sends_the_rest_and_leaves_it_running(
    make_config, store_uri, lost_run
):
    with lost_run.journal_file.open("a") as driver:
        fcntl.flock(driver, fcntl.LOCK_EX)

        sync_run_directory(lost_run)

    assert status_of(store_uri, lost_run) == "RUNNING"
    run_id = read_json(lost_run.tracking_file)["run_id"]
    metrics = MlflowClient(store_uri).get_run(run_id).data.metrics
    assert metrics["evaluation/return_mean"] == 15.0

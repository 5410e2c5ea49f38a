"""A real MLflow server that is killed, frozen, broken or slow: nothing doubled, nothing lost.

The longer ones run in ``make test-tracking``.
"""

import signal
import time

import pytest
from faulty_proxy import FaultyProxy
from mlflow import MlflowClient
from mlflow_server import running_server
from written_runs import append, records, shown_points_of, stored_points, write_end, write_run

from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.tracking.follower_process import Tracking


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    """A server on a store of its own, for all tests of this file."""
    with running_server(tmp_path_factory.mktemp("server"), empty_store) as server:
        yield server


@pytest.fixture
def proxy(server, monkeypatch):
    with FaultyProxy(server.port) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
        yield proxy


def follow_while(config, act):
    """Write a run in three parts with something done between; return run, records, what was said
    and the seconds that its end took."""
    run = write_run(config)
    lines = []
    console = PlainConsole(record=True, width=1000)
    with Tracking(config.tracking, console, Interrupts()) as tracking:
        tracking.follow(run)
        for part, (first, last) in enumerate([(1, 10), (11, 20), (21, 30)]):
            new = list(records(first, last))
            append(run, new)
            lines += new
            act(part, run)
        write_end(run)
        ended_s = time.monotonic()
    end_s = time.monotonic() - ended_s
    tracking.print_link()
    return run, lines, console.export_text(), end_s


def wait_until(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def assert_complete(server, run, lines):
    run_id = read_json(run.tracking_file)["run_id"]
    assert stored_points(server.uri, run_id) == shown_points_of(lines)
    stored = MlflowClient(server.uri).get_run(run_id)
    assert stored.info.status == "FINISHED"
    key = stored.data.tags["reinforce.key"]
    experiment = [stored.info.experiment_id]
    same = MlflowClient(server.uri).search_runs(experiment, f"tags.`reinforce.key` = '{key}'")
    assert len(same) == 1


@pytest.fixture
def config(make_config):
    return make_config(tracking={"enabled": True})


def test_a_server_that_answers_gets_all_of_it_before_the_end(server, proxy, config):
    run, lines, said, _ = follow_while(config, lambda part, run: None)

    assert_complete(server, run, lines)
    assert f"MLflow: open\n{proxy.uri}/#/experiments/" in said


@pytest.mark.tracking
def test_a_server_that_is_not_there_from_the_start_gets_everything_by_sync(
    server, config, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.kill()
    try:
        run, lines, said, end_s = follow_while(config, lambda part, run: None)
    finally:
        server.start()

    assert "Connection refused" in said
    assert "`reinforce sync" in said
    assert end_s < 30
    sync_run_directory(run)
    assert_complete(server, run, lines)


@pytest.mark.tracking
def test_answers_that_get_lost_neither_double_nor_lose_a_point(server, proxy, config):
    """Every request is carried out and answered with 500 the first time, so all are sent twice."""
    proxy.fault = "lost"

    run, lines, _, _ = follow_while(
        config, lambda part, run: wait_until(lambda: proxy.num_failed > 3 * part)
    )
    proxy.fault = None
    sync_run_directory(run)

    assert proxy.num_failed > 5
    assert_complete(server, run, lines)


@pytest.mark.tracking
@pytest.mark.parametrize("broken", [0, 1], ids=["from the start", "in the middle"])
def test_a_server_that_answers_500_is_told_of_and_sync_sends_the_rest(
    server, proxy, config, broken
):
    def break_in(part, run):
        if part == broken:
            if part:
                wait_until(lambda: "run_id" in (read_json(run.tracking_file) or {}))
            proxy.fault = "error"
            wait_until(lambda: proxy.num_failed > 0)

    run, lines, said, end_s = follow_while(config, break_in)

    assert "`reinforce sync" in said
    assert "500" in said
    assert end_s < 30
    proxy.fault = None
    sync_run_directory(run)
    assert_complete(server, run, lines)


@pytest.mark.tracking
def test_a_frozen_server_delays_the_end_by_seconds(server, proxy, config):
    """A stopped process accepts connections and never answers."""

    def freeze(part, run):
        if part == 1:
            wait_until(lambda: "run_id" in (read_json(run.tracking_file) or {}))
            server.signal(signal.SIGSTOP)

    try:
        run, lines, said, end_s = follow_while(config, freeze)
    finally:
        server.signal(signal.SIGCONT)

    assert "`reinforce sync" in said
    assert end_s < 30
    sync_run_directory(run)
    assert_complete(server, run, lines)


def test_a_server_that_is_killed_and_comes_back_gets_everything(server, proxy, config):
    def restart(part, run):
        if part == 1:
            wait_until(lambda: "run_id" in (read_json(run.tracking_file) or {}))
            server.kill()
        if part == 2:
            server.start()

    run, lines, _, _ = follow_while(config, restart)
    sync_run_directory(run)

    assert_complete(server, run, lines)


@pytest.mark.tracking
def test_a_slow_server_gets_everything(server, proxy, config):
    proxy.fault = 0.3

    run, lines, _, _ = follow_while(config, lambda part, run: None)

    assert_complete(server, run, lines)


def test_what_a_server_refuses_is_left_out_counted_and_told(server, proxy, config):
    """A name that MLflow does not allow, in the middle of good ones."""
    from dataclasses import replace

    good = list(records(1, 9))
    bad = [
        *good[:4],
        replace(good[4], metrics={**good[4].metrics, "evaluation//bad": 1.0}),
        *good[5:],
    ]
    run = write_run(config, bad)
    with run.journal_file.open("a") as journal:
        journal.write("not a record\n")
    write_end(run)

    sync_run_directory(run)

    assert_complete(server, run, good)
    data = MlflowClient(server.uri).get_run(read_json(run.tracking_file)["run_id"]).data
    assert data.tags["tracking.num_refused"] == "2"


def test_a_file_that_is_too_large_for_the_server_does_not_keep_the_run_from_its_status(
    server, proxy, config, capsys
):
    lines = list(records(1, 3))
    run = write_run(config, lines)
    write_end(run)
    (run.plots / "large.png").write_bytes(b"0" * 50_000)
    (run.plots / "small.png").write_bytes(b"0" * 5_000)
    proxy.fault = "small"

    sync_run_directory(run)

    assert "left out: large.png: 413" in capsys.readouterr().err
    assert_complete(server, run, lines)
    run_id = read_json(run.tracking_file)["run_id"]
    plots = MlflowClient(server.uri).list_artifacts(run_id, "plots")
    assert [item.path for item in plots] == ["plots/small.png"]

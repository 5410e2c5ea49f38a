"""The lifecycle: what happens around the loop when it cannot go on from where it is."""

import io
from contextlib import contextmanager
from functools import partial

import pytest
from processes import wait_for
from runs import records_of, train

from reinforce.cluster.backends.inline import InlineLearner
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import (
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    RunDirectoryError,
    UsageError,
)
from reinforce.cluster.files import read_json
from reinforce.cluster.run_lifecycle import RunLifecycle
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.run_status import status_of
from reinforce.cluster.waiting import waiting
from reinforce.workers.environment import inspect_environment

SECTIONS = {
    "environment": {"id": "CartPole-v1"},
    "stop": {"max_updates": 6},
    "checkpoint": {"keep": [3, 2]},
}


@pytest.fixture
def conduct(make_config):
    """Conduct a run whose learner fails at some of its updates; return run and exit code."""

    def conduct(monkeypatch, failures):
        update, calls = InlineLearner.update, []

        def failing_update(self, trajectories):
            calls.append(None)
            if len(calls) in failures:
                raise failures[len(calls)]
            return update(self, trajectories)

        monkeypatch.setattr(InlineLearner, "update", failing_update)
        config = make_config(**SECTIONS)
        run = RunDirectory.create(config)
        spec = inspect_environment(config.environment)
        with Journal(run.journal_file) as journal:
            lifecycle = RunLifecycle(config, spec, run, journal, PlainConsole(quiet=True), 0.0)
            return run, lifecycle.conduct(None, conduct.starts.append)

    conduct.starts = []

    return conduct


def test_a_state_that_is_lost_costs_what_came_after_the_newest_checkpoint(
    conduct, make_config, monkeypatch
):
    undisturbed, expected, _ = train(make_config(**SECTIONS, run={"name": "undisturbed"}))
    lost = LearnerStateLostError("gone")

    run, code = conduct(monkeypatch, {4: lost, 7: lost})

    assert code == 0
    assert read_json(run.summary_file)["weights_sha256"] == undisturbed.weights_sha256
    batches = [[r.batch.sha256 for r in rs if r.batch] for rs in (records_of(run), expected)]
    assert batches[0] == batches[1]
    assert conduct.starts == [0, 3, 5]


def test_a_state_that_is_lost_again_without_any_progress_ends_the_run(conduct, monkeypatch):
    lost = LearnerStateLostError("gone")

    with pytest.raises(LearnerStateLostError):
        conduct(monkeypatch, {4: lost, 5: lost, 6: lost})


def test_a_run_that_cannot_read_what_it_would_go_back_to_has_failed(conduct, monkeypatch):
    def unreadable(self, report):
        raise RunDirectoryError("permission denied")

    monkeypatch.setattr(Checkpoints, "newest", unreadable)

    with pytest.raises(LearnerLostError, match="gone; its checkpoints cannot be read: permission"):
        conduct(monkeypatch, {4: LearnerStateLostError("gone")})


@pytest.mark.parametrize("error", [UsageError("no cluster there"), InterruptedRunError(15)])
def test_what_ends_it_while_it_goes_back_never_costs_what_was_reached(
    conduct, monkeypatch, make_config, error
):
    from reinforce.cluster import run_lifecycle

    open_backend, calls = run_lifecycle.open_backend, []

    def open_once(*arguments):
        calls.append(None)
        if len(calls) > 1:
            raise error
        return open_backend(*arguments)

    monkeypatch.setattr(run_lifecycle, "open_backend", open_once)

    if isinstance(error, UsageError):
        with pytest.raises(LearnerLostError, match="cannot start again: no cluster there"):
            conduct(monkeypatch, {4: LearnerStateLostError("gone")})
    else:
        run, code = conduct(monkeypatch, {4: LearnerStateLostError("gone")})
        assert code == 143
        assert read_json(run.summary_file)["status"] == "interrupted"
        assert read_json(run.summary_file)["updates"] == 3


def test_a_run_that_has_finished_stays_so_when_its_backend_fails_to_end(
    conduct, monkeypatch, make_config
):
    from reinforce.cluster import run_lifecycle

    open_backend = run_lifecycle.open_backend

    @contextmanager
    def open_and_fail_to_end(*arguments):
        with open_backend(*arguments) as backend:
            yield backend
        raise OSError("the raylet is gone")

    monkeypatch.setattr(run_lifecycle, "open_backend", open_and_fail_to_end)

    with pytest.raises(OSError, match="the raylet is gone"):
        conduct(monkeypatch, {})

    (summary,) = make_config().run.directory.glob("test/summary.json")
    assert read_json(summary)["status"] == "finished"
    assert read_json(summary)["evaluation"]


def test_what_the_backend_has_to_tell_is_printed(make_config, monkeypatch):
    from reinforce.cluster import run_lifecycle

    open_backend, console = run_lifecycle.open_backend, PlainConsole(file=io.StringIO())

    def open_and_tell(*arguments):
        _, _, driver, _ = arguments
        driver.tell("a worker was lost")
        return open_backend(*arguments)

    monkeypatch.setattr(run_lifecycle, "open_backend", open_and_tell)
    config = make_config(**SECTIONS)
    run, spec = RunDirectory.create(config), inspect_environment(config.environment)
    with Journal(run.journal_file) as journal:
        RunLifecycle(config, spec, run, journal, console, 0.0).conduct(None, lambda _: None)

    assert console.file.getvalue().splitlines()[0] == "a worker was lost"


def test_a_signal_while_the_last_checkpoint_is_fetched_destroys_nothing(
    make_config, monkeypatch, tmp_path
):
    """What has begun is never discarded, whatever kind of error comes out."""
    from reinforce.cluster.new_run import run_training

    def interrupted(self, ahead):
        raise InterruptedRunError(15)

    monkeypatch.setattr(InlineLearner, "snapshot", interrupted)
    config = make_config(**SECTIONS)

    with pytest.raises(InterruptedRunError):
        run_training(config, PlainConsole(quiet=True), 0.0)

    run = RunDirectory(config.run.directory / "test")
    assert len(records_of(run)) >= 2


def test_what_a_run_waits_for_stands_in_its_directory_meanwhile(conduct, monkeypatch):
    """Here for its pictures; for room on a cluster it waits by the same means."""
    seen = []

    def draw(journal, plots, name):
        run = RunDirectory(plots.parent)
        wait_for(run.wait_file.exists, pause_s=0.01)
        seen.append((status_of(run.path).state, status_of(run.path).note))

    monkeypatch.setattr("reinforce.cluster.run_lifecycle.draw_run", draw)
    monkeypatch.setattr("reinforce.cluster.run_lifecycle.waiting", partial(waiting, line_after_s=0))

    run, _ = conduct(monkeypatch, {})

    assert seen == [("waiting", "the pictures")]
    assert not run.wait_file.exists()

"""One MLflow run for the whole life of a run whose journal is cut back and written again."""

from datetime import datetime

import pytest
from mlflow import MlflowClient
from written_runs import (
    append,
    records,
    shown_points_of,
    stored_points,
    update_entry,
    write_end,
    write_run,
)

from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import Journal, JournalEntry
from reinforce.cluster.tracking.follower import Follower
from reinforce.cluster.tracking.mlflow_run import MLflowRun


def run_id_of(run):
    return read_json(run.tracking_file)["run_id"]


def cut_back(run, updates):
    """What a resumption does to the journal; return the records that remain."""
    with Journal(run.journal_file) as journal:
        journal.cut_back(updates)
    run.summary_file.unlink(missing_ok=True)
    return [JournalEntry.parse(line) for line in run.journal_file.read_bytes().splitlines()]


def test_a_journal_that_was_cut_back_and_written_again_gives_every_point_once(
    make_config, store_uri
):
    before = list(records(1, 20))
    run = write_run(make_config(), before)
    sync_run_directory(run)
    cut_back(run, 12)
    replayed = list(records(13, 30))
    append(run, replayed)
    write_end(run)

    sync_run_directory(run)

    new = [record for record in replayed if record.updates > 20]
    assert stored_points(store_uri, run_id_of(run)) == shown_points_of([*before, *new])
    assert MlflowClient(store_uri).get_run(run_id_of(run)).info.status == "FINISHED"


def test_learning_metrics_are_those_of_the_journal_and_time_never_runs_back(make_config, store_uri):
    run = write_run(make_config(), records(1, 20))
    sync_run_directory(run)
    kept = cut_back(run, 12)
    replayed = list(records(13, 30))
    append(run, replayed)

    sync_run_directory(run)

    stored = stored_points(store_uri, run_id_of(run))
    journal = shown_points_of([*kept, *replayed])
    assert stored.keys() == journal.keys()
    for key, (value, _) in journal.items():
        assert stored[key][0] == value or key[0].startswith("time/")
    by_step = sorted(
        (step, time_ms) for (name, step), (_, time_ms) in stored.items() if "return" in name
    )
    assert [time_ms for _, time_ms in by_step] == sorted(time_ms for _, time_ms in by_step)


def test_a_resumption_from_before_anything_was_sent_misses_nothing(make_config, store_uri):
    run = write_run(make_config(), records(1, 3))
    sync_run_directory(run)
    cut_back(run, 0)
    replayed = list(records(1, 9))
    append(run, replayed)

    sync_run_directory(run)

    assert stored_points(store_uri, run_id_of(run)).keys() == shown_points_of(replayed).keys()


def test_merged_updates_are_counted_once_across_a_resumption(make_config, store_uri):
    """Fast updates after 100 s are merged by fives; the window that was open when the run broke off
    is sent short, and the next one begins behind it."""
    run = write_run(make_config(), [update_entry(n, 100 + 0.1 * n) for n in range(1, 24)])
    sync_run_directory(run)
    cut_back(run, 15)
    append(run, [update_entry(n, 90 + 0.1 * n) for n in range(16, 41)])

    sync_run_directory(run)

    stored = stored_points(store_uri, run_id_of(run))
    steps = sorted(step for name, step in stored if name == "batch/return_mean")
    total = 0.0
    for previous, step in zip([0, *steps], steps, strict=False):
        total += stored["batch/return_mean", step][0] * (step - previous) / 10
    assert steps[-1] == 400
    assert 230 in steps
    assert total == pytest.approx(sum(2.0 * n for n in range(1, 41)))


def test_a_journal_that_is_cut_back_while_it_is_followed_gives_every_point_once(
    make_config, store_uri
):
    """The learner was lost and the run goes back to a checkpoint; its follower lives on."""
    before, replayed = list(records(1, 20)), list(records(13, 30))
    run = write_run(make_config(), before)

    def go_back():
        cut_back(run, 12)
        append(run, replayed[:9])

    polls = iter([lambda: None, lambda: None, go_back, lambda: append(run, replayed[9:])])

    def is_over(wait_s):
        act = next(polls, None)
        if act:
            act()
        return act is None

    Follower(run, is_over, timeout_s=0.0).follow()

    new = [record for record in replayed if record.updates > 20]
    assert stored_points(store_uri, run_id_of(run)) == shown_points_of([*before, *new])


def test_a_start_that_is_noted_while_the_run_is_followed_is_on_its_page(make_config, store_uri):
    """The learner was lost and the run goes back to a checkpoint; its follower lives on."""
    run = write_run(make_config(), records(1, 20))
    run.note_start("train", 0, {})
    seen = []

    def go_back():
        run.note_start("train", 12, {})
        cut_back(run, 12)

    polls = iter([lambda: None, go_back, lambda: run.note_start("train", 15, {})])

    def is_over(wait_s):
        seen.append(note_of(store_uri, run))
        next(polls)()
        return len(seen) == 3

    Follower(run, is_over, timeout_s=0.0).follow()

    assert "**Starts.**" not in seen[0]
    assert "**Starts.** 2, from the updates 0, 12." in seen[2]
    assert "**Starts.** 3, from the updates 0, 12, 15." in note_of(store_uri, run)


def note_of(store_uri, run):
    return MlflowClient(store_uri).get_run(run_id_of(run)).data.tags["mlflow.note.content"]


def test_the_status_is_running_again_and_then_that_of_the_second_end(make_config, store_uri):
    run = write_run(make_config(), records(1, 5))
    write_end(run, "interrupted")
    sync_run_directory(run)
    client = MlflowClient(store_uri)
    assert client.get_run(run_id_of(run)).info.status == "KILLED"
    cut_back(run, 5)
    seen = []

    def is_over(wait_s):
        seen.append(client.get_run(run_id_of(run)).info.status)
        write_end(run)
        return True

    Follower(run, is_over, timeout_s=0.0).follow()

    assert seen == ["RUNNING"]
    assert client.get_run(run_id_of(run)).info.status == "FINISHED"


def test_a_run_that_lives_says_so_again_and_again(make_config, store_uri, monkeypatch):
    monkeypatch.setattr("reinforce.cluster.tracking.follower._HEARTBEAT_S", 0.0)
    run = write_run(make_config(), records(1, 5))
    client = MlflowClient(store_uri)
    seen = []

    def is_over(wait_s):
        seen.append(client.get_run(run_id_of(run)).data.tags.get("heartbeat"))
        return len(seen) == 3

    monkeypatch.setattr("reinforce.cluster.tracking.mlflow_run.datetime", Clock)
    Follower(run, is_over, timeout_s=0.0).follow()

    assert seen == [None, "2026-01-01T00:00:01+00:00", "2026-01-01T00:00:02+00:00"]


class Clock:
    """A second later whenever it is asked."""

    second = 0

    @classmethod
    def now(cls, zone):
        cls.second += 1
        return datetime(2026, 1, 1, second=cls.second, tzinfo=zone)


def test_a_setting_that_a_resumption_changes_becomes_a_tag(make_config, store_uri):
    from reinforce.configs.loading import to_yaml

    run = write_run(make_config(), records(1, 2))
    sync_run_directory(run)
    run.config_file.write_text(to_yaml(make_config(stop={"max_updates": 50})))

    sync_run_directory(run)

    data = MlflowClient(store_uri).get_run(run_id_of(run)).data
    assert data.params["stop.max_updates"] == "2"
    assert data.tags["changed.stop.max_updates"] == "50"


def test_a_torn_line_is_told_once_however_often_a_run_is_opened(
    make_config, store_uri, monkeypatch, capsys
):
    run = write_run(make_config(), records(1, 2))
    run.history_file.write_text('{"verb": "tr{"verb": "train", "from_update": 0}\n')
    errors = iter([OSError("an outage")])
    log_text = MLflowRun.log_text

    def fail_once(mlflow_run, text, file):
        for error in errors:
            raise error
        return log_text(mlflow_run, text, file)

    monkeypatch.setattr(MLflowRun, "log_text", fail_once)
    polls = iter([False, False, True])
    Follower(run, lambda wait_s: next(polls), timeout_s=0.0).follow()

    told = capsys.readouterr().err
    assert "an outage" in told
    assert told.count("left out: a line of history.jsonl") == 1
    stored = MlflowClient(store_uri).get_run(run_id_of(run))
    assert stored.data.tags["tracking.num_refused"] == "1"


def test_torn_lines_of_other_files_are_told_counted_and_keep_nothing_back(
    make_config, store_uri, capsys
):
    """The machine lost power, and what was appended afterwards stands behind half a line."""
    lines = list(records(1, 5))
    run = write_run(make_config(), lines)
    write_end(run)
    run.history_file.write_text('{"verb": "tr{"verb": "train", "from_update": 0}\n' * 2)
    load = '{"timestamp_ms": 1, "metrics": {"system/cpu_utilization_percentage": 5.0}}\n'
    run.system_file.write_text(f'{{"timestamp_ms": 1, "met{load}{load}{{"timest')

    sync_run_directory(run)

    told = capsys.readouterr().err
    assert "MLflow: left out: a line of system.jsonl" in told
    assert "MLflow: left out: a line of history.jsonl" in told
    stored = MlflowClient(store_uri).get_run(run_id_of(run))
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["tracking.num_refused"] == "3"
    assert stored.data.metrics["system/cpu_utilization_percentage"] == 5.0
    assert stored_points(store_uri, run_id_of(run)) == shown_points_of(lines)

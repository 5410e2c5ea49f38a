"""TensorBoard and W&B beside MLflow: what they hold is what the journal holds."""

import io
import json
import shutil
import struct
import sys

import numpy as np
import pytest
from written_runs import append, points_of, records, write_end, write_run

from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import Journal, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.other_trackers import (
    OtherTrackers,
    follow,
    make_tracker,
    sends_of_rest,
)
from reinforce.cluster.tracking.pacing import MetricWindows
from reinforce.configs.loading import load_config

TENSORBOARD = {"tracking": {"enabled": False, "tensorboard": True}}
WANDB = {"tracking": {"enabled": False, "wandb": {"project": "mine"}}}


def at_once(wait_s):
    return True


def send_rest(run, config):
    (send,) = sends_of_rest(run, config).values()
    send()


@pytest.fixture
def tensorboard():
    return pytest.importorskip("tensorboard", reason="needs the extra tensorboard")


@pytest.fixture
def wandb(monkeypatch):
    module = pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    return module


def events_of(run):
    """(name, step): (value, timestamp in ms), by TensorBoard's own reader; a doubled one fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run.path / "tensorboard"), {"scalars": 0})
    accumulator.Reload()
    found = {}
    for name in accumulator.Tags()["scalars"]:
        for event in accumulator.Scalars(name):
            assert (name, event.step) not in found, f"{name} at {event.step} is doubled"
            found[name, event.step] = event.value, round(event.wall_time * 1000)
    return found


def expected_of(run):
    """The same, as it stands in the journal, at the precision of TensorBoard."""
    windows, merged = MetricWindows(), []
    for entry in read_entries(run.journal_file):
        merged += windows.add(entry)
    points = points_of([*merged, *windows.flush()])
    return {key: (float(np.float32(value)), time) for key, (value, time) in points.items()}


def steps_and_values(points):
    """Without what differs between two lives of an update: its times."""
    kept = {key: value for key, (value, _) in points.items()}
    return {key: value for key, value in kept.items() if not key[0].startswith("time/")}


def test_tensorboard_reads_every_point_of_the_journal(tensorboard, make_config):
    run = write_run(make_config(**TENSORBOARD), records(1, 12))

    follow(run, make_tracker("tensorboard", run, make_config()), at_once)

    events = events_of(run)
    assert events == expected_of(run)
    assert events["evaluation/return_mean", 100][0] == 30.0


def test_a_resumed_run_goes_on_in_the_same_events_with_every_point_once(tensorboard, make_config):
    config = make_config(**TENSORBOARD)
    run = write_run(config, records(1, 7))
    send_rest(run, config)
    with Journal(run.journal_file) as journal:
        journal.cut_back(4)
    append(run, records(5, 9))

    send_rest(run, config)
    num_files = len(list((run.path / "tensorboard").iterdir()))
    send_rest(run, config)

    assert steps_and_values(events_of(run)) == steps_and_values(expected_of(run))
    assert len(list((run.path / "tensorboard").iterdir())) == num_files == 2, "nothing was missing"


def test_events_that_a_crash_tore_are_written_again(tensorboard, make_config):
    config = make_config(**TENSORBOARD)
    run = write_run(config, records(1, 7))
    send_rest(run, config)
    (file,) = (run.path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-20])

    send_rest(run, config)

    assert steps_and_values(events_of(run)) == steps_and_values(expected_of(run))


@pytest.mark.parametrize("is_at_the_end", [False, True])
def test_a_journal_that_is_cut_back_while_it_is_followed_is_read_again(
    tensorboard, make_config, is_at_the_end
):
    run = write_run(make_config(**TENSORBOARD), records(1, 7))
    calls = []

    def is_over(wait_s):
        calls.append(None)
        if len(calls) == 2:
            with Journal(run.journal_file) as journal:
                journal.cut_back(3)
            append(run, records(4, 8))
        return len(calls) == (2 if is_at_the_end else 4)

    follow(run, make_tracker("tensorboard", run, make_config()), is_over)

    assert steps_and_values(events_of(run)) == steps_and_values(expected_of(run))


def test_a_damaged_line_is_left_out_and_said(tensorboard, make_config, capsys):
    run = write_run(make_config(**TENSORBOARD), records(1, 2))
    expected = expected_of(run)
    with run.journal_file.open("ab") as file:
        file.write(b"\0\n")

    follow(run, make_tracker("tensorboard", run, make_config()), at_once)

    assert events_of(run) == expected
    assert capsys.readouterr().err.startswith("left out: a line of the journal: ")


def other_trackers(config):
    console = PlainConsole(file=io.StringIO(), width=500)
    return OtherTrackers(config.tracking, console, Interrupts()), console.file


def test_a_process_of_its_own_follows_to_the_end(tensorboard, make_config):
    config = make_config(**TENSORBOARD)
    run = write_run(config, records(1, 7))
    trackers, said = other_trackers(config)

    with trackers:
        trackers.follow(run)
        trackers.follow(run)
        append(run, records(8, 9))
        write_end(run)

    assert events_of(run) == expected_of(run)
    assert said.getvalue() == ""


def test_a_tracker_that_fails_is_one_warning(tensorboard, make_config):
    config = make_config(**TENSORBOARD)
    run = write_run(config, records(1, 7))
    (run.path / "tensorboard").write_text("no folder")
    trackers, said = other_trackers(config)

    with trackers:
        trackers.follow(run)

    (line,) = said.getvalue().splitlines()
    assert line.startswith("TensorBoard does not follow this run: ")
    assert "Error: " in line


def test_sync_sends_to_the_others_what_mlflow_refuses(
    tensorboard, make_config, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = write_run(make_config(tracking={"enabled": True, "tensorboard": True}), records(1, 3))
    write_json(run.tracking_file, {"run_id": "a", "directory": f"{tmp_path}/gone", "link": ""})

    assert main(["sync", str(run.path), "--trust"]) == 2

    said = capsys.readouterr()
    assert f"{run.path} is complete in TensorBoard\n" in said.out
    assert f"this run was in the store {tmp_path}/gone/mlflow.db" in said.err
    assert events_of(run) == expected_of(run)


def test_sync_leaves_mlflow_out_where_it_is_off_and_another_tracker_is_named(
    tensorboard, make_config, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = write_run(make_config(**TENSORBOARD), records(1, 3))

    assert main(["sync", str(run.path)]) == 0
    with Journal(run.journal_file):
        assert main(["sync", str(run.path)]) == 0

    said = capsys.readouterr().out
    assert f"{run.path} is complete in TensorBoard\n" in said
    assert said.endswith("is still training, and its trackers follow it by themselves\n")
    assert events_of(run) == expected_of(run)
    assert not list(tmp_path.rglob("mlflow.db"))
    assert not run.tracking_file.exists()


def test_a_folder_that_leads_elsewhere_is_not_written_to(tensorboard, make_config, tmp_path):
    config = make_config(**TENSORBOARD)
    run = write_run(config, records(1, 3))
    (tmp_path / "elsewhere").mkdir()
    (run.path / "tensorboard").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="is a symbolic link or leads out of the run directory"):
        send_rest(run, config)

    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(name, make_config, monkeypatch):
    config = make_config(**(TENSORBOARD if name == "tensorboard" else WANDB))
    run = write_run(config, records(1, 3))
    for module in ("tensorboard_events", "wandb_run"):
        monkeypatch.delitem(sys.modules, f"reinforce.cluster.tracking.{module}", raising=False)
    for module in [name, *(each for each in sys.modules if each.startswith(f"{name}."))]:
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(UsageError) as missing:
        send_rest(run, config)

    assert f"the package {name} is missing: `pip install 'distributed-reinforce[{name}]'`" in str(
        missing.value
    )


def records_in(file):
    """What `wandb sync` would send, from a file that is a log of LevelDB behind seven bytes."""
    content, position, data = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left_in_block = 2**15 - position % 2**15
        if left_in_block < 7:
            position += left_in_block
            continue
        size, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        data += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield data
            data = b""


def rows_of(run):
    """By step, the metrics in the files of all starts, and the ids of the runs."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows, ids = [], set()
    for file in sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb")):
        for data in records_in(file):
            record = Record()
            record.ParseFromString(data)
            ids |= {record.run.run_id} - {""}
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            if items:
                rows.append((items["_step"], items))
    return rows, ids


def test_wandb_reads_every_point_of_the_journal(wandb, make_config):
    config = make_config(**WANDB)
    run = write_run(config, records(1, 7))
    write_end(run)

    follow(run, make_tracker("wandb", run, config), at_once)

    rows, ids = rows_of(run)
    entries = list(read_entries(run.journal_file))
    assert [step for step, _ in rows] == [10 * updates for updates in range(1, 8)]
    assert ids == {json.loads((run.path / "wandb.json").read_text())["id"]}
    for entry in entries:
        row = dict(rows)[entry.environment_steps]
        assert {name: row[name] for name in entry.metrics} == entry.metrics
    assert dict(rows)[30]["_timestamp"] == entries[2].timestamp_ms / 1000


def test_a_resumed_run_goes_on_in_the_same_run_of_wandb(wandb, make_config):
    config = make_config(**WANDB)
    run = write_run(config, records(1, 3))
    follow(run, make_tracker("wandb", run, config), at_once)
    shutil.rmtree(run.path / "wandb")
    append(run, records(4, 6))
    tracker = make_tracker("wandb", run, config)
    tracker._held_steps = 30  # as its server says; there is none offline

    follow(run, tracker, at_once)

    rows, ids = rows_of(run)
    assert [step for step, _ in rows] == [40, 50, 60]
    assert ids == {json.loads((run.path / "wandb.json").read_text())["id"]}


def test_settings_are_read_from_yaml_and_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("tracking: {tensorboard: true, wandb: {project: mine}}")
    told = load_config("mine.yaml").tracking
    assert (told.tensorboard, told.wandb.project, told.wandb.entity) == (True, "mine", None)

    words = ["config", "cartpole", "--tracking.wandb"]
    assert main([*words, "{project: mine, entity: us}"]) == 0
    assert "  wandb:\n    project: mine\n    entity: us\n" in capsys.readouterr().out
    assert main([*words, "None"]) == 0
    assert "  wandb: null\n" in capsys.readouterr().out
    assert main([*words, "{projet: mine}"]) == 2
    assert "tracking.wandb.project is missing" in capsys.readouterr().err


def test_a_project_that_a_stranger_names_is_not_sent_to(make_config, capsys):
    config = make_config(tracking={"wandb": {"project": "theirs", "entity": "them"}})
    run = write_run(config, records(1, 3))
    write_end(run, "interrupted")

    for verb in ("resume", "sync"):
        assert main([verb, str(run.path)]) == 2
        said = capsys.readouterr().err
        assert "send to the project 'them/theirs' of W&B (tracking.wandb)" in said
    assert not (run.path / "wandb").exists()
    assert not RunDirectory(run.path).control_file.exists()

"""``reinforce status``: what the files of runs say of them, whoever wrote those."""

import io
import json
import os
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from ray.job_submission import JobDetails, JobStatus
from small_runs import train
from written_runs import BATCH, evaluation_entry, update_entry, write_end, write_run

import reinforce
from reinforce.cluster.backends.ray.published_numbers import PublishedNumbers
from reinforce.cluster.cli import main
from reinforce.cluster.commands.status import _table
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import write_json
from reinforce.cluster.run_store.journal import BatchEntry, Journal, JournalEntry
from reinforce.cluster.run_store.recent_returns import recent_returns
from reinforce.cluster.run_store.run_status import RunStatus, WaitNotes, find_runs, status_of
from reinforce.cluster.submission.job_status import _runs, _status
from reinforce.cluster.submission.jobs import RayJobs


class Leaving(CartPoleEnv):
    resets = 0

    def reset(self, **options):
        Leaving.resets += 1
        return self.leave() if Leaving.resets > 40 else super().reset(**options)

    def leave(self):
        sys.exit(3)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(make_config):
    def write(name, num_updates=3):
        entries = [entry(updates) for updates in range(1, num_updates + 1)]
        return write_run(make_config(run={"name": name}), entries)

    return write


def entry(updates):
    more = {"time/environment_steps_per_s": 5000.0, "cluster/workers_alive": 2.0}
    plain = update_entry(updates)
    return JournalEntry(**{**vars(plain), "metrics": {**plain.metrics, **more}})


def shown(capsys, *words):
    capsys.readouterr()
    assert main(["status", *words, "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


@contextmanager
def alive(run):
    """Hold the lock that the process of a run holds."""
    with Journal(run.journal_file):
        yield


def test_a_run_that_is_over_is_told_by_its_summary_or_was_killed_if_it_has_none(write, capsys):
    for status in ("finished", "interrupted", "failed"):
        write_end(write(status), status)
    write("killed")

    rows = shown(capsys)

    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "finished": "finished",
        "interrupted": "interrupted",
        "failed": "failed",
        "killed": "killed",
    }
    assert reinforce.load("runs/killed").status == "killed"
    row = rows["finished"]
    assert row["note"] == "max_updates"
    assert abs(row["since_ms"] - time.time() * 1000) < 60_000
    numbers = ("updates", "return_mean", "environment_steps_per_s", "workers")
    assert [row[name] for name in numbers] == [3, 6.0, 5000.0, 2]


def test_a_live_run_is_known_by_its_lock_and_told_since_its_last_start(write, capsys):
    run = write("a")
    run.note_start("train", 0, {})
    write_end(write("b"))

    with alive(run):
        rows = shown(capsys, "runs")

    assert rows["a"]["state"] == "running"
    assert abs(rows["a"]["since_ms"] - time.time() * 1000) < 60_000
    assert list(rows) == ["a", "b"], "live ones first"
    assert shown(capsys, "runs/a")["a"]["state"] == "killed", "the lock is gone"


def test_what_a_live_run_waits_for_is_told(write, capsys):
    run = write("a", num_updates=0)
    with alive(run):
        row = shown(capsys)["a"]
        assert (row["state"], row["note"], row["updates"]) == ("waiting", "its first start", 0)

        run.note_start("train", 0, {})
        waits = WaitNotes(run)
        waits.note("first", "a worker: no room yet, 2 CPUs asked, 0 free")
        row = shown(capsys)["a"]
        assert (row["state"], row["note"]) == (
            "waiting",
            "a worker: no room yet, 2 CPUs asked, 0 free",
        )
        assert abs(row["since_ms"] - time.time() * 1000) < 60_000

        waits.note("first", "")
        assert main(["pause", "runs/a"]) == 0
        row = shown(capsys)["a"]
        assert (row["state"], row["note"]) == ("waiting", "`reinforce unpause`")

        assert main(["unpause", "runs/a"]) == 0
        assert shown(capsys)["a"]["state"] == "running"


def test_the_table_is_for_people(write, capsys):
    write_end(write("a"))
    run = write("b")
    with alive(run):
        WaitNotes(run).note("first", "a worker")
        assert main(["status"]) == 0

    title, first, second = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", title.strip()) == [
        *("run", "state", "update", "return, last 10", "evaluated", "steps/s", "workers", "since"),
    ]
    mean = f"{sum(BATCH.episode_returns) / len(BATCH.episode_returns):.3f}"
    assert first.split()[:7] == ["b", "waiting", "3", mean, "-", "5,000", "2"]
    assert first.rstrip().endswith("a worker")
    assert second.split()[:7] == ["a", "finished", "3", mean, "-", "5,000", "2"]
    assert second.rstrip().endswith("max_updates")


def test_no_line_of_the_table_ends_in_blanks(write, capsys):
    write("a")
    write_end(write("a-run-that-is-over"))

    assert main(["status"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert [line for line in lines if line != line.rstrip()] == []


def test_places_without_runs_are_said(tmp_path, capsys):
    assert main(["status"]) == 2
    assert "cannot look for runs in runs (No such file or directory)" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["status", "empty"]) == 0
    assert capsys.readouterr().out == "no runs in empty\n"
    assert main(["status", "empty", "--address", "http://127.0.0.1:9"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["status", "empty", "--watch"]) == 2
    assert "--watch is for terminals" in capsys.readouterr().err
    assert main(["status", "--address", "http://127.0.0.1:9"]) == 2
    assert "http://127.0.0.1:9' does not answer" in capsys.readouterr().err


def test_a_file_of_a_run_is_answered_with_the_run(write, capsys):
    write("a")

    assert main(["status", "runs/a/config.yaml"]) == 2
    assert "(Not a directory); try `reinforce status runs/a`" in capsys.readouterr().err


def test_runs_of_a_sweep_are_shown_and_where_there_are_only_sweeps_how_to_ask(
    make_config, tmp_path, capsys
):
    folder = tmp_path / "sweeps" / "lr"
    write_run(make_config(run={"directory": str(folder / "runs"), "name": "trial-0000-seed-0"}))
    (folder / "sweep.yaml").write_text("")

    for words in (["status"], ["status", "sweeps"]):
        assert main(words) == 0
        assert "`reinforce status sweeps/lr` shows those of a sweep" in capsys.readouterr().out
    assert main(["status", "sweeps/lr"]) == 0
    assert "trial-0000-seed-0  killed" in capsys.readouterr().out


def no_summary(run):
    run.summary_file.write_text('{"status": "finished", "timestamp_ms": "long ago"}')


def torn_history(run):
    run.history_file.write_bytes(b'{"timestamp_ms": -5}\n' + b"\0" * 100)


def pipe_as_journal(run):
    run.journal_file.unlink()
    os.mkfifo(run.journal_file)


def link_as_journal(run):
    run.journal_file.unlink()
    run.journal_file.symlink_to("/etc/passwd")


def folder_as_summary(run):
    run.summary_file.mkdir()


def damaged_journal(run):
    run.journal_file.write_bytes(b'{"updates": 99}\n{\n' + run.journal_file.read_bytes() + b"\0\n{")


def code_in_config(run):
    run.config_file.write_text("environment: {id: 'print:print'}\nx: !!python/name:os.system")


@pytest.mark.parametrize(
    ("meddle", "state"),
    [
        (no_summary, "killed"),
        (torn_history, "killed"),
        (pipe_as_journal, "unreadable"),
        (link_as_journal, "unreadable"),
        (folder_as_summary, "unreadable"),
        (damaged_journal, "killed"),
        (code_in_config, "killed"),
    ],
)
def test_what_strangers_put_into_a_run_directory_is_one_row_among_others(
    write, capsys, meddle, state
):
    write_end(write("good"))
    run = write("odd")
    meddle(run)

    rows = shown(capsys)

    assert rows["good"]["state"] == "finished"
    assert rows["odd"]["state"] == state
    assert rows["odd"]["updates"] == (None if state == "unreadable" else 3)


def test_a_folder_that_cannot_be_looked_into_hides_no_other(write, tmp_path, as_nobody):
    good, locked = write("good").path, write("locked").path
    for folder in (tmp_path, good.parent, good):
        folder.chmod(0o755)
    locked.chmod(0)

    as_nobody()

    assert [path.name for path in find_runs(Path("runs"))] == ["good", "locked"]
    status = status_of(Path("runs/locked"))
    assert status.state == "unreadable"
    assert status.note == f"cannot read {locked}: Permission denied"


def test_a_place_that_cannot_be_looked_into_is_refused(write, tmp_path, as_nobody, capsys):
    locked = write("a").path.parent
    tmp_path.chmod(0o755)
    locked.chmod(0)

    as_nobody()

    assert main(["status", "runs/a"]) == 2
    assert "cannot look for runs in runs/a (Permission denied)" in capsys.readouterr().err


def test_texts_of_strangers_do_not_steer_the_terminal(write, capsys):
    run = write("a")
    write_end(run)
    summary = json.loads(run.summary_file.read_text())
    evil = "\x1b[2Jdone [red]now[/]\nand a second line"
    write_json(run.summary_file, {**summary, "stop_reason": evil})

    assert main(["status"]) == 0

    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[2Jdone" in said
    assert "[red]now[/]" in said
    assert "second line" not in said


def test_what_a_callback_raised_is_told(tmp_path, capsys):
    def fail(event):
        raise ZeroDivisionError("no episode has a success")

    with pytest.raises(reinforce.CallbackError):
        train(tmp_path / "runs", {"stop.max_updates": 1}, callbacks=[fail])
    assert main(["status"]) == 0

    line = fail.__code__.co_firstlineno + 1
    told = (
        "CallbackError: a callback raised: ZeroDivisionError: no episode has a success "
        f"(test_status.py:{line}, in fail)"
    )
    assert capsys.readouterr().out.rstrip().endswith(told)


def test_what_an_environment_raised_is_told(tmp_path, capsys):
    with pytest.raises(reinforce.TicketFailedError):
        train(tmp_path / "runs", environment=Leaving)

    line = Leaving.leave.__code__.co_firstlineno + 1
    told = (
        r"ticket training \S+ failed: reset raises SystemExit: 3 "
        rf"\(test_status.py:{line}, in leave\)"
    )
    assert re.fullmatch(told, shown(capsys)["a"]["note"])
    assert main(["status"]) == 0
    assert re.search(rf"{told}$", capsys.readouterr().out.rstrip())


def test_the_newest_update_of_a_long_journal_is_found_from_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert recent_returns(path).newest is None
    long = JournalEntry(7, 70, 1.0, 1, {"x/y": 1.0}, BATCH)
    event = JournalEntry(7, 70, 1.0, 1, {"tickets/longest_s": 60.0})
    with path.open("w") as file:
        file.writelines(entry(updates).line() for updates in range(1, 7))
        file.write(long.line())
        file.writelines(event.line() for _ in range(1000))
        file.write('{"torn')

    assert path.stat().st_size > 2**16
    assert recent_returns(path).newest == long


def test_a_return_is_that_of_all_episodes_of_the_last_ten_updates_and_of_the_last_evaluation(
    make_config, capsys
):
    """Twelve updates, of which the last one has three episodes, and evaluations after two."""
    batches = [BatchEntry("0", [float(update)], [1]) for update in range(1, 12)]
    batches.append(BatchEntry("0", [100.0, 200.0, 300.0], [1, 1, 1]))
    updates = [replace(entry(n), batch=batch) for n, batch in enumerate(batches, start=1)]
    early, late = evaluation_entry(0), evaluation_entry(2)
    write_run(make_config(run={"name": "a"}), [early, *updates[:2], late, *updates[2:]])

    row = shown(capsys)["a"]

    assert row["recent_return_mean"] == (sum(range(3, 12)) + 600) / 12
    assert row["evaluation_return_mean"] == late.metrics["evaluation/return_mean"]
    assert late.metrics != early.metrics


JOBS = RayJobs("http://head:8265", None)


def job(status, **more):
    told = {"submission_id": "reinforce-mine-0123-1", "start_time": 5, "end_time": 9, **more}
    return JobDetails(type="SUBMISSION", status=status, entrypoint="x", **told)


@pytest.mark.parametrize(
    ("details", "state", "since_ms"),
    [
        (job(JobStatus.PENDING, message="waits for CPUs"), "waiting", 5),
        (job(JobStatus.RUNNING), "running", 5),
        (job(JobStatus.SUCCEEDED), "finished", 9),
        (job(JobStatus.STOPPED), "interrupted", 9),
        (job(JobStatus.FAILED, driver_exit_code=1), "failed", 9),
        (job(JobStatus.FAILED, driver_exit_code=143), "interrupted", 9),
        (job(JobStatus.FAILED, driver_exit_code=-9), "failed", 9),
    ],
)
def test_a_job_of_a_cluster_is_a_row_like_others(details, state, since_ms):
    row = _status(JOBS, details, None)

    assert (row.name, row.state, row.since_ms) == ("reinforce-mine-0123-1", state, since_ms)
    assert row.updates is None


def test_the_command_that_shows_why_a_job_failed_can_be_copied():
    """Ray's own programs need the address and the mode of the token."""
    note = _status(JOBS, job(JobStatus.FAILED, driver_exit_code=1), None).note

    assert note.startswith(f"`{JOBS.log_command('reinforce-mine-0123-1')}` shows why")


def test_a_job_that_has_published_numbers_is_told_with_them():
    numbers = {**entry(4).metrics, "evaluation/return_mean": 9.5}
    told = PublishedNumbers("mine", "/data/runs/mine", numbers, "", 7.25)

    row = _status(JOBS, job(JobStatus.RUNNING), told)

    assert (row.name, row.path, row.note) == (
        "mine",
        "/data/runs/mine",
        "job reinforce-mine-0123-1",
    )
    assert (row.updates, row.return_mean, row.workers) == (4, 8.0, 2)
    assert (row.recent_return_mean, row.evaluation_return_mean) == (7.25, 9.5)


def test_what_a_run_on_a_cluster_waits_for_is_told():
    wait = "a worker: no room yet, 2 CPUs asked, 0 free"

    row = _status(
        JOBS, job(JobStatus.RUNNING), PublishedNumbers("mine", "/data/runs/mine", {}, wait)
    )

    assert (row.name, row.state, row.note, row.updates) == ("mine", "waiting", wait, None)


@pytest.mark.parametrize(
    ("entrypoint", "names"), [("python -m reinforce train cartpole", ["01000000"]), ("x", [])]
)
def test_a_driver_whose_numbers_cannot_be_had_is_told_by_its_command(entrypoint, names):
    driver = JobDetails(
        type="DRIVER", job_id="01000000", status=JobStatus.RUNNING, entrypoint=entrypoint
    )
    cluster = SimpleNamespace(all=lambda: [driver], read_log=lambda job, name: b"")

    rows = [row for _, row in _runs(cluster)]

    assert [row.name for row in rows] == names
    assert all(row.note == "it publishes no numbers" for row in rows)


@pytest.fixture
def lines_of():
    def lines_of(rows, width):
        terminal = io.StringIO()
        console = PlainConsole(file=terminal, width=width, force_terminal=True, color_system=None)
        table, notes = _table(console, rows)
        console.print_table(table)
        lines = terminal.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        return lines + notes

    return lines_of


@pytest.mark.parametrize("width", [80, 200])
def test_a_row_is_a_line_whatever_the_width_of_the_terminal(lines_of, width):
    name, long_ago_ms = "acrobot-seed-0-2026-11-30-175812", 1_700_000_000_000
    rows = [
        RunStatus(
            name, "finished", long_ago_ms, "max_updates", 50_000, -1, -123.456, -99.5, 9e4, 8
        ),
        RunStatus("lift", "running", long_ago_ms),
    ]

    lines = lines_of(rows, width)

    first, second = (
        next(line for line in lines if state in line) for state in ("finished", "runn")
    )
    assert any("max_updates" in line for line in lines)
    assert first.split()[:2] == [name if width > 80 else "acrobot-seed-0-2026-11-…", "finished"]
    assert "50,000" in first
    assert "2023-11-14 2" in first
    assert ("max_updates" in first) == ("90,000" in first) == (width > 80)
    assert second.split()[:4] == ["lift", "running", "-", "-"]


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_what_to_do_is_never_left_out_and_numbers_only_where_they_do_not_fit(lines_of, width):
    now_ms = time.time_ns() // 1_000_000
    numbers = (13, -200.0, -192.5, -200.0, 1599.0, 1)
    killed = RunStatus("crash", "killed", now_ms, "`reinforce resume` continues it", *numbers)

    text = "\n".join(lines_of([killed], width))

    assert ("  `reinforce resume` continues it" in text) == (width >= 110)
    assert ("\ncrash: `reinforce resume` continues it" in text) == (width < 110)
    assert ("1,599" in text) == (width >= 77)

"""``reinforce stop``: a run ends after a checkpoint, and the command says how."""

import json
import threading
import time

import pytest
from processes import wait_for
from written_runs import records, write_end, write_run

from reinforce.cluster import run_requests
from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_requests import RunRequests, StopWatch
from reinforce.cluster.run_store.journal import Journal

TRAIN = [
    *["train", "cartpole", "--cluster.backend", "inline", "--run.name", "a"],
    *["--tracking.enabled", "false", "--stop.target_return", "None"],
    *["--stop.max_environment_steps", "None", "--evaluation.every_updates", "None"],
    *["--learner.episodes_per_update", "4", "--workers.episodes_per_ticket", "4"],
    *["--evaluation.episodes", "5"],
]
PAUSE_S = 3.0


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "a"


class Stopper(threading.Thread):
    """Stops a run of this process as another terminal would, once something is so."""

    def __init__(self, when):
        super().__init__()
        self._when, self.code = when, None

    def run(self):
        wait_for(self._when)
        self.code = main(["stop", "runs/a"])


def test_a_run_ends_after_a_checkpoint_and_is_gone_on_with(run, capsys):
    stopper = Stopper(lambda: (run / "metrics.jsonl").exists() and (run / "history.jsonl").exists())
    stopper.start()

    assert main(TRAIN) == 143

    stopper.join()
    said = capsys.readouterr().out
    updates = read_json(run / "summary.json")["updates"]
    assert stopper.code == 0
    assert "stopping, as requested by `reinforce stop`" in said
    assert f"a was interrupted after update {updates} (by `reinforce stop`); `reinforce r" in said
    assert read_json(run / "summary.json")["status"] == "interrupted"
    assert (run / "checkpoints" / f"update-{updates:09d}.safetensors").exists()
    more = ["--stop.max_updates", str(updates + 1)]
    assert main(["resume", "runs/a", *more]) == 0, "the request is over"
    assert read_json(run / "summary.json")["updates"] == updates + 1


def test_a_paused_run_ends_and_stays_paused_for_a_supervisor(run, capsys):
    def is_paused():
        if (run / "history.jsonl").exists():
            RunRequests.change(run / "control.json", paused=True)
        return any((run / "checkpoints").glob("update-*"))

    def has_been_paused_for_long():
        wait_for(is_paused)
        time.sleep(PAUSE_S)
        return True

    stopper = Stopper(has_been_paused_for_long)
    stopper.start()

    assert main(TRAIN) == 143

    stopper.join()
    assert json.loads((run / "control.json").read_text())["paused"] is True
    assert RunRequests.read(run / "control.json").stop is False
    assert read_json(run / "summary.json")["training_time_s"] < PAUSE_S


def test_a_run_that_is_not_live_is_refused(make_config, tmp_path, capsys):
    run = write_run(make_config(), records(1, 3))

    assert main(["stop", str(run.path)]) == 2
    said = capsys.readouterr().err
    assert f"{run.path} is not training: it was killed after update 3; `reinforce resume" in said

    write_end(run)
    assert main(["stop", str(run.path)]) == 2
    said = capsys.readouterr().err
    assert said == f"reinforce: {run.path} is not training: it finished after update 3\n"
    assert not run.control_file.exists()
    assert main(["stop", "runs/none"]) == 2
    assert "runs/none does not exist" in capsys.readouterr().err


def test_a_run_that_does_not_end_in_time_is_said_and_the_request_stays(make_config, capsys):
    run = write_run(make_config(), records(1, 3))

    with Journal(run.journal_file):
        assert main(["stop", str(run.path), "--timeout-s", "0.2"]) == 1

    assert f"{run.path} has not ended within 0.2 s" in capsys.readouterr().out
    assert RunRequests.read(run.control_file).stop


def test_a_run_that_was_killed_meanwhile_is_said_to_be(make_config, capsys):
    run = write_run(make_config(), records(1, 3))
    journal = Journal(run.journal_file)
    threading.Timer(0.5, journal.__exit__).start()

    assert main(["stop", str(run.path)]) == 0

    assert "killed after update 3" in capsys.readouterr().out
    assert not RunRequests.read(run.control_file).stop, "it would end the next start"


def test_the_command_that_goes_on_can_be_copied(make_config, tmp_path, capsys):
    run = write_run(make_config(run={"directory": str(tmp_path / "my runs")}), records(1, 3))
    write_end(run, "interrupted")
    journal = Journal(run.journal_file)
    threading.Timer(0.2, journal.__exit__).start()

    assert main(["stop", str(run.path)]) == 0

    said = " ".join(capsys.readouterr().out.split())
    assert f"`reinforce resume '{run.path}'` continues it" in said


def test_a_stop_reaches_a_run_in_another_thread_which_python_gives_no_signals(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(run_requests, "_POLL_S", 0.01)
    path, told, received = tmp_path / "control.json", [], []

    def conduct():
        with Interrupts() as interrupts, StopWatch(path, interrupts, told.append):
            RunRequests.change(path, stop=True)
            received.append(str(wait_for(lambda: interrupts.received, pause_s=0.01)))

    thread = threading.Thread(target=conduct)
    thread.start()
    thread.join()

    assert received == ["interrupted by `reinforce stop`"]
    assert told == ["stopping, as requested by `reinforce stop`"]


def test_a_stop_after_a_signal_does_not_count_as_the_second_that_aborts():
    with Interrupts() as interrupts:
        interrupts._received, interrupts._received_at_s = 2, 0.0
        interrupts.request(15)

        assert str(interrupts.received) == "interrupted by SIGINT"

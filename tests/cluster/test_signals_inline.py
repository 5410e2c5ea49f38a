"""A signal while a ticket is played in this process: obeyed within seconds, and nothing is lost."""

import os
import re
import signal
import threading
import time

import pytest
import stalling_simulator
from processes import wait_for

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import read_entries

pytestmark = pytest.mark.case

_DEADLINE_S = 5.0

SHORT = [
    *("--cluster.backend", "inline", "--tracking.enabled", "false", "--policy.hidden_sizes", "8"),
    *("--stop.max_updates", "6", "--evaluation.episodes", "5", "--evaluation.every_updates", "2"),
    *("--learner.episodes_per_update", "8", "--workers.episodes_per_ticket", "4"),
]


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    stalling_simulator.stall_after(float("inf"))


def train(name, environment, *options):
    return main(
        ["train", "cartpole", "--environment.id", environment, "--run.name", name, *SHORT, *options]
    )


class Signal(threading.Thread):
    """Sends this process a signal some time after a condition, and knows when that was."""

    def __init__(self, number, condition, after_s=0.5):
        super().__init__(daemon=True)
        self._number, self._condition, self._after_s = number, condition, after_s
        self.start()

    def run(self):
        wait_for(self._condition)
        time.sleep(self._after_s)
        self._sent_s = time.monotonic()
        if signal.getsignal(self._number) is not signal.SIG_DFL:  # else the test has failed before
            os.kill(os.getpid(), self._number)

    @property
    def passed_s(self):
        return time.monotonic() - self._sent_s


@pytest.mark.parametrize(
    ("when_interrupted", "number", "code"),
    [
        ("stops", signal.SIGTERM, 143),
        ("dies", signal.SIGINT, 130),
        ("goes on", signal.SIGTERM, 143),
    ],
)
def test_a_stalled_ticket_is_told_and_dropped_and_resuming_gives_the_same_weights(
    tmp_path, monkeypatch, capsys, when_interrupted, number, code
):
    monkeypatch.setattr("reinforce.cluster.long_tickets._FIRST_S", 0.1)
    simulator = "stalling_simulator:Simulator"
    kwargs = ("--environment.kwargs", f"{{when_interrupted: {when_interrupted}}}")
    run, alone = tmp_path / "runs" / "stopped", tmp_path / "runs" / "alone"
    assert train("alone", simulator, *kwargs) == 0
    stalling_simulator.stall_after(60)
    sent = Signal(number, stalling_simulator.IS_STALLED.is_set)

    assert train("stopped", simulator, *kwargs) == code
    assert sent.passed_s < _DEADLINE_S
    hung = "has waited for its environment for 0 s, at "
    assert hung in capsys.readouterr().out

    stopped = read_json(run / "summary.json")
    assert stopped["status"] == "interrupted"
    assert 2 < stopped["updates"] < 6
    stalling_simulator.stall_after(float("inf"))
    assert main(["resume", str(run)]) == 0
    digests = [read_json(path / "summary.json")["weights_sha256"] for path in (run, alone)]
    assert digests[0] == digests[1]


MAZE = ("endless_maze:Maze", "--evaluation.max_episode_steps", str(10**12))


def test_an_evaluation_without_an_end_is_told_and_a_signal_ends_it(tmp_path, monkeypatch, capfd):
    """The untrained policy walks into a wall; half a minute is half a second here."""
    monkeypatch.setattr("reinforce.cluster.long_tickets._FIRST_S", 0.5)
    run = tmp_path / "runs" / "endless"
    journal = run / "metrics.jsonl"
    sent = Signal(signal.SIGTERM, lambda: journal.exists() and journal.stat().st_size > 0)

    assert train("endless", *MAZE) == 143
    assert sent.passed_s < _DEADLINE_S

    said = capfd.readouterr().out
    assert (
        "a policy may play forever: an episode ended after 38 random actions, but not after 2,000"
        in said
    )
    (line, *_) = [line for line in said.splitlines() if line.startswith("ticket ")]
    assert re.match(r"ticket evaluation 0:0 has played [\d,]+ steps in one episode, for \d s", line)
    assert "; it is cut after evaluation.max_episode_steps, without which after 50,000 " in line
    assert "set environment.max_episode_steps" in line
    (entry, *_) = read_entries(journal)
    assert entry.metrics["tickets/longest_s"] >= 0.5
    assert entry.metrics["tickets/longest_episode_steps"] > 100
    assert (entry.updates, entry.batch) == (0, None)
    assert list(run.glob("checkpoints/*"))


def test_without_a_limit_an_evaluation_ends_all_the_same_and_its_cuts_are_counted(
    tmp_path, monkeypatch, capsys
):
    options = ("--stop.max_updates", "1", "--evaluation.max_episode_steps", "300")
    # With this seed the policy still walks into a wall after its only update.
    assert train("cut", MAZE[0], *options, "--run.seed", "1") == 0

    run = tmp_path / "runs" / "cut"
    assert read_json(run / "summary.json")["evaluation"]["num_cut"] == 5
    evaluated = [e.metrics for e in read_entries(run / "metrics.jsonl") if not e.batch]
    assert evaluated[0]["evaluation/num_cut"] == 5
    told = "5 of 5 evaluation episodes did not end and were cut (evaluation.max_episode_steps)"
    assert capsys.readouterr().out.count(told) == 1
    assert main(["evaluate", str(run), "--episodes", "5"]) == 0
    assert told in capsys.readouterr().err
    reinforce.load(run).evaluate(5)
    assert told in capsys.readouterr().err
    assert main(["replay", str(run), "evaluation:0:0"]) == 0
    assert "4 did not end and were cut" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["evaluate", "replay", "record"])
def test_ctrl_c_ends_what_plays_a_trained_policy_at_once(tmp_path, capsys, verb):
    options = ("--stop.max_updates", "1", "--evaluation.every_updates", "1")
    assert train("stuck", "stalling_simulator:Simulator", *options) == 0
    stalling_simulator.stall_after(1)  # of another look at the environment
    sent = Signal(signal.SIGINT, stalling_simulator.IS_STALLED.is_set)

    words = ["evaluation:0:0"] if verb == "replay" else []
    assert main([verb, str(tmp_path / "runs" / "stuck"), *words]) == 130
    assert sent.passed_s < _DEADLINE_S

    assert capsys.readouterr().err.splitlines()[-1] == "reinforce: interrupted"


def test_a_run_that_is_over_gives_up_its_film_and_nothing_else(tmp_path, monkeypatch, capsys):
    def film_for_long(*arguments):
        Signal(signal.SIGTERM, lambda: True, after_s=0.1)
        time.sleep(60)

    monkeypatch.setattr("reinforce.cluster.run_lifecycle.film_last_and_best", film_for_long)
    options = ("--stop.max_updates", "1", "--evaluation.video", "true")

    assert train("over", "stalling_simulator:Simulator", *options) == 0

    assert read_json(tmp_path / "runs" / "over" / "summary.json")["status"] == "finished"
    assert "the last film was not made (interrupted by SIGTERM)" in capsys.readouterr().out

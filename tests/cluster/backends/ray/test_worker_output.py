"""What environments print in workers is seen in the driver, and `breakpoint()` says where to go."""

import os
import sys
from pathlib import Path

import numpy as np
import printing_environment
import pytest

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.actors import RolloutActor
from reinforce.cluster.backends.ray.capacity import WorkerTarget
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.cluster.backends.ray.worker_output import LineBudget, WorkerOutput, shown_output
from reinforce.cluster.errors import TicketFailedError, WorkerStartError
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.placement import Placement
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets


@pytest.fixture
def play(make_config, interrupts):
    """Return a function that plays an update's two tickets, of one episode, in one worker."""

    def play_with(purpose=Purpose.TRAINING, debugger="", print_line=None, workers=None, **kwargs):
        config = make_config(
            environment={"id": "printing_environment:Printing", "kwargs": kwargs},
            workers={"num_workers": 1, "episodes_per_ticket": 1, **(workers or {})},
        )
        import ray

        spec, lines = inspect_environment(config.environment), []
        usual = ray.remote(RolloutActor).options(num_cpus=0, max_restarts=0)
        size = architecture_of(config, spec).num_parameters
        with shown_output(config.workers, print_line or lines.append) as show:
            program = UserProgram.of_this_process()
            pool = RayPool(
                config,
                WorkerTarget(config, lambda: None),
                lambda _: usual.remote(config, spec, program, Placement(worker_index=3), debugger),
                Driver(interrupts),
                show,
            )
            tickets = draw_tickets(0, purpose, 12, 2, 1)
            pool.submit(tickets, Weights(0, np.zeros(size, np.float32)))
            try:
                pool.collect(purpose, 12)
            finally:
                pool.close()
        return lines

    return play_with


def on_ray(test):
    return pytest.mark.ray(pytest.mark.usefixtures("local_ray")(test))


@on_ray
def test_each_line_comes_with_worker_and_ticket(play):
    assert play(text="here", then="log") == [
        "[worker 3] made",
        "[worker 3, ticket 12:0] here",
        "[worker 3, ticket 12:0] WARNING:mine:3 is odd",
        "[worker 3, ticket 12:0] no end",
        "[worker 3, ticket 12:1] here",
        "[worker 3, ticket 12:1] WARNING:mine:3 is odd",
        "[worker 3, ticket 12:1] no end",
    ]


@on_ray
def test_lines_are_made_harmless_and_cut(play):
    lines = play(Purpose.EVALUATION, text="10%\r\x1b[31m" + "x" * 999)

    assert lines[1].startswith("[worker 3, ticket evaluation:12:0] \\x1b[31mxxx")
    assert lines[1].endswith("x... (1,007 characters)")
    assert len(lines[1]) < 600


@on_ray
def test_a_flood_is_cut_off_and_counted(play):
    lines = play(text="again", times=5000)
    left_out = [line for line in lines if "lines were left out: more than 20 in a second" in line]

    assert lines.count("[worker 3, ticket 12:0] again") >= 19
    assert len(lines) < 200
    assert left_out
    numbers = (int(line.split("(")[1].split()[0].replace(",", "")) for line in left_out)
    assert sum(numbers) + len(lines) - len(left_out) == 10_001


@on_ray
def test_a_ticket_that_hangs_is_heard(play, tmp_path):
    """It goes on only after the driver has shown what it printed."""
    marker, lines = tmp_path / "heard", []

    def hear(line):
        lines.append(line)
        if "I wait" in line:
            marker.touch()

    play(text="I wait", waits_for=str(marker), print_line=hear)

    assert "[worker 3, ticket 12:1] I wait" in lines


@on_ray
def test_it_can_be_switched_off(play):
    assert play(text="here", workers={"show_output": False}) == []


@on_ray
def test_a_breakpoint_ends_the_run_with_the_way_to_a_debugger(play):
    line = 1 + Path(printing_environment.__file__).read_text().split("\n").index(
        " " * 16 + "breakpoint()"
    )
    with pytest.raises(TicketFailedError) as failed:
        play(then="break", workers={"max_ticket_attempts": 3})

    failed.value.name_run(Path("runs/my run"))
    assert str(failed.value) == (
        f"ticket training 12:0 has reached a breakpoint() in {printing_environment.__file__}, line "
        f"{line}, in a process of Ray, where no debugger can follow (with cluster.backend inline "
        "it can); `reinforce replay 'runs/my run' training:12:0` plays it (1 episode of "
        "the batch of update 13) alone, in its own process, and stops there (PYTHONBREAKPOINT=0 "
        "ignores every breakpoint)\n"
        "`reinforce resume 'runs/my run'` continues the run once that is fixed"
    )


@on_ray
def test_a_breakpoint_in_the_constructor_is_named_at_its_first_attempt(play, monkeypatch):
    monkeypatch.setattr(sys, "breakpointhook", lambda: None)  # of this process, which looks first

    with pytest.raises(WorkerStartError, match=r"^a worker that starts has come to a breakpoint"):
        play(then="break at once")


@on_ray
@pytest.mark.parametrize(
    ("debugger", "said"),
    [("0", []), ("printing_environment.say_it", ["[worker 3, ticket 12:0] a debugger"])],
)
def test_the_debugger_that_the_user_has_chosen_is_used(debugger, said, play):
    lines = play(then="break", debugger=debugger)

    assert [line for line in lines if "debugger" in line and "12:0" in line] == said


@on_ray
def test_ray_does_not_choose_the_debugger_of_the_driver():
    """Its own would wait for a connection in each later `breakpoint()` of the program."""
    assert "PYTHONBREAKPOINT" not in os.environ


def test_the_budget_is_for_each_second():
    budget = LineBudget(2)

    def shown(*times_s):
        return [line for now_s in times_s for line in budget.passed(f"at {now_s}", now_s)]

    assert shown(0.0, 0.1, 0.2, 0.3) == ["at 0.0", "at 0.1"]
    assert shown(1.05) == ["(2 lines were left out: more than 2 in a second)", "at 1.05"]
    assert list(budget.rest()) == []


def test_constructors_do_not_silence_the_steps_that_follow():
    sent = []
    output = WorkerOutput(0, sent.append)
    (ticket,) = draw_tickets(0, Purpose.TRAINING, 12, 1, 1)

    for _ in range(50):
        output.send("made")
    output.begin_tickets()
    with output.of_ticket(ticket):
        output.send("a step")

    assert sent[19:] == [
        "[worker 0] made",
        "[worker 0] (30 lines were left out: more than 20 in a second)",
        "[worker 0, ticket 12:0] a step",
    ]


def test_what_cannot_be_sent_is_no_failure_of_the_environment():
    def send(line):
        raise ConnectionError(line)

    WorkerOutput(0, send).send("here")


def test_a_fork_does_not_use_the_connections_of_its_parent():
    sent = []
    output = WorkerOutput(0, sent.append)
    process = os.fork()
    if process == 0:
        output.send("of the child")
        os._exit(len(sent))
    assert os.waitpid(process, 0)[1] == 0
    output.send("of the parent")
    assert sent == ["[worker 0] of the parent"]

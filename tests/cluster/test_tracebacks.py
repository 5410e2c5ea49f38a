"""What a message shows of the calls behind an error in the user's code."""

import json
import re
import sys
import traceback
from pathlib import Path

import pytest

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.errors import tell_failure
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.tracebacks import folded, in_a_line, last_own_call

ENVIRONMENT = """
import gymnasium as gym
import numpy as np

class Bad(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    resets = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), self.reward(), True, False, {}

    def reward(self):
        return {"a": 1.0}["b" if self.resets > 12 else "a"]

class Blank(Bad):
    def reward(self):
        return float("nan") if self.resets > 12 else 1.0

class Leaving(Bad):
    def reward(self):
        if self.resets > 12:
            raise SystemExit("the licence has expired")
        return 1.0

class Halved(Bad):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]

class Calm(Bad):
    def reward(self):
        return 1.0

class Endless(Bad):
    def reward(self):
        return self.reward()

import torch

class Net(torch.nn.Module):
    def __init__(self, shapes, num_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(2, num_outputs)

    def forward(self, observations):
        if len(observations["observation"]) > 200:
            raise ValueError("too many rows")
        return self.layer(observations["observation"])
"""
RAY = """ray::RolloutActor.play() (pid=7, ip=127.0.0.1)
           ^^^^^^^^
           ^^^^^
  File "/opt/python/site-packages/gymnasium/core.py", line 342, in step
    return self.env.step(action)
           ^^^^^^^^^^^^^^^^^^^^^
  File "/home/me/mine.py", line 11, in step
    np.zeros(3) + np.zeros(2)
    ~~~~~~~~~~~~^~~~~~~~~~~~~
ValueError: operands could not be broadcast"""


SETTINGS = {
    "cluster.backend": "inline",
    "evaluation.every_updates": None,
    "stop.target_return": None,
    "learner.episodes_per_update": 300,
    "tracking.enabled": False,
}


@pytest.fixture
def environments(tmp_path, monkeypatch):
    (tmp_path / "raising_on_reward.py").write_text(ENVIRONMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "raising_on_reward", raising=False)


def trained(name, capsys, *more):
    """Return the exit code and standard error of a run of the command line."""
    settings = {"environment.id": f"raising_on_reward:{name}", **SETTINGS}
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    code = main(["train", "cartpole", *words, *more])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("full", [False, True])
def test_the_calls_of_the_environment_are_shown_and_all_only_when_asked_for(
    full, environments, capsys
):
    code, said = trained("Bad", capsys, *(["--traceback", "full"] if full else []))

    calls = [line.strip() for line in said.splitlines() if line.startswith("  File ")]
    assert code == 1
    assert ("rollout_worker.py" in said) == full
    assert ("stack frames of libraries and of this program omitted" in said) == (not full)
    assert (len(calls) == 2) == (not full)
    assert [call.rpartition(" ")[2] for call in calls[-2:]] == ["step", "reward"]
    assert "KeyError: 'b'\nThis was in step 1 of episode" in said


def test_a_fault_without_an_error_is_shown_with_the_line_of_the_environment_alone(
    environments, capsys
):
    code, said = trained("Blank", capsys)

    _, first, second, *_ = said[said.index("reinforce: ticket training") :].splitlines()
    assert code == 1
    assert first.startswith("step 1 (raising_on_reward.py:15, in Bad.step): the reward is nan")
    assert second.startswith("This was in step 1 of episode ")
    assert "  File " not in said
    assert "NonFiniteError" not in said


def test_an_error_of_the_user_s_network_in_the_learner_is_shown_with_its_line(environments, capsys):
    code, said = trained("Calm", capsys, "--policy.kind", "raising_on_reward:Net")

    assert code == 1
    assert "reinforce: the learner failed:\nTraceback (most recent call last):\n" in said
    calls = [line for line in said.splitlines() if line.startswith("  File ")]
    assert len(calls) == 1
    assert calls[0].endswith("in forward")
    assert "\nValueError: too many rows\n" in said


def test_an_environment_that_wants_to_exit_is_shown_once(environments, capsys):
    code, said = trained("Leaving", capsys)

    assert code == 1
    assert [line for line in said.splitlines() if line.startswith("  File ")] == [
        f'  File "{Path.cwd()}/raising_on_reward.py", line {number}, in {name}'
        for number, name in ((16, "step"), (28, "reward"))
    ]
    assert "EnvironmentFaultError: step 1 raises SystemExit: the licence has expired\n" in said


def test_a_reset_without_info_is_refused_even_if_its_observation_has_two_parts(
    environments, capsys
):
    code, said = trained("Halved", capsys)

    assert code == 2
    assert "reset (raising_on_reward.py:32, in Halved.reset) returned array([0., 0.]" in said


def test_the_error_is_told_before_the_trackers_are_waited_for(environments, store_uri):
    told = []
    telling = tell_failure.set(
        lambda error: told.append((error, read_tracking_state(Path("runs/a/tracking.json"))))
    )
    settings = {**SETTINGS, "tracking.enabled": True, "run.name": "a"}
    with pytest.raises(reinforce.TrainingError) as caught:
        reinforce.train("cartpole", settings, environment="raising_on_reward:Bad", progress=False)
    tell_failure.reset(telling)

    ((error, state),) = told
    assert error is caught.value
    assert "link" not in state
    assert "link" in read_tracking_state(Path("runs/a/tracking.json"))


def test_nothing_is_said_of_a_run_before_its_environment_is_known_to_work(environments, capsys):
    assert main(["train", "cartpole", "--environment.id", "CartPol-v1"]) == 2

    printed = capsys.readouterr()
    assert printed.out == "checking environment.id = 'CartPol-v1'\n"
    assert "is dropped" not in printed.err


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (
            "Blank",
            r"TicketFailedError: .* failed:\nstep 1 \(raising_on_reward.py:15, in Bad.step\)",
        ),
        ("Bad", r"TicketFailedError: .* failed:\nTraceback \(most recent call last\):\n"),
    ],
)
def test_a_program_sees_its_own_calls_and_each_once(environments, name, shown):
    with pytest.raises(reinforce.TrainingError) as caught:
        reinforce.train(
            "cartpole",
            SETTINGS,
            environment=f"raising_on_reward:{name}",
            progress=False,
        )

    said = "".join(traceback.format_exception(caught.value))
    ours = [line for line in said.splitlines() if f'"{Path(reinforce.__file__).parent}/' in line]
    assert re.search(shown, said)
    assert "--traceback" not in said
    assert not ours
    assert said.count("in reward\n") == (name == "Bad")
    assert caught.value.__context__.__notes__[0].startswith("This was in step 1 of episode ")


def test_what_ray_leaves_of_its_own_calls_is_left_out_too():
    lines = folded(RAY).splitlines()

    assert lines[0].startswith("ray::RolloutActor.play()")
    assert lines[1] == '  File "/home/me/mine.py", line 11, in step'
    assert lines[-2:] == [
        "ValueError: operands could not be broadcast",
        "1 stack frame of libraries and of this program omitted; --traceback full shows all",
    ]


def test_an_environment_that_calls_itself_without_end_is_refused_with_its_line(environments):
    with pytest.raises(
        reinforce.UnsuitableEnvironmentError, match=r"RecursionError: .*, in reward"
    ):
        reinforce.train(
            "cartpole", SETTINGS, environment="raising_on_reward:Endless", progress=False
        )


def test_an_error_of_ours_stands_alone_where_none_of_the_user_s_calls_is_in_its_traceback():
    text = """ray::RolloutActor.play() (pid=7, ip=127.0.0.1)
           ^^^^^^^^
  File "/opt/python/site-packages/reinforce/workers/rollout_worker.py", line 144, in play
    check_finite(ticket, trajectories)
reinforce.workers.environment_faults.NonFiniteError: step 3 (a.py:3, in Mine.step): it is nan
This was in step 3"""

    assert folded(text).splitlines()[:2] == [
        "step 3 (a.py:3, in Mine.step): it is nan",
        "This was in step 3",
    ]


def test_the_last_call_of_the_user_is_found_in_ray_s_words():
    assert last_own_call(RAY) == "/home/me/mine.py:11, in step"
    assert last_own_call("there is no verb 'x'") == ""


def test_a_line_about_a_ticket_is_what_the_environment_raised_and_where():
    first = "TicketFailedError: ticket 3:0 failed 3 times (x); the last failure:"
    fault = "reinforce.workers.environment_faults.EnvironmentFaultError: reset raises SystemExit"
    theirs = "ValueError: operands could not be broadcast"
    where = "(mine.py:11, in step)"

    for raised, shown in ((theirs, theirs), (fault, "reset raises SystemExit")):
        message = f"{first}\n{RAY.replace(theirs, raised)}\nThis was in step 3"
        assert in_a_line(message) == f"ticket 3:0 failed: {shown} {where}"


def test_a_line_about_anything_else_is_the_first():
    assert in_a_line("max_updates") == "max_updates"
    assert in_a_line("it is lost\nsee below") == "it is lost"
    assert in_a_line("TrainingError: these are gone:\nticket 1") == (
        "TrainingError: these are gone: ticket 1"
    )


def test_the_call_that_raised_is_shown_though_it_is_a_library_s():
    with pytest.raises(ValueError, match="Expecting value") as caught:
        json.loads("")
    text = "".join(traceback.format_exception(caught.value))

    shown = folded(text)

    assert __file__ in shown
    assert "in raw_decode" in shown
    assert "in loads" not in shown


def test_an_error_that_passed_nothing_of_the_user_s_is_left_as_it_is():
    of_a_library = "\n".join(RAY.splitlines()[:6])

    assert folded(of_a_library) == of_a_library
    assert folded("there is no verb 'x'") == "there is no verb 'x'"


def test_an_unknown_kind_of_traceback_is_refused(capsys):
    assert main(["presets", "--traceback", "long"]) == 2
    assert "invalid choice: 'long' (choose from" in capsys.readouterr().err


def test_an_exit_that_the_user_s_code_asks_for_is_no_success(environments, tmp_path, capsys):
    (tmp_path / "leaving.py").write_text("def leave(*anything):\n    raise SystemExit(0)\n")

    code, said = trained("Calm", capsys, "--callback", "leaving:leave", "--stop.max_updates", "1")

    assert code == 1
    assert "your code ended the program: SystemExit: 0 (leaving.py:2, in leave)" in said

"""What a message shows of the calls behind an error in the user's code."""

import json
import traceback

import pytest

from reinforce.cluster.cli import main
from reinforce.cluster.tracebacks import folded

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


@pytest.mark.parametrize("full", [False, True])
def test_the_calls_of_the_environment_are_shown_and_all_only_when_asked_for(
    full, tmp_path, monkeypatch, capsys
):
    (tmp_path / "raising_on_reward.py").write_text(ENVIRONMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {
        "--environment.id": "raising_on_reward:Bad",
        "--cluster.backend": "inline",
        "--evaluation.every_updates": "None",
        "--stop.target_return": "None",
        "--learner.episodes_per_update": "300",
        "--tracking.enabled": "false",
        **({"--traceback": "full"} if full else {}),
    }

    code = main(["train", "cartpole", *(word for pair in settings.items() for word in pair)])

    said = capsys.readouterr().err
    calls = [line.strip() for line in said.splitlines() if line.startswith("  File ")]
    assert code == 1
    assert ("rollout_worker.py" in said) == full
    assert ("calls of libraries and of this program left out" in said) == (not full)
    assert (len(calls) == 2) == (not full)
    assert [call.rpartition(" ")[2] for call in calls[-2:]] == ["step", "reward"]
    assert "KeyError: 'b'\nThis was in step 1 of episode" in said


def test_what_ray_leaves_of_its_own_calls_is_left_out_too():
    lines = folded(RAY).splitlines()

    assert lines[0].startswith("ray::RolloutActor.play()")
    assert lines[1] == '  File "/home/me/mine.py", line 11, in step'
    assert lines[-2:] == [
        "ValueError: operands could not be broadcast",
        "1 call of libraries and of this program left out; --traceback full shows all",
    ]


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

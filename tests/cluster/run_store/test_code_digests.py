"""A run that continues with edited code says so, for its result belongs to neither version."""

import json
import sys

import pytest

from reinforce.cluster.cli import main

TRAIN = [
    *("train", "cartpole", "--run.name", "a", "--cluster.backend", "inline"),
    *("--environment.id", "edited_world:World", "--tracking.enabled", "false"),
    *("--run.pictures", "false", "--learner.episodes_per_update", "2"),
    *("--stop.target_return", "None", "--evaluation.episodes", "5"),
]
WORLD = """
from gymnasium.envs.classic_control import CartPoleEnv

class World(CartPoleEnv):
    pass
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "edited_world", raising=False)
    file = tmp_path / "edited_world.py"
    file.write_text(WORLD)
    return file


def test_an_edit_between_two_starts_is_warned_of_once(world, capsys):
    def resumed(until):
        assert main(["resume", "runs/a", "--stop.max_updates", str(until)]) == 0
        return capsys.readouterr()

    assert main([*TRAIN, "--stop.max_updates", "1"]) == 0
    words = "module 'edited_world' has been edited since this run last started"
    assert words not in "".join(resumed(2))

    world.write_text(f"{WORLD}    edited = True\n")
    assert words not in "".join(resumed(3)), "this process has not imported it again"
    sys.modules.pop("edited_world")

    assert f"{words}: from update 3 on it does what its file says now" in "".join(resumed(4))
    assert words not in "".join(resumed(5))


def test_a_history_without_digests_or_with_nonsense_is_no_edit(world, tmp_path, capsys):
    assert main([*TRAIN, "--stop.max_updates", "1"]) == 0
    history = tmp_path / "runs" / "a" / "history.jsonl"
    world.write_text(f"{WORLD}    edited = True\n")

    sys.modules.pop("edited_world")

    for until, line in enumerate(({"verb": "train"}, {"code": {"edited_world": 3}}), start=2):
        history.write_text(f"{json.dumps(line)}\n")
        assert main(["resume", "runs/a", "--stop.max_updates", str(until)]) == 0
        assert "has been edited" not in "".join(capsys.readouterr())

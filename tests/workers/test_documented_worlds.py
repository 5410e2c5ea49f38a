"""The worlds of docs/environments.md that adapt other libraries, where those are installed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import inspect_environment, make_vector_environment

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
PROGRAMS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """Return what writes a program of the page where it can be imported, and names its world."""

    def write(name, package):
        pytest.importorskip(package, reason=f"{package} is not installed here")
        (tmp_path / f"{name}.py").write_text(PROGRAMS[name])
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        (world,) = re.findall(r'register\("([\w-]+)"', PROGRAMS[name])
        return EnvironmentConfig(id=f"{name}:{world}")

    return write


def test_the_page_has_both_programs():
    assert {*PROGRAMS} == {"puzzles", "robots"}


@pytest.mark.filterwarnings("default")  # of their libraries, and of what these bring along
@pytest.mark.parametrize(
    ("name", "package", "masks"),
    [("puzzles", "jumanji", "observation"), ("robots", "mujoco_playground", None)],
)
def test_a_world_of_another_library_is_stepped_in_lanes(documented, name, package, masks):
    config = documented(name, package)
    spec = inspect_environment(config)
    environment = make_vector_environment(config, 2)

    def played():
        environment.reset(seed=4)
        environment.action_space.seed(4)
        steps = [environment.step(environment.action_space.sample()) for _ in range(5)]
        return [(step[1].tolist(), repr(step[0])) for step in steps]

    assert (spec.has_vector_implementation, spec.action_mask) == (True, masks)
    assert played() == played()
    assert np.isfinite([rewards for rewards, _ in played()]).all()

"""The world of docs/environments.md, where JAX is installed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import inspect_environment, make_vector_environment

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
PROGRAMS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


def test_the_page_has_one_program():
    assert {*PROGRAMS} == {"walks"}


def test_a_world_of_one_s_own_is_stepped_in_lanes(tmp_path, monkeypatch):
    pytest.importorskip("jax", reason="jax is not installed here")
    (tmp_path / "walks.py").write_text(PROGRAMS["walks"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "walks", raising=False)
    config = EnvironmentConfig(id="walks:Walk-v0", kwargs={"wind": 0.2})
    environment = make_vector_environment(config, 2)

    def played():
        environment.reset(seed=4)
        environment.action_space.seed(4)
        steps = [environment.step(environment.action_space.sample()) for _ in range(5)]
        return [(step[1].tolist(), step[0].tolist()) for step in steps]

    assert inspect_environment(config).has_vector_implementation
    assert played() == played()
    assert np.isfinite([rewards for rewards, _ in played()]).all()

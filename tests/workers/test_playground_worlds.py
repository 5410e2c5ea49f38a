"""Tasks of MuJoCo Playground, compiled, where it is installed: half a minute for each shape."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    make_environment,
    make_vector_environment,
    registered_limit,
)

pytest.importorskip(
    "mujoco_playground", reason="pip install 'distributed-reinforce[playground]' installs it"
)
from reinforce.workers import playground_worlds  # noqa: F401 - registers the ids

pytestmark = pytest.mark.filterwarnings("default")  # of its libraries

IDS = [name for name in gymnasium.registry if name.startswith("playground/")]


def cartpole(**others):
    return EnvironmentConfig(id="playground/CartpoleBalance", **others)


def test_the_control_suite_is_registered_with_its_limits():
    assert len(IDS) == 25
    assert {registered_limit(EnvironmentConfig(id=name)) for name in IDS} == {1000}


def test_the_page_names_every_task():
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()

    assert [name for name in IDS if f"`{name.removeprefix('playground/')}`" not in page] == []


def test_a_lane_depends_on_its_number_the_seed_and_its_actions():
    """Lane 0 of three, which were stepped before, is the single environment."""
    vector = make_vector_environment(cartpole(max_episode_steps=20), 3)
    single = make_environment(cartpole(max_episode_steps=20))
    actions = np.random.default_rng(0).uniform(-1, 1, (25, 3, 1)).astype(np.float32)

    def played():
        steps = [(vector.reset(seed=5)[0], np.zeros(3), np.zeros(3, bool), np.zeros(3, bool))]
        steps += [vector.step(each)[:4] for each in actions]
        return [np.array(each) for each in zip(*steps, strict=True)]

    first = played()
    vector.reset(seed=6)
    vector.step(actions[0])
    again = played()
    observation, _ = single.reset(seed=5)
    np.testing.assert_array_equal(observation, first[0][0, 0])
    for number in range(20):
        observation, reward, terminated, truncated, _ = single.step(actions[number, 0])
        np.testing.assert_allclose(observation, first[0][number + 1, 0], rtol=1e-5, atol=1e-6)
        assert (terminated, truncated) == (False, number == 19)
        assert 0 <= reward <= 1

    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (first[0][0, 0] != first[0][0, 1]).any()
    assert not first[2].any()
    assert np.flatnonzero(first[3][:, 1]).tolist() == [20]
    assert np.abs(first[0][21, :, 0]).max() <= 0.1  # m: begun again


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("impl", "warp", "impl cannot be changed: states in Warp"),
        ("episode_length", 10, "set environment.max_episode_steps"),
        ("action_repeat", 2, "action_repeat cannot be changed"),
        ("sim_dtt", 0.1, "Did you mean"),
    ],
)
def test_arguments_that_do_nothing_are_refused(key, value, says):
    with pytest.raises(UnsuitableEnvironmentError, match=says):
        make_environment(cartpole(kwargs={key: value}))


def test_arguments_go_to_the_configuration_of_the_task():
    def after_a_push(seconds):
        made = make_environment(cartpole(kwargs={"ctrl_dt": seconds}))
        made.reset(seed=0)
        return made.step(np.ones(1, np.float32))[0]

    assert np.abs(after_a_push(0.05) - after_a_push(0.01)).max() > 0.01


def test_a_misspelt_task_is_no_missing_package():
    with pytest.raises(UnsuitableEnvironmentError, match="playground/CartpoleBalance") as refused:
        make_environment(EnvironmentConfig(id="playground/CartpoleBalanse"))

    assert "pip install" not in str(refused.value)

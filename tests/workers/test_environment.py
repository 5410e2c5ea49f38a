import gymnasium
import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    inspect_environment,
    make_environment,
)


def inspect(environment_id, **kwargs):
    return inspect_environment(EnvironmentConfig(id=environment_id, kwargs=kwargs))


def test_cartpole_is_described():
    spec = inspect("CartPole-v1")

    assert spec.observation.row_type == (np.float32, (4,))
    assert spec.action.is_one_choice
    assert spec.action.leaves[0].counts == (2,)
    assert spec.action.leaves[0].starts == (0,)
    assert spec.action_mask is None
    assert spec.has_vector_implementation


def test_an_environment_of_a_module_is_imported_by_its_id():
    spec = inspect("fake_environments:Countdown-v0", start=5)

    assert spec.action.leaves[0].starts == (5,)
    assert not spec.has_vector_implementation


@pytest.mark.parametrize(
    ("environment_id", "message"),
    [
        ("CartPol-v1", "environment.id = 'CartPol-v1' does not exist here .*CartPole-v1"),
        ("CartPole-v7", "does not exist here"),
        ("no_such_module:Env-v0", "does not exist here .*no_such_module"),
        ("fake_environments:Countdwn-v0", "; did you mean 'Countdown-v0'"),
    ],
)
def test_what_cannot_be_learned_in_is_refused_by_name(environment_id, message):
    with pytest.raises(UnsuitableEnvironmentError, match=message):
        inspect(environment_id)


@pytest.mark.parametrize(
    ("name", "hint"), [("Coridor", "; did you mean 'Corridor'?"), ("Hoper", "")]
)
def test_a_name_that_a_users_module_lacks_is_looked_for_there(name, hint, tmp_path, monkeypatch):
    """And not in gymnasium.envs, where there is a Hopper."""
    (tmp_path / "envs.py").write_text("class Corridor: ...")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect(f"envs:{name}")

    message = str(refused.value)
    assert message.endswith(f"does not exist here (Environment `{name}` doesn't exist.){hint}")


BROKEN_MODULES = {
    "no_python": ("def (:", "SyntaxError: invalid syntax"),
    "raises": ("raise OSError('no licence')", "OSError: no licence"),
    "misses_a_name": ("from gymnasium import nothing", "ImportError: cannot import name 'nothing'"),
}


@pytest.mark.parametrize("name", BROKEN_MODULES)
def test_a_module_that_cannot_be_imported_says_why(name, tmp_path, monkeypatch):
    code, message = BROKEN_MODULES[name]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    for config, setting in (
        (EnvironmentConfig(id=f"{name}:It"), "environment.id = "),
        (EnvironmentConfig(id="CartPole-v1", wrappers=(f"{name}:It",)), "environment.wrappers: "),
    ):
        with pytest.raises(
            UnsuitableEnvironmentError, match=f"{setting}'{name}:It' cannot be imported: {message}"
        ):
            make_environment(config)


def test_what_a_constructor_raises_is_told_with_the_arguments():
    with pytest.raises(UnsuitableEnvironmentError, match=r"kwargs \{'colour': 'red'\}: TypeError"):
        inspect("fake_environments:Countdown-v0", colour="red")


def test_the_limit_of_steps_truncates():
    config = EnvironmentConfig(
        id="fake_environments:Countdown-v0",
        kwargs={"shortest": 9, "longest": 9},
        max_episode_steps=2,
    )
    environment = make_environment(config)
    environment.reset(seed=0)

    assert environment.step(0)[2:4] == (False, False)
    assert environment.step(0)[2:4] == (False, True)


def test_the_article_s_environment_is_made_without_a_warning():
    assert inspect("CartPole-v0").action.num_outputs == 2


def test_a_class_or_a_function_of_a_module_makes_the_environment():
    spec = inspect("fake_environments:Countdown", start=3)

    assert spec.action.leaves[0].starts == (3,)
    config = EnvironmentConfig(id="fake_environments:Countdown", max_episode_steps=1)
    environment = make_environment(config)
    environment.reset(seed=0)
    assert environment.step(0)[3]


def test_action_masks_are_found_in_info_and_in_observations():
    for place in ("info", "observation"):
        spec = inspect("space_tasks:Samples", observation="box", action="discrete", masks=place)
        assert spec.action_mask == place
        assert spec.observation.vector_size == 3  # the mask is not seen


@pytest.mark.parametrize(
    ("error", "extra"),
    [("No module named 'mujoco'", "mujoco"), ("Box2D is not installed", "box2d")],
)
def test_a_missing_simulator_names_the_extra_that_brings_it(monkeypatch, error, extra):
    def make(*_, **__):
        raise gymnasium.error.DependencyNotInstalled(error)

    monkeypatch.setattr("reinforce.workers.environment.gymnasium.make", make)

    with pytest.raises(UnsuitableEnvironmentError, match=rf"distributed-reinforce\[{extra}\]"):
        inspect("CartPole-v1")

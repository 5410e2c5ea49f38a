import sys

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
        ("fake_environments:Countdwn-v0", "; did you mean 'fake_environments:Countdown-v0'"),
        ("gym:CartPole-v1", r"\(No module named 'gym'\); did you mean 'CartPole-v1'\?$"),
        ("playground:HopperHop", "does not exist here .*; did you mean 'playground/HopperHop'"),
        ("Playground/HopperHop", "does not exist here .*; did you mean 'playground/HopperHop'"),
        ("ale/Pong-v5", r"does not exist here .*; did you mean 'ALE/Pong-v5'\?$"),
        ("lift.py:Lift", r"does not exist here \(lift.py is a file: name the .* lift:Lift\)$"),
        ("random:Lift", "; random was imported from .*/random.py: give your own module another"),
    ],
)
def test_what_cannot_be_learned_in_is_refused_by_name(environment_id, message):
    with pytest.raises(UnsuitableEnvironmentError, match=message):
        inspect(environment_id)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Coridor", "; did you mean 'envs:Corridor'?"), ("Hoper", "; envs has Corridor, make")],
)
def test_a_name_that_a_users_module_lacks_is_looked_for_there(name, hint, tmp_path, monkeypatch):
    """And not in gymnasium.envs, where there is a Hopper."""
    (tmp_path / "envs.py").write_text(
        "from enum import Enum\nclass Corridor: ...\ndef make(): ...\ndef _own(): ..."
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect(f"envs:{name}")

    message = str(refused.value)
    assert message.endswith(f"does not exist here (Environment `{name}` doesn't exist.){hint}")


def test_a_module_of_the_users_is_not_taken_for_a_package(tmp_path, monkeypatch):
    (tmp_path / "ale.py").write_text("class Lift: ...")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnsuitableEnvironmentError, match="did you mean 'ale:Lift'"):
        inspect("ale:Lft")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (
            "lifts",
            "; lifts is a module: name what makes an environment, as lifts:Lift or lifts:make",
        ),
        ("lifts.Lift", "; did you mean 'lifts:Lift'?"),
        ("no_such_module", ""),
        ("torn", ""),
    ],
)
def test_a_module_without_a_class_is_answered_with_its_classes_and_not_imported(
    name, hint, tmp_path, monkeypatch
):
    (tmp_path / "lifts.py").write_text("class Lift: ...\ndef make(): ...\nraise OSError")
    (tmp_path / "torn.py").write_text("class")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect(name)

    message = str(refused.value)
    assert message.endswith(f"does not exist here (Environment `{name}` doesn't exist.){hint}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lifs:Lift", "did you mean 'lifts:Lift'?"),
        (
            "other:Lift",
            "if it is yours, start in its folder or put that on PYTHONPATH (origin.json of a run "
            "names the directory that it was started in)",
        ),
    ],
)
def test_a_misspelt_module_is_answered_with_the_file_beside_it(name, hint, tmp_path, monkeypatch):
    (tmp_path / "lifts.py").write_text("raise OSError")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect(name)

    assert str(refused.value).endswith(f"; {hint}")


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


JAX_WORLDS = ("gymnax", "jumanji", "playground")


class Absent:
    """Finds no package of this name, as if it were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("environment_id", "package", "extra"),
    [
        ("ALE/Pong-v5", "ale_py", "atari"),
        ("MiniGrid-Empty-8x8-v0", "minigrid", "minigrid"),
        ("BabyAI-GoToLocal-v0", "minigrid", "minigrid"),
        ("gymnax/Breakout-MinAtar", "jax", "gymnax"),
        ("jumanji/Game2048-v1", "jax", "jumanji"),
        ("playground/CartpoleBalance", "jax", "playground"),
    ],
)
def test_ids_of_a_package_that_is_missing_name_its_extra(
    monkeypatch, environment_id, package, extra
):
    for loaded in (package, *(f"reinforce.workers.{each}_worlds" for each in JAX_WORLDS)):
        monkeypatch.delitem(sys.modules, loaded, raising=False)
    for name in [name for name in gymnasium.registry if name.startswith(environment_id[:6])]:
        monkeypatch.delitem(gymnasium.registry, name)  # as if no test had imported the package
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect(environment_id)

    assert str(refused.value) == (
        f"environment.id = {environment_id!r} does not exist here (No module named {package!r}); "
        f"pip install 'distributed-reinforce[{extra}]' installs it"
    )


def test_minigrid_s_ids_are_found_by_their_beginning_and_misspelt_ones_are_no_missing_package():
    assert make_environment(EnvironmentConfig(id="MiniGrid-Empty-5x5-v0")).action_space.n == 7

    with pytest.raises(UnsuitableEnvironmentError, match="MiniGrid-Empty-8x8-v0") as refused:
        inspect("MiniGrid-Emty-8x8-v0")

    assert "pip install" not in str(refused.value)


def wrapped(*wrappers, environment_id="fake_environments:Countdown-v0", **kwargs):
    return EnvironmentConfig(id=environment_id, wrappers=wrappers, kwargs=kwargs)


def test_the_first_wrapper_is_the_innermost():
    environment = make_environment(
        wrapped({"FrameStackObservation": {"stack_size": 3}}, "FlattenObservation")
    )

    assert environment.observation_space.shape == (6,)
    assert environment.reset(seed=0)[0].shape == (6,)


def test_pixels_go_through_gray_reshape_and_stack_as_uint8():
    space = inspect_environment(
        wrapped(
            "GrayscaleObservation",
            {"ReshapeObservation": {"shape": [8, 6]}},
            {"FrameStackObservation": {"stack_size": 2}},
            environment_id="space_tasks:Samples",
            observation="image",
            action="discrete",
        )
    )

    assert space.observation.row_type == (np.uint8, (2, 8, 6))


def test_clipping_makes_a_box_unbounded_for_the_policy_and_keeps_it_for_the_environment():
    """A plain Gaussian: the log-probability is that of the action before it is clipped."""
    spec = inspect_environment(wrapped("ClipAction", environment_id="Pendulum-v1"))

    assert spec.action.leaves[0].is_squashed == (False,)
    assert inspect_environment(wrapped(environment_id="Pendulum-v1")).action.leaves[
        0
    ].is_squashed == (True,)


def test_a_wrapper_of_the_user_s_is_named_by_module_and_class():
    environment = make_environment(wrapped("user_wrappers:Doubled"))
    environment.reset(seed=0)

    assert environment.step(0)[1] == 2.0


def test_wrapped_environments_are_stepped_one_by_one():
    assert inspect_environment(wrapped(environment_id="CartPole-v1")).has_vector_implementation
    timed = wrapped("TimeAwareObservation", environment_id="CartPole-v1")
    assert not inspect_environment(timed).has_vector_implementation


def test_a_wrapper_that_needs_opencv_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as where it is not installed
    resized = wrapped(
        {"ResizeObservation": {"shape": [4, 4]}},
        environment_id="space_tasks:PlainPictures",
        shape=[8, 8, 3],
        brightest=255,
    )

    with pytest.raises(
        UnsuitableEnvironmentError, match=r"distributed-reinforce\[atari\]' installs"
    ):
        make_environment(resized)


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("FrameStack", "'FrameStack' is neither .* did you mean 'FrameStackObservation'"),
        ("no_such_module:It", "neither in gymnasium.wrappers, nor your own module:Class"),
        ("NormalizeObservation", "is refused: its statistics would differ.*policy.normalize_obs"),
        ("NormalizeReward", "is refused: its statistics would differ.*learner.advantage_scale"),
        ("gymnasium.wrappers:NormalizeObservation", "is refused: its statistics would differ"),
        ("user_wrappers:Scaled", "Scaled is refused: its statistics would differ"),
        ("NumpyToTorch", "is refused: what workers record are NumPy arrays"),
        ("Autoreset", "is refused: workers reset each episode themselves"),
        ({"FrameStackObservation": {"size": 3}}, "FrameStackObservation cannot be made with arg"),
        ({"ClipAction": {}, "TimeLimit": {}}, "must be a name, or one name with its arguments"),
    ],
)
def test_a_wrapper_that_does_not_work_is_named(wrapper, message):
    with pytest.raises(UnsuitableEnvironmentError, match=message):
        make_environment(wrapped(wrapper))


def test_an_argument_that_a_constructor_lacks_is_answered_with_those_that_it_has(make_config):
    environment = {"id": "late_faults:LateFault", "kwargs": {"fualt": "nan"}}

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect_environment(make_config(environment=environment).environment)

    assert str(refused.value).endswith(
        "LateFault.__init__() got an unexpected keyword argument 'fualt'; its arguments are: "
        "fault, at"
    )


def test_an_argument_that_a_constructor_needs_is_answered_with_how_to_give_it(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sized.py").write_text(
        "import gymnasium\nclass Sized(gymnasium.Env):\n    def __init__(self, size, at=0): ..."
    )

    with pytest.raises(UnsuitableEnvironmentError) as refused:
        inspect_environment(EnvironmentConfig(id="sized:Sized"))

    assert str(refused.value).endswith("'size'; give it --environment.kwargs '{size: ...}'")

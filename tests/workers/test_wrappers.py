import sys

import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    inspect_environment,
    make_environment,
)


def config(*wrappers, environment_id="fake_environments:Countdown-v0", **kwargs):
    return EnvironmentConfig(id=environment_id, wrappers=wrappers, kwargs=kwargs)


def test_the_first_wrapper_is_the_innermost():
    environment = make_environment(
        config({"FrameStackObservation": {"stack_size": 3}}, "FlattenObservation")
    )

    assert environment.observation_space.shape == (6,)
    assert environment.reset(seed=0)[0].shape == (6,)


def test_pixels_go_through_gray_reshape_and_stack_as_uint8():
    space = inspect_environment(
        config(
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
    spec = inspect_environment(config("ClipAction", environment_id="Pendulum-v1"))

    assert spec.action.leaves[0].is_squashed == (False,)
    assert inspect_environment(config(environment_id="Pendulum-v1")).action.leaves[
        0
    ].is_squashed == (True,)


def test_a_wrapper_of_the_user_s_is_named_by_module_and_class():
    environment = make_environment(config("user_wrappers:Doubled"))
    environment.reset(seed=0)

    assert environment.step(0)[1] == 2.0


def test_wrapped_environments_are_stepped_one_by_one():
    assert inspect_environment(config(environment_id="CartPole-v1")).has_vector_implementation
    wrapped = config("TimeAwareObservation", environment_id="CartPole-v1")
    assert not inspect_environment(wrapped).has_vector_implementation


def test_a_wrapper_that_needs_opencv_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as where it is not installed
    resized = config(
        {"ResizeObservation": {"shape": [4, 4]}},
        environment_id="space_tasks:PlainPictures",
        shape=[8, 8, 3],
        brightest=255,
    )

    with pytest.raises(UnsuitableEnvironmentError, match=r"distributed-reinforce\[atari\]' brings"):
        make_environment(resized)


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("FrameStack", "'FrameStack' is neither .* did you mean 'FrameStackObservation'"),
        ("no_such_module:It", "neither a wrapper of gymnasium.wrappers nor module:Class"),
        ("NormalizeObservation", "is refused: its statistics would differ.*policy.normalize_obs"),
        ("NormalizeReward", "is refused: its statistics would differ.*learner.advantage_scale"),
        ("gymnasium.wrappers:NormalizeObservation", "is refused: its statistics would differ"),
        ("user_wrappers:Scaled", "Scaled is refused: its statistics would differ"),
        ("NumpyToTorch", "is refused: what workers record are NumPy arrays"),
        ("Autoreset", "is refused: workers reset each episode themselves"),
        ({"FrameStackObservation": {"size": 3}}, "FrameStackObservation cannot be made with arg"),
        ({"ClipAction": {}, "TimeLimit": {}}, "has to be a name, or one name with its arguments"),
    ],
)
def test_a_wrapper_that_does_not_work_is_named(wrapper, message):
    with pytest.raises(UnsuitableEnvironmentError, match=message):
        make_environment(config(wrapper))

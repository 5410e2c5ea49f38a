import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.vector_speed import vector_speed

COUNTDOWN = "vector_environments:VectorCountdown-v0"


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_a_vector_implementation_is_timed_in_every_autoreset_mode(mode):
    """The countdown raises where it is not reset, or stepped after an end."""
    sentence = vector_speed(EnvironmentConfig(id=COUNTDOWN, kwargs={"mode": mode}), 3)

    assert "steps/s with 3 lanes" in sentence
    assert sentence.endswith("; it is used")


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({"use_vector_implementation": False}, "environment.use_vector_implementation true uses"),
        ({"wrappers": ("ClipReward",)}, "environment.wrappers keep it from being used"),
    ],
)
def test_one_that_is_not_used_is_told_with_the_reason(settings, way):
    assert way in vector_speed(EnvironmentConfig(id="CartPole-v1", **settings), 3)


@pytest.mark.parametrize(
    "config",
    [
        EnvironmentConfig(id="MountainCar-v0"),
        EnvironmentConfig(id=COUNTDOWN, kwargs={"masks": True}),
    ],
)
def test_nothing_is_told_where_there_is_none_or_masks_forbid_random_actions(config):
    assert vector_speed(config, 3) is None

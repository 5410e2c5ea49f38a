"""What a setting holds is what its file says: arguments of any kind read back as they are used."""

import datetime
import enum
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reinforce
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import load_config, to_yaml


class Colour(enum.IntEnum):
    RED = 1


class Mode(str, enum.Enum):  # noqa: UP042  (its str() is not its value)
    FAST = "fast"


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
LEAVES = NUMBERS | st.text(max_size=5) | st.none() | st.dates() | st.datetimes()
LEAVES |= st.sampled_from([Colour.RED, Mode.FAST])
LEAVES |= NUMBERS.map(np.asarray) | st.just(np.zeros((2, 3), np.float32)) | st.just(Path("a/b"))
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(min_size=1, max_size=5), VALUES, max_size=3)


@given(arguments=ARGUMENTS)
def test_arguments_read_back_as_they_are_used(tmp_path_factory, arguments):
    config = Config.model_validate(
        {
            "environment": {"kwargs": arguments, "wrappers": [{"ClipAction": arguments}]},
            "policy": {"kind": "mine:Mine", "arguments": arguments},
            "evaluation": {"environment": {"kwargs": arguments}},
        }
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(to_yaml(config))

    assert load_config(str(path)) == config


def test_they_are_of_python_s_own_types():
    given = {"goal": (1, 2), "n": np.int64(5), "c": Colour.RED, "m": Mode.FAST, Mode.FAST: True}
    given |= {"day": datetime.date(2026, 12, 1), "at": datetime.datetime(2026, 12, 1, 3)}
    kwargs = Config.model_validate({"environment": {"kwargs": given}}).environment.kwargs

    times = {"day": "2026-12-01", "at": "2026-12-01T03:00:00"}
    assert kwargs == {"goal": [1, 2], "n": 5, "c": 1, "m": "fast", "fast": True, **times}
    assert [type(kwargs[name]) for name in ("n", "c", "m")] == [int, int, str]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("inf"), "environment.kwargs.cap = inf cannot be recorded"),
        ([float("nan")], "environment.kwargs.cap = nan cannot be recorded"),
        ({1: "one"}, "environment.kwargs.cap: a key of type int would be read back as text"),
        (np.float32, "environment.kwargs.cap is a type, which cannot be recorded"),
        ({"a": {1, 2}}, "environment.kwargs.cap.a is a set, which cannot be recorded"),
        (print, "environment.kwargs.cap is a builtin_function_or_method, which cannot"),
    ],
)
def test_what_cannot_be_read_back_is_refused_and_leaves_nothing(value, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        reinforce.train(
            "cartpole",
            {"environment.kwargs": {"cap": value}, "cluster.backend": "inline"},
            directory=tmp_path / "runs",
            progress=False,
        )
    assert not (tmp_path / "runs").exists()


def test_an_array_is_taken_where_a_list_is():
    config = Config.model_validate({"policy": {"hidden_sizes": np.array([8, 8])}})

    assert config.policy.hidden_sizes == (8, 8)


def test_a_wrapper_s_arguments_are_refused_for_what_they_are_and_without_secrets():
    wrapper = {"ClipReward": {"max_reward": float("inf"), "api_key": "hunter2"}}

    with pytest.raises(ConfigError, match=r"max_reward = inf cannot be recorded") as refused:
        Config.model_validate({"environment": {"wrappers": [wrapper]}})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        Config.model_validate(
            {"environment": {"wrappers": [{"ClipReward": {}, "token": "hush"}, 3]}}
        )
    assert "hush" not in str(refused.value)


def test_evaluations_take_wrappers_as_classes_too():
    changes = {"wrappers": [gymnasium.wrappers.ClipAction]}

    config = Config.model_validate({"evaluation": {"environment": changes}})

    wrapper = "gymnasium.wrappers.transform_action:ClipAction"
    assert config.evaluation.environment == {"wrappers": [wrapper]}

"""What a setting holds is what its file says: arguments of any kind read back as they are used."""

import datetime
import enum
from pathlib import Path

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


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
LEAVES = NUMBERS | st.text(max_size=5) | st.none() | st.dates() | st.just(Colour.RED)
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
    given = {"goal": (1, 2), "n": np.int64(5), "day": datetime.date(2026, 12, 1), "c": Colour.RED}
    kwargs = Config.model_validate({"environment": {"kwargs": given}}).environment.kwargs

    assert kwargs == {"goal": [1, 2], "n": 5, "day": "2026-12-01", "c": 1}
    assert [type(kwargs[name]) for name in ("n", "c")] == [int, int]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("inf"), "environment.kwargs.cap = inf cannot be recorded"),
        ([float("nan")], "environment.kwargs.cap = nan cannot be recorded"),
        ({1: "one"}, "environment.kwargs.cap: the key 1 must be text"),
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

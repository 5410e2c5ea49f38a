"""Checks of a program's arguments against their annotations, for the whole interface."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import numpy as np

from reinforce.cluster.errors import UsageError
from reinforce.cluster.tracebacks import fold_error
from reinforce.configs.errors import ReinforceError
from reinforce.configs.quoting import shown
from reinforce.configs.whole_numbers import as_whole
from reinforce.unknown_arguments import is_instance, what_fits, what_to_give

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

AnyPath: TypeAlias = Annotated[str | Path, "a path"]

Settings: TypeAlias = Annotated[
    Mapping[str, Any], "a mapping of settings such as {'learner.learning_rate': 0.1}"
]

EnvironmentSettings: TypeAlias = Annotated[
    Mapping[str, Any],
    "a mapping of what differs from training, such as {'kwargs': {'gravity': -5.0}}",
]

_KINDS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: ("an integer", lambda value: _is_number(value, int)),
    float: ("a number", lambda value: _is_number(value, int | float)),
    str: ("text", lambda value: isinstance(value, str) and value != ""),
    NoneType: ("None", lambda value: value is None),
    Mapping: ("a mapping", lambda value: isinstance(value, Mapping) and all(map(_is_text, value))),
    Sequence: (
        "a list",
        lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping),
    ),
    Callable: (
        "a class or a function that makes one",
        lambda value: callable(value) and (not is_instance(value)),
    ),
    np.ndarray: ("an array", lambda value: True),
}
"""Each kind of annotation in words, and what fits it; for other classes, their instances."""


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make a function refuse arguments that do not fit its annotations, before it does anything.

    It then raises UsageError. In a traceback of any of our errors only the user's calls remain.
    NumPy's scalars count as Python's, an empty text as no text. Arrays
    and elements of lists are checked later, where they are used.
    """
    parameters = inspect.signature(function).parameters.values()
    annotations = {each.name: each.annotation for each in parameters}
    tests = {name: _test_of(annotation) for name, annotation in annotations.items()}

    def found(name: str, value: Any) -> Any:
        if name not in tests:
            hint = what_to_give(name, value, [each for each in tests if each != "self"])
            raise UsageError(f"{function.__name__} has no argument {name!r}; {hint}")
        return _found(name, value, annotations[name], tests[name])

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            given = [*map(found, annotations, arguments)]
            named = {name: found(name, value) for name, value in options.items()}
            return function(*given, *arguments[len(given) :], **named)
        except ReinforceError as error:
            fold_error(error)
            raise

    return call


def checked_argument(name: str, value: Any, annotation: Any) -> Any:
    """Return a value that fits an annotation.

    Raises:
        UsageError: It does not; the message says what to give.
    """
    return _found(name, value, annotation, _test_of(annotation))


def _found(name: str, value: Any, annotation: Any, fits: Callable[[Any], bool] | None) -> Any:
    if fits is None:
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not fits(value):
        value = as_whole(value)  # 1e6, which is a float in Python
    if not fits(value):
        text = f"{type(value).__name__}(...)" if is_instance(value) else shown(value)
        raise UsageError(f"{name} = {text}: {what_fits(name, value, _words(annotation))}")
    return value


def _test_of(annotation: Any) -> Callable[[Any], bool] | None:
    """Return a check of values, or None if every value fits."""
    kind, members = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Any, inspect.Parameter.empty):
        return None
    if kind is Annotated:
        return _test_of(members[0])
    if kind in (Union, UnionType):
        tests = [*filter(None, map(_test_of, members))]
        return lambda value: any(fits(value) for fits in tests)
    if kind is Literal:
        return lambda value: value in members
    return _KINDS[kind][1] if kind in _KINDS else lambda value: isinstance(value, kind)


def _words(annotation: Any) -> str:
    kind, members = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Annotated:
        return str(members[1])
    if kind in (Union, UnionType):
        return " or ".join(map(_words, members))
    if kind is Literal:
        return " or ".join(map(repr, members))
    return _KINDS[kind][0] if kind in _KINDS else f"a {kind.__name__}"


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)

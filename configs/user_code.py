"""The user's own code: its import, and its errors with the line they came from."""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from reinforce.configs.errors import suggestion

_OURS = tuple(
    f"{(Path(__file__).parents[1] / folder).resolve()}{os.sep}"
    for folder in (".", "configs", "learner", "workers", "cluster")
)
_STANDARD_LIBRARY = f"{Path(os.__file__).resolve().parent}{os.sep}"
_MOST_NAMES = 10
_PACKAGES = ("site-packages", "dist-packages")


def described(error: BaseException) -> str:
    """Return an error's type and message, and the last line of the user's code in its traceback.

    An ``assert`` without a message is described by the line itself.
    """
    name, message = type(error).__name__, str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_the_users(frame.filename)]
    if not own and not message:  # a library's: better than nothing
        own = [frame for frame in frames if not _resolved(frame.filename).startswith(_OURS)]
    if not own:
        return f"{name}: {message}" if message else name
    message = message or own[-1].line or ""
    where = f"({place(own[-1].filename, own[-1].lineno, own[-1].name)})"
    return f"{name}: {message} {where}" if message else f"{name} {where}"


def import_of(module: str, attribute: str) -> ModuleType:
    """Import the module of ``module:attribute``.

    Raises:
        ModuleNotFoundError: There is none, or a file is named in its place.
        Exception: Whatever its code raises.
    """
    path = Path(module)
    if module.endswith(".py") or len(path.parts) > 1:
        is_below = not (path.is_absolute() or ".." in path.parts)
        name = ".".join(path.with_suffix("").parts) if is_below else path.stem
        where = "" if is_below else f", called from {path.parent}"
        raise ModuleNotFoundError(
            f"{module} is a file: name the module, as in {name}:{attribute}{where}"
        )
    return importlib.import_module(module)


def hidden_by(module: str) -> str:
    """Return that another file was imported than the user may mean, after an error; else ""."""
    if module not in sys.modules:
        return ""
    own = Path(*module.split(".")).with_suffix(".py")
    if module.partition(".")[0] not in sys.stdlib_module_names and not own.is_file():
        return ""
    found = getattr(sys.modules[module], "__file__", None) or "Python itself"
    if str(own.resolve()) == _resolved(found):
        return ""
    return f"; {module} was imported from {found}: give your own module another name"


def names_meant(module: str, name: str, others: Iterable[str] = ()) -> str:
    """Return which classes and functions of an imported module a missing name may mean.

    To follow an error: the names that are near, or else those that the module defines.

    Args:
        module: The module.
        name: What it does not have.
        others: More names that could have been meant.
    """
    found = vars(sys.modules[module]) if module in sys.modules else {}
    known = [each for each, value in found.items() if callable(value)]
    near = suggestion(name, [*known, *others], prefix=f"{module}:" * bool(module))
    if near:
        return f"; {near}"
    own = [
        each
        for each in known
        if not each.startswith("_")
        and f"{getattr(found[each], '__module__', '')}.".startswith(f"{module}.")
    ]
    more = ", …" * (len(own) > _MOST_NAMES)
    return f"; {module} has {', '.join(own[:_MOST_NAMES])}{more}" if own else ""


def source_of(function: Any) -> str:
    """Return where a function or method is defined, as in ``lift.py:12, in Lift.step``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    if code is None:  # compiled
        return f"{getattr(function, '__module__', '')}, in {name}"
    return place(code.co_filename, code.co_firstlineno, name)


def source_file(function: Any) -> str:
    """Return the file of a function, ``<compiled>`` if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_filename if code else "<compiled>"


def is_from_the_users(error: BaseException) -> bool:
    """Return whether an error came from, or through, the user's code."""
    return any(is_the_users(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def is_the_users(file: str) -> bool:
    """Return whether a file of code is neither ours, nor installed, nor Python's own."""
    path = _resolved(file)
    if file.startswith("<") or path.startswith(_OURS):
        return False
    is_installed = any(name in Path(path).parts for name in _PACKAGES)
    return not is_installed and not path.startswith(_STANDARD_LIBRARY)


def place(file: str, line: int | None, name: str) -> str:
    """Return words for a line of code, with the path as seen from the current directory."""
    return f"{_short(file)}:{line}, in {name}"


def _resolved(file: str) -> str:
    return str(Path(file).resolve())


def _short(file: str) -> str:
    """Return a path as the user would write it from the current directory."""
    with suppress(ValueError, FileNotFoundError):  # it is elsewhere; the directory is gone
        return str(Path(file).relative_to(Path.cwd()))
    return file

"""Errors from the user's own code, with the line they came from."""

import os
import traceback
from pathlib import Path

_OURS = tuple(
    f"{(Path(__file__).parents[1] / folder).resolve()}{os.sep}"
    for folder in ("configs", "learner", "workers", "cluster")
)
_STANDARD_LIBRARY = f"{Path(os.__file__).resolve().parent}{os.sep}"
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
    place = f"({_short(own[-1].filename)}, line {own[-1].lineno})"
    return f"{name}: {message} {place}" if message else f"{name} {place}"


def is_the_users(file: str) -> bool:
    """Return whether a file of code is neither ours, nor installed, nor Python's own."""
    path = _resolved(file)
    if file.startswith("<") or path.startswith(_OURS):
        return False
    is_installed = any(name in Path(path).parts for name in _PACKAGES)
    return not is_installed and not path.startswith(_STANDARD_LIBRARY)


def _resolved(file: str) -> str:
    return str(Path(file).resolve())


def _short(file: str) -> str:
    """Return a path as the user would write it from the current directory."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file

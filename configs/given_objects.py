"""Environments and policies that a Python program passes as objects, instead of naming a module.

A configuration is text. It names importable objects as ``module:name``. Anything else, from a
notebook or the running program, gets a name that begins with ``python:``, under which this process
knows it; other processes receive the object (``UserProgram``).
"""

import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from reinforce.configs.user_code import hidden_by, import_of, names_meant

PREFIX = "python:"

_given: dict[str, Any] = {}


def name_of(thing: Callable[..., Any]) -> str:
    """Return the name of a class or function in a configuration."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    if module not in (None, "__main__") and name.isidentifier():
        found = getattr(sys.modules.get(str(module)), name, None)
        if found is thing:
            return f"{module}:{name}"
    short = PREFIX + (re.sub(r"\W", "", name.rpartition(".")[2]) or type(thing).__name__)
    # Another object of that name is another environment or policy: runs of the first keep theirs.
    numbered = chain([short], (f"{short}-{number}" for number in count(2)))
    free = next(each for each in numbered if _given.get(each, thing) is thing)
    give(free, thing)
    return free


def give(name: str, thing: Any) -> None:
    """Register an object under the name that an earlier process had for it."""
    _given[name] = thing


def given(name: str) -> Any | None:
    """Return the object registered under a name, or None for any other name.

    Raises:
        LookupError: It was given in another process.
    """
    if not name.startswith(PREFIX):
        return None
    if name not in _given:
        raise LookupError(
            f"{name} is an object from another Python process: define it and pass it to "
            "reinforce.load(RUN_DIR, environment=..., policy=...); an environment that can be "
            "imported can also be named, as in `reinforce evaluate --environment.id module:Class`"
        )
    return _given[name]


def needed_later(names: Collection[str]) -> str:
    """Return a sentence about settings that name an object of this program; "" if none does."""
    objects = " and ".join(name for name in names if name.startswith(PREFIX))
    return objects and (
        f"{objects}: only this program has it, so pass it to reinforce.load, too; commands such as "
        "`reinforce evaluate` need a class that can be imported, module:Class"
    )


def imported(name: str) -> Any:
    """Return the object that ``module:name`` names, or the one registered under this name.

    Raises:
        LookupError: It was given in another process.
        Exception: Whatever importing the module raises; AttributeError if it has no such name.
    """
    found = given(name)
    if found is not None:
        return found
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_of(module, attribute), attribute)
    except AttributeError as error:
        hint = hidden_by(module) or names_meant(module, attribute)
        raise (AttributeError(f"{error}{hint}") if hint else error) from None


@dataclass(frozen=True)
class UserProgram:
    """What another process needs to find the user's code.

    Attributes:
        search_path: Folders in which this process finds the user's modules.
        given: A reference to objects by their names in configurations; restoring them may need
            modules from those folders.
    """

    search_path: tuple[str, ...]
    given: Any = None

    @classmethod
    def of_this_process(
        cls, names: Collection[str] = (), put: Callable[[Any], Any] | None = None
    ) -> "UserProgram":
        """Return what others need to find the code of this process.

        Args:
            names: Settings; the registered objects that they name are included.
            put: Stores classes and functions by value and returns a reference to them.
        """
        installed = {Path(sys.prefix), Path(sys.base_prefix)}
        folders = [
            str(folder)
            for folder in map(Path, sys.path)
            if folder.is_dir() and not installed & {folder, *folder.absolute().parents}
        ]
        search_path = tuple(dict.fromkeys([*folders, str(Path.cwd())]))
        objects = {name: _given[name] for name in names if name in _given}
        return cls(search_path, put(objects) if put and objects else None)

    def adopt(self, get: Callable[[Any], Mapping[str, Any]]) -> None:
        """Register the other process's objects, and append its folders to the search path."""
        sys.path.extend(folder for folder in self.search_path if folder not in sys.path)
        if self.given is not None:
            _given.update(get(self.given))

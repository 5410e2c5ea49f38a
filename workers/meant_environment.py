"""What an ``environment.id`` that does not exist, or arguments that do not fit, may mean."""

import ast
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from reinforce.configs.errors import suggestion
from reinforce.configs.user_code import names_meant

_ELSEWHERE = (
    "; if it is yours, start in its folder or put that on PYTHONPATH (origin.json of a run names "
    "the directory that it was started in)"
)


def environments_meant(name: str, prefixes: Iterable[str] = ()) -> str:
    """Return a hint to follow the reason why there is no environment of this name; "" if none.

    A module that is named without a class is read but not imported.

    Args:
        name: What there is no environment of.
        prefixes: How ids begin that exist once their package is imported, some with a slash.
    """
    begun = name.replace(":", "/", 1).casefold()
    for prefix in prefixes:
        if "/" in prefix and begun.startswith(prefix.casefold()) and not name.startswith(prefix):
            meant = prefix + name[len(prefix) :]
            known = [each for each in gymnasium.registry if each.startswith(prefix)]
            near = suggestion(meant, known) if known else f"did you mean {meant!r}?"
            is_own = ":" in name and Path(name.partition(":")[0]).with_suffix(".py").is_file()
            if near and not is_own:
                return f"; {near}"
    module, _, attribute = name.rpartition(":")
    if module == "gym" and attribute in gymnasium.registry:
        return f"; did you mean {attribute!r}?"
    if module:
        return _beside(module, attribute) or names_meant(
            module, attribute, _registered_by(module.partition(".")[0])
        )
    near = suggestion(name, gymnasium.registry)
    return f"; {near}" if near else _in_a_module(name)


def _beside(module: str, attribute: str) -> str:
    """Return which file a module that nobody can import may mean: one beside, or elsewhere."""
    try:
        if not module.isidentifier() or find_spec(module):
            return ""
        files = get_close_matches(module, sorted(file.stem for file in Path().glob("*.py")))
    except (OSError, ValueError):
        return ""
    near = suggestion(
        f"{module}:{attribute}", [f"{file}:{attribute}" for file in files], cutoff=0.75
    )
    return f"; {near}" if near else _ELSEWHERE


def _registered_by(package: str) -> Iterator[str]:
    """Yield the ids whose environments come from a package."""
    for name, spec in gymnasium.registry.items():
        entry = spec.entry_point
        path = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
        if re.split("[.:]", path)[0] == package:
            yield name


def _in_a_module(name: str) -> str:
    """Return how to name what the module ``lift`` defines, for ``lift`` and ``lift.Lift``."""
    module, _, attribute = name.partition(".")
    if not module.isidentifier():
        return ""
    try:
        found = find_spec(module)
        tree = ast.parse(Path(found.origin).read_bytes()) if found and found.origin else None
    except (OSError, SyntaxError, ValueError):
        return ""
    definitions = (ast.ClassDef, ast.FunctionDef)
    names = [each.name for each in tree.body if isinstance(each, definitions)] if tree else []
    meant = [f"{module}:{each}" for each in names if not each.startswith("_")]
    if f"{module}:{attribute}" in meant:
        return f"; did you mean '{module}:{attribute}'?"
    some = " or ".join(meant[:3])
    return f"; {module} is a module: name what makes an environment, as {some}" if some else ""


def arguments_meant(entry_point: Any, error: BaseException) -> str:
    """Return what to give a constructor after an error about its arguments; "" after others."""
    fault = str(error)
    if not (isinstance(error, TypeError) and " argument" in fault):
        return ""
    make = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    with suppress(ValueError, TypeError):  # compiled
        known = signature(make).parameters
        missing = re.findall(r"'(\w+)'", fault.partition("required positional argument")[2])
        if missing and known.keys() >= set(missing):
            given = ", ".join(f"{name}: ..." for name in missing)
            return f"; give it --environment.kwargs '{{{given}}}'"
        if "keyword argument" in fault:
            return f"; its arguments are: {', '.join(known) or 'none'}"
    return ""

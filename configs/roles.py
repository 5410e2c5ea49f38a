"""Which settings decide a result: what runs must share to be compared, and a run keeps to its end.

Each setting says its role where it is declared; ``Role`` in ``section.py`` lists them.
"""

from collections.abc import Mapping
from typing import Any

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.quoting import shown
from reinforce.configs.section import Role, Section


def flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of all sections by ``section.field``."""
    return {
        f"{section}.{field}": value
        for section, fields in sections.items()
        for field, value in fields.items()
    }


def role_of(name: str) -> Role:
    """Return what the setting ``section.field`` is for."""
    section, _, field = name.partition(".")
    kind = Config.model_fields[section].annotation
    assert isinstance(kind, type) and issubclass(kind, Section)  # noqa: S101, PT018 (narrows)
    return kind.role_of(field)


def decides_the_result(name: str) -> bool:
    """Return whether runs are of one group only if they share this setting."""
    return role_of(name) in (Role.RESULT, Role.LIMIT)


def changes_between(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that differs, as JSON has it, by ``section.field``.

    Raises:
        ConfigError: A setting differs that a run keeps to its end.
    """
    was, becomes = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    changes = {name: (was[name], becomes[name]) for name in was if was[name] != becomes[name]}
    for name, (before, after) in changes.items():
        if role_of(name) in (Role.RESULT, Role.RECORD):
            raise ConfigError(
                f"{name} = {shown(after)} cannot be changed in a run that began with "
                f"{shown(before)}: its results would be those of neither; begin a new run"
            )
    return changes

"""Which settings decide a result: what comparable runs share, and what a run keeps to its end.

Each setting declares its role; ``Role`` in ``section.py`` lists them.
"""

from collections.abc import Mapping
from typing import Any

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import with_overrides
from reinforce.configs.quoting import shown
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.section import Role, Section

_KEPT = {
    Role.FIXED: "the existing weights and records would not fit; begin a new run, with "
    "run.start_from to take over these weights if its policy and spaces are the same",
    Role.RECORD: "it defines which run this is, where it is kept or what is recorded; begin a new "
    "run",
}
"""Why settings of some roles cannot be changed, even on purpose."""


def flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of all sections by ``section.field``."""
    return {
        f"{section}.{field}": value
        for section, fields in sections.items()
        for field, value in fields.items()
    }


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return (one, other) of each setting that differs; None where one of them has no such."""
    names = dict.fromkeys((*one, *other))
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b}


def role_of(name: str) -> Role:
    """Return what the setting ``section.field`` is for."""
    section, _, field = name.partition(".")
    kind = Config.model_fields[section].annotation
    assert isinstance(kind, type) and issubclass(kind, Section)  # noqa: S101, PT018 (narrows)
    return kind.role_of(field)


def decides_the_result(name: str) -> bool:
    """Return whether runs of one group must share this setting."""
    return role_of(name) in (Role.RESULT, Role.FIXED, Role.LIMIT)


def changes_between(
    old: Config, new: Config, *, on_purpose: bool = False
) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that differs, as JSON values by ``section.field``.

    Args:
        old: The configuration of a run.
        new: The configuration with which to continue it.
        on_purpose: It may continue as a run of neither configuration.

    Raises:
        ConfigError: A setting differs that a run keeps to its end.
    """
    changes = differing(flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json")))
    for name, (before, after) in without_secrets(changes).items():
        role = role_of(name)
        refused = f"{name} = {shown(after)} cannot be changed in a run that began with "
        if role in _KEPT:
            raise ConfigError(f"{refused}{shown(before)}, not even with --change: {_KEPT[role]}")
        if role is Role.RESULT and not on_purpose:
            raise ConfigError(
                f"{refused}{shown(before)}: the result would belong to neither value; begin a new "
                "run, or change this one on purpose with `reinforce resume RUN_DIR --change` "
                "(from Python: change=True)"
            )
    return changes


def config_at(config: Config, update: int) -> Config:
    """Return the configuration with which a run made an update."""
    return config_after(config, sum(change.update <= update for change in config.run.changes))


def config_after(config: Config, num_changes: int) -> Config:
    """Return the configuration of a run after the first ``num_changes`` changes."""
    kept, later = config.run.changes[:num_changes], config.run.changes[num_changes:]
    before = {name: old for change in reversed(later) for name, (old, _) in change.settings.items()}
    return with_overrides(config, {**before, "run.changes": kept}) if later else config

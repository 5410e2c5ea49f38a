"""What may change when a run is resumed: whatever leaves what was computed as it is."""

from typing import Any

from configs.config import Config
from configs.section import ConfigError

_CHANGEABLE = {
    "stop": None,  # None: every field
    "checkpoint": {"every_s", "keep"},  # where they lie is where they are looked for
    "workers": {
        "num_workers",
        "min_workers",
        "max_workers",
        "ticket_timeout_s",
        "max_ticket_attempts",
    },
    "cluster": {"backend", "address", "cpus_per_worker"},
    "evaluation": {"video"},
    "tracking": {"enabled"},
    "run": {"directory"},  # a run directory may be moved
}


def changes_between(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that differs, as JSON has it, by name ``section.field``.

    Raises:
        ConfigError: A setting differs that decides what is computed.
    """
    changes = {}
    was, becomes = old.model_dump(mode="json"), new.model_dump(mode="json")
    for section, fields in was.items():
        changeable = _CHANGEABLE.get(section, set())
        for field, value in fields.items():
            if becomes[section][field] == value:
                continue
            name = f"{section}.{field}"
            if changeable is not None and field not in changeable:
                raise ConfigError(
                    f"{name} = {becomes[section][field]!r} cannot be changed in a run that began "
                    f"with {value!r}: its results would be those of neither; begin a new run"
                )
            changes[name] = (value, becomes[section][field])
    return changes

"""What a folder's sweep is: noted when it begins, and compared when it is called again."""

from pathlib import Path
from typing import Any

import yaml

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import write_atomically
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import parse_mapping, read_file, to_yaml
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import read_regular_file
from reinforce.configs.roles import differing, flat
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.sweep import SweepConfig

_MAX_BYTES = 2**23
"""Size of the file that says what is swept; a sweep and its base are never larger."""

_MOST_NAMED = 5
"""Settings that differ and have a line each; another base may differ in a hundred."""


def claim(folder: Path, sweep: SweepConfig, base: Config) -> None:
    """Note in a folder, which is locked, what is swept.

    A setting that the note lacks, since a later version added it, has its default there.

    Raises:
        UsageError: The folder holds another sweep; the message names the settings that differ.
    """
    file = folder / "sweep.yaml"
    about = {"sweep": sweep.model_dump(mode="json", exclude={"trials"}), "base": to_yaml(base)}
    content = yaml.safe_dump(about, sort_keys=False).encode()
    if not file.exists():
        write_atomically(file, content)
        return
    if read_regular_file(file, _MAX_BYTES) == content:  # also one that is too long to parse
        return
    found = differing(_noted(file), _settings(sweep, base))
    if not found:
        return
    pairs = list(without_secrets(found).items())
    lines = [f"  {name}: {shown(old)} there, {shown(new)} here" for name, (old, new) in pairs]
    if len(lines) > _MOST_NAMED:
        lines[_MOST_NAMED:] = [f"  and {len(lines) - _MOST_NAMED} more"]
    raise UsageError(
        "\n".join([f"{folder} holds another sweep, or this one with other settings:", *lines])
        + "\nChoose a new --directory, or go back to those settings; only `trials` may change"
    )


def _noted(file: Path) -> dict[str, Any]:
    try:
        about = parse_mapping(read_file(file, "the sweep", ""), "a sweep and its base")
        values = about["sweep"]
        trials = None if values.get("method") == "grid" else 1  # any number, as it may change
        sweep = SweepConfig.model_validate({**values, "trials": trials})
        return _settings(sweep, Config.model_validate(parse_mapping(about["base"], "a base")))
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{file} does not say what was swept ({error}); choose a new --directory"
        ) from None


def _settings(sweep: SweepConfig, base: Config) -> dict[str, Any]:
    """Return what decides a sweep, one by one; those of its base by ``base, section.field``."""
    own = sweep.model_dump(mode="json", exclude={"trials", "settings"})
    tried = sweep.model_dump(mode="json", include={"settings"})["settings"]
    return {
        **{f"sweep.{name}": value for name, value in own.items()},
        **{f"sweep.settings, {name}": value for name, value in tried.items()},
        **{f"base, {name}": value for name, value in flat(base.model_dump(mode="json")).items()},
    }

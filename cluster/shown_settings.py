"""A configuration as others may see it: what is called a secret is shown as ``***``."""

import re
from typing import Any

import yaml

from reinforce.configs.config import Config

SECRET_NAME = re.compile(
    r"password|passwd|pwd|passphrase|secret|token|credential"
    r"|auth(?!or(?!i[sz]))"  # authorization, but not author
    r"|(?:api|access|license|private)_?key"
    r"|(?<![a-z0-9])key(?![a-z0-9])",  # as a word: not monkey, keyboard or num_keys
    re.IGNORECASE,
)
"""In the name of a setting, and in a word of the command that holds names and values."""

HIDDEN = "***"


def shown_settings(config: Config) -> dict[str, Any]:
    """Return the configuration as others may see it: without what is called a secret."""
    shown: dict[str, Any] = _without_secrets(config.model_dump(mode="json"))
    return shown


def shown_yaml(config: Config) -> str:
    """Return the configuration as others may see it, as YAML."""
    return yaml.safe_dump(shown_settings(config), sort_keys=False)


def _without_secrets(value: Any) -> Any:
    """Return a setting, with ``***`` for whatever is called a secret at any depth of it."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if SECRET_NAME.search(key) and inner else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(each) for each in value]
    return value

"""A configuration for others to see, with ``***`` in place of secrets."""

from typing import Any

import yaml

from reinforce.configs.config import Config
from reinforce.configs.secret_names import without_secrets


def shown_settings(config: Config) -> dict[str, Any]:
    """Return the configuration for others, without secrets."""
    shown: dict[str, Any] = without_secrets(config.model_dump(mode="json"))
    return shown


def shown_yaml(config: Config) -> str:
    """Return the configuration for others as YAML, without secrets."""
    return yaml.safe_dump(shown_settings(config), sort_keys=False)

"""A configuration as others may see it: what is called a secret is shown as ``***``."""

from typing import Any

import yaml

from reinforce.configs.config import Config
from reinforce.configs.secret_names import without_secrets


def shown_settings(config: Config) -> dict[str, Any]:
    """Return the configuration as others may see it: without what is called a secret."""
    shown: dict[str, Any] = without_secrets(config.model_dump(mode="json"))
    return shown


def shown_yaml(config: Config) -> str:
    """Return the configuration as others may see it, as YAML."""
    return yaml.safe_dump(shown_settings(config), sort_keys=False)

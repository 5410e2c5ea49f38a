"""Whether a configuration that is refused anyway names an environment that does not exist, too."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from reinforce.configs.errors import ConfigError
from reinforce.configs.experiment import EnvironmentConfig


def faults_of_id(sections: Mapping[Any, Any]) -> Iterator[str]:
    """Yield why the environment that a configuration names does not exist here, if so.

    No module of the user's is imported.
    """
    section = sections.get("environment")
    name = section.get("id") if isinstance(section, Mapping) else None
    if not isinstance(name, str) or ":" in name:
        return
    # Gymnasium takes 0.2 s, which only a configuration that is refused has to wait for.
    from reinforce.workers.environment import UnsuitableEnvironmentError, registered_limit

    with suppress(ConfigError):
        try:
            registered_limit(EnvironmentConfig(id=name))
        except UnsuitableEnvironmentError as error:
            yield str(error)

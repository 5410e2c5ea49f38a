"""What the calls of a program share: its settings on top of others, and where it hears of them."""

from collections.abc import Callable, Mapping
from typing import Any

from reinforce.cluster.console import PlainConsole
from reinforce.configs.config import Config
from reinforce.configs.cross_checks import require_used
from reinforce.configs.loading import with_overrides
from reinforce.configs.other_environment import without_others_target


def console_of(*, progress: bool) -> PlainConsole:
    """Return the stream for a run's display."""
    return PlainConsole(quiet_when_unread=True, quiet=not progress)


def changes_of(environment: Mapping[str, Any] | Callable[..., Any] | None) -> Mapping[str, Any]:
    """Return the changes to an environment that a mapping, or what makes another one, says."""
    if environment is None or isinstance(environment, Mapping):
        return environment or {}
    return {"id": environment}


def with_settings(base: Config, settings: Mapping[str, Any]) -> tuple[Config, tuple[str, ...]]:
    """Return a configuration with settings on top, and remarks; errors as for ``overlaid``.

    Where they choose another environment, the target of the base is dropped with a remark.
    """
    config, remark = without_others_target(base, with_overrides(base, settings), settings)
    require_used(config.policy, config.learner, settings)
    return config, (remark,) if remark else ()

"""The place of an environment instance among all, for its own port, shard or folder.

A constructor with parameters ``worker_index``, ``num_workers`` or ``instance_index`` receives them
(docs/decisions/0092-evaluation-environment-and-placement.md).
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from gymnasium.envs.registration import load_env_creator


@dataclass(frozen=True)
class Placement:
    """The place of an instance.

    Attributes:
        worker_index: The number of its worker, >= 0. No other worker of the run gets it until this
            one has closed its environments, is lost or killed.
        num_workers: Workers planned when this one started, >= 1.
        instance_index: The number of the instance in its worker, >= 0.
    """

    worker_index: int = 0
    num_workers: int = 1
    instance_index: int = 0

    def asked_by(
        self, entry_point: str | Callable[..., Any] | None, given: Collection[str]
    ) -> dict[str, int]:
        """Return the parts for which a constructor has parameters, except those already given."""
        names = _parameters(entry_point)
        return {k: v for k, v in asdict(self).items() if k in names and k not in given}


ALONE = Placement()
"""The first instance of the only worker, for everything played without a pool."""


def _parameters(entry_point: str | Callable[..., Any] | None) -> Collection[str]:
    """Return the parameters that can be passed by name; ``**kwargs`` does not count."""
    try:
        made_by = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        parameters = inspect.signature(made_by).parameters.values()  # type: ignore[arg-type]
    except (Exception, SystemExit):  # noqa: BLE001 - whoever makes it meets the same, and says so
        return ()
    bound = made_by.keywords if isinstance(made_by, partial) else {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {each.name for each in parameters if each.kind in by_name} - bound.keys()

"""Closing environments: an error in one affects neither results nor the other environments.

Dead simulators often raise again when they are closed.
"""

from collections.abc import Iterable
from typing import Any, Protocol, Self, TypeVar

from reinforce.configs.user_code import described


class _Closable(Protocol):
    def close(self) -> Any: ...


_Environment = TypeVar("_Environment", bound=_Closable)


def close_all(environments: Iterable[_Closable]) -> list[str]:
    """Close every environment; return a sentence for each that raised."""
    complaints = []
    for environment in environments:
        try:
            environment.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever users' code raises
            complaints.append(
                f"close() of the environment raises {described(error)}; its processes, ports and "
                "files may stay behind"
            )
    return complaints


class Closing:
    """Context that closes the environments added to it, however it ends.

    Attributes:
        complaints: A sentence for each kind of failure to close, once the context has ended.
    """

    def __init__(self) -> None:
        self._environments: list[_Closable] = []
        self.complaints: list[str] = []

    def add(self, environment: _Environment) -> _Environment:
        """Add an environment to close at the end, and return it."""
        self._environments.append(environment)
        return environment

    def keep_open(self) -> None:
        """Keep the environments open, because someone else takes them over."""
        self._environments = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.complaints = list(dict.fromkeys(close_all(self._environments)))

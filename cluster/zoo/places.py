"""Places of agents: a folder or URL with one folder per agent, MLflow, or Hugging Face."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import CorruptCheckpointError, encode
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT, CheckpointFolder
from reinforce.cluster.zoo.card import CARD, MAX_CARD_BYTES, card_json, card_of
from reinforce.configs.cross_checks import may_hold_a_secret
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.quoting import shown

SETTING = "--place"

_T = TypeVar("_T")


class Place(ABC):
    """Agents by name. Only two files of each are read: its card and its checkpoint."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the agents; UsageError if the place cannot be read."""

    @abstractmethod
    def read(self, name: str) -> tuple[bytes, bytes]:
        """Return card and checkpoint of an agent; UsageError if they cannot be read."""

    def card(self, name: str) -> bytes:
        """Return only the card, if possible without reading the checkpoint."""
        return self.read(name)[0]

    @abstractmethod
    def write(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a new agent and return where; UsageError if that is not possible."""


class Folder(Place):
    """A folder, or a URL that fsspec knows, with one folder per agent."""

    def __init__(self, location: str) -> None:
        """Set the location; UsageError if it is a URL with credentials, visible in commands."""
        if "://" in location and may_hold_a_secret(location):
            raise UsageError(
                f"{SETTING} is not a plain address: it contains a user, a password or a query, "
                "visible in process lists and messages; put credentials into variables such as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        self._location = location.rstrip("/")

    def names(self) -> list[str]:
        there = self._try(CheckpointFolder(self._location, SETTING).names)
        return [name for name in there if CARD in self._try(self._folder(name).names)]

    def read(self, name: str) -> tuple[bytes, bytes]:
        return self.card(name), self._try(partial(self._folder(name).read, PORTABLE_CHECKPOINT))

    def card(self, name: str) -> bytes:
        folder = self._folder(name)
        if CARD not in self._try(folder.names):
            raise UsageError(
                f"{SETTING} {shown(self._location)} has no agent {shown(name)}; there are: "
                f"{', '.join(self.names()) or 'none'}"
            )
        return self._try(partial(folder.read, CARD, MAX_CARD_BYTES))

    def write(self, name: str, files: Mapping[str, bytes]) -> str:
        folder = self._folder(name)
        if self._try(folder.names):
            raise UsageError(f"{folder.location} exists already; choose another --name")
        # The card last: what has none is no agent yet.
        try:
            for file in sorted(files, key=lambda file: file == CARD):
                self._try(partial(folder.write, file, files[file]))
        except BaseException:  # nothing half-made stays, which would be in the way of the next try
            for file in files:
                with suppress(Exception):
                    folder.remove(file)
            raise
        return folder.location

    def _folder(self, name: str) -> CheckpointFolder:
        return CheckpointFolder(f"{self._location}/{name}", SETTING)

    def _try(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except UsageError:
            raise
        except Exception as error:  # each store raises types of its own
            raise UsageError(
                f"{SETTING} {shown(self._location)} cannot be used: "
                f"{type(error).__name__}: {error}; check the name, and the credentials of a URL"
            ) from error


class Registry(Place):
    """Registered models of MLflow, in the store that the environment names.

    Each model's champion is used. It has no card; that is made from the checkpoint.
    """

    def names(self) -> list[str]:
        from reinforce.cluster.tracking.store import TrackingStore, reading

        store = TrackingStore.of(TrackingConfig(), Path.cwd())
        with reading(store) as client:
            return sorted(model.name for model in client.search_registered_models())

    def read(self, name: str) -> tuple[bytes, bytes]:
        from reinforce.cluster.tracking.registry import load_model_checkpoint

        try:
            _, checkpoint = load_model_checkpoint(f"models:/{name}@champion", TrackingConfig())
        except (CorruptCheckpointError, OSError) as error:
            raise UsageError(f"the model {name!r} cannot be read: {error}") from None
        content = encode(checkpoint)
        return card_json(card_of(name, checkpoint, content)).encode(), content

    def write(self, name: str, files: Mapping[str, bytes]) -> str:
        raise UsageError(
            "a run's policies become MLflow models while it is tracked: train it with "
            f"--tracking.register_as {name}"
        )

"""Hugging Face repositories ``OWNER/NAME`` with one agent each. Needs the extra ``hub``."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT
from reinforce.cluster.zoo.card import CARD, MAX_CARD_BYTES, read_card
from reinforce.cluster.zoo.places import SETTING, Place
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import read_regular_file

PREFIX = "hf:"
_TAG = "distributed-reinforce"
_MAX_CHECKPOINT_BYTES = 2**30
_README = """\
---
library_name: {tag}
tags:
- reinforcement-learning
- {tag}
license: {licence}
---
"""


class Hub(Place):
    """The agents of a user or an organisation.

    Hugging Face's own settings provide the hub's address and the token: ``HF_ENDPOINT``,
    ``HF_TOKEN`` or ``hf auth login``.
    """

    def __init__(self, owner: str) -> None:
        """Set the owner; UsageError if the package for the hub is not installed."""
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise UsageError(
                f"{SETTING} {PREFIX}{owner} needs the package huggingface_hub: "
                "pip install 'distributed-reinforce[hub]'"
            ) from None
        self._owner = owner
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name=_TAG)

    def names(self) -> list[str]:
        with self._named("list"):
            models = self._api.list_models(author=self._owner, filter=_TAG)
            return sorted(model.id.partition("/")[2] for model in models)

    def read(self, name: str) -> tuple[bytes, bytes]:
        card = self.card(name)
        return card, self._downloaded(name, PORTABLE_CHECKPOINT, _MAX_CHECKPOINT_BYTES)

    def card(self, name: str) -> bytes:
        return self._downloaded(name, CARD, MAX_CARD_BYTES)

    def _downloaded(self, name: str, file: str, max_bytes: int) -> bytes:
        repository = f"{self._owner}/{name}"
        with TemporaryDirectory() as folder, self._named(name):
            there = self._api.hf_hub_download(repository, file, local_dir=folder, dry_run=True)
            if there.file_size is None or there.file_size > max_bytes:
                raise UsageError(f"{PREFIX}{repository}/{file} is larger than {max_bytes:,} bytes")
            path = self._api.hf_hub_download(repository, file, local_dir=folder)
            return read_regular_file(Path(path), max_bytes, follow_links=False)

    def write(self, name: str, files: Mapping[str, bytes]) -> str:
        from huggingface_hub import CommitOperationAdd

        repository = f"{self._owner}/{name}"
        licence = read_card(files[CARD], name).licence
        front = _README.format(tag=_TAG, licence=(licence or "unknown").lower()).encode()
        with self._named(name):
            operations = [
                CommitOperationAdd(file, front + content if file == "README.md" else content)
                for file, content in files.items()
            ]
            self._api.create_repo(repository)
            try:
                self._api.create_commit(repository, operations, commit_message=f"Add {name}")
            except Exception:  # an empty repository would refuse the next try
                with suppress(Exception):
                    self._api.delete_repo(repository)
                raise
        return f"{PREFIX}{repository}"

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Turn errors of the hub or the network into UsageError, with the request."""
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UsageError(
                f"{SETTING} {shown(PREFIX + self._owner)}, {what}: {reason}; check the name and, "
                "for private repositories and writing, HF_TOKEN or `hf auth login`"
            ) from error

"""What was made again of a run, where, and what of it is not as the run recorded it."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import temporary_name, write_json


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded.

    Attributes:
        part: ``batch``, ``gradient``, ``weights`` or ``record`` of an update that was made again;
            the ``evaluation``, if it was; or what contradicts itself: the ``journal``, a
            ``checkpoint``, a ``setting`` or the ``summary``.
        updates: Updates applied where it was found; None where it belongs to none.
        text: What differs, and how, in a sentence.
    """

    part: str
    updates: int | None
    text: str


@dataclass(frozen=True)
class Certificate:
    """What was made again of a run, where, and whether it was what the run recorded.

    Attributes:
        run: The run directory.
        updates: Updates that the journal has.
        made_again: (first, last) of those that were made again and came out as recorded, counted
            as the screen does, from 1 on.
        checkpoints: Versions whose checkpoints were compared in every number.
        evaluated: Whether the final evaluation was played again.
        seed: By which the updates were chosen; None: all were.
        findings: What is not as recorded, the first first; empty: everything is.
        unchecked: What could not be looked at, in sentences: files that are missing or torn.
        weights_sha256: Digest of the run's last weights, by its journal.
        journal_sha256: Digest of the journal's whole lines; None if it cannot be read.
        config_sha256: Digest of the resolved configuration, as YAML.
        versions: Of Python and of the packages that matter, here.
        processor: Here.
        recorded: Versions and processor that the run noted, as far as it did.
        timestamp_ms: Unix time in milliseconds.
        wall_time_s: Seconds that it took.
    """

    run: str
    updates: int
    made_again: tuple[tuple[int, int], ...]
    checkpoints: tuple[int, ...]
    evaluated: bool
    seed: int | None
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    weights_sha256: str | None
    journal_sha256: str | None
    config_sha256: str
    versions: dict[str, str]
    processor: str
    recorded: dict[str, Any]
    timestamp_ms: int
    wall_time_s: float

    @property
    def verified(self) -> bool:
        """Whether everything that was looked at is as recorded."""
        return not self.findings

    @property
    def num_made_again(self) -> int:
        """Updates that were made again and came out as recorded."""
        return sum(last - first + 1 for first, last in self.made_again)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as the file holds them."""
        return {"verified": self.verified, **asdict(self)}

    def text(self) -> str:
        """Return the content of the file."""
        return json.dumps(self.as_json(), indent=2) + "\n"

    def save(self, file: str | Path) -> Path:
        """Write the certificate as JSON and return its path.

        Raises:
            UsageError: It cannot be written.
        """
        path = Path(file)
        with _saying_what_cannot_be_written(path):
            write_json(path, self.as_json())
        return path


def require_place(file: Path) -> None:
    """Raise UsageError now if a certificate could not be written there after hours."""
    with _saying_what_cannot_be_written(file):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise OSError(errno.EINVAL, "it is a folder, a link or a device, and no file")
        trial = temporary_name(file)
        trial.unlink(missing_ok=True)
        trial.touch(exist_ok=False)  # never through somebody's link
        trial.unlink()


@contextmanager
def _saying_what_cannot_be_written(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {str(file)!r}: {error.strerror}") from None

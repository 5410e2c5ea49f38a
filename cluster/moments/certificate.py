"""Certificates: what was recomputed of a run, where, and what differs from its records."""

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
    """One difference from the records.

    Attributes:
        part: ``batch``, ``gradient``, ``weights`` or ``record`` of a recomputed update; the
            ``evaluation``, if it was repeated; or a contradiction in the ``journal``, a
            ``checkpoint``, a ``setting`` or the ``summary``.
        updates: Updates applied at the difference; None if it belongs to none.
        text: What differs and how, in a sentence.
    """

    part: str
    updates: int | None
    text: str


@dataclass(frozen=True)
class Certificate:
    """What was recomputed of a run, where, and whether it matches the run's records.

    Attributes:
        run: The run directory.
        updates: Number of updates in the journal.
        made_again: (first, last) of recomputed updates that match the records, counted from 1 as on
            the screen.
        checkpoints: Versions whose checkpoints were compared completely.
        evaluated: Whether the final evaluation was played again.
        seed: Seed for choosing the updates; None if all were.
        findings: Differences from the records, in order; empty if there are none.
        unchecked: What could not be checked, in sentences: missing or torn files.
        weights_sha256: Digest of the run's last weights, according to its journal.
        journal_sha256: Digest of the journal's complete lines; None if it cannot be read.
        config_sha256: Digest of the resolved configuration, as YAML.
        versions: Versions of Python and relevant packages here.
        processor: Here.
        recorded: Versions and processor recorded by the run, as far as known.
        timestamp_ms: Unix time in milliseconds.
        wall_time_s: Duration in seconds.
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
        """Whether everything checked is as recorded."""
        return not self.findings

    @property
    def num_made_again(self) -> int:
        """Number of recomputed updates that match the records."""
        return sum(last - first + 1 for first, last in self.made_again)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the file."""
        return {"verified": self.verified, **asdict(self)}

    def text(self) -> str:
        """Return the content of the file."""
        return json.dumps(self.as_json(), indent=2) + "\n"

    def save(self, file: str | Path) -> Path:
        """Write the certificate as JSON and return its path; an earlier one is replaced.

        Raises:
            UsageError: It cannot be written, or a file that is no certificate is there.
        """
        path = Path(file)
        with _saying_what_cannot_be_written(path):
            _require_no_other_file(path)
            write_json(path, self.as_json())
        return path


def require_place(file: Path) -> None:
    """Raise UsageError early if a certificate could not be written there."""
    with _saying_what_cannot_be_written(file):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise OSError(errno.EINVAL, "it is a folder, a link or a device, not a file")
        _require_no_other_file(file)
        trial = temporary_name(file)
        trial.unlink(missing_ok=True)
        trial.touch(exist_ok=False)  # never through somebody's link
        trial.unlink()


def _require_no_other_file(path: Path) -> None:
    """Raise OSError if a file there is no earlier certificate: it may be a run's own."""
    if path.is_file():
        try:
            earlier = json.loads(path.read_bytes())
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict) or "verified" not in earlier:
            raise FileExistsError(errno.EEXIST, "a file is there that is no certificate")


@contextmanager
def _saying_what_cannot_be_written(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {str(file)!r}: {error.strerror}") from None

"""Where two records of the same update differ: in the batch, the gradient, or the weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reinforce.cluster.run_store.journal import JournalEntry

_FUNCTIONS_OF_THE_RUN = ("rollout/", "learner/", "progress/updates", "progress/episodes")
"""Prefixes of metrics that weights and tickets determine; the others vary."""

_AFTER_THE_GRADIENT = ("learner/kl", "learner/learning_rate", "learner/step_fraction")

_IN_WORDS = {
    "batch": "batch",
    "gradient": "gradient",
    "weights": "vector of weights",
    "record": "record of the same weights",
}


@dataclass(frozen=True)
class EntryDifference:
    """The difference between two records of the same update.

    Attributes:
        updates: Updates applied, including the one that differs.
        part: The first part that differs: ``batch``, ``gradient`` or ``weights``; or ``record``, if
            both have the same weights but different records.
        fields: (one, other) of each field that differs, the most telling first.
    """

    updates: int
    part: str
    fields: dict[str, tuple[Any, Any]]

    @property
    def what(self) -> str:
        """The part in words, to follow "another"."""
        return _IN_WORDS[self.part]

    def in_words(self, one: str, other: str) -> str:
        """Return a sentence; ``one`` and ``other`` say where the records are."""
        name, (first, second) = next(iter(self.fields.items()))
        more = f", and {len(self.fields) - 1} more" if len(self.fields) > 1 else ""
        return (
            f"update {self.updates} has another {self.what}: {name} is {_short(first)} "
            f"{one} and {_short(second)} {other}{more}"
        )


def entry_difference(one: JournalEntry, other: JournalEntry) -> EntryDifference | None:
    """Return where two entries of the same update differ; None if nowhere.

    Fields that only one of them has are not compared: earlier versions lack digests.
    """
    fields = {name: (a, b) for name, a, b in _pairs(one, other) if None not in (a, b) and a != b}
    if not fields:
        return None
    digests = one.weights_sha256, other.weights_sha256
    if None not in digests and digests[0] == digests[1]:
        part = "record"
    elif "batch.sha256" in fields:
        part = "batch"
    elif any(_is_of_the_gradient(name) for name in fields):
        part = "gradient"
    else:
        part = "weights" if "weights_sha256" in fields else "record"
    return EntryDifference(one.updates, part, fields)


def unmatched_metrics(recorded: JournalEntry, made: JournalEntry) -> list[str]:
    """Return names of a journal's entry, of what weights and tickets decide, that its like lacks.

    They were altered, or are those of another version of this program.
    """
    names = sorted(recorded.metrics.keys() - made.metrics.keys())
    return [name for name in names if name.startswith(_FUNCTIONS_OF_THE_RUN)]


def _pairs(one: JournalEntry, other: JournalEntry) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, one, other) of everything that weights and tickets determine, by importance.

    Where an entry lacks a field, its value is None.
    """
    a, b = one.batch, other.batch
    if a and b:
        yield "batch.sha256", a.sha256, b.sha256
        yield "batch.ticket_sha256", a.ticket_sha256, b.ticket_sha256
    shared = sorted(one.metrics.keys() & other.metrics.keys(), key=_last_if_after_the_gradient)
    for name in shared:
        if name.startswith(_FUNCTIONS_OF_THE_RUN):
            yield name, one.metrics[name], other.metrics[name]
    yield "weights_sha256", one.weights_sha256, other.weights_sha256
    yield "environment_steps", one.environment_steps, other.environment_steps
    if a and b:
        yield "batch.episode_returns", a.episode_returns, b.episode_returns
        yield "batch.episode_lengths", a.episode_lengths, b.episode_lengths
        yield "batch.episode_log_probs", a.episode_log_probs, b.episode_log_probs
        yield "batch.episode_truncated", a.episode_truncated, b.episode_truncated
        yield "batch.episode_metrics", a.episode_metrics, b.episode_metrics


def _is_of_the_gradient(name: str) -> bool:
    return name.startswith("learner/") and name not in _AFTER_THE_GRADIENT


def _last_if_after_the_gradient(name: str) -> tuple[bool, str]:
    return not _is_of_the_gradient(name), name


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 70 else f"{text[:67]}..."

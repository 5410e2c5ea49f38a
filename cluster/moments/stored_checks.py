"""Consistency checks of a run directory, which play nothing."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import whole_lines
from reinforce.cluster.moments.certificate import Finding
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError
from reinforce.cluster.run_store.journal import (
    BatchEntry,
    JournalEntry,
    batch_sha256,
    read_entries,
)
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import shown
from reinforce.configs.roles import config_after, flat, role_of
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.section import Role

_KEPT = (Role.RESULT, Role.FIXED, Role.RECORD)
"""Roles of settings that agree in checkpoints and config.yaml, except for deliberate changes."""

_SUMMED_UP = ("updates", "environment_steps", "weights_sha256")


def stored_findings(past: Reconstruction) -> Iterator[Finding]:
    """Yield contradictions between journal, checkpoints, configuration and summary."""
    try:
        yield from _of_the_journal(past)
    except RunDirectoryError as error:  # a line is damaged
        yield Finding("journal", None, str(error))
        return
    yield from _of_the_checkpoints(past)
    yield from _of_the_summary(past)


def _of_the_journal(past: Reconstruction) -> Iterator[Finding]:
    yield from _unknown_fields(past)
    steps = 0
    for number, entry in enumerate(past.entries.values(), start=1):
        batch = entry.batch
        if batch is None or entry.updates != number:
            text = f"{past.run.journal_file} lacks the entry of update {number}"
            yield Finding("journal", number, text)
            return
        steps += sum(batch.episode_lengths)
        line = f"{past.run.journal_file}, the entry of update {number}"
        if steps != entry.environment_steps:
            text = (
                f"{line} says {counted(entry.environment_steps, 'step')}, but its episodes add "
                "up to"
            )
            yield Finding("journal", number, f"{text} {steps:,}")
            return
        if batch.ticket_sha256 and batch_sha256(batch.ticket_sha256) != batch.sha256:
            text = f"{line} has a digest of its batch that does not match its tickets"
            yield Finding("journal", number, text)


def _unknown_fields(past: Reconstruction) -> Iterator[Finding]:
    """Yield names that no run writes: otherwise the real field would just count as missing."""
    # The entries are read first: whatever is no mapping has been refused by then.
    lines = whole_lines(past.run.journal_file) if past.entries else ()
    for number, line in enumerate(lines, start=1):
        values = parse_json(line, dict[str, Any])
        pairs = ((values, JournalEntry), (values.get("batch") or {}, BatchEntry))
        for mapping, kind in pairs:
            for name in sorted(mapping.keys() - {field.name for field in fields(kind)}):
                text = f"{past.run.journal_file}, line {number} has a field {shown(name)}, which"
                yield Finding("journal", values["updates"], f"{text} no run writes")


def _of_the_checkpoints(past: Reconstruction) -> Iterator[Finding]:
    versions, there = past.checkpoints.versions(), past.checkpoints
    newest = max(versions, default=None)
    loads = {f"the checkpoint after update {v}": (v, lambda v=v: there.load(v)) for v in versions}
    for name, (version, load) in {**loads, "the best checkpoint": (None, there.best)}.items():
        try:
            checkpoint = load()
        except CorruptCheckpointError as error:
            yield Finding("checkpoint", version, str(error))
        except FileNotFoundError:  # the run goes on, and has removed it
            continue
        else:
            if checkpoint and version in (None, checkpoint.learner.version):
                is_newest = version is not None and version == newest
                yield from _of_one(past, checkpoint, name, is_newest=is_newest)
            elif checkpoint:
                text = f"{name} is one after update {checkpoint.learner.version}"
                yield Finding("checkpoint", version, text)


def _of_one(
    past: Reconstruction, checkpoint: Checkpoint, name: str, *, is_newest: bool
) -> Iterator[Finding]:
    version, progress = checkpoint.learner.version, checkpoint.progress
    entry = past.entries.get(version)
    if entry is None and version:
        yield Finding("journal", version, f"{name} exists, but its entry in the journal does not")
    if entry:
        pairs = {
            "weights": (checkpoint.weights.sha256, entry.weights_sha256),
            "updates": (progress.updates, entry.updates),
            "environment_steps": (progress.environment_steps, entry.environment_steps),
        }
        for what, (here, recorded) in pairs.items():
            if recorded is not None and here != recorded:
                text = f"{name} holds {what} {here}, but the journal says {recorded}"
                yield Finding("checkpoint", version, text)
    yield from _of_its_settings(past, checkpoint, name, is_newest=is_newest)


def _of_its_settings(
    past: Reconstruction, checkpoint: Checkpoint, name: str, *, is_newest: bool
) -> Iterator[Finding]:
    """Yield settings that differ from config.yaml as of that time."""
    version = checkpoint.learner.version
    try:
        made_with = Config.model_validate(checkpoint.config)
    except ConfigError as error:
        yield Finding("checkpoint", version, f"{name} has no valid configuration: {error}")
        return
    config = config_after(past.config, len(made_with.run.changes))
    is_over = (read_summary(past.run.summary_file) or {}).get("status") == "finished"
    roles = (*_KEPT, Role.LIMIT) if is_newest and is_over else _KEPT
    there, here = (flat(each.model_dump(mode="json")) for each in (made_with, config))
    differing = {
        setting: (here[setting], value)
        for setting, value in there.items()
        if value != here[setting] and role_of(setting) in roles
    }
    for setting, (now, then) in without_secrets(differing).items():
        text = f"{setting} = {shown(now)} in {past.run.config_file.name}, but {shown(then)} in"
        yield Finding("setting", version, f"{text} {name}")


def _of_the_summary(past: Reconstruction) -> Iterator[Finding]:
    summary = read_summary(past.run.summary_file)
    if summary is None:  # a run that goes on, or was killed, has none
        if past.run.summary_file.exists():
            yield Finding("summary", None, f"{past.run.summary_file} cannot be read")
        return
    last = past.entries.get(past.num_updates)
    if last is None or "environment_steps" not in summary:  # it failed, or nothing was learned
        return
    file = past.run.summary_file.name
    pairs = {name: (summary.get(name), getattr(last, name)) for name in _SUMMED_UP}
    if summary.get("evaluation"):
        metric = "evaluation/confirmed_return_mean"
        measured = [e.metrics.get(metric) for e in read_entries(past.run.journal_file)]
        recorded = [value for value in measured if value is not None]
        if not recorded:
            text = f"{past.run.journal_file} lacks the final evaluation that {file} quotes"
            yield Finding("journal", past.num_updates, text)
        returned = summary["evaluation"]["return_mean"]
        pairs["evaluation.return_mean"] = (returned, recorded[-1] if recorded else None)
    for name, (here, recorded) in pairs.items():
        if None not in (here, recorded) and here != recorded:
            text = f"{file} says {name} = {here}, but the journal {recorded}"
            yield Finding("summary", past.num_updates, text)

"""Digests of the user's code in ``history.jsonl``: what was edited between two starts of a run."""

import hashlib
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reinforce.cluster.files import last_lines
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.config import Config

_LINE_BYTES = 2**16


@dataclass(frozen=True)
class _Start:
    code: dict[str, str] = field(default_factory=dict)


def code_digests(config: Config) -> dict[str, str]:
    """Return the SHA-256 of the file of each module that settings name, once it is imported.

    What such a module imports in turn is not covered.
    """
    environments = (config.environment, config.evaluation_environment)
    names = [config.policy.kind, *(each.id for each in environments)]
    wrappers = [wrapper for each in environments for wrapper in each.wrappers]
    names += [each if isinstance(each, str) else next(iter(each)) for each in wrappers]
    digests = {}
    for name in names:
        module, has_module, _ = name.partition(":")
        file = getattr(sys.modules.get(module), "__file__", None)
        if has_module and file:
            with suppress(OSError):
                digests[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return digests


def edited_since_last_start(run: RunDirectory, code: dict[str, str]) -> list[str]:
    """Return the modules whose files differ from those of the run's last start."""
    lines = last_lines(run.history_file, _LINE_BYTES)
    before = _Start()
    with suppress(ValueError):  # torn, or nonsense
        before = parse_json(lines[-1], _Start) if lines else before
    return [name for name, digest in code.items() if before.code.get(name, digest) != digest]

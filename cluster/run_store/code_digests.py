"""Digests of the user's code in ``history.jsonl``: what was edited between two starts of a run."""

import hashlib
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from reinforce.cluster.files import last_lines
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.config import Config

_HISTORY_BYTES = 2**20
_DIGESTS: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""Digests of modules as first seen: an edit has no effect before the module is imported again."""


@dataclass(frozen=True)
class _Start:
    code: dict[str, str] = field(default_factory=dict)


def code_digests(config: Config) -> dict[str, str]:
    """Return the SHA-256 of the file of each module that settings name, once it is imported.

    What such a module imports in turn is not covered, nor is a class of the program itself.
    """
    environments = (config.environment, config.evaluation_environment)
    names = [config.policy.kind, *(each.id for each in environments)]
    wrappers = [wrapper for each in environments for wrapper in each.wrappers]
    names += [each if isinstance(each, str) else next(iter(each)) for each in wrappers]
    modules = {name.partition(":")[0] for name in names if ":" in name} & sys.modules.keys()
    found = {name: _digest(sys.modules[name]) for name in sorted(modules)}
    return {name: digest for name, digest in found.items() if digest}


def _digest(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    if file and module not in _DIGESTS:
        with suppress(OSError):
            _DIGESTS[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return _DIGESTS.get(module)


def edited_since_last_start(run: RunDirectory, code: dict[str, str]) -> list[str]:
    """Return the modules whose digests differ from those of the newest start that has some."""
    for line in reversed(last_lines(run.history_file, _HISTORY_BYTES)):
        with suppress(ValueError):  # torn, or nonsense
            if before := parse_json(line, _Start).code:
                return [name for name in code if before.get(name, code[name]) != code[name]]
    return []

"""``environment.json``: the description of a run's environment for its policy, as plain data.

It allows loading, sending and exporting a policy without creating the environment, which would run
code that the run directory names.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import load_json, write_json
from reinforce.configs.regular_files import IrregularFileError
from reinforce.workers.environment import EnvironmentSpec

_MAX_SIZE = 100_000_000
"""Most numbers in an observation or an action; a thousand with more would not fit into memory."""


def write_environment(file: Path, spec: EnvironmentSpec) -> None:
    """Store the environment's description."""
    write_json(file, asdict(spec))


def read_environment(file: Path) -> EnvironmentSpec:
    """Return the stored description.

    Raises:
        RunDirectoryError: It is missing or damaged.
    """
    try:
        spec = load_json(file, EnvironmentSpec)
    except FileNotFoundError:
        raise RunDirectoryError(
            f"{file} is missing, which describes the environment: runs of version 0.1 have none; "
            "`reinforce resume` adds it"
        ) from None
    except IrregularFileError as error:
        raise RunDirectoryError(f"{file} is damaged: {error.strerror}") from None
    except ValueError as error:
        raise RunDirectoryError(f"{file} is damaged: {error}") from None
    oddity = oddity_of(spec)
    if oddity:
        raise RunDirectoryError(f"{file} is damaged: {oddity}")
    return spec


def oddity_of(spec: EnvironmentSpec) -> str:
    """Return what is impossible in the description; an empty text if nothing is."""
    seen, done = spec.observation.leaves, spec.action.leaves
    shapes = [(*leaf.shape, *leaf.counts) for leaf in seen]
    shapes += [(*leaf.shape, *leaf.counts) for leaf in done]
    sides = [side for shape in shapes for side in shape]
    if not (seen and done) or min(sides, default=0) < 0:
        return "a space without parts, or of a negative size"
    if max(spec.observation.flat_size, spec.action.num_outputs) > _MAX_SIZE:
        return f"a space of more than {_MAX_SIZE:,} numbers"
    for leaf in done:
        try:
            is_number = np.dtype(leaf.dtype).kind in "biuf"
        except TypeError:
            is_number = False
        if not is_number:
            return f"{leaf.dtype!r} is not a type of number"
    return ""

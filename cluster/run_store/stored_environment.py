"""``environment.json``: what a policy has to know of its run's environment, as plain data.

With it a policy can be loaded, sent and exported without making the environment, which would run
whatever code the run directory names.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import load_json, write_json
from reinforce.configs.regular_files import IrregularFileError
from reinforce.workers.environment import EnvironmentSpec

_MAX_SIZE = 100_000_000
"""Numbers in an observation or an action; more do not fit into memory a thousand times."""


def write_environment(file: Path, spec: EnvironmentSpec) -> None:
    """Store what a policy has to know of the environment."""
    write_json(file, asdict(spec))


def read_environment(file: Path) -> EnvironmentSpec:
    """Return what was stored.

    Raises:
        RunDirectoryError: Nothing was, or something else.
    """
    try:
        spec = load_json(file, EnvironmentSpec)
    except FileNotFoundError:
        raise RunDirectoryError(
            f"{file} is missing, which says what the environment looks like: runs of version 0.1 "
            "have none; `reinforce resume` adds it"
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
    """Return what no environment has; an empty text if there is nothing."""
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

"""The weights of a policy as they travel: one flat vector and its version."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Weights:
    """Everything that decides how a policy of a given architecture acts.

    Attributes:
        version: Number of updates applied, >= 0.
        values: [P] float32, the parameters in the order of ``PolicyArchitecture.parameter_shapes``.
    """

    version: int
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.version < 0:
            raise ValueError(f"version = {self.version} must be >= 0")
        if self.values.ndim != 1 or self.values.dtype != np.float32:
            raise ValueError(
                f"weights must be one flat float32 vector, not {self.values.dtype} of shape "
                f"{self.values.shape}"
            )

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of every bit of the values; equal weights have equal digests."""
        return hashlib.sha256(np.ascontiguousarray(self.values).data).hexdigest()


def arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the hexadecimal SHA-256 of named arrays: names, types, shapes and every bit.

    The order of the names does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()

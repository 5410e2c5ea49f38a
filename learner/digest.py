"""Digests of arrays: equal bits, equal digest."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

"""Freed memory stays with the process: the next micro-batch wants just as much.

What a pass leaves behind for its way back is freed as the next one begins. The C library gives the
memory of a thread back to the system then, and fetches it again page by page: thousands of page
faults per update (docs/decisions/0076-tanh-and-freed-memory.md).
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt``, from malloc.h of the GNU C library."""

_KEPT_BYTES = 256 * 2**20
"""Free memory at the end of a heap that is not given back; the heap of a thread has 64 MiB."""

_LARGE_BYTES = 32 * 2**20
"""Blocks of this size are the system's from the beginning; the largest that the library takes."""


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to a limit; a C library other than GNU's has its way.

    Source: mallopt(3).
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

"""Where checkpoints lie: a folder of this machine, or one behind any URL that fsspec knows."""

from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cluster.errors import UsageError
from cluster.records.run_directory import write_atomically


class CheckpointFolder:
    """Files by name. A file that can be listed is whole, or its digest tells that it is not."""

    def __init__(self, location: str) -> None:
        """Open a folder, which need not exist.

        Args:
            location: A path, or a URL such as ``s3://bucket/folder``.

        Raises:
            UsageError: fsspec does not know this kind of URL, or lacks the package for it.
        """
        self.location = location
        try:
            self._files, self._root = fsspec.url_to_fs(location)
        except (ValueError, ImportError) as error:
            raise UsageError(f"checkpoint.directory = {location!r}: {error}") from None

    def names(self) -> list[str]:
        """Return the names of the files in it, in order; none if it does not exist.

        Raises:
            NotADirectoryError: It is a file, which fsspec would list as the only one in itself.
            Exception: Whatever the store raises that cannot be looked into.
        """
        self._files.invalidate_cache()
        try:
            paths: list[str] = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        if paths == [self._root] and self._files.isfile(self._root):
            raise NotADirectoryError(f"{self.location} is a file")
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        content: bytes = self._files.cat_file(f"{self._root}/{name}")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file: on this machine whole or not at all, elsewhere as the store does it."""
        self._files.makedirs(self._root, exist_ok=True)
        if isinstance(self._files, LocalFileSystem):
            write_atomically(Path(self._root) / name, content)
        else:
            self._files.pipe_file(f"{self._root}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._files.rm_file(f"{self._root}/{name}")

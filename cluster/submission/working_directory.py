"""The working directory of a job: the files of the current folder that travel to the cluster.

In a git checkout, what git tracks or would track; elsewhere, everything that is not hidden. Never
what runs leave behind, including logs: the files decide whether a run is the same
(``require_same_files``), and a growing file would change that.
"""

import hashlib
import os
import subprocess
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reinforce.cluster.errors import UsageError
from reinforce.configs.plurals import counted

LIMIT_BYTES = 512 << 20
"""Ray's limit for a package (``RAY_RUNTIME_ENV_WORKING_DIR`` in its documentation)."""

_GENERATED = {"runs", "mlruns", "mlartifacts", "__pycache__", "node_modules", "venv"}
_GENERATED_PREFIXES = (".", "mlflow.db")
_LOGS = ("*.log", "*.log.*", "nohup.out", "slurm-*.out", "events.out.tfevents.*")
_MARKS = (("metrics.jsonl", "config.yaml"), ("study.jsonl", "sweep.yaml"))
"""Groups of files that identify a run directory or a sweep's folder."""

_OURS = Path("reinforce", "cluster", "training.py")
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class WorkingDirectory:
    """The files of a folder that travel with a job.

    Attributes:
        root: The folder.
        files: Paths relative to it, sorted.
        left_out: Names at the top of the folder that are left out, and outputs below, sorted.
    """

    root: Path
    files: tuple[Path, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> "WorkingDirectory":
        """Return the files for a job, including those behind links to folders in this one.

        Raises:
            UsageError: It is too large, or would hide this project from the cluster.
        """
        listed = _listed_by_git(root)
        entries = list(_walk(root)) if listed is None else listed
        paths = {
            path
            for entry in entries
            for path in (entry, *_behind(root, entry, entries))
            if _is_wanted(path) and (root / path).is_file()
        }
        outputs = set(_outputs(root, paths))
        paths = {path for path in paths if outputs.isdisjoint((path, *path.parents))}
        tops = {path.parts[0] for path in paths}
        left_out = {path.name for path in root.iterdir() if path.name not in tops}
        left_out |= {str(path) for path in outputs if path.parts[0] in tops}
        directory = cls(root, tuple(sorted(paths)), tuple(sorted(left_out)))
        if directory.num_bytes > LIMIT_BYTES:
            sizes = {path: (root / path).stat().st_size for path in paths}
            largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
            named = ", ".join(f"{path} ({_mebibytes(sizes[path])})" for path in largest)
            raise UsageError(
                f"the working directory {root} holds {_mebibytes(directory.num_bytes)} in "
                f"{counted(len(paths), 'file')}, but Ray accepts {_mebibytes(LIMIT_BYTES)}; the "
                "largest: "
                f"{named}. List what the job does not need in .gitignore (in a git checkout), or "
                "submit from a folder with only what it needs"
            )
        if hides_this_project(paths.__contains__):
            raise UsageError(
                f"the working directory {root} holds a Python package 'reinforce', which would "
                "hide this project on the cluster; rename it, or submit from another folder"
            )
        return directory

    @property
    def num_bytes(self) -> int:
        """Size of all files together."""
        return sum((self.root / path).stat().st_size for path in self.files)

    @property
    def is_our_checkout(self) -> bool:
        """Whether it contains this project itself, which then runs instead of the installed one."""
        return _OURS in self.files

    def pack(self, folder: Path) -> Path:
        """Write a zip file named after its content and return its path.

        The same files give the same name, so files on the cluster are not sent again.
        """
        package = folder / "working_directory.zip"
        with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in self.files:
                entry = zipfile.ZipInfo(path.as_posix(), _NO_TIME)
                entry.external_attr = ((self.root / path).stat().st_mode & 0o777) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (self.root / path).read_bytes())
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        return package.rename(folder / f"{digest[:32]}.zip")


def hides_this_project(holds: Callable[[Path], bool]) -> bool:
    """Return whether a folder that ``holds`` such files has the user's own ``reinforce``."""
    has_one = any(map(holds, (Path("reinforce.py"), Path("reinforce", "__init__.py"))))
    return has_one and not holds(_OURS)


def _is_wanted(path: Path) -> bool:
    return not any(
        part in _GENERATED or part.startswith(_GENERATED_PREFIXES) for part in path.parts
    )


def _outputs(root: Path, paths: Collection[Path]) -> Iterator[Path]:
    """Yield logs, this command's own output file, and folders of runs and sweeps."""
    printed_into = []
    for descriptor in (1, 2):
        with suppress(OSError):  # it is closed
            printed_into.append(os.fstat(descriptor))
    for path in paths:
        about = (root / path).stat()
        if any(map(path.match, _LOGS)) or any(os.path.samestat(about, o) for o in printed_into):
            yield path
        for mark, other in _MARKS:
            if path.name == mark and path.with_name(other) in paths and path.parent != Path():
                yield path.parent


def _listed_by_git(root: Path) -> list[Path] | None:
    """Return what git tracks or would track in a folder, or None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
            cwd=root,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return [Path(name) for name in result.stdout.decode().split("\0") if name]


def _behind(root: Path, link: Path, entries: Sequence[Path]) -> Iterator[Path]:
    """Yield the entries below a link to a folder in this root."""
    if not (root / link).is_symlink():
        return
    target, whole = (root / link).resolve(), root.resolve()
    if target.is_relative_to(whole):
        place = target.relative_to(whole)
        yield from (link / e.relative_to(place) for e in entries if e.is_relative_to(place))


def _walk(root: Path) -> Iterator[Path]:
    """Yield files and linked folders, without following links."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if _is_wanted(Path(name))]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (Path(folder, name).relative_to(root) for name in (*names, *links))


def _mebibytes(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 20):,.1f} MiB"

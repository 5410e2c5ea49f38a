"""Checks of one machine, and of the places for its runs."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from errno import EACCES
from functools import partial
from pathlib import Path

from reinforce.cluster.doctor.finding import Finding, failure, ok, warning, within_timeout
from reinforce.cluster.doctor.node_report import NodeReport
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoints import CheckpointFolder
from reinforce.cluster.run_store.tracking_state import has_tables
from reinforce.cluster.submission.working_directory import hides_this_project
from reinforce.cluster.tracking.provenance import PACKAGES
from reinforce.cluster.tracking.store import TrackingStore, diagnose, http_status
from reinforce.configs.config import Config
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.plurals import counted

_MIN_SHARED_MEMORY_BYTES = 512 << 20
_MIN_FREE_DISK_BYTES = 2 << 30
_PROBE = "doctor.probe"

LOCAL_TIMEOUT_S = 60.0
"""For loading MLflow and opening a file, which take a busy machine many seconds."""


def check_machine(report: NodeReport) -> Iterator[Finding]:
    """Judge a machine by its report."""
    missing = [name for name in PACKAGES if name not in report.versions]
    listed = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    if missing:
        yield failure(
            "packages",
            f"{report.name}: {', '.join(missing)} not installed",
            "install this project there, in the environment that runs Ray",
        )
    else:
        yield ok("packages", f"{report.name}: {listed}")
    size = f"{report.name}: /dev/shm has {report.shared_memory_bytes >> 20:,} MiB"
    if report.shared_memory_bytes < _MIN_SHARED_MEMORY_BYTES:
        yield warning(
            "shared memory",
            size,
            "what does not fit goes to disk, which is slow: in a container, set shm_size to a "
            "tenth more than --object-store-memory",
        )
    else:
        yield ok("shared memory", size)
    free = f"{report.name}: {report.free_disk_bytes >> 20:,} MiB free for temporary files"
    if report.free_disk_bytes < _MIN_FREE_DISK_BYTES:
        yield failure("disk", free, "make room, or give `ray start` another --temp-dir")
    else:
        yield ok("disk", free)
    yield from _check_environment(report)


def check_run_directory(config: Config) -> Finding:
    """Write a file to the folder of runs and read it back."""
    folder = config.run.directory.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"probe")
    except OSError as error:
        return failure(
            "run directory", f"{folder}: {error.strerror}", "choose another run.directory"
        )
    return ok("run directory", f"{folder} can be written")


def check_checkpoints(config: Config) -> Finding:
    """Write a file to the place of checkpoints, read it, and remove it."""
    location = config.checkpoint.directory
    if location is None:
        if config.cluster.address is None:
            return ok("checkpoints", "in the run directory")
        return warning(
            "checkpoints",
            "in the run directory of the machine that runs the driver",
            "if that machine may disappear, set checkpoint.directory to a store that remains",
        )

    def read_back() -> bytes:
        folder = CheckpointFolder(location)
        folder.write(_PROBE, b"probe")
        content = folder.read(_PROBE)
        folder.remove(_PROBE)
        return content

    try:
        content = within_timeout(read_back, "the store")
    except UsageError as error:
        return failure("checkpoints", str(error), "install the package that it names")
    except Exception as error:  # noqa: BLE001 - as many types as there are stores
        return failure(
            "checkpoints",
            f"{location}: {type(error).__name__}: {error}",
            "check the address, the credentials of this machine, and who may write there",
        )
    if content != b"probe":
        return failure(
            "checkpoints", f"{location} returns other bytes than were written", "use another store"
        )
    return ok("checkpoints", f"{location} can be written and read")


def check_tracking(config: TrackingConfig) -> Finding:
    """Check whether a run could be recorded, on a server by setting a tag."""
    if not config.enabled:
        return ok("tracking", "is off")
    store = TrackingStore.of(config, Path.cwd())
    file, kind = store.sqlite_file, store.uri.partition(":")[0]
    where = str(file or store.without_secrets(store.uri))
    try:
        if file:
            _lock_database(file)
            if has_tables(file):
                within_timeout(store.client, "the database", LOCAL_TIMEOUT_S)
        elif store.is_server:
            # Imports MLflow, whose seconds are not the server's.
            from reinforce.cluster.tracking.experiment import tag_experiment

            tag = ("reinforce.doctor", "could write")
            within_timeout(partial(tag_experiment, store, config, *tag), "the server")
        else:
            look = f"a store of kind {kind!r} is not checked"
            return warning("tracking", look, "start a short run")
    except Exception as error:  # noqa: BLE001 - MLflow's stores raise whatever they like
        if file and isinstance(error, TimeoutError):
            return _too_slow("tracking", where)
        text, advice = diagnose(error, store)
        status = http_status(error) or 0
        seen = f"{where} answers HTTP {status}" if 400 <= status < 500 else f"{where}: {text}"
        advice = advice or ("see the server's log" if store.is_server else "set --tracking.uri")
        later = "runs continue without it, and `reinforce sync` sends them later"
        return failure("tracking", seen, f"{advice}; {later}")
    return ok("tracking", f"{where} can be written")


def _lock_database(file: Path) -> None:
    """Begin writing to a database without changing it; MLflow's client would create its tables."""
    # SQLite would begin to write even what is read-only.
    for path in (file.absolute().parent, *([file] if file.exists() else [])):
        if not os.access(path, os.W_OK, effective_ids=True):
            raise PermissionError(EACCES, f"{os.strerror(EACCES)}: it cannot be written", str(path))
    if file.exists():
        with closing(sqlite3.connect(file, timeout=2)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()


def check_artifacts(config: TrackingConfig, tracking: Finding) -> Finding:
    """Store a small artifact in the place for a run's artifacts, and remove it.

    ``tracking`` is the finding about the store itself.
    """
    subject = "artifacts"
    later = "metrics and status are sent without artifacts; `reinforce sync` sends these later"
    if not config.enabled:
        return ok(subject, "tracking is off")
    if tracking.level != "ok":
        return warning(subject, "not tried, because MLflow's store was not", "see tracking")
    store = TrackingStore.of(config, Path.cwd())
    # Imports MLflow, but for a store that is yet to be made.
    from reinforce.cluster.tracking.artifacts import try_artifact

    limit_s = LOCAL_TIMEOUT_S if store.sqlite_file else None
    try:
        look = partial(try_artifact, store, config)
        place = within_timeout(look, "the place of artifacts", limit_s)
    except NotImplementedError as error:
        return warning(subject, f"not tried: {error}", "start a short run")
    except Exception as error:  # noqa: BLE001 - as many types as there are places
        if limit_s and isinstance(error, TimeoutError):
            return _too_slow(subject, str(store.sqlite_file))
        text, advice = diagnose(error, store)
        return failure(subject, text, "; ".join(filter(None, (advice, later))))
    return ok(subject, f"{place} can be written")


def _too_slow(subject: str, where: str) -> Finding:
    """Return the finding that MLflow took too long with a file, which a busy machine may cause."""
    return warning(
        subject,
        f"{where}: MLflow was not ready within {LOCAL_TIMEOUT_S:g} s",
        "runs train meanwhile, and it takes their results when it is ready; try again when the "
        "machine is less busy",
    )


def check_user_files(directory: Path) -> Finding:
    """Check whether something of the user's has this project's name."""
    if hides_this_project(lambda file: (directory / file).is_file()):
        return warning(
            "name",
            f"{directory} holds a Python package 'reinforce'",
            "rename it: `python -m reinforce` runs it instead of this project, and `reinforce "
            "submit` refuses it",
        )
    return ok("name", f"no package 'reinforce' in {directory} is run instead of this project")


def _check_environment(report: NodeReport) -> Iterator[Finding]:
    if report.environment_problem:
        yield failure(
            "environment",
            f"{report.name}: {report.environment_problem}",
            "`reinforce train` refuses it, too; follow the message, or install what it needs on "
            "that machine",
        )
    elif report.waited_s is not None:
        yield warning(
            "environment",
            f"{report.name}: not finished within {report.waited_s:g} s",
            "`reinforce train` waits longer, but each of its workers takes that long to start; if "
            "it never finishes, its constructor, reset or step hangs",
        )
    elif report.environment_warnings:
        for odd in report.environment_warnings:
            yield warning(
                "environment", f"{report.name}: {odd}", "`reinforce train` warns about this, too"
            )
    else:
        yield ok("environment", f"{report.name}: created, played, and suitable for the policy")
    for image in report.images:
        yield ok("image", f"{report.name}: {image}")
    if report.vector_speed:
        yield ok("vector", f"{report.name}: {report.vector_speed}")


def check_cores(config: Config, num_cores: int) -> Finding:
    """Compare workers and cores; a local Ray reserves next to nothing, so none waits."""
    workers = config.workers
    asked = workers.min_workers if workers.num_workers == "auto" else workers.num_workers
    if asked > num_cores:
        return warning(
            "room for workers",
            f"{counted(asked, 'worker')} on {num_cores} cores",
            "they play, but no faster than one per core; workers.num_workers auto uses the "
            "available cores",
        )
    return ok("room for workers", f"{num_cores} cores")


def check_own_gpu(config: Config) -> Finding:
    """Check whether this machine has the GPU that its learner needs."""
    if config.learner.device == "cpu":
        return ok("GPU", "none is needed: learner.device is cpu")
    # Imports Torch, seconds that only who asks for a GPU has to wait.
    from reinforce.learner.device import NoGPUError, require_device

    try:
        require_device(config.learner.device)
    except NoGPUError as error:
        return failure("GPU", *str(error).split("; ", 1))
    return ok("GPU", "Torch sees one for the learner")

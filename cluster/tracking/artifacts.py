"""Where MLflow keeps artifacts: whether something can be stored there."""

import shlex
import tempfile
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import unquote, urlsplit

from reinforce.cluster.run_store.tracking_state import has_tables
from reinforce.cluster.tracking.experiment import find_experiment, find_or_create_experiment
from reinforce.cluster.tracking.provenance import without_user
from reinforce.cluster.tracking.store import ARTIFACTS, TrackingStore
from reinforce.configs.execution import TrackingConfig

_PROBE = "reinforce-doctor-probe.txt"


class _ArtifactRepository(Protocol):
    """What is used of MLflow's, which is untyped."""

    def log_artifact(self, local_file: str) -> None: ...

    def delete_artifacts(self, artifact_path: str) -> None: ...


def require_place(uri: str, store: TrackingStore) -> None:
    """Refuse to recreate a folder of artifacts that the project has moved away from.

    MLflow keeps the absolute path of it, and would make it where nobody looks.

    Args:
        uri: Where the artifacts of an experiment or of a run go.
        store: Which has noted that.

    Raises:
        FileNotFoundError: The folder is gone with the one in which it was.
    """
    file, path = store.sqlite_file, _local_path(uri)
    if file is None or path is None:
        return
    folder = next((each for each in (path, *path.parents) if each.name == ARTIFACTS), None)
    if folder and not folder.exists() and not folder.parent.exists():
        new, old, parent = (
            shlex.quote(str(each)) for each in (file.parent / ARTIFACTS, folder, folder.parent)
        )
        raise FileNotFoundError(
            f"MLflow has noted the folder {folder} for artifacts, which has moved away: `mkdir -p "
            f"{new} {parent} && ln -s {new} {old}` leads there again"
        )


def try_artifact(store: TrackingStore, config: TrackingConfig) -> str:
    """Store a small artifact of an experiment, remove it, and return where that was.

    Nothing is made in a store that is a file.

    Raises:
        Exception: It cannot be stored; as many types as there are places.
        NotImplementedError: This place cannot be tried without a run.
    """
    place = _location(store, config)
    require_place(place, store)
    path = _local_path(place)
    if path:
        existing = next(each for each in (path, *path.parents) if each.exists())
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"probe")
        return str(path)
    if urlsplit(place).scheme == "dbfs":
        raise NotImplementedError("it takes artifacts of runs only")
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = cast("_ArtifactRepository", get_artifact_repository(place, store.uri))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / _PROBE
        file.write_text("probe", encoding="utf-8")
        repository.log_artifact(str(file))
        repository.delete_artifacts(_PROBE)
    return without_user(place)


def _location(store: TrackingStore, config: TrackingConfig) -> str:
    """Return where artifacts of new runs go; an experiment is made at a server only."""
    own, file = store.artifact_location, store.sqlite_file
    if file and not has_tables(file):
        return str(own)
    client = store.client()
    if not own:
        find_or_create_experiment(client, store, config)
    experiment = find_experiment(client, config)
    return str(experiment.artifact_location if experiment else own)


def _local_path(uri: str) -> Path | None:
    """Return the folder that the address of artifacts is, if it is one of this machine."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None

"""What of a run directory goes to MLflow, in which order, and what is there already."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import LineReader
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.trial_limit import with_own_limit
from reinforce.cluster.shown_settings import shown_yaml
from reinforce.cluster.tracking.mlflow_run import (
    POINTS_PER_REQUEST,
    UNSTORED_TAG,
    MLflowRun,
    Point,
)
from reinforce.cluster.tracking.pacing import MetricWindows
from reinforce.cluster.tracking.run_description import (
    note_of,
    params_of,
    result_tags,
    status_of,
    tags_of,
)
from reinforce.cluster.tracking.shown_metrics import ShownMetrics
from reinforce.cluster.typed_json import Count, parse_json
from reinforce.configs.config import Config

Parsed = TypeVar("Parsed")

_ARTIFACTS = ("summary.json", "plots/*.png", "videos/*.mp4", "videos/*.webm")

MODELS = "the models of its policies"

_MAX_TRYING_S = 5.0
"""For artifacts after the first that cannot be stored: their place may be out of reach for all."""


class RunSender:
    """Sends one run directory to its MLflow run.

    Methods may raise whatever MLflow raises and can then be called again with the same effect.
    What MLflow refuses for good is left out, reported on standard error, and counted.
    """

    def __init__(
        self, run: RunDirectory, config: Config, origin: dict[str, Any], mlflow_run: MLflowRun
    ) -> None:
        self._run = run
        self._config = config
        self._origin = origin
        self._mlflow_run = mlflow_run
        self._read_from_start()
        self._samples = LineReader(run.system_file)
        self._history = LineReader(run.history_file)
        self._starts: list[dict[str, Any]] = []
        self._num_samples = 0
        self._is_in_doubt = False
        self._uploaded: dict[str, int] = {}
        self.unstored: list[str] = []
        self.num_refused = 0

    def close(self) -> None:
        """Close the files of the run directory."""
        for reader in (self._journal, self._samples, self._history):
            reader.close()

    def open(self) -> None:
        """Mark the run as running and describe it."""
        config = with_own_limit(self._run, self._config)
        tags = tags_of(config, str(self._run.path), self._origin)
        self._mlflow_run.reopen(params_of(config), tags)
        self._describe(None)

    def notice_cut(self) -> None:
        """Read the journal again if it was cut back: the learner was lost, or the run resumed.

        All that was read of it has been sent, except for an incomplete window, which is read again.
        """
        if self._journal.is_replaced():
            self._describe(None)
            self._journal.close()
            self._read_from_start()

    def _read_from_start(self) -> None:
        self._held = self._mlflow_run.latest_steps()
        self._journal = LineReader(self._run.journal_file)
        self._windows, self._shown = MetricWindows(), ShownMetrics(self._held)

    def requests(self, *, is_last: bool) -> Iterator[list[Point]]:
        """Yield the points added to the run directory since the last call, a list per request.

        A request holds whole entries: MLflow has all of an entry or nothing.
        """
        request: list[Point] = []
        for points in (*self._new_updates(is_last=is_last), *self._new_samples()):
            # A name that MLflow refuses keeps its entry from ever being complete there.
            missing = self._missing(points)
            if len(request) + len(missing) > POINTS_PER_REQUEST:
                yield request
                request = []
            request.extend(missing)
        if request:
            yield request

    def send(self, request: list[Point]) -> None:
        """Send the points of one request, or, if its answer got lost, those that did not arrive."""
        if self._is_in_doubt:
            self._held = self._mlflow_run.latest_steps()
        self._is_in_doubt = True
        missing = self._missing(request)
        if missing:
            self.refuse(self._mlflow_run.log_metrics(missing))
        self._is_in_doubt = False

    def beat(self) -> None:
        """Say that the run is alive."""
        self._mlflow_run.beat()

    def upload(self, make_models: Callable[[], list[str]] | None = None) -> None:
        """Upload the artifacts that are new or have changed; the others are ``unstored``.

        Args:
            make_models: Makes the policies models, which count as one more artifact, and returns
                refusals.

        Raises:
            Exception: The first that kept one back. Each is tried, unless that takes long.
        """
        began_s, first_error = time.monotonic(), None
        self.unstored = []
        models = [(MODELS, 0, make_models)] if make_models else []
        for name, version, upload in (*self._artifacts(), *models):
            if self._uploaded.get(name) == version:
                continue
            if first_error and time.monotonic() - began_s > _MAX_TRYING_S:
                self.unstored.append(name)
                continue
            try:
                refused = upload()
            except Exception as error:  # noqa: BLE001  (as many types as places of artifacts)
                first_error = first_error or error
                self.unstored.append(name)
            else:
                self.refuse(refused)
                self._uploaded[name] = version
        if first_error:
            raise first_error

    def _artifacts(self) -> Iterator[tuple[str, int, Callable[[], list[str]]]]:
        """Yield the name, the version and the upload of each artifact, which returns refusals."""
        log_text, packages = self._mlflow_run.log_text, "\n".join(self._origin["packages"]) + "\n"
        yield "config.yaml", 0, partial(log_text, shown_yaml(self._config), "config.yaml")
        yield "packages.txt", 0, partial(log_text, packages, "packages.txt")
        for pattern in _ARTIFACTS:
            for path in sorted(self._run.path.glob(pattern)):
                name = str(path.relative_to(self._run.path))
                yield name, path.lstat().st_mtime_ns, partial(self._upload_file, path)

    def _upload_file(self, path: Path) -> list[str]:
        try:
            self._run.require_inside(path)
        except RunDirectoryError as error:
            return [str(error)]
        folder = path.relative_to(self._run.path).parent
        return self._mlflow_run.log_artifact(path, str(folder) if folder.name else None)

    def finish(self, ended_ms: int) -> None:
        """Set the status and describe the result."""
        summary = read_summary(self._run.summary_file)
        tags: dict[str, str] = {}
        if summary:
            tags = result_tags(summary)
            ended_ms = summary["timestamp_ms"]
        self._mlflow_run.beat(tags)
        self._describe(summary or {"status": "failed", "stop_reason": "its process was lost"})
        self._mlflow_run.finish(status_of(summary), ended_ms)

    def note_losses(self) -> None:
        """Note how much was refused, and could not be stored."""
        counts = {"tracking.num_refused": self.num_refused, UNSTORED_TAG: len(self.unstored)}
        tags = {name: str(count) for name, count in counts.items() if count}
        if tags:
            self._mlflow_run.set_tags(tags)

    def _describe(self, summary: dict[str, Any] | None) -> None:
        self._starts += self._parsed(self._history, _parse_start, self._run.history_file)
        note = note_of(self._config, self._origin, self._starts, summary)
        self._mlflow_run.set_tags({"mlflow.note.content": note})

    def _new_updates(self, *, is_last: bool) -> Iterator[list[Point]]:
        complete: list[JournalEntry] = []
        for entry in self._parsed(self._journal, JournalEntry.parse, self._run.journal_file):
            *late, shown = self._shown.of(entry)
            complete += late
            if not self._is_held(shown):
                complete += self._windows.add(shown)
        if is_last:
            complete += self._windows.flush()
        for entry in complete:
            yield _points(entry.metrics, entry.timestamp_ms, entry.environment_steps)

    def _new_samples(self) -> Iterator[list[Point]]:
        samples = self._parsed(self._samples, _parse_sample, self._run.system_file)
        for timestamp_ms, metrics in samples:
            self._num_samples += 1
            yield _points(metrics, timestamp_ms, self._num_samples)

    def _parsed(
        self, reader: LineReader, parse: Callable[[bytes], Parsed], file: Path
    ) -> Iterator[Parsed]:
        """Yield what new lines hold; one that a loss of power tore does not keep back the rest."""
        for line in reader.new_lines():
            try:
                yield parse(line)
            except ValueError as error:
                self.refuse([f"a line of {file.name}: {error}"])

    def _is_held(self, entry: JournalEntry) -> bool:
        """Return whether MLflow has this entry, or the same one of an earlier life of the run."""
        return all(self._held.get(name, -1) >= entry.environment_steps for name in entry.metrics)

    def _missing(self, points: list[Point]) -> list[Point]:
        return [point for point in points if point.step > self._held.get(point.name, -1)]

    def refuse(self, reasons: list[str]) -> None:
        """Tell and count what is left out."""
        self.num_refused += len(reasons)
        for reason in reasons:
            # Whoever gives one may quote an address with the password that it holds.
            shown = self._mlflow_run.store.without_secrets(reason)
            print(f"MLflow: left out: {shown}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Sample:
    timestamp_ms: Count
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Start:
    from_update: Count = 0


def _parse_start(line: bytes) -> dict[str, Any]:
    return asdict(parse_json(line, _Start))


def _parse_sample(line: bytes) -> tuple[int, dict[str, float]]:
    sample = parse_json(line, _Sample)
    return sample.timestamp_ms, sample.metrics


def _points(metrics: Mapping[str, float], timestamp_ms: int, step: int) -> list[Point]:
    return [Point(name, value, timestamp_ms, step) for name, value in metrics.items()]

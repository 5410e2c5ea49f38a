"""When a run's numbers are handed to Ray. That they arrive is in test_launching, on real nodes."""

import time
from pathlib import Path

from reinforce.cluster.backends.ray import metrics
from reinforce.cluster.backends.ray.metrics import MetricsExporter


def test_the_last_numbers_are_exported_at_the_end(monkeypatch):
    exported = []
    monkeypatch.setattr(MetricsExporter, "export", lambda self: exported.append(self._run))

    with MetricsExporter("mine", Path("runs/mine"), print):
        assert not exported, "it is not time yet"

    assert exported == ["mine"]


def test_a_failing_export_is_reported_once_and_tried_again(monkeypatch):
    attempts, told = [], []

    def fail(self):
        attempts.append(self)
        raise ConnectionError("no agent")

    monkeypatch.setattr(MetricsExporter, "export", fail)
    monkeypatch.setattr(metrics, "_INTERVAL_S", 0.01)

    with MetricsExporter("mine", Path("runs/mine"), told.append):
        while len(attempts) < 3:  # the thread is at it
            time.sleep(0.01)

    (text,) = told
    assert text.startswith("the run's numbers do not reach Ray's metrics: ConnectionError")

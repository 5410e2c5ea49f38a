"""When a run's numbers are handed to Ray. That they arrive is in test_launching, on real nodes."""

import time

from reinforce.cluster.backends.ray import metrics
from reinforce.cluster.backends.ray.metrics import RayMetricsDisplay, exporting


class ListedDisplay:
    def __init__(self):
        self.told = []

    def show(self, record):
        pass

    def warn(self, text):
        self.told.append(text)


def test_what_was_shown_last_is_exported_at_the_end(monkeypatch):
    exported = []

    def export(self):
        exported.append(self)

    monkeypatch.setattr(RayMetricsDisplay, "export", export)

    with exporting(ListedDisplay(), "mine") as display:
        assert not exported, "it is not time yet"

    assert exported == [display]


def test_what_cannot_be_exported_is_told_once_and_tried_again(monkeypatch):
    attempts = []

    def fail(self):
        attempts.append(self)
        raise ConnectionError("no agent")

    monkeypatch.setattr(RayMetricsDisplay, "export", fail)
    monkeypatch.setattr(metrics, "_INTERVAL_S", 0.01)
    display = ListedDisplay()

    with exporting(display, "mine"):
        while len(attempts) < 3:  # the thread is at it
            time.sleep(0.01)

    (text,) = display.told
    assert text.startswith("the run's numbers do not reach Ray's metrics: ConnectionError")

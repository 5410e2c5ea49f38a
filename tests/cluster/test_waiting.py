"""What is waited for, as a pipe and as a terminal shows it."""

import io
import time

import pytest

from reinforce.cluster import waiting as waiting_module
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.waiting import WaitReports, waiting


def said(lasts_s, line_after_s, *, terminal=False, quiet=False):
    console = PlainConsole(
        file=io.StringIO(), force_terminal=terminal, quiet=quiet, width=200, color_system=None
    )
    with waiting(console, "Ray to start", lambda: "as others do", line_after_s):
        time.sleep(lasts_s)
    return console.file.getvalue()


def test_a_wait_is_worth_a_line_each_time_that_it_has_doubled():
    reports = WaitReports(after_s=15.0)

    assert [s for s in range(100) if reports.is_due(float(s))] == [15, 30, 60]


def test_lines_say_what_is_waited_for_how_long_and_why():
    lines = said(lasts_s=0.5, line_after_s=0.1).splitlines()

    assert 1 <= len(lines) <= 3
    assert set(lines) == {"still waiting for Ray to start after 0 s: as others do"}


def test_a_wait_that_is_soon_over_is_not_mentioned():
    assert said(lasts_s=0.0, line_after_s=60.0) == ""
    assert said(lasts_s=0.0, line_after_s=60.0, terminal=True) == ""


@pytest.mark.parametrize(("quiet", "is_shown"), [(False, True), (True, False)])
def test_a_terminal_has_a_spinner_long_before_the_first_line(monkeypatch, quiet, is_shown):
    monkeypatch.setattr(waiting_module, "_SPINNER_AFTER_S", 0.05)
    text = said(lasts_s=0.5, line_after_s=60.0, terminal=True, quiet=quiet)

    assert ("waiting for Ray to start" in text) == is_shown
    assert "still" not in text

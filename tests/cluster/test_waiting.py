"""What is waited for, as a pipe and as a terminal shows it."""

import io
import re
import time
from contextlib import ExitStack
from functools import partial

import pytest
from processes import wait_for

from reinforce.cluster import waiting as waiting_module
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.display import LiveDisplay
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.run_status import WaitNotes
from reinforce.cluster.waiting import WaitReports, waiting
from reinforce.configs.config import Config


def said(lasts_s, line_after_s, *, terminal=False, quiet=False):
    console = PlainConsole(
        file=io.StringIO(), force_terminal=terminal, quiet=quiet, width=200, color_system=None
    )
    with waiting(console, "starting Ray", lambda: "as others do", line_after_s):
        time.sleep(lasts_s)
    return console.file.getvalue()


def test_a_wait_is_worth_a_line_each_time_that_it_has_doubled():
    reports = WaitReports(after_s=15.0)

    assert [s for s in range(100) if reports.is_due(float(s))] == [15, 30, 60]


def test_lines_say_what_is_waited_for_how_long_and_why():
    lines = said(lasts_s=0.5, line_after_s=0.1).splitlines()

    assert 1 <= len(lines) <= 3
    # Half a second of sleep is longer on a busy machine.
    assert all(re.fullmatch(r"still starting Ray after \d s: as others do", line) for line in lines)


def test_a_wait_that_is_soon_over_is_not_mentioned():
    assert said(lasts_s=0.0, line_after_s=60.0) == ""
    assert said(lasts_s=0.0, line_after_s=60.0, terminal=True) == ""


@pytest.mark.parametrize(("quiet", "is_shown"), [(False, True), (True, False)])
def test_a_terminal_has_a_spinner_long_before_the_first_line(monkeypatch, quiet, is_shown):
    monkeypatch.setattr(waiting_module, "_SPINNER_AFTER_S", 0.05)
    text = said(lasts_s=0.5, line_after_s=60.0, terminal=True, quiet=quiet)

    assert ("starting Ray" in text) == is_shown
    assert "still" not in text


def test_a_stage_is_named_where_there_is_no_spinner(monkeypatch):
    monkeypatch.setattr(waiting_module, "_NAMED_AFTER_S", 0.05)

    assert said(lasts_s=0.5, line_after_s=60.0) == "starting Ray\n"
    assert said(lasts_s=0.5, line_after_s=60.0, quiet=True) == ""


def test_the_reason_is_asked_for_once_a_line():
    asked = []

    def hint():
        asked.append(None)
        return "as others do"

    console = PlainConsole(file=io.StringIO(), width=200)
    with waiting(console, "starting Ray", hint, line_after_s=0.1):
        time.sleep(0.35)

    assert len(console.file.getvalue().splitlines()) == len(asked) >= 1


class Screen:
    """A terminal, and what is on its last lines now."""

    def __init__(self):
        self._file = io.StringIO()
        self.console = PlainConsole(
            file=self._file, force_terminal=True, width=100, color_system=None
        )

    def drawn(self):
        """Return what is drawn within the next third of a second, without spinners and frames."""
        time.sleep(0.05)  # what was under way
        begin = len(self._file.getvalue())
        time.sleep(0.3)
        text = self._file.getvalue()[begin:]
        return set(
            re.findall("(?:waiting for|starting)[a-z ;]*[a-z]|playing the first episodes", text)
        )


def wait_on(screen, purpose):
    """Enter a wait whose end is up to the caller."""
    stack = ExitStack()
    stack.enter_context(waiting(screen.console, purpose))
    time.sleep(0.1)
    return stack


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setattr(waiting_module, "_SPINNER_AFTER_S", 0.02)
    return Screen()


def test_waits_that_overlap_share_one_spinner_whichever_ends_first(screen):
    worker, learner = (wait_on(screen, f"waiting for {who}") for who in ("a worker", "the learner"))
    assert screen.drawn() == {"waiting for a worker; waiting for the learner"}

    worker.close()
    assert screen.drawn() == {"waiting for the learner"}

    learner.close()
    assert screen.drawn() == set()


def test_a_spinner_is_below_the_panel_whichever_begins_and_ends_first(screen):
    first = "playing the first episodes"
    early = wait_on(screen, "waiting for a worker")
    with LiveDisplay(screen.console, Config(), "my-run"):
        assert screen.drawn() == {first, "waiting for a worker"}
        early.close()
        assert screen.drawn() == {first}
        late = wait_on(screen, "starting the learner")
        assert screen.drawn() == {first, "starting the learner"}
    assert screen.drawn() == {"starting the learner"}
    late.close()
    assert screen.drawn() == set()


def test_waits_that_overlap_are_noted_by_themselves_until_each_is_over(make_config):
    run, console = RunDirectory.create(make_config()), PlainConsole(file=io.StringIO(), width=200)
    noting = partial(waiting, console, line_after_s=0.01, note=WaitNotes(run).note)

    def noted(what):
        return wait_for(lambda: (read_json(run.wait_file) or {}).get("what") == what, 0.01)

    with noting("starting Ray"), waiting(console, "soon", note=WaitNotes(run).note):
        assert noted("Ray to start")
        since_ms = read_json(run.wait_file)["since_ms"]
        with noting("waiting for a worker"), noting("waiting for a worker"):
            time.sleep(0.1)
            assert noted("Ray to start")
        assert noted("Ray to start")
        assert read_json(run.wait_file)["since_ms"] == since_ms
        stack = ExitStack()
        stack.enter_context(noting("waiting for a worker", lambda: "no room yet"))
        time.sleep(0.1)
    assert noted("a worker: no room yet")
    stack.close()
    assert not run.wait_file.exists()

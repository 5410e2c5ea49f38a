"""Gives a case to the command line and says what is wrong with the answer."""

import io
import os
import shutil
import signal
import stat
import sys
import traceback
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from cases import spoil

from reinforce.cluster.cli import main

PATIENCE_S = 30.0


class Hang(BaseException):
    """The alarm; not an Exception, so that nothing takes it for its own."""


class Judge:
    """Runs cases one after the other in a folder that is emptied between them.

    ``run`` is a finished run, copied for the cases that spoil one.
    """

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder, self._run = folder, run
        self.counts = Counter()
        self.findings = []

    def __call__(self, category, case):
        self.counts[category, "cases"] += 1
        folder = self._folder / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, content in case.files.items():
            (folder / path).write_bytes(content)
        if case.in_a_run:
            shutil.copytree(self._run, folder / "run")
            spoil(folder / "run", *case.spoil)
        before = _state_of(folder)
        code, said, shown, error = _answer(folder, case.words)
        verdict = _verdict(code, said, shown, error)
        if not verdict and code == 2:
            verdict = _verdict_on_refusal(case, said, before == _state_of(folder))
        self.counts[category, verdict or f"exit code {code}"] += 1
        if verdict:
            self.findings.append((category, verdict, case, error or said + shown))
        return verdict


def _answer(folder, words):
    """Return the exit code, what was said, and the traceback of what got through."""
    out, err = io.StringIO(), io.StringIO()
    path, variables = list(sys.path), dict(os.environ)
    try:
        with _alarm(), _in(folder), redirect_stdout(out), redirect_stderr(err):
            code, error = main(words), ""
    except Hang:
        code, error = None, "hang: " + traceback.format_exc()
    except BaseException:  # noqa: BLE001  (that it got through is what is looked for)
        code, error = None, traceback.format_exc()
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(variables)
    return code, err.getvalue(), out.getvalue(), error


def _verdict(code, said, shown, error):
    if error:
        return "hang" if error.startswith("hang") else "traceback"
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if "Traceback (most recent call last)" in said and not said.startswith("reinforce: ticket"):
        return "traceback"
    if not all(each.isprintable() or each in "\n\t" for each in said + shown):
        return "control character"
    if code and not said.strip() and not shown.strip():
        return "silent"
    return ""


def _verdict_on_refusal(case, said, is_untouched):
    if not is_untouched:
        return "something left behind"
    if max(map(len, said.splitlines()), default=0) > 2100:
        return "endless line"
    said = " ".join(said.replace("│", " ").split())  # tyro wraps its messages into boxes
    is_clear = all(any(clue in said for clue in group) for group in case.clues)
    return "" if is_clear else "unclear"


@contextmanager
def _alarm():
    def ring(number, frame):
        raise Hang

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _in(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _state_of(folder):
    """Return kind, size and time of change of everything below a folder."""
    states = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        is_file = stat.S_ISREG(about.st_mode)
        states[path] = (stat.S_IFMT(about.st_mode), is_file and (about.st_size, about.st_mtime_ns))
    return states

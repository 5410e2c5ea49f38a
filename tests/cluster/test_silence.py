"""How soon a run says something, and how long it then says nothing.

Counted in its processor time, which a busy machine does not stretch.
"""

import os
import pty
import re
import subprocess
import sys
import termios
import time
from itertools import pairwise

import psutil
import pytest
from small_sweeps import write_sweep

PROGRAM = [sys.executable, "-m", "reinforce"]
RUN = [
    *("train", "cartpole", "--cluster.backend", "inline"),
    *("--stop.max_updates", "3", "--tracking.enabled", "false"),
]


def read_from(process, stream):
    """Yield (processor time in s, what was printed) until nobody writes any more."""
    watched, used_s = psutil.Process(process.pid), 0.0
    while True:
        try:
            text = os.read(stream, 4096)
        except OSError:  # how a terminal says so
            return
        if not text:
            return
        try:
            times = watched.cpu_times()
            used_s = times.user + times.system or used_s
        except psutil.NoSuchProcess:
            pass
        yield used_s, text


def said_by(words, folder, *, terminal):
    """Return the processor times (s) at which a command said something, and all that it said."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writer, (24, 50))
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)  # which would count for more than the terminal's width
    with subprocess.Popen(
        [*PROGRAM, *words], cwd=folder, stdout=writer, stderr=writer, env=environment
    ) as process:
        os.close(writer)
        said = list(read_from(process, reader))
    os.close(reader)
    times_s, texts = zip(*said, strict=True)
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-8]|9[0-7])[0-9;]*m", b"".join(texts)), "NO_COLOR"
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", b"".join(texts)).decode()
    assert process.returncode == 0, text
    assert times_s[0] < (0.5 if terminal else 2.0)
    silences_s = [after - before for before, after in pairwise(times_s)]
    assert max(silences_s) < (2.0 if terminal else 4.0), said
    return text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_says_something_within_a_second_and_is_never_silent_for_long(tmp_path, terminal):
    began_s = time.monotonic()

    text = said_by(RUN, tmp_path, terminal=terminal)

    assert text.startswith("reinforce train: loading" if terminal else "checking environment.id")
    assert ("starting the learner" in text) or not terminal
    framed = [line for line in text.splitlines() if "│" in line]
    assert {len(line) for line in framed} == ({50} if terminal else set())
    assert time.monotonic() - began_s < 120


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sweep_says_at_once_what_it_will_do_and_then_how_far_its_runs_are(tmp_path, terminal):
    folder = write_sweep(tmp_path, {"settings": {"learner.discount": [0.9]}})

    text = said_by(["sweep", "sweep.yaml"], tmp_path, terminal=terminal)

    said = [
        *(["reinforce sweep: loading"] if terminal else []),
        f"1 trial with 1 seed each, 1 at a time, in {folder}",
        "trial-0000 (1 of 1): learner.discount 0.9: begins",
        *(["trial-0000-seed-0 is starting"] if terminal else []),
        "trial-0000 (1 of 1): learner.discount 0.9: mean return ",
    ]
    flat = re.sub(r"[\r\n]+", "", text) if terminal else text
    places = [flat.find(words) for words in said]
    assert -1 not in places, text
    assert places == sorted(places)
    assert "loading Optuna and MLflow" not in text  # tracking is off


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (["train", "cartpole", "--learner.learning_rate", "-1"], b"greater than 0"),
        (["resume", "nowhere"], b"nowhere"),
    ],
    ids=["a setting", "a run"],
)
def test_a_mistake_is_refused_before_what_a_run_needs_is_imported(mistake, message, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *PROGRAM[1:], *mistake],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 2
    assert message in ended.stderr
    imported = {line.rsplit(b"|", 1)[-1].strip() for line in ended.stderr.splitlines()}
    assert not imported & {b"numpy", b"gymnasium", b"rich.console", b"torch", b"ray", b"mlflow"}

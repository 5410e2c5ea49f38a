"""Signals to a run, in a process of its own."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from reinforce.cluster.interrupts import signal_behind, signals_as_ctrl_c

WAITING = """
import time
from reinforce.cluster.errors import InterruptedRunError
from reinforce.cluster.interrupts import Interrupts

with Interrupts() as interrupts:
    print("ready", flush=True)
    time.sleep(2)
    try:
        interrupts.check()
    except InterruptedRunError as interruption:
        print(interruption, flush=True)
"""


@pytest.mark.parametrize(("pause_s", "code"), [(0.02, 0), (0.8, 130)])
def test_a_second_signal_ends_the_process_unless_it_is_the_echo_of_the_first(pause_s, code):
    """As of Ctrl-C in a terminal under a wrapper that passes it on, such as timeout."""
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(pause_s)
    process.send_signal(signal.SIGINT)

    said, _ = process.communicate(timeout=30)

    assert process.returncode == code
    assert (said == b"interrupted by SIGINT\n") == (code == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_any_verb_gives_the_cursor_back_and_ends_it_in_one_line(number, tmp_path):
    """Here while the constructor of an environment hangs."""
    (tmp_path / "hanging.py").write_text("import time\n\ndef make():\n    time.sleep(600)\n")
    command = [sys.executable, "-m", "reinforce", "train", "cartpole"]
    command += ["--stop.target_return", "None", "--environment.id"]
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [*command, "hanging:make"],
        cwd=tmp_path,
        stdout=its_end,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(its_end)
        shown = b""
        while b"checking environment.id = 'hanging:make'" not in shown:
            shown += os.read(terminal, 4096)
        process.send_signal(number)
        with suppress(OSError):  # how a terminal says that nobody writes to it any more
            while more := os.read(terminal, 4096):
                shown += more
        _, said = process.communicate(timeout=30)
    os.close(terminal)

    assert process.returncode == 128 + number
    assert said == f"reinforce: interrupted by {number.name}\n"
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["hanging.py"]
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") > -1


def test_an_echo_of_the_signal_does_not_cut_the_end_short_nor_does_a_fork_go_on():
    before = signal.getsignal(signal.SIGTERM)
    with signals_as_ctrl_c():
        with pytest.raises(KeyboardInterrupt) as interrupted:
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM

    assert signal_behind(interrupted.value) is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before

"""Signals to a run, in a process of its own."""

import signal
import subprocess
import sys
import time

import pytest

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
    assert (said == b"stopped by SIGINT\n") == (code == 0)

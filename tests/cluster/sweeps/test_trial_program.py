"""The lifeline of a trial, in a process of its own."""

import subprocess
import sys
import time

import pytest

ON_A_LIFELINE = """
import time
from reinforce.cluster.errors import InterruptedRunError
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.sweeps.trial_program import stop_at_the_end_of_input

stop_at_the_end_of_input()
with Interrupts() as interrupts:
    print("ready", flush=True)
    time.sleep(2.5)
    try:
        interrupts.check()
    except InterruptedRunError as interruption:
        print(interruption, flush=True)
"""


@pytest.mark.parametrize("has_a_signal", [True, False])
def test_its_end_is_a_signal_unless_one_has_come_before(has_a_signal):
    """As of a service that is stopped: all processes get SIGTERM, then the sweep lets go."""
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_LIFELINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    if has_a_signal:
        process.terminate()
        time.sleep(0.6)  # later than what is taken for an echo

    said, _ = process.communicate(timeout=30)  # closes its input

    assert (process.returncode, said) == (0, b"interrupted by SIGTERM\n")

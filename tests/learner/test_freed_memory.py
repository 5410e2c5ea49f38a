"""What a thread frees stays with the process, so that it need not be fetched page by page."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from reinforce.learner.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
faults = []

def passes():
    for _ in range(50):
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        layers = [np.ones(2**18, np.float32) for _ in range(8)]
        del layers

thread = threading.Thread(target=passes)
thread.start()
thread.join()
print(faults[-1] - faults[9])
"""


def page_faults(what):
    command = [sys.executable, "-c", PROGRAM, what]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")
def test_what_every_pass_needs_is_fetched_once():
    num_pages_of_a_pass = 8 * 2**20 // 4096

    assert page_faults("keep") < num_pages_of_a_pass
    assert page_faults("give back") > 4 * num_pages_of_a_pass

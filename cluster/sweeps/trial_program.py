"""What runs in the process of a trial: the command line, on a lifeline that its sweep holds.

The lifeline is standard input. The system closes it however the sweep ends, SIGKILL included, and
the sweep itself closes it to have the trial stop. A second signal is taken as an order to write no
checkpoint. So a trial that has a signal already, as all processes of a service or a job of Slurm
have, is sent none. (PR_SET_PDEATHSIG would send a second one.)
"""

import os
import signal
import sys
import threading

from reinforce.__main__ import main
from reinforce.cluster.sudden_end import is_in_a_hurry


def stop_at_the_end_of_input() -> None:
    """Have SIGTERM sent to this process once its standard input, from now on empty, is closed.

    None is sent if a signal has come before.
    """
    lifeline, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(lifeline, 4096):
            pass
        if is_in_a_hurry():
            return
        # To the main thread, whose call it interrupts; any other would let it go on.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    stop_at_the_end_of_input()
    sys.argv[0] = "reinforce"  # as it was called, for what MLflow shows of the run
    sys.exit(main())

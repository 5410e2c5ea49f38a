"""Starting a program that is measured: one thread, its own folder, its own process group."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ONE_THREAD: Mapping[str, str] = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def finish(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], timeout_s: float
) -> tuple[str, float]:
    """Run a program to its end; return what it printed and the seconds from start to exit.

    Args:
        command: the program and its arguments.
        folder: its current directory.
        variables: added to the environment.
        timeout_s: after which the program and what it started are killed.

    Raises:
        RuntimeError: It failed or took too long.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **ONE_THREAD, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{' '.join(command)}: not over after {timeout_s:.0f} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors}")
    return output, time.perf_counter() - started

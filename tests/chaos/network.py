"""Two nodes in network namespaces, and a connection that is cut: for ten seconds, then for good.

    sudo python tests/chaos/network.py

Needs root and `ip` (iproute2). The batches and the weights must equal those of one process.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from chaos import batches_of, command, journal_of, summary_of, train_alone

HEAD, NODE = ("reinforce-head", "10.77.0.1"), ("reinforce-node", "10.77.0.2")
PORT = 6399
RAY = str(Path(sys.executable).parent / "ray")
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 10,
}
NUM_UPDATES, CUT_AT, CUT_FOR_GOOD_AT, CUT_S = 100, 15, 60, 10


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextmanager
def namespaces():
    """Two hosts with a cable between them."""
    try:
        for name, _ in (HEAD, NODE):
            ip("netns", "add", name)
        ip(*f"link add veth0 netns {HEAD[0]} type veth peer name veth0 netns {NODE[0]}".split())
        for name, address in (HEAD, NODE):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "veth0")
            ip("-n", name, "link", "set", "veth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name, _ in (HEAD, NODE):
            pids = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            ).stdout.split()
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], check=False)


def start(namespace, words, log, **options):
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *words], stdout=log, stderr=log, **options
    )


def set_cable(state):
    ip("-n", NODE[0], "link", "set", "veth0", state)
    print(f"{time.strftime('%H:%M:%S')} the cable is {state}", flush=True)


def start_nodes(folder, log):
    common = ["--num-cpus=1", "--object-store-memory=200000000", "--block", "--disable-usage-stats"]
    start(
        HEAD[0],
        [
            *[RAY, "start", "--head", f"--node-ip-address={HEAD[1]}", f"--port={PORT}", *common],
            *["--include-dashboard=false", f"--temp-dir={folder}/h"],
            f"--system-config={json.dumps(HEALTH_CHECKS)}",
        ],
        log,
    )
    time.sleep(8)
    address = f"{HEAD[1]}:{PORT}"
    start(
        NODE[0],
        [RAY, "start", f"--address={address}", f"--node-ip-address={NODE[1]}", *common],
        log,
    )
    time.sleep(8)
    return address


def main():
    folder = Path(tempfile.mkdtemp(prefix="rf-net-"))
    os.environ["RAY_AUTH_TOKEN"], os.environ["RAY_AUTH_MODE"] = secrets.token_hex(32), "token"
    print(f"files in {folder}", flush=True)
    with namespaces(), (folder / "log.txt").open("a") as log:
        address = start_nodes(folder, log)
        words = command(folder, "cut", NUM_UPDATES, **{"cluster.address": address})
        driver = start(HEAD[0], words, log, cwd=folder)
        cuts = {CUT_AT: CUT_S, CUT_FOR_GOOD_AT: None}
        while driver.poll() is None:
            updates = len(batches_of(journal_of(folder, "cut")))
            due = [update for update in cuts if updates >= update]
            for update in due:
                seconds = cuts.pop(update)
                set_cable("down")
                if seconds:
                    time.sleep(seconds)
                    set_cable("up")
            time.sleep(0.1)
        if driver.returncode or cuts:
            raise SystemExit(f"the run failed or was too short: see {folder / 'log.txt'}")
    train_alone(folder, NUM_UPDATES)
    raise SystemExit(report(folder))


def report(folder):
    """Print what happened; return 0 if the results are those of the undisturbed run."""
    cut, alone = (journal_of(folder, name) for name in ("cut", "alone"))
    same_batches = batches_of(cut) == batches_of(alone)
    summaries = [summary_of(folder, name) for name in ("cut", "alone")]
    same_weights = summaries[0]["weights_sha256"] == summaries[1]["weights_sha256"]
    workers = [int(r["metrics"]["cluster/workers_alive"]) for r in cut if r["batch"]]
    print(
        f"workers            {max(workers)} at most, {workers[-1]} at the end\n"
        f"tickets            {summaries[0]['tickets']}\n"
        f"same batches       {same_batches}\nsame weights       {same_weights}",
        flush=True,
    )
    return int(not (same_batches and same_weights and max(workers) == 2))


if __name__ == "__main__":
    main()

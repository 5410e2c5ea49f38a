"""Another user of the machine, while a run is going on: they see nothing, change nothing."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from processes import processes_in, wait_for

from reinforce.cluster.files import read_json

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]

NOBODY = 65534

TRAIN = [
    *("train", "cartpole", "--workers.num_workers", "2", "--tracking.enabled", "false"),
    *("--stop.max_updates", "60", "--stop.target_return", "None", "--evaluation.episodes", "5"),
]


def as_nobody(attack, *arguments):
    """Return what a function returns, as JSON, that an unprivileged user calls."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            "".encode("idna")  # imported now: it may lie where nobody can read
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, json.dumps(attack(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        found = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


def try_everything(paths, ports):
    """Return what worked of all that one would try with files, sockets and ports."""
    worked = []
    for text in paths:
        path = Path(text)
        attempts = {
            "list": lambda path=path: list(path.iterdir()),
            "read": lambda path=path: path.read_bytes(),
            "write": lambda path=path: path.open("ab").close(),
            "make": lambda path=path: (path / "planted.json").touch(),
            "rename": lambda path=path: path.rename(path.with_name("mine")),
            "remove": lambda path=path: path.unlink(),
            "lock": lambda path=path: fcntl.flock(path.open(), fcntl.LOCK_EX | fcntl.LOCK_NB),
            "connect": lambda text=text: socket.socket(socket.AF_UNIX).connect(text),
        }
        for name, attempt in attempts.items():
            with suppress(OSError):
                attempt()
                worked.append([name, text])
    for port in ports:
        for path in ("", "metrics", "api/jobs/"):
            with suppress(OSError, HTTPException):
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2)
                worked.append(["ask", f"{port}/{path}: {answer.read(60)!r}"])
    return worked


def ports_of(pids):
    """Ports that processes listen on."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                inodes.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                found.append(int(cells[1].rpartition(":")[2], 16))
    return found


def train(folder, name):
    command = [sys.executable, "-m", "reinforce", *TRAIN, "--run.name", name]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_another_user_reads_nothing_and_the_run_ends_as_if_undisturbed(temporary_folder):
    temporary_folder.chmod(0o1777)  # as /tmp
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with train(home, "alone") as undisturbed:
            said, _ = undisturbed.communicate(timeout=200)
            assert undisturbed.returncode == 0, said

        with train(home, "mine") as process:
            journal = home / "runs" / "mine" / "metrics.jsonl"
            wait_for(lambda: journal.exists() and journal.stat().st_size > 0)
            (private,) = temporary_folder.glob("reinforce-*")
            secrets = [str(private), *(str(path) for path in private.rglob("*"))]
            state = Path(os.environ["XDG_STATE_HOME"]) / "reinforce"
            secrets += [str(state), str(state / "trusted.jsonl")]
            ports = ports_of(processes_in(home))
            assert len(ports) > 3

            worked = as_nobody(try_everything, secrets, ports)
            said, _ = process.communicate(timeout=200)

        assert worked == []
        assert process.returncode == 0, said
        found = [read_json(path) for path in home.glob("runs/*/summary.json")]
        assert len({summary["weights_sha256"] for summary in found}) == 1
        assert len(found) == 2

"""A real PostgreSQL server in a temporary folder, run by an unprivileged user, with a password."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from free_port import free_port

PASSWORD = "planted-in-postgres"


def missing_part():
    """What keeps a server from being started here; empty if nothing does."""
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed"
    return "" if _programs() else "PostgreSQL's initdb and pg_ctl are not installed"


def _programs():
    """The newest folder of PostgreSQL's programs; Debian keeps them out of the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("pg_ctl")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    whole = [folder for folder in folders if (folder / "initdb").exists()]
    return whole[0] if whole else None


class PostgresServer:
    """A server on loopback, as long as the context lasts."""

    def __init__(self):
        self._port = free_port()
        # PostgreSQL refuses to be run by root.
        self._user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}

    @property
    def uri(self):
        return f"postgresql+psycopg2://postgres:{PASSWORD}@127.0.0.1:{self._port}/postgres"

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp())
        (self._folder / "password").write_text(PASSWORD)
        if self._user:
            for path in (self._folder, self._folder / "password"):
                shutil.chown(path, **self._user)
        data, log = self._folder / "data", self._folder / "log"
        self._run(
            *["initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync"],
            *["--pwfile", self._folder / "password"],
        )
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -F"
        self._run("pg_ctl", "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start")
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)

    def _run(self, program, *arguments):
        subprocess.run(
            [_programs() / program, *arguments],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            timeout=120,
            **self._user,
        )

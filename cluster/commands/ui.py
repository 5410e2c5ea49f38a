"""``reinforce ui``: shows MLflow's pages for the store in use, on this machine only."""

import signal
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster.commands.arguments import Command, Flag, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.run_store.trust import TRACKING, require_trust
from reinforce.cluster.tracking.server import HOST, free_port, mlflow_server
from reinforce.cluster.tracking.store import TrackingStore, newest_runs, require_readable
from reinforce.cluster.tracking.store_of_run import store_of_run
from reinforce.cluster.waiting import waiting
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.loading import load_config
from reinforce.configs.quoting import command_line

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class UiCommand(Command):
    """Show runs in the browser: MLflow's own pages for the store in use, on this machine only.

    Attributes:
        run: A run directory: show this run, in its store. None: the experiment of the newest run.
        uri: Store to show. None: $MLFLOW_TRACKING_URI, or else mlflow.db in the current directory.
        port: Port to listen on. None: 5000, or a free one if that is taken.
        open: Open the page in the browser.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN_DIR]")] = None
    uri: str | None = None
    port: int | None = None
    open: Flag = False
    trust: Trust = False

    def execute(self) -> int:
        """Serve the pages until a signal comes, the normal end."""
        console, aside = PlainConsole(), PlainConsole(stderr=True)
        with waiting(aside, "opening MLflow's store"):
            store, link = what_to_show(self)
        if store.is_server:
            self._show(link)
            return 0
        port = free_port(self.port)
        with _stopping() as stop, ExitStack() as serving:
            with waiting(aside, "starting MLflow's server", at_once=True):
                start = mlflow_server(store.uri, store.directory, port, lambda: not stop.is_set())
                server = serving.enter_context(start)
            if not stop.is_set():
                self._show(f"http://{HOST}:{port}/#{link.partition('#')[2]}")
                console.say("Ctrl-C stops it")
            while server.poll() is None and not stop.wait(0.2):
                pass
        return 0

    def _show(self, link: str) -> None:
        PlainConsole().say(f"MLflow shows the runs at\n{link}")
        if self.open:
            webbrowser.open(link)


def what_to_show(command: UiCommand) -> tuple[TrackingStore, str]:
    """Return the store, and the page's address on a server at MLflow's usual address."""
    if command.run is None:
        store = TrackingStore.of(TrackingConfig(uri=command.uri), Path.cwd())
        return store, _known(newest_runs(store), store)
    if command.uri is not None:
        raise UsageError("a run directory names its own store: leave out --uri, or RUN_DIR")
    run = RunDirectory.open(command.run)
    config = load_config(str(run.config_file))
    require_trust(run, config, TRACKING, trust=command.trust)
    state = read_tracking_state(run.tracking_file)
    if "run_id" not in state:
        raise UsageError(
            f"{run.path} is not in MLflow; `{command_line('sync', run.path)}` sends it there"
        )
    store = store_of_run(run, config.tracking, state)
    if not store.is_server:
        require_readable(store)
    return store, _known(store.link(state["experiment_id"], state["run_id"]), store)


def _known(link: str, store: TrackingStore) -> str:
    """Return the address of a page, if it exists."""
    if not link:
        raise UsageError(f"a store of kind {store.kind!r} has its own pages: open them there")
    return link


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Yield an event that a signal sets."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

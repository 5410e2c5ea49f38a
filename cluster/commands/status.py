"""``reinforce status``: the state of runs in folders or on a Ray cluster."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import tyro
from rich.console import Group
from rich.live import Live
from rich.table import Table

from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import ATTENTION, PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.number_format import number
from reinforce.cluster.run_store.recent_returns import RECENT_UPDATES
from reinforce.cluster.run_store.run_status import (
    RunStatus,
    State,
    find_runs,
    find_sweeps,
    status_of,
)
from reinforce.configs.quoting import command_line

_RUNS = Path("runs")
_INTERVAL_S = 2.0
_NOTE_LENGTH = 120

_ANY_WIDTH = 100_000
"""Columns that have room for any table."""

_STYLES: dict[State, str] = {
    **dict.fromkeys(("running", "finished"), ""),
    **dict.fromkeys(("waiting", "interrupted"), ATTENTION),
    **dict.fromkeys(("failed", "killed", "unreadable"), "red"),
}


@dataclass(frozen=True, kw_only=True)
class StatusCommand(Command):
    """Show the state of runs in folders, or on a Ray cluster.

    A run is live as long as a process holds the lock on its journal. Nothing that a run directory
    names is imported or contacted. The return is the mean over all episodes of the last 10 updates,
    and "evaluated" the mean of the last regular evaluation.

    Attributes:
        folders: Folders of runs, of sweeps such as sweeps/lr, or run directories. None: runs.
        address: Dashboard of a Ray cluster, such as http://127.0.0.1:8265, to show its runs
            instead.
        watch: Repeat every two seconds, until Ctrl-C.
        json: Print one line of JSON instead, with times in ms since 1970.
    """

    folders: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[FOLDER ...]", help_behavior_hint=""),
    ] = ()
    address: str | None = None
    watch: Flag = False
    json: Flag = False

    def execute(self) -> int:
        if self.address and self.folders:
            raise UsageError("give folders, or the --address of a cluster, not both")
        console = PlainConsole()
        if self.watch:
            if self.json or not console.is_terminal:
                raise UsageError("--watch is for terminals: programs call `status --json` again")
            self._show_until_interrupted(console)
        rows = self._rows()
        if self.json:
            console.say_data(json.dumps([asdict(row) for row in rows]))
        elif rows:
            table, notes = _table(console, rows)
            console.print_table(table)
            for note in notes:
                console.say(note)
        else:
            console.say(f"no runs {'on' if self.address else 'in'} {self._places()}")
            for sweep in self._sweeps():
                console.say(f"`{command_line('status', sweep)}` shows those of a sweep")
        return 0

    def _rows(self) -> list[RunStatus]:
        """Return the runs, live ones first, then by their latest news."""
        if self.address:
            # Imported late: Ray takes a second.
            from reinforce.cluster.submission.job_status import statuses_of_jobs

            rows = statuses_of_jobs(self.address)
        else:
            folders = self.folders or (_RUNS,)
            if not self.folders and not _RUNS.exists() and self._sweeps():
                return []
            rows = [status_of(path) for folder in folders for path in find_runs(folder)]
        return sorted(rows, key=lambda row: (not row.is_live, -(row.since_ms or 0)))

    def _places(self) -> str:
        return self.address or ", ".join(map(str, self.folders)) or str(_RUNS)

    def _sweeps(self) -> list[Path]:
        """Return the sweeps that a user without runs may mean."""
        if self.address:
            return []
        folders = self.folders or (Path("sweeps"),)
        return [sweep for folder in folders for sweep in find_sweeps(folder)]

    def _show_until_interrupted(self, console: PlainConsole) -> None:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                table, notes = _table(console, self._rows())
                live.update(Group(table, *map(console.cell, notes)), refresh=True)
                time.sleep(_INTERVAL_S)


def _table(console: PlainConsole, rows: Sequence[RunStatus]) -> tuple[Table, list[str]]:
    """Return the table, and lines below it with the notes if it has no room for them.

    A terminal that is still too narrow shows fewer columns, and shortened names.
    """
    for has_notes, has_speed in ((True, True), (False, True), (False, False)):
        table = _table_of(console, rows, has_speed=has_speed, has_notes=has_notes)
        anywhere = console.options.update(width=_ANY_WIDTH)
        if console.measure(table, options=anywhere).maximum <= console.width:
            break
    below = () if has_notes else [row for row in rows if row.note]
    return table, [f"{row.name}: {_note(row)}" for row in below]


def _table_of(
    console: PlainConsole, rows: Sequence[RunStatus], *, has_speed: bool, has_notes: bool
) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run")
    recent = f"return,{' ' if has_speed else chr(10)}last {RECENT_UPDATES}"
    speed = ("steps/s", "workers") if has_speed else ()
    for title in ("state", "update", recent, "evaluated", *speed, "since"):
        is_text = title in ("state", "since")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=True)
    if has_notes:
        table.add_column("", no_wrap=True)
    for row in rows:
        name, state = console.cell(row.name), console.cell(row.state)
        name.no_wrap, name.overflow = True, "ellipsis"
        state.stylize(_STYLES[row.state])
        numbers = _numbers(row) if has_speed else _numbers(row)[:3]
        note = [console.cell(_note(row))] if has_notes else []
        table.add_row(name, state, *numbers, _moment(row.since_ms), *note)
    return table


def _note(row: RunStatus) -> str:
    return shorten(row.note, _NOTE_LENGTH, placeholder="…")


def _numbers(row: RunStatus) -> list[str]:
    """Return the numbers of a row in words."""
    numbers = (
        (row.updates, "{:,}".format),
        (row.recent_return_mean, number),
        (row.evaluation_return_mean, number),
        (row.environment_steps_per_s, "{:,.0f}".format),
        (row.workers, "{:,}".format),
    )
    return ["-" if value is None else form(value) for value, form in numbers]


def _moment(timestamp_ms: int | None) -> str:
    """Return a moment in local time, without the date if it is today."""
    if timestamp_ms is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a stranger's
        return "-"
    is_today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M}"

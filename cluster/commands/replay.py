"""``reinforce replay``: plays one ticket of a run again, alone and in this process."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from reinforce.cluster.commands.arguments import Command, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.moments.episode_film import film_episode
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import PlayedTicket, TicketName, play_ticket
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.configs.plurals import counted

_MAX_NUMBERS = 8
"""Largest observation or action that a row of the table shows; a larger one is described."""


@dataclass(frozen=True, kw_only=True)
class ReplayCommand(Command):
    """Play one ticket of a run again, alone and in this process, where a debugger can follow.

    The weights that it was played with are computed again from the nearest earlier checkpoint, or
    from the start of the run. Every update on the way, and the ticket itself, must match the
    journal. The run is not changed.

    Attributes:
        run: The run directory.
        ticket: UPDATE:INDEX of a training ticket, or confirmation:UPDATE:INDEX, as the message
            about a failed ticket gives it; evaluation:0:INDEX is played by every regular
            evaluation, and here with the newest checkpoint. With :EPISODE behind it, every step of
            that episode is printed.
        film: Folder that receives an mp4 of that episode.
    """

    run: RunDir
    ticket: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="[PURPOSE:]UPDATE:INDEX[:EPISODE]")
    ]
    film: Path | None = None
    trust: Trust = False

    def execute(self) -> int:
        """Play it as it was played in the run; what the environment raises goes on untouched."""
        run, console = RunDirectory.open(self.run), PlainConsole(stderr=True)
        name = TicketName.parse(self.ticket)
        past = Reconstruction(run, console, trust=self.trust)
        if self.film:
            played, film = film_episode(past, name, console, self.film)
        else:
            played, film = play_ticket(past, name, console), None
        say = PlainConsole().say
        for line in _lines(played, read_summary(run.summary_file) or {}):
            say(line)
        for line in () if name.episode is None else _table(played, name.episode):
            say(line)
        if film:
            say(str(film))
        return 1 if played.is_as_recorded is False else 0


def _lines(played: PlayedTicket, summary: dict[str, Any]) -> Iterator[str]:
    report, ticket = played.report, played.report.ticket
    yield f"ticket {ticket} was played; its {counted(ticket.num_episodes, 'episode')} returned"
    yield ", ".join(f"{value:g}" for value in report.episode_returns)
    if report.num_cut:
        yield f"{report.num_cut} did not end and were cut (evaluation.max_episode_steps)"
    verdict = {
        True: ", as in the journal",
        False: f"; the journal has {played.recorded_sha256}: this is not what the run played. "
        "Other versions of the packages, another type of processor, and an environment that has "
        "been edited or depends on more than its seed play other episodes",
        None: "",
    }
    yield (
        f"sha256 of its trajectories: {report.trajectories_sha256}{verdict[played.is_as_recorded]}"
    )
    is_named = re.search(rf"ticket {ticket}\b", str(summary.get("stop_reason")))
    if summary.get("status") == "failed" and is_named:
        yield (
            "It ended the run but does not fail alone: an episode of this environment depends on "
            "more than its seed, such as the episodes before it."
        )


def _table(played: PlayedTicket, episode: int) -> Iterator[str]:
    """Yield a line per step of an episode, and one above them."""
    columns = played.steps()
    rows = np.flatnonzero(columns["episode"] == episode)
    names = ["step", "action", "reward", "log_prob", "observation"]
    table = [names, *([_cell(columns[name][row]) for name in names] for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(names) - 1)]
    for cells in table:
        yield "  ".join(
            [*(text.rjust(width) for text, width in zip(cells, widths, strict=False)), cells[-1]]
        )
    end = "terminated" if columns["terminated"][rows[-1]] else "truncated"
    yield f"episode {episode} was {end} after {counted(len(rows), 'step')}"


def _cell(value: Any) -> str:
    array = np.asarray(value)
    if array.dtype.names or array.size > _MAX_NUMBERS:
        return f"{array.dtype} {list(array.shape)}"
    numbers = (f"{number:.4g}" for number in array.flatten())
    return f"[{', '.join(numbers)}]" if array.shape else next(numbers)

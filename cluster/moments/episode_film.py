"""Films one episode of a run as it was played, with the environments of its ticket."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.video import MP4, VideoWriter, open_films, prepare_to_film
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import PlayedTicket, TicketName, play_ticket
from reinforce.workers.recording import EpisodeCamera, frames_per_second


def film_episode(
    past: Reconstruction, name: TicketName, console: PlainConsole, folder: Path
) -> tuple[PlayedTicket, Path]:
    """Play a ticket again, and return it with the mp4 of one of its episodes.

    Args:
        past: The run.
        name: Of the episode.
        console: Shows what lasts.
        folder: Receives the film, named by update, ticket, episode and return.

    Raises:
        UsageError, UnsuitableEnvironmentError: It cannot be filmed here.
        NotReproducedError, TrainingError: As ``play_ticket``.
    """
    if name.episode is None:
        raise UsageError(f"{name} is a ticket; name an episode of it, such as {name}:0")
    prepare_to_film()
    frames_per_s = frames_per_second(past.config.environment)  # now, not after hours
    films: list[VideoWriter] = []
    with ExitStack() as stack:

        def add(frame: NDArray[np.uint8]) -> None:
            if not films:
                films.extend(map(stack.enter_context, open_films(folder, frames_per_s, [MP4])))
            films[0].add(frame)

        played = play_ticket(past, name, console, EpisodeCamera(name.episode, add))
        returned = played.report.episode_returns[name.episode]
        where = f"update_{name.update}_ticket_{name.index}_episode_{name.episode}"
        return played, films[0].keep(f"{where}_return_{returned:.1f}")

"""Films one episode of a run as it was played, with the environments of its ticket."""

from pathlib import Path

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.video import MP4, open_films, prepare_to_film
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import PlayedTicket, TicketName, play_ticket
from reinforce.workers.recording import EpisodeCamera, frames_per_second


def film_episode(
    past: Reconstruction, name: TicketName, console: PlainConsole, folder: Path
) -> tuple[PlayedTicket, Path]:
    """Play a ticket again, and return it with the mp4 of one of its episodes.

    Args:
        past: The run.
        name: The episode's name.
        console: Shows progress.
        folder: Created if needed; receives the film, named by update, ticket, episode and return.

    Raises:
        UsageError, UnsuitableEnvironmentError: The environment cannot be filmed here.
        NotReproducedError, TrainingError: As ``play_ticket``.
    """
    if name.episode is None:
        raise UsageError(f"{name} is a ticket; name an episode of it, such as {name}:0")
    prepare_to_film()
    # What would end it after hours is raised now.
    frames_per_s = frames_per_second(past.config.environment)
    (film,) = open_films(folder, frames_per_s, [MP4])
    with film:
        played = play_ticket(past, name, console, EpisodeCamera(name.episode, film.add))
        returned = played.report.episode_returns[name.episode]
        where = f"update_{name.update}_ticket_{name.index}_episode_{name.episode}"
        return played, film.keep(f"{where}_return_{returned:.1f}")

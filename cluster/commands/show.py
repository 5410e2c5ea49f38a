"""``reinforce show``: finds the episodes of a run that are worth a look."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reinforce.cluster.commands.arguments import Command, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.moments.episode_film import film_episode
from reinforce.cluster.moments.episode_search import FoundEpisode, find_episodes
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line


@dataclass(frozen=True, kw_only=True)
class ShowCommand(Command):
    """Find the worst, best, longest and most surprising training episodes, and film them.

    Without --film, each is printed with the command that plays it again.

    Attributes:
        run: The run directory.
        worst: Number of episodes with the lowest return, >= 1.
        best: Number with the highest return.
        longest: Number with the most steps.
        surprising: Number with the lowest mean log-probability of their actions under the policy
            that played them. Evaluations are left out: greedy actions are the most probable.
        film: Folder for an mp4 of each.
    """

    run: RunDir
    worst: int | None = None
    best: int | None = None
    longest: int | None = None
    surprising: int | None = None
    film: Path | None = None
    trust: Trust = False

    def execute(self) -> int:
        run, console = RunDirectory.open(self.run), PlainConsole()
        found = list(self._found(run))
        if not found:
            raise UsageError(f"{run.journal_file} has no episode yet: there is nothing to show")
        if self.film is None:
            for order, episode in found:
                command = command_line("replay", self.run, episode.name)
                console.say_rows({order: f"{_in_words(episode)}  {command}"}, whole=(order,))
            return 0
        shown = PlainConsole(stderr=True)
        past, is_as_recorded = Reconstruction(run, shown, trust=self.trust), True
        # In the order of training, so that no update is made twice.
        for order, episode in sorted(found, key=lambda item: item[1].name.update):
            played, path = film_episode(past, episode.name, shown, self.film)
            is_as_recorded &= played.is_as_recorded is not False
            console.say_rows({order: f"{_in_words(episode)}  {path}"}, whole=(order,))
        return 0 if is_as_recorded else 1

    def _found(self, run: RunDirectory) -> Iterator[tuple[str, FoundEpisode]]:
        asked = {name: getattr(self, name) for name in ("worst", "best", "longest", "surprising")}
        numbers = {order: number for order, number in asked.items() if number is not None}
        for order, number in (numbers or {"worst": 3, "best": 3}).items():
            if number < 1:
                raise UsageError(f"{order} = {number} must be >= 1")
            yield from ((order, episode) for episode in find_episodes(run, order, number))


def _in_words(episode: FoundEpisode) -> str:
    log_prob = "" if episode.log_prob is None else f"  log-probability {episode.log_prob:.4f}"
    measured = f"return {episode.episode_return:<10g}{counted(episode.length, 'step')}{log_prob}"
    return f"{episode.name!s:<12}{measured}"

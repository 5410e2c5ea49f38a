"""``reinforce record``: films a trained policy."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.commands.arguments import Flag, PlayCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.export.video import (
    MP4,
    WEBM,
    VideoFormat,
    VideoWriter,
    open_films,
    prepare_to_film,
)
from reinforce.cluster.policy_sources import load_policy
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.zoo.names import ZOO
from reinforce.workers.recording import frames_per_second, recording_frames
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Ticket


@dataclass(frozen=True, kw_only=True)
class RecordCommand(PlayCommand):
    """Film episodes of a trained policy as H.264 mp4, which every browser plays.

    Each episode becomes one file, named by training steps, seed and return. Instead of a run
    directory, zoo:NAME is an agent that `reinforce zoo list` shows.

    Attributes:
        episodes: Episodes to film, >= 1.
        output: Folder for the files. None: videos/ in the run directory; of an agent, videos/NAME/
            here.
        webm: Also write a WebM (VP9) beside each mp4, for browsers without H.264.
    """

    episodes: int = 3
    output: Path | None = None
    webm: Flag = False

    def execute(self) -> int:
        prepare_to_film()
        policy = load_policy(
            self.run, best=self.best, trust=self.trust, changes=self.environment.given
        )
        options = {"sampled": self.sampled, "webm": self.webm}
        for path in record(policy, self._folder(policy), self.episodes, self.seed, **options):
            PlainConsole().say(str(path))
        return 0

    def _folder(self, policy: TrainedPolicy) -> Path:
        if self.output:
            return self.output
        if str(self.run).startswith(ZOO):
            return folder_without_run(policy.place)
        run = RunDirectory.open(Path(policy.place))
        return run.require_inside(run.videos)


def folder_without_run(source: str) -> Path:
    """Return the folder for films of a policy without a run directory."""
    return Path("videos") / (source.removeprefix(ZOO) if source.startswith(ZOO) else "")


def record(
    policy: TrainedPolicy,
    folder: Path,
    episodes: int,
    seed: int | None,
    *,
    sampled: bool,
    webm: bool = False,
) -> Iterator[Path]:
    """Film episodes, and yield the path of each complete file.

    Args:
        policy: Loaded after ``prepare_to_film``.
        folder: For the files; it is created if needed.
        episodes: How many, >= 1.
        seed: Of the episodes, >= 0. None: the run's.
        sampled: Sample actions as in training.
        webm: Also write a WebM beside each mp4.

    Raises:
        UnsuitableEnvironmentError, UsageError: The environment cannot be filmed here.
    """
    policy = policy.one_by_one()
    seed = policy.config.run.seed if seed is None else seed
    version = "_best" if policy.which == "best" else ""
    tickets = policy.tickets(seed, episodes, greedy=not sampled)
    for report, films in _films(policy, tickets, folder, [MP4, WEBM] if webm else [MP4]):
        name = (
            f"step_{policy.environment_steps:012d}{version}_seed_{seed}"
            f"_episode_{report.ticket.index}{'_sampled' * sampled}"
            f"_return_{report.episode_returns[0]:.1f}"
        )
        for film in films:
            yield film.keep(name)


def _films(
    policy: TrainedPolicy, tickets: Sequence[Ticket], folder: Path, formats: Sequence[VideoFormat]
) -> Iterator[tuple[RolloutReport, list[VideoWriter]]]:
    """Yield each episode with its films, which are lost unless kept."""
    frames_per_s = frames_per_second(policy.config.environment)
    films: list[VideoWriter] = []
    with ExitStack() as stack:

        def on_frame(frame: NDArray[np.uint8]) -> None:
            if not films:
                opened = open_films(folder, frames_per_s, formats)
                films.extend(map(stack.enter_context, opened))
            for film in films:
                film.add(frame)

        for report, _ in policy.play(tickets, recording_frames(on_frame)):
            yield report, films
            films.clear()

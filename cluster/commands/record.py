"""``reinforce record``: films a trained policy."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.commands.arguments import Flag, PlayCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.export.video import MP4, WEBM, VideoWriter, open_films, prepare_to_film
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.workers.recording import frames_per_second, recording_frames
from reinforce.workers.rollout_worker import RolloutReport


@dataclass(frozen=True, kw_only=True)
class RecordCommand(PlayCommand):
    """Film episodes of a trained policy as H.264 mp4, which every browser plays.

    Each episode becomes one file, named by training steps, seed and return.

    Attributes:
        episodes: Episodes to film, >= 1.
        output: Folder for the files. None: videos/ in the run directory.
        webm: Also write a WebM (VP9) beside each mp4, for browsers without H.264.
    """

    episodes: int = 3
    output: Path | None = None
    webm: Flag = False

    def execute(self) -> int:
        for path in self.record(self.environment.given):
            PlainConsole().say(str(path))
        return 0

    def record(self, changes: Mapping[str, Any]) -> Iterator[Path]:
        """Film the episodes, and yield the path of each complete file.

        Args:
            changes: Changes to the environment of the run's evaluations.

        Raises:
            UnsuitableEnvironmentError, UsageError: The environment cannot be filmed here.
        """
        prepare_to_film()
        policy = TrainedPolicy.load(
            self.run, best=self.best, trust=self.trust, changes=changes
        ).one_by_one()
        seed = policy.config.run.seed if self.seed is None else self.seed
        version = "_best" if policy.which == "best" else ""
        for report, films in self._films(policy, seed):
            name = (
                f"step_{policy.environment_steps:012d}{version}_seed_{seed}"
                f"_episode_{report.ticket.index}{'_sampled' * self.sampled}"
                f"_return_{report.episode_returns[0]:.1f}"
            )
            for film in films:
                yield film.keep(name)

    def _films(
        self, policy: TrainedPolicy, seed: int
    ) -> Iterator[tuple[RolloutReport, list[VideoWriter]]]:
        """Yield each episode with its films, which are lost unless kept."""
        frames_per_s = frames_per_second(policy.config.environment)
        tickets = policy.tickets(seed, self.episodes, greedy=not self.sampled)
        run = RunDirectory(Path(policy.place))
        folder = self.output or run.require_inside(run.videos)
        formats = [MP4, WEBM] if self.webm else [MP4]
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

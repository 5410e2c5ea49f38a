"""``reinforce plot``: draws the pictures of a run, at any time."""

from dataclasses import dataclass
from pathlib import Path

from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class PlotCommand(Command):
    """Draw the pictures of a run.

    overview.png: returns against steps and against time, lengths, and where the time went.
    episode_length.png: the length of every episode.
    episode_metrics.png: metrics from the environment's info, if there are any.

    Attributes:
        run: A run directory; the run may still be training.
        output: Folder for the files. None: plots/ in the run directory.
    """

    run: RunDir
    output: Path | None = None

    def execute(self) -> int:
        directory = RunDirectory.open(self.run)
        folder = self.output or directory.require_inside(directory.plots)
        try:
            pictures = draw_run(directory.journal_file, folder, directory.name)
        except OSError as error:
            raise UsageError(
                f"cannot write to {str(folder)!r} ({error.strerror}); choose a folder with --output"
            ) from None
        if not pictures:
            raise UsageError(
                f"{directory.journal_file} has no update yet: there is nothing to draw"
            )
        for path in pictures:
            PlainConsole().say(str(path))
        return 0

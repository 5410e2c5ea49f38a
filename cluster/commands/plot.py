"""``reinforce plot``: the pictures of a run, at any time."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.commands.arguments import RunDir
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory


@dataclass(frozen=True)
class Arguments:
    """Draw the pictures of a run.

    overview.png: returns against steps and against time, lengths, where the time went.
    episode_length.png: the length of every episode.

    Attributes:
        run: A run directory; the run may still be going on.
        output: Folder for the files. None: plots/ in the run directory.
    """

    run: RunDir
    output: Path | None = None


def run(arguments: Arguments, console: Console) -> None:
    """Draw both pictures and print the files' names.

    Raises:
        UsageError: There is nothing to draw, or nowhere to write it.
    """
    directory = RunDirectory.open(arguments.run)
    folder = arguments.output or directory.plots
    if not any(entry.batch for entry in read_entries(directory.journal_file)):
        raise UsageError(f"{arguments.run} holds no update yet: there is nothing to draw")
    try:
        for path in draw_run(directory.journal_file, folder, directory.name):
            console.print(str(path), highlight=False, soft_wrap=True, markup=False)
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose a folder with --output"
        ) from None

"""The command line: ``reinforce VERB``, the same as ``python -m reinforce VERB``.

Exit codes: 0 done; 1 the run failed, or what was compared differs; 2 wrong usage or configuration
(one message, no traceback); 129, 130 and 143 interrupted by SIGHUP, SIGINT or SIGTERM, after a
checkpoint.
"""

import errno
import io
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from reinforce.cluster.errors import (
    InterruptedRunError,
    OutputLostError,
    tell_failure,
    traceback_of,
)
from reinforce.cluster.interrupts import signal_behind, signals_as_ctrl_c
from reinforce.cluster.self_command import search_current_directory
from reinforce.cluster.tracebacks import folded
from reinforce.configs.errors import ReinforceError, suggestion
from reinforce.configs.quoting import message_text, shown

_SETTINGS = "[--section.field value ...]"
VERBS = {
    "train": (f"PRESET_OR_YAML {_SETTINGS}", "train in a new run directory"),
    "pretrain": ("PRESET_OR_YAML DATA [...]", "imitate recorded actions, as initial weights"),
    "resume": (f"RUN_DIR {_SETTINGS}", "continue from the newest intact checkpoint"),
    "scale": ("RUN_DIR N", "change a live run's number of workers"),
    "pause": ("RUN_DIR", "make a run wait after the update in progress"),
    "unpause": ("RUN_DIR", "let a paused run continue"),
    "stop": ("RUN_DIR", "end a run after a checkpoint"),
    "status": ("[FOLDER ...] [--address URL]", "show the state of runs"),
    "replay": ("RUN_DIR TICKET", "play any ticket of a run again, in this process"),
    "show": ("RUN_DIR [--worst N] [--film DIR] [...]", "find episodes worth a look, and film them"),
    "verify": (
        "RUN_DIR [--updates N|all] [...]",
        "compute updates again, and compare",
    ),
    "submit": ("PRESET_OR_YAML --address URL [...]", "train as a job on a Ray cluster"),
    "doctor": ("[PRESET_OR_YAML]", "report what would fail later"),
    "config": (f"PRESET_OR_YAML {_SETTINGS}", "print the resolved configuration"),
    "presets": ("", "list the presets"),
    "sync": ("RUN_DIR", "send what MLflow missed"),
    "evaluate": ("RUN_DIR [--episodes N] [...]", "measure a trained policy on fresh episodes"),
    "record": ("RUN_DIR [--episodes N] [...]", "film a trained policy: mp4 for any browser"),
    "export": ("RUN_DIR --output DIR [...]", "export a policy that runs without this project"),
    "plot": ("RUN_DIR [--output DIR]", "draw the pictures of a run, at any time"),
    "compare": ("RUN_DIR ... [--plot FILE] [...]", "compare configurations over seeds"),
    "diff": ("RUN_DIR RUN_DIR", "find the first update where two runs differ"),
    "sweep": ("FILE.yaml [--directory DIR]", "search settings, and stop bad trials early"),
    "zoo": ("list | pull NAME | push RUN_DIR [...]", "trained agents, ready to use"),
    "ui": ("[RUN_DIR] [--uri URI] [...]", "show runs in the browser, with MLflow"),
}
"""Arguments and description of each verb."""

_EXPECTED = (ReinforceError, KeyboardInterrupt)
"""Errors that end a verb with a message and an exit code, without a traceback."""

_OF_OUTPUT = (
    *(None, errno.EPIPE),  # None: of the console, whose reader has gone
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN),
)
"""Error numbers of an output that accepts no more."""

_SLOW = ("verify", "compare", "replay", "ui")
"""Verbs whose first result takes seconds: outside of a terminal a line says that they work."""

_READING = (
    *("sync", "plot", "compare", "diff", "ui", "export", "status", "zoo"),
    *("scale", "pause", "unpause", "stop"),
)
"""Verbs that run none of the user's code, so nothing is imported from the current directory."""

_MODULES = {
    **dict.fromkeys(("scale", "pause", "unpause", "stop"), "control"),
    "presets": "config",
}
"""Modules in ``cluster.commands`` with several verbs, or a verb of another name."""


def _usage() -> str:
    lines = "\n".join(
        f"  {f'{verb} {call}':<51}{purpose}" for verb, (call, purpose) in VERBS.items()
    )
    return f"""\
usage: reinforce VERB ...

REINFORCE on a Ray cluster in which the number of workers changes only the speed.

{lines}

`reinforce VERB --help` explains a verb, `reinforce train --help` every setting, and `reinforce
--version` shows the version. With `--traceback full`, errors in your own code show all calls.

Start with: reinforce train cartpole"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    exit_code = None
    try:
        with signals_as_ctrl_c():
            exit_code = _run(words)
        sys.stdout.flush()
    except OSError as error:
        lost = _lost_output() if error.errno in _OF_OUTPUT else None
        if lost is None:  # it was something else
            raise
        if isinstance(lost, BrokenPipeError):  # the reader has seen enough, as ``head`` has
            return 128 + signal.SIGPIPE if exit_code is None else exit_code
        return _fail(str(OutputLostError.of(lost)), exit_code or 1)
    return exit_code


def _lost_output() -> OSError | None:
    """Return why the output accepts no more, and discard it from now on; None if it works.

    Python may have dropped what was refused, so only another line reveals it.
    """
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as error:
        from reinforce.cluster.console import discard_output

        discard_output(sys.stdout)
        return error
    return None


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(f"{_usage()}\n")
        return 0 if words else 2
    if not _has_current_directory():
        return _fail(
            "the current directory is gone; if this is a Ray job, two nodes on one machine share a "
            "--temp-dir: give each its own with `ray start --temp-dir`",
            2,
        )
    verb, *rest = words
    if verb == "--version":
        sys.stdout.write(f"reinforce {version('distributed-reinforce')}\n")
        return 0
    if verb not in VERBS:
        near = suggestion(verb, VERBS)
        hint = f"; {near}" if near else "."
        return _fail(f"there is no verb {shown(verb)}{hint} The verbs are: {', '.join(VERBS)}", 2)
    if verb not in _READING:
        search_current_directory()
    return _execute(verb, rest)


def _has_current_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _execute(verb: str, words: list[str]) -> int:
    """Run a verb with the words after it, and return the exit code."""
    traceback = "short"
    told: list[BaseException] = []

    def tell(error: BaseException) -> None:
        if isinstance(error, _EXPECTED) and error not in told:
            told.append(error)
            message, code = _message_and_code(error)
            _fail(message if traceback == "full" else folded(message), code)

    telling = tell_failure.set(tell)
    try:
        with _loading_shown(verb, words), _escaped_stderr():  # what tyro refuses it quotes as it is
            words, traceback = _without_traceback(words)
            from reinforce.cluster.commands.arguments import Command, parse_command

            module = import_module(f"reinforce.cluster.commands.{_MODULES.get(verb, verb)}")
            kind: type[Command] = getattr(module, f"{verb.capitalize()}Command")
            command = parse_command(verb, kind, words)
        return command.execute()
    except SystemExit as end:  # after help, or after an option that does not exist
        from reinforce.configs.user_code import described, is_from_the_users

        if is_from_the_users(end):  # it must not pass for the end of the verb
            return _fail(f"your code ended the program: {described(end)}", 1)
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0
    except _EXPECTED as error:
        tell(error)
        return _message_and_code(error)[1]
    except Exception:
        if traceback == "short":
            sys.excepthook = _print_folded
        raise
    finally:
        tell_failure.reset(telling)


def _print_folded(kind: type[BaseException], error: BaseException, calls: object) -> None:
    """Print an error of the user's code, such as that of a replayed episode, without our calls."""
    sys.stderr.write(f"{message_text(folded(traceback_of(error)))}\n")


def _without_traceback(words: list[str]) -> tuple[list[str], str]:
    """Return the words without the option that every verb has, and that option's value."""
    if not any(word.startswith("--traceback") for word in words):
        return words, "short"
    parser = ArgumentParser("reinforce", add_help=False, allow_abbrev=False)
    parser.add_argument("--traceback", choices=["short", "full"], required=True)
    option, others = parser.parse_known_args(words)
    return others, option.traceback


@contextmanager
def _loading_shown(verb: str, words: Sequence[str]) -> Iterator[None]:
    """Context that shows something during the first second or two of a verb."""
    terminal, text = sys.stderr, f"reinforce {verb}: loading"
    is_erased = terminal.isatty()
    end = "\r" if is_erased else "\n"
    if {"-h", "--help"} & set(words) or not (is_erased or verb in _SLOW):
        yield
        return
    terminal.write(f"{text}{end}")
    terminal.flush()
    try:
        yield
    finally:
        terminal.write(f"{' ' * len(text)}\r" * is_erased)
        terminal.flush()


@contextmanager
def _escaped_stderr() -> Iterator[None]:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    finally:
        sys.stderr.write(message_text(said.getvalue()))


def _message_and_code(error: ReinforceError | KeyboardInterrupt) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt):
        number = signal_behind(error)
        is_ctrl_c = number is signal.SIGINT
        return "interrupted" if is_ctrl_c else f"interrupted by {number.name}", 128 + number
    if isinstance(error, InterruptedRunError):
        return "interrupted before the run began", error.exit_code
    return str(error), error.exit_code


def _fail(message: str, exit_code: int) -> int:
    sys.stderr.write(f"reinforce: {message_text(message)}\n")
    return exit_code

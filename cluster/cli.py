"""The command line: ``reinforce VERB``, the same as ``python -m reinforce VERB``.

Exit codes: 0 done; 1 the run failed; 2 wrong usage or configuration (one message, no traceback);
130 and 143 interrupted by SIGINT or SIGTERM, after a checkpoint.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reinforce.cluster.commands.arguments import parse_config
from reinforce.cluster.commands.tool_verbs import TOOLS, run_tool, tools_usage
from reinforce.cluster.errors import InterruptedRunError, ReinforceError, UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.errors import near_names
from reinforce.configs.loading import preset_names, preset_summary, to_yaml
from reinforce.configs.section import ConfigError
from reinforce.workers.environment import UnsuitableEnvironmentError

_USAGE = f"""\
usage: reinforce VERB ...

REINFORCE on a Ray cluster in which the number of workers changes only the speed.

  train PRESET_OR_YAML [--section.field value ...]   train, in a new run directory
  resume RUN_DIR [--section.field value ...]         go on from the newest good checkpoint
  scale RUN_DIR N | pause RUN_DIR | unpause RUN_DIR  act on a run that is going on
  replay RUN_DIR TICKET                              play one ticket alone, in this process
  submit PRESET_OR_YAML --address URL [...]          train as a job on a Ray cluster
  doctor [PRESET_OR_YAML]                            say in seconds what would fail later
  config PRESET_OR_YAML [--section.field value ...]  print the resolved configuration
  presets                                            list the presets
  sync RUN_DIR                                       send to MLflow what it missed
{tools_usage()}

`reinforce train --help` explains every setting. Start with: reinforce train cartpole"""


def train(arguments: Sequence[str], started_s: float) -> int:
    """Train; create ``run.directory/run.name``."""
    arguments = list(arguments)
    resumes = "--resume" in arguments
    if resumes:
        position = arguments.index("--resume")
        _, mode = [*arguments[position : position + 2], ""][:2]
        if mode != "auto":
            raise UsageError(f"--resume {mode or 'alone'}: the only way is --resume auto")
        del arguments[position : position + 2]
    config = parse_config("train", arguments)
    # Imported once the command is known to be well formed: the rest takes a second to load.
    from reinforce.cluster.commands.train import run_training, train_or_resume
    from reinforce.cluster.display import RunConsole

    run = train_or_resume if resumes else run_training
    return run(config, RunConsole(), started_s)


def resume(arguments: Sequence[str], started_s: float) -> int:
    """Go on with a run from its newest good checkpoint."""
    if not arguments or arguments[0].startswith("-"):
        return _usage("resume RUN_DIR [--section.field value ...]", arguments)
    from reinforce.cluster.commands.resume import resume_training
    from reinforce.cluster.display import RunConsole

    return resume_training(Path(arguments[0]), arguments[1:], RunConsole(), started_s)


def scale(arguments: Sequence[str], started_s: float) -> int:
    """Change the number of workers of a run that is going on."""
    if len(arguments) != 2 or not arguments[1].isdigit():
        return _usage("scale RUN_DIR N", arguments)
    from reinforce.cluster.commands.control import scale as scale_run

    print(scale_run(Path(arguments[0]), int(arguments[1])))
    return 0


def pause(arguments: Sequence[str], started_s: float) -> int:
    """Have a run wait after the update in progress."""
    return _set_paused("pause", arguments)


def unpause(arguments: Sequence[str], started_s: float) -> int:
    """Have a paused run go on."""
    return _set_paused("unpause", arguments)


def _set_paused(verb: str, arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        return _usage(f"{verb} RUN_DIR", arguments)
    from reinforce.cluster.commands.control import set_paused

    print(set_paused(Path(arguments[0]), paused=verb == "pause"))
    return 0


def replay(arguments: Sequence[str], started_s: float) -> int:
    """Play one ticket of a run again, alone and in this process."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        return _usage("replay RUN_DIR [PURPOSE:]UPDATE:INDEX", arguments)
    from reinforce.cluster.commands.replay import ended_the_run
    from reinforce.cluster.commands.replay import replay as replay_ticket

    report = replay_ticket(Path(arguments[0]), arguments[1])
    print(f"ticket {report.ticket} was played; its {report.ticket.num_episodes} episodes return")
    print(", ".join(f"{value:g}" for value in report.episode_returns))
    print(f"sha256 of its trajectories: {report.trajectories_sha256}")
    if ended_the_run(Path(arguments[0]), report.ticket):
        print(
            "It ended the run and does not fail alone: an episode of this environment depends on "
            "more than its seed, such as the episodes before it."
        )
    return 0


def submit(arguments: Sequence[str], started_s: float) -> int:
    """Train as a job on a cluster."""
    from reinforce.cluster.commands.submit import run_submit

    return run_submit(arguments)


def doctor(arguments: Sequence[str], started_s: float) -> int:
    """Look for what would fail later, with the defaults or with a configuration."""
    from reinforce.cluster.commands.doctor import USAGE, run_doctor

    if set(arguments) & {"-h", "--help"}:
        print(USAGE)
        return 0
    is_named = bool(arguments) and not arguments[0].startswith("-")
    return run_doctor(parse_config("doctor", arguments if is_named else ["cartpole", *arguments]))


def config(arguments: Sequence[str], started_s: float) -> int:
    """Print the resolved configuration as YAML."""
    print(to_yaml(parse_config("config", arguments)), end="")
    return 0


def presets(arguments: Sequence[str], started_s: float) -> int:
    """List the presets."""
    if arguments:
        return _usage("presets", arguments)
    for name in preset_names():
        print(f"{name:<18}{preset_summary(name)}")
    return 0


def sync(arguments: Sequence[str], started_s: float) -> int:
    """Send the rest of a run directory to MLflow."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        return _usage("sync RUN_DIR", arguments)
    run = RunDirectory.open(Path(arguments[0]))
    from reinforce.cluster.commands.sync import sync_run_directory

    sync_run_directory(run)
    print(f"{run.path} is complete in MLflow")
    return 0


def _tool(verb: str) -> Callable[[Sequence[str], float], int]:
    return lambda arguments, started_s: run_tool(verb, arguments)


_VERBS = {
    "train": train,
    "resume": resume,
    "scale": scale,
    "pause": pause,
    "unpause": unpause,
    "replay": replay,
    "submit": submit,
    "doctor": doctor,
    "config": config,
    "presets": presets,
    "sync": sync,
    **{verb: _tool(verb) for verb in TOOLS},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names and return the exit code."""
    started_s = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words, started_s)
    except BrokenPipeError:
        if _output_is_read():  # it was another pipe
            raise
        return 128 + signal.SIGPIPE
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter writes the rest when it exits, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _output_is_read() -> bool:
    """Return False if the reader of the output has seen enough, as ``head`` has."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)


def _run(words: list[str], started_s: float) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE)
        return 0 if words else 2
    verb = _VERBS.get(words[0])
    if verb is None:
        near = near_names(words[0], _VERBS)
        hint = f"; {near}" if near else "."
        return _fail(f"there is no verb {words[0]!r}{hint} The verbs are: {', '.join(_VERBS)}", 2)
    # The user's own environments may lie in the current directory; last, so that no installed
    # package is shadowed.
    sys.path.append(str(Path.cwd()))
    try:
        return verb(words[1:], started_s)
    except (ConfigError, UnsuitableEnvironmentError, UsageError) as error:
        return _fail(str(error), 2)
    except (InterruptedRunError, KeyboardInterrupt) as interruption:
        code = getattr(interruption, "exit_code", None)
        message = "stopped before the run had begun" if code else "interrupted"
        return _fail(message, code or 128 + signal.SIGINT)
    except ReinforceError as error:
        return _fail(str(error), 1)


def _fail(message: str, exit_code: int) -> int:
    print(f"reinforce: {message}", file=sys.stderr)
    return exit_code


def _usage(usage: str, arguments: Sequence[str]) -> int:
    print(f"usage: reinforce {usage}")
    return 0 if arguments and arguments[0] in ("-h", "--help") else 2

"""The command line: ``reinforce VERB``, the same as ``python -m cluster VERB``.

Exit codes: 0 done; 1 the run failed; 2 wrong usage or configuration (one message, no traceback);
130 and 143 interrupted by SIGINT or SIGTERM, after a checkpoint.
"""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import InterruptedRunError, TrainingError, UsageError
from cluster.overrides import parse_config
from cluster.run_directory import RunDirectory
from configs.loading import preset_names, preset_summary, to_yaml
from configs.section import ConfigError
from workers.environment import UnsuitableEnvironmentError

_USAGE = """\
usage: reinforce VERB ...

REINFORCE on a Ray cluster in which the number of workers changes only the speed.

  train PRESET_OR_YAML [--section.field value ...]   train, in a new run directory
  config PRESET_OR_YAML [--section.field value ...]  print the resolved configuration
  presets                                            list the presets
  sync RUN_DIR                                       send to MLflow what it missed

`reinforce train --help` explains every setting. Start with: reinforce train cartpole"""


def train(arguments: Sequence[str], started_s: float) -> int:
    """Train; create ``run.directory/run.name``."""
    config = parse_config("train", arguments)
    # Imported once the command is known to be well formed: the rest takes a second to load.
    from cluster.display import RunConsole
    from cluster.train_command import run_training

    return run_training(config, RunConsole(), started_s)


def config(arguments: Sequence[str], started_s: float) -> int:
    """Print the resolved configuration as YAML."""
    print(to_yaml(parse_config("config", arguments)), end="")
    return 0


def presets(arguments: Sequence[str], started_s: float) -> int:
    """List the presets."""
    if arguments:
        return _usage("presets", arguments)
    for name in preset_names():
        print(f"{name:<12}{preset_summary(name)}")
    return 0


def sync(arguments: Sequence[str], started_s: float) -> int:
    """Send the rest of a run directory to MLflow."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        return _usage("sync RUN_DIR", arguments)
    run = RunDirectory.open(Path(arguments[0]))
    from cluster.follower import sync_run_directory

    sync_run_directory(run)
    print(f"{run.path} is complete in MLflow")
    return 0


_VERBS = {"train": train, "config": config, "presets": presets, "sync": sync}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names and return the exit code."""
    started_s = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE)
        return 0 if words else 2
    verb = _VERBS.get(words[0])
    if verb is None:
        return _fail(f"there is no verb {words[0]!r}; the verbs are: {', '.join(_VERBS)}", 2)
    # The user's own environments may lie in the current directory; last, so that nothing of ours
    # is shadowed. An editable install is found later than that, hence our own place before it.
    sys.path += [str(Path(__file__).parent.parent), str(Path.cwd())]
    try:
        return verb(words[1:], started_s)
    except (ConfigError, UnsuitableEnvironmentError, UsageError) as error:
        return _fail(str(error), 2)
    except TrainingError as error:
        return _fail(str(error), 1)
    except (InterruptedRunError, KeyboardInterrupt) as interruption:
        code = getattr(interruption, "exit_code", 128 + signal.SIGINT)
        return _fail("stopped before the run had begun", code)


def _fail(message: str, exit_code: int) -> int:
    print(f"reinforce: {message}", file=sys.stderr)
    return exit_code


def _usage(usage: str, arguments: Sequence[str]) -> int:
    print(f"usage: reinforce {usage}")
    return 0 if arguments and arguments[0] in ("-h", "--help") else 2

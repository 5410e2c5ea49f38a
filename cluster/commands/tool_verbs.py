"""The verbs around a trained policy: each is a module of this folder with the same two names."""

from collections.abc import Sequence
from importlib import import_module

from rich.console import Console

from reinforce.cluster.commands.arguments import parse_arguments

TOOLS = {
    "evaluate": ("RUN_DIR [--episodes N] [...]", "measure a trained policy on fresh episodes"),
    "record": ("RUN_DIR [--episodes N] [...]", "film a trained policy: mp4 for any browser"),
    "export": ("RUN_DIR --output DIR [...]", "write a policy that runs without this project"),
    "plot": ("RUN_DIR [--output DIR]", "draw the pictures of a run, at any time"),
    "compare": ("RUN_DIR ... [--plot FILE] [...]", "configurations side by side, over seeds"),
    "sweep": ("FILE.yaml [--directory DIR]", "try settings: grid, random draws or Optuna"),
    "ui": ("[RUN_DIR] [--uri URI] [...]", "show runs in the browser, by MLflow"),
}
"""Verb: (what follows it, what it does)."""


def tools_usage() -> str:
    """Return one line per verb for the usage of the command line."""
    return "\n".join(
        f"  {verb + ' ' + call:<51}{purpose}" for verb, (call, purpose) in TOOLS.items()
    )


def run_tool(verb: str, arguments: Sequence[str]) -> int:
    """Parse the verb's ``Arguments``, whose docstring is its help, and ``run`` it."""
    command = import_module(f"reinforce.cluster.commands.{verb}")
    command.run(parse_arguments(verb, command.Arguments, arguments), Console(emoji=False))
    return 0

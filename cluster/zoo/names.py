"""``zoo:NAME``: an agent of this package, or one that this user has pulled or pushed."""

import os
import re
from pathlib import Path

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.zoo.card import Card, checked_checkpoint, read_card
from reinforce.cluster.zoo.places import Folder
from reinforce.configs.errors import suggestion
from reinforce.configs.experiment import RUN_NAME
from reinforce.configs.quoting import shown

ZOO = "zoo:"
SHIPPED = Path(__file__).parent / "agents"
"""Folder of the agents that come with this package."""


def own_zoo() -> Path:
    """Return the folder of this user's agents, which need not exist."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "reinforce" / "zoo"


def shipped_names() -> list[str]:
    """Return the names of the agents that come with this package."""
    return Folder(str(SHIPPED)).names()


def find_agent(name: str) -> tuple[Card, Checkpoint]:
    """Return the agent ``zoo:NAME``: a shipped one, or else one of the user's.

    Raises:
        UsageError: It does not exist or cannot be read.
        CorruptCheckpointError: It is torn, or does not match its card.
    """
    own, shipped = Folder(str(own_zoo())), shipped_names()
    if name not in (*shipped, *own.names()):
        known = [*shipped, *own.names()]
        near = suggestion(name, known)
        raise UsageError(
            f"there is no agent {shown(name)}{f'; {near}' if near else ''}; `reinforce zoo list` "
            f"shows them all: {', '.join(known)}"
        )
    content, checkpoint = (Folder(str(SHIPPED)) if name in shipped else own).read(name)
    card = read_card(content, f"{ZOO}{name}")
    return card, checked_checkpoint(card, checkpoint, f"{ZOO}{name}")


def require_name(name: str, *, is_own: bool) -> str:
    """Check the name of a new agent; UsageError if it is invalid or taken.

    A shipped agent would hide the user's own of the same name.
    """
    if not re.fullmatch(RUN_NAME, name):
        raise UsageError(
            f"--name {shown(name)} cannot name an agent: up to 100 letters, digits, '.', '_' and "
            "'-', beginning with a letter or digit"
        )
    if is_own and name in shipped_names():
        raise UsageError(
            f"--name {shown(name)}: this package has an agent of this name; choose another"
        )
    return name

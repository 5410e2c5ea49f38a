"""``zoo:NAME``: an agent that comes with this package, or that this user has pulled or pushed."""

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
"""Agents that come with this package."""


def own_zoo() -> Path:
    """Return the folder of the agents that this user has, which need not exist."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "reinforce" / "zoo"


def shipped_names() -> list[str]:
    """Return the names of the agents that come with this package."""
    return Folder(str(SHIPPED)).names()


def find_agent(name: str) -> tuple[Card, Checkpoint]:
    """Return the agent that ``zoo:NAME`` means: one that is shipped, or else one of the user's.

    Raises:
        UsageError: There is none, or it cannot be read.
        CorruptCheckpointError: It is torn, or is not what its card says.
    """
    own, shipped = Folder(str(own_zoo())), shipped_names()
    if name not in (*shipped, *own.names()):
        known = [*shipped, *own.names()]
        near = suggestion(name, known)
        raise UsageError(
            f"there is no agent {shown(name)}{f'; {near}' if near else ''}; "
            f"`reinforce zoo list` shows those that there are: {', '.join(known)}"
        )
    content, checkpoint = (Folder(str(SHIPPED)) if name in shipped else own).read(name)
    card = read_card(content, f"{ZOO}{name}")
    return card, checked_checkpoint(card, checkpoint, f"{ZOO}{name}")


def require_name(name: str, *, is_own: bool) -> str:
    """Return a name that an agent may have; UsageError if it is none, or another's.

    An agent of the user's own would hide behind one of the same name that is shipped.
    """
    if not re.fullmatch(RUN_NAME, name):
        raise UsageError(
            f"--name {shown(name)} cannot name an agent: up to 100 letters, digits, '.', '_' and "
            "'-', of which the first is a letter or a digit"
        )
    if is_own and name in shipped_names():
        raise UsageError(
            f"--name {shown(name)}: an agent of this name comes with this package; choose another"
        )
    return name

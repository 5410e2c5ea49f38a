"""``reinforce zoo``: lists, fetches and offers trained agents with their cards."""

import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reinforce.cluster.background_call import call_within
from reinforce.cluster.commands.arguments import Command, Flag, Trust
from reinforce.cluster.commands.export import write_checked
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.drawn_steps import drawn_steps
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.policy_sources import self_contained
from reinforce.cluster.run_store.checkpoint import CorruptCheckpointError, encode
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.trust import CODE, require_trust_in_code
from reinforce.cluster.zoo.card import (
    CARD,
    LICENCE,
    SETTINGS,
    Card,
    card_json,
    card_of_run,
    checked_checkpoint,
    read_card,
    settings_yaml,
)
from reinforce.cluster.zoo.hub import PREFIX, Hub
from reinforce.cluster.zoo.names import SHIPPED, ZOO, own_zoo, require_name, shipped_names
from reinforce.cluster.zoo.places import Folder, Place, Registry
from reinforce.configs.quoting import command_line, shown

_TIMEOUT_S = 300.0
_NUM_STEPS = 100
"""Observations for checking a bundle's program; they are stored in the bundle."""


@dataclass(frozen=True, kw_only=True)
class ZooCommand(Command):
    """List trained agents, fetch one, or offer your own.

    `reinforce zoo list` shows the agents of this package and your own; `reinforce evaluate
    zoo:NAME` and `run.start_from: zoo:NAME` use them. `zoo pull NAME` fetches another one, and `zoo
    push RUN_DIR` offers the policy of a run.

    An agent is a bundle from `reinforce export` with a card: score, curve, settings, licence,
    digests. From a stranger's agent only card.json and checkpoint.safetensors are read, as data;
    this project writes the program in your bundle.

    Attributes:
        action: What to do.
        what: The agent to pull, or the run directory to push.
        place: A folder; a URL such as s3://bucket/zoo; mlflow: the registered models of the store
            that MLFLOW_TRACKING_URI names; hf:OWNER: Hugging Face. None: your own agents.
        name: Its name there. None: the run's name; with pull, its name in the place.
        best: Push the checkpoint of the best evaluation instead of the newest one.
        licence: Licence of what you push, such as MIT or CC-BY-4.0.
    """

    action: Annotated[Literal["list", "pull", "push"], tyro.conf.Positional]
    what: Annotated[
        str | None,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[NAME|RUN_DIR]", help_behavior_hint=""),
    ] = None
    place: str | None = None
    name: str | None = None
    best: Flag = False
    licence: str | None = None
    trust: Trust = False

    def execute(self) -> int:
        try:
            return self._execute()
        except TimeoutError as error:
            raise UsageError(str(error)) from None

    def _execute(self) -> int:
        if self.action == "list":
            if self.what:
                raise UsageError(f"`reinforce zoo list` shows all agents: leave out {self.what!r}")
            self._list()
            return 0
        if self.what is None:
            needed = "the name of an agent" if self.action == "pull" else "a run directory"
            raise UsageError(f"`{command_line('zoo', self.action)}` needs {needed}")
        if self.action == "pull":
            self._pull(self.what)
        else:
            self._push(Path(self.what))
        return 0

    def _list(self) -> None:
        if self.place:
            place = self._there()
            names = call_within(_TIMEOUT_S, place.names, self.place)
            self._say("", place, names)
            if not names:
                PlainConsole(stderr=True).say(f"there is no agent in {self.place}")
            return
        own = Folder(str(own_zoo()))
        self._say(ZOO, Folder(str(SHIPPED)), shipped_names())
        self._say(ZOO, own, own.names())

    def _say(self, prefix: str, place: Place, names: list[str]) -> None:
        console = PlainConsole()
        for name in names:
            try:
                content = call_within(_TIMEOUT_S, partial(place.card, name), name)
                told = read_card(content, name).in_one_line()
            except (UsageError, TimeoutError) as error:
                told = str(error)  # of one; the others are listed all the same
            console.say(f"{prefix}{name:<20}{told}")

    def _pull(self, what: str) -> None:
        if self.place is None:
            raise UsageError(
                f"say where {shown(what)} is: --place with a folder, a URL, mlflow or hf:OWNER"
            )
        name = require_name(self.name or what, is_own=True)
        place = self._there()
        content, checkpoint = call_within(_TIMEOUT_S, partial(place.read, what), self.place)
        card = read_card(content, what)
        try:
            stored = self_contained(what, checked_checkpoint(card, checkpoint, what))
        except CorruptCheckpointError as error:
            raise UsageError(f"{shown(what)} is refused: {error}") from None
        # The settings of a bundle are there to be trained again, which imports what they name.
        require_trust_in_code(what, stored.config, CODE, trust=self.trust)
        policy = stored.trained(trust=self.trust, plays=False)
        files = bundle_files(policy, card.model_copy(update={"name": name}), checkpoint)
        where = Folder(str(own_zoo())).write(name, files)
        PlainConsole().say(f"{ZOO}{name}: {card.in_one_line()}\nits bundle is {where}")

    def _push(self, path: Path) -> None:
        if self.licence is not None and not re.fullmatch(LICENCE, self.licence):
            raise UsageError(
                f"--licence {shown(self.licence)} is not the name of a licence, such as MIT: use "
                "up to 100 letters, digits, spaces and '.+(),/_-'"
            )
        policy = TrainedPolicy.load(path, best=self.best, trust=self.trust, plays=False)
        name = require_name(self.name or policy.name, is_own=self.place is None)
        content = encode(policy.portable())
        card = card_of_run(name, RunDirectory(Path(policy.place)), content, self.licence)
        files = bundle_files(policy, card, content)
        place = self._there()
        where = call_within(_TIMEOUT_S, partial(place.write, name, files), str(self.place))
        PlainConsole().say(f"{where}: {card.in_one_line()}")
        if not self.licence:
            PlainConsole(stderr=True).warn(
                "it has no licence: others may not use it until you name one with --licence",
            )

    def _there(self) -> Place:
        """Return the named place, or this user's agents."""
        if self.place == "mlflow":
            return Registry()
        if self.place and self.place.startswith(PREFIX):
            return Hub(self.place.removeprefix(PREFIX))
        return Folder(self.place or str(own_zoo()))


def bundle_files(policy: TrainedPolicy, card: Card, checkpoint: bytes) -> dict[str, bytes]:
    """Return the files of an agent by name: a bundle, its card and its settings.

    Raises:
        ExportError: Its program would act differently than the policy.
        UsageError: Its network is the user's own class.
    """
    kind = policy.config.policy.kind
    if ":" in kind:
        raise UsageError(
            f"policy.kind = {kind!r} is code, but the zoo holds only data; `reinforce export` "
            "writes a bundle of it"
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_checked(folder, policy, drawn_steps(policy, _NUM_STEPS, 0), onnx=False)
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
    files["README.md"] += card.in_words().encode()
    return {
        **files,
        PORTABLE_CHECKPOINT: checkpoint,
        SETTINGS: settings_yaml(policy.portable()).encode(),
        CARD: card_json(card).encode(),
    }

"""The card of an agent: its description, score, training settings and digests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml
from pydantic import BaseModel, Field

from reinforce.cluster.analysis.comparison import CURVES, history_of
from reinforce.cluster.errors import UsageError
from reinforce.cluster.number_format import mean_and_interval
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError, decode
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.typed_json import Count, Finite, parse_json
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line, shown
from reinforce.configs.roles import flat
from reinforce.configs.section import MAX_TEXT

CARD, SETTINGS = "card.json", "settings.yaml"

_CURVE_POINTS = 40
MAX_CARD_BYTES = 2**20
"""Largest card, in bytes."""

LICENCE = r"^[\w.+(), /-]{1,100}$"
"""A name for our pages, without a stranger's Markdown."""

_DIGEST = r"^[0-9a-f]{64}$"


class CardEvaluation(BaseModel):
    """Evaluation of the run's last weights on fresh episodes."""

    episodes: Count
    greedy: bool
    return_mean: Finite
    return_ci95: tuple[Finite, Finite]


class Card(BaseModel):
    """The content of ``card.json``.

    Attributes:
        name: Name of the agent.
        environment: ``environment.id``.
        licence: Its licence, such as ``MIT``; None if not given.
        updates: Updates behind the weights.
        environment_steps: Training steps behind the weights.
        reinforce: Version of this project.
        evaluation: None if the run did not finish, or the weights are not its last.
        curve: (environment steps, mean return) during training.
        weights_sha256: Digest of the weights.
        checkpoint_sha256: Digest of their file.
    """

    format: Count = 1
    name: str = Field(max_length=MAX_TEXT)
    environment: str = Field(max_length=MAX_TEXT)
    licence: str | None = Field(None, pattern=LICENCE)
    updates: Count
    environment_steps: Count
    reinforce: str = Field(pattern=r"^[\w.+!-]{1,100}$")
    evaluation: CardEvaluation | None = None
    curve: list[tuple[Count, Finite]] = Field(max_length=10_000)
    weights_sha256: str = Field(pattern=_DIGEST)
    checkpoint_sha256: str = Field(pattern=_DIGEST)

    def in_one_line(self) -> str:
        """Return environment, score and licence."""
        score = f"mean return {self._score}" if self.evaluation else self._score
        steps = counted(self.environment_steps, "step")
        return f"{self.environment}, {score}, {steps}, {self.licence or 'no licence'}"

    @property
    def _score(self) -> str:
        if self.evaluation is None:
            return "not measured"
        return mean_and_interval(self.evaluation.return_mean, *self.evaluation.return_ci95)

    def in_words(self) -> str:
        """Return the card as Markdown."""
        episodes = f" over {self.evaluation.episodes} fresh episodes" if self.evaluation else ""
        lines = "\n".join(f"| {steps:,} | {value:.1f} |" for steps, value in self.curve)
        return f"""
## Card

| | |
| --- | --- |
| environment | `{self.environment}` |
| mean return | {self._score}{episodes} |
| learned from | {counted(self.environment_steps, "step")} in {counted(self.updates, "update")} |
| licence | {self.licence or "its maker has not said"} |
| weights | sha256 `{self.weights_sha256}` |

Train it again: `{command_line("train", SETTINGS)}`, with distributed-reinforce {self.reinforce}.

| steps | mean return |
| --- | --- |
{lines}
"""


def card_of(
    name: str,
    checkpoint: Checkpoint,
    content: bytes,
    *,
    licence: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    curve: Sequence[tuple[float, float]] = (),
) -> Card:
    """Return the card of a policy.

    Args:
        name: Name of the agent.
        checkpoint: Its weights.
        content: The checkpoint file's content.
        licence: The licence.
        evaluation: The evaluation of these weights in their run's summary.
        curve: (environment steps, mean return) in order of training.
    """
    return Card(
        name=name,
        environment=Config.model_validate(checkpoint.config).environment.id,
        licence=licence,
        updates=checkpoint.weights.version,
        environment_steps=checkpoint.progress.environment_steps,
        reinforce=version("distributed-reinforce"),
        evaluation=CardEvaluation.model_validate(evaluation) if evaluation else None,
        curve=_thinned(curve),
        weights_sha256=checkpoint.weights.sha256,
        checkpoint_sha256=hashlib.sha256(content).hexdigest(),
    )


def card_of_run(name: str, run: RunDirectory, content: bytes, licence: str | None) -> Card:
    """Return the card of a version of a run; ``content`` is its file."""
    checkpoint = decode(content, name)
    summary = read_summary(run.summary_file) or {}
    is_last = summary.get("weights_sha256") == checkpoint.weights.sha256
    metrics = history_of(run.path).metrics
    return card_of(
        *(name, checkpoint, content),
        licence=licence,
        evaluation=summary.get("evaluation") if is_last else None,
        curve=next(filter(None, (metrics[curve] for curve in CURVES)), ()),
    )


def read_card(content: bytes, where: str) -> Card:
    """Parse a card; UsageError if it is not one."""
    try:
        return parse_json(content, Card)
    except ValueError as error:
        raise UsageError(f"{where}/{CARD} is not an agent's card: {error}") from None


def checked_checkpoint(card: Card, content: bytes, where: str) -> Checkpoint:
    """Return the checkpoint that a card describes.

    Raises:
        CorruptCheckpointError: It is torn, altered, or a different one.
    """
    if hashlib.sha256(content).hexdigest() != card.checkpoint_sha256:
        raise CorruptCheckpointError(
            f"{where} does not match its card: its digest is not {card.checkpoint_sha256}"
        )
    checkpoint = decode(content, where)
    if checkpoint.weights.sha256 != card.weights_sha256:
        raise CorruptCheckpointError(f"{where} has different weights than its card says")
    environment = Config.model_validate(checkpoint.config).environment.id
    held = (environment, checkpoint.weights.version, checkpoint.progress.environment_steps)
    if held != (card.environment, card.updates, card.environment_steps):
        raise CorruptCheckpointError(
            f"{where} was not trained as its card says, but in {shown(held[0])}, in "
            f"{counted(held[1], 'update')} of {counted(held[2], 'step')}"
        )
    return checkpoint


def settings_yaml(checkpoint: Checkpoint) -> str:
    """Return the settings to train an agent again: its seed, and everything but defaults."""
    config = Config.model_validate(checkpoint.config)
    defaults = flat(Config().model_dump(mode="json"))
    given: dict[str, dict[str, Any]] = {"run": {"seed": config.run.seed}}
    for name, value in flat(config.model_dump(mode="json")).items():
        section, _, field = name.partition(".")
        if section != "run" and value != defaults[name]:
            given.setdefault(section, {})[field] = value
    return yaml.safe_dump(given, sort_keys=False)


def card_json(card: Card) -> str:
    """Return the content of ``card.json``."""
    return json.dumps(card.model_dump(mode="json"), indent=1) + "\n"


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[int, float]]:
    """Return some evenly spread points of a curve, including the last."""
    every = max(1, -(-len(points) // _CURVE_POINTS))
    return [(int(steps), value) for steps, value in points[::-1][::every][::-1]]

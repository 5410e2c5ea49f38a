"""The base class of every configuration section."""

import re
from collections.abc import Collection, Iterator
from enum import Enum, auto
from itertools import groupby
from types import NoneType
from typing import Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from reinforce.configs.errors import ConfigError
from reinforce.configs.plain_values import is_array
from reinforce.configs.quoting import shown
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.synonyms import meaning, meaning_of_value, setting_suggestion
from reinforce.configs.whole_numbers import as_whole, takes, without_booleans

_KINDS = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "string": "text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys",
}
"""Plain words for pydantic's errors, by the beginning of their type."""


_UNKNOWN = ("extra_forbidden", "invalid_key")
_MOST_UNKNOWN = 5
"""Unknown keys of a section that have a sentence each, those first that are nearly right."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

MAX_EPISODES = 1_000_000
"""Most episodes of one batch or evaluation; what all of them did is kept in memory."""

MAX_TEXT = 1000
"""Characters of a name or an address."""


class Role(Enum):
    """What a setting is for: decides whether runs that differ in it can be compared or resumed."""

    RESULT = auto()
    """Decides what is computed: runs of one group share it, and changing it leaves the group."""

    FIXED = auto()
    """Decides what is computed, and never changes: weights and records would not fit."""

    LIMIT = auto()
    """Decides when the run ends: runs of one group share it, but a resumed run may change it."""

    SPEED = auto()
    """Decides where and how fast: it may change at any time."""

    RECORD = auto()
    """Identifies the run and its place: does not affect the result, never changes."""


_RULES = {
    "missing": "has too few values",
    "too_short": "has too few values",
    "too_long": "has too many values",
    "string_pattern_mismatch": "does not have the required form",
}


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and explains why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str] = ""
    """The name of the section in YAML and on the command line; empty for the root."""

    role: ClassVar[Role] = Role.RESULT
    """Role of its settings, unless a field's annotation says otherwise."""

    @classmethod
    def role_of(cls, field: str) -> Role:
        """Return what a setting of this section is for."""
        roles = (mark for mark in cls.model_fields[field].metadata if isinstance(mark, Role))
        return next(roles, cls.role)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        faults: dict[str, str] = {}
        if isinstance(values, dict):
            given = {name: cls._as_written(name, value) for name, value in values.items()}
            faults = {name: str(error) for name, error in cls._wrong_sections(given)}
            values = {name: value for name, value in given.items() if name not in faults}
        sentences = list(faults.values())
        try:
            made = handler(values)
        except ValidationError as error:
            sentences += cls._sentences(error.errors())
        else:
            sentences += made.conflicts(faults)
            if not sentences:
                return made
        raise ConfigError("\n".join(sentences)) from None

    @classmethod
    def _wrong_sections(cls, values: dict[str, Any]) -> Iterator[tuple[str, ConfigError]]:
        """Yield each nested section that is refused, and why."""
        for name, field in cls.model_fields.items():
            kind = field.annotation
            if name in values and isinstance(kind, type) and issubclass(kind, Section):
                try:
                    kind.model_validate(values[name])
                except ConfigError as error:
                    yield name, error

    def conflicts(self, unsound: Collection[str]) -> Iterator[str]:
        """Yield conflicts between settings, except in sections that are wrong in themselves."""
        yield from ()

    @classmethod
    def _as_written(cls, name: Any, value: Any) -> Any:
        """Accept ``None`` as descriptions write it (in YAML it is ``null``), ``1e6``, and arrays.

        In YAML, ``yes`` is a boolean, which is no number.
        """
        field = cls.model_fields.get(name)
        if field is None:
            return value
        value = value.tolist() if is_array(value) else value
        if value == "None" and NoneType in get_args(field.annotation):
            return None
        if takes(field.annotation, int, float) and not takes(field.annotation, bool, Any):
            value = without_booleans(value)
        return as_whole(value) if takes(field.annotation, int) else value

    @classmethod
    def _sentences(cls, errors: list[ErrorDetails]) -> Iterator[str]:
        """Yield one per field; of unknown keys, as a file of another program has, the first few."""
        by_field = [list(each) for _, each in groupby(errors, key=lambda item: item["loc"][:1])]
        unknown = [each for each in by_field if each[0]["type"] in _UNKNOWN]
        unknown.sort(key=lambda each: not cls._near(each[0]))
        yield from map(cls._sentence, unknown[:_MOST_UNKNOWN])
        if others := unknown[_MOST_UNKNOWN:]:
            names = ", ".join(shown(str(each[0]["loc"][0])) for each in others[:_MOST_UNKNOWN])
            yield f"{len(others)} other keys of {cls._where()} are unknown, such as {names}"
        yield from (cls._sentence(each) for each in by_field if each not in unknown)

    @classmethod
    def _near(cls, error: ErrorDetails) -> str:
        prefix = f"{cls.section}." if cls.section else ""
        return setting_suggestion(str(error["loc"][0]), cls.model_fields, prefix)

    @classmethod
    def _where(cls) -> str:
        return f"{cls.section!r}" if cls.section else "the configuration"

    @classmethod
    def _sentence(cls, errors: list[ErrorDetails]) -> str:
        error = errors[0]  # the others say the same of the other members of a union
        if error["type"] == "value_error":  # a validator of ours, which says it all
            return str(error["ctx"]["error"])
        names = [cls.section, *(str(part) for part in error["loc"][:1])]
        path = ".".join(name for name in names if name)
        if error["type"] in _UNKNOWN:
            keys = f"the keys of {cls._where()} are: {', '.join(cls.model_fields)}"
            return f"unknown key {shown(path)}; {cls._near(error) or keys}"
        if not error["loc"]:
            what, synonym = path or "the configuration", meaning(path)
            fault = f"{what} = {shown(error['input'])} is not a mapping of keys"
            fault += "; is a colon missing?" * (isinstance(error["input"], str) and not synonym)
            return f"{fault}; {synonym.answer()}" if synonym else fault
        field = cls.model_fields.get(str(error["loc"][0]))
        description = f"\n  {path}: {field.description}" if field and field.description else ""
        if error["type"] == "missing" and len(error["loc"]) == 1:
            return f"{path} is missing{description}"
        meant = meaning_of_value(path, error["input"]) or f"it {_rule(errors)}"
        given = shown(without_secrets({path: error["input"]})[path])
        return f"{path} = {given} is refused: {meant}{description}"


def _rule(errors: list[ErrorDetails]) -> str:
    """Return the first broken rule, or all accepted types, to follow "it"."""
    kinds = [_kind(error) for error in errors]
    if kinds[0]:
        return f"should be {' or '.join(dict.fromkeys(filter(None, kinds)))}"
    rule = errors[0]["msg"].removeprefix("Input ").removeprefix("String ")
    return _RULES.get(errors[0]["type"], rule)


def _kind(error: ErrorDetails) -> str | None:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    is_of_a_kind = " a valid " in error["msg"]
    if error["type"] == "float_parsing" and _DECIMAL_COMMA.fullmatch(str(error["input"])):
        return "a number with a decimal point"
    return _KINDS.get(error["type"].partition("_")[0]) if is_of_a_kind else None

"""The base of every configuration section, and the one error a wrong configuration raises."""

import difflib
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails


class ConfigError(Exception):
    """A configuration that cannot be run; the message names the value and the way out.

    Not a ``ValueError`` on purpose: pydantic and tyro would catch one and wrap its text.
    """


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and explains what it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str] = ""
    """The name of the section in YAML and on the command line; empty for the root."""

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            # Union types report one error per member; the first of a field says enough.
            first_by_field = {str(item["loc"][:1]): item for item in reversed(error.errors())}
            messages = [cls._sentence(item) for item in reversed(first_by_field.values())]
            raise ConfigError("\n".join(messages)) from None

    @classmethod
    def _sentence(cls, error: ErrorDetails) -> str:
        names = [cls.section, *(str(part) for part in error["loc"][:1])]
        path = ".".join(name for name in names if name)
        if error["type"] == "extra_forbidden":
            return f"unknown key {path!r}; {cls._near(str(error['loc'][0]))}"
        if not error["loc"]:
            return f"{path or 'the configuration'} = {error['input']!r} is not a mapping of keys"
        rule = error["msg"].removeprefix("Input ").removeprefix("String ")
        field = cls.model_fields.get(str(error["loc"][0]))
        meaning = f"\n  {path}: {field.description}" if field and field.description else ""
        return f"{path} = {error['input']!r} is refused: it {rule}{meaning}"

    @classmethod
    def _near(cls, unknown: str) -> str:
        near = difflib.get_close_matches(unknown, cls.model_fields, n=3, cutoff=0.6)
        where = f"{cls.section!r}" if cls.section else "the configuration"
        if near:
            return f"did you mean {' or '.join(repr(name) for name in near)}?"
        return f"the keys of {where} are: {', '.join(cls.model_fields)}"

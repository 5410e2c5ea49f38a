"""JSON as others may have written it: parsed and checked for its types in one step."""

from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

Value = TypeVar("Value")

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def parse_json(content: str | bytes, kind: type[Value]) -> Value:
    """Return what a JSON text holds: a dataclass, a model of pydantic's, or a generic type.

    Keys that the kind does not have are ignored, as those of a later version.

    Raises:
        ValueError: It is no JSON, or another kind; the message is one line.
    """
    try:
        return cast("Value", _adapter(cast("Any", kind)).validate_json(content, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

"""JSON from others, parsed and checked for its types in one step."""

from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

Value = TypeVar("Value")

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def parse_json(content: str | bytes, kind: type[Value]) -> Value:
    """Parse a JSON text as a dataclass, a pydantic model, or a generic type.

    Unknown keys are ignored, because a later version may have written them.

    Raises:
        ValueError: It is not JSON, or has another type; the message is one line.
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

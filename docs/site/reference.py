"""Writes the reference pages that come from the code: all settings, and all verbs.

python docs/site/reference.py FOLDER
"""

import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from reinforce.cluster.cli import VERBS, main
from reinforce.configs.config import Config
from reinforce.configs.section import Role

_RESUMED = {
    Role.RESULT: "with `--change`",
    Role.FIXED: "no",
    Role.LIMIT: "yes",
    Role.SPEED: "yes",
    Role.RECORD: "no",
}
"""Whether `resume` accepts a new value, by the role of a setting."""


def settings_page() -> str:
    """Return every setting with its type, default, meaning and role, as Markdown."""
    sections = "\n".join(
        _section(name, field.annotation) for name, field in Config.model_fields.items()
    )
    return f"""\
# Settings

A configuration holds what differs from these defaults: `section: {{field: value}}` in YAML,
`--section.field value` on the command line, `"section.field": value` in Python. Integers may be
written as `1000000`, `1_000_000` or `1e6` in all three. The last column says whether
[`resume`](../failures.md) accepts a new value. It needs no `--change` if the result stays the
same, as for settings of speed, or if the setting only says when to stop.

{sections}"""


def _section(name: str, kind: Any) -> str:
    rows = [
        f"| `{name}.{field}` | `{_type(about.annotation)}` | `{_default(about)}` "
        f"| {_cell(about.description or '')} | {_RESUMED[kind.role_of(field)]} |"
        for field, about in kind.model_fields.items()
    ]
    head = f"## {name}\n\n{(kind.__doc__ or '').strip()}\n"
    columns = "| setting | type | default | meaning | on resume |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, columns, *rows, ""])


def _type(annotation: Any) -> str:
    """Return a type in source form, without its bounds, which the description names."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is Literal:
        return " | ".join(map(repr, parts))
    if parts:
        return f"{origin.__name__}[{', '.join(map(_type, parts))}]"
    names = {NoneType: "None", Any: "Any", ...: "..."}
    return str(names.get(annotation) or annotation.__name__)


def _default(about: FieldInfo) -> str:
    value = about.get_default(call_default_factory=True)
    return str(value) if isinstance(value, Path) else repr(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def verbs_page() -> str:
    """Return the help of every verb, as Markdown."""
    verbs = "\n".join(f"## {verb}\n\n```text\n{_help(verb)}```\n" for verb in VERBS)
    return f"""\
# Commands

`reinforce VERB --help` prints the same. Settings among the `[OPTIONS]` are in
[this list](settings.md).

{verbs}"""


def _help(verb: str) -> str:
    """Return what ``--help`` prints, without the settings, which have a page of their own."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    said = io.TextIOWrapper(io.BytesIO(), "utf-8")  # an encoding that can draw boxes
    with redirect_stdout(said):
        main([verb, "--help"])
    said.seek(0)
    boxes = re.split(r"(?m)^(?=╭)", said.read())
    settings = tuple(f"╭─ {name} " for name in Config.model_fields)
    own = "".join(box for box in boxes if not box.startswith(settings))
    # Beside settings, whose names have underscores, tyro writes all options so; it takes both.
    return re.sub(r"--\w+ ", lambda option: option[0].replace("_", "-"), own)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in (("settings", settings_page), ("verbs", verbs_page)):
        (folder / f"{name}.md").write_text(page())

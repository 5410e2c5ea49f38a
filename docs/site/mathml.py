"""Formulas as MathML, which browsers draw without a script or a font from elsewhere.

A formula stands between dollars or in a block named ``math``, as GitHub reads them.
"""

from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

_BETWEEN_DOLLARS = r"(?<![\\$\w])\$(?![\s$])([^$`]+?)(?<!\s)\$(?![\w$])"
_BEFORE_ESCAPES = 185
"""Priority: after code between backticks (190), before backslashes are read (180)."""


class _Inline(InlineProcessor):
    def handleMatch(self, m: Any, data: str) -> tuple[str, int, int]:  # noqa: N802 (Markdown calls it so)
        return self.md.htmlStash.store(convert(m.group(1))), m.start(0), m.end(0)


class _MathML(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.inlinePatterns.register(_Inline(_BETWEEN_DOLLARS, md), "math", _BEFORE_ESCAPES)


def makeExtension(**options: Any) -> Extension:  # noqa: N802
    """Return the extension for formulas within a line; Python-Markdown looks for this name."""
    return _MathML(**options)


def block(source: str, *_: Any, **__: Any) -> str:
    """Return a formula that stands by itself, for pymdownx.superfences."""
    return convert(source, display="block")

"""Finds links, anchors and images of the built site that lead nowhere.

python docs/site/check_links.py SITE

The builder checks links and anchors between pages, but neither images nor files.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REFERENCES = ("href", "src", "poster")


class _Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in _REFERENCES and value:
                self.references.append(value)


def broken(site: Path) -> Iterator[str]:
    """Yield each reference of a page in the site that leads to nothing in it."""
    site = site.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for reference in dict.fromkeys(page.references):
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            root = site if parts.path.startswith("/") else path.parent
            target = (root / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            is_there = target.is_file() and target.is_relative_to(site)
            known = pages[target].anchors if target in pages else {""}
            if not is_there or (target in pages and unquote(parts.fragment) not in known):
                yield f"{path.relative_to(site)}: {reference}"


if __name__ == "__main__":
    found = list(broken(Path(sys.argv[1])))
    sys.exit("\n".join(["the site has references to nothing:", *found]) if found else 0)

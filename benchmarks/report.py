"""Fill the pages on performance and scale with what the benchmarks wrote down, and nothing else.

    .venv/bin/python benchmarks/report.py

What stands between `<!-- table: NAME -->` and `<!-- end -->` comes from
`benchmarks/results/NAME.json`: a table, and a picture in docs/images where one says more.
"""

import re
import sys
from pathlib import Path

import figures
import results
import tables

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "docs" / name for name in ("performance.md", "scale.md")]
IMAGES = ROOT / "docs" / "images"

PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, folder: Path = results.FOLDER) -> str:
    """Return the page with every table as the results have it.

    A table without results says that nothing was measured, instead of showing an old one.
    """

    def shown(place: re.Match[str]) -> str:
        result = results.read(place[2], folder=folder)
        text = tables.of(result) if result else "Not measured yet."
        picture = figures.picture(place[2])
        if result and picture:
            text += f"\n\n![The table above as a picture](images/{picture})"
        return f"{place[1]}{text}\n{place[3]}"

    return PLACE.sub(shown, page)


def main() -> int:
    """Rewrite the pages and their pictures; return 1 if a result has no place on a page."""
    places = set()
    for page in PAGES:
        text = page.read_text()
        page.write_text(filled(text))
        places |= {place[2] for place in PLACE.finditer(text)}
    measured = {path.stem for path in results.FOLDER.glob("*.json")}
    for name in sorted(measured):
        result, picture = results.read(name), figures.picture(name)
        if result and picture:
            figures.draw(result, IMAGES / picture)
            print(f"drew docs/images/{picture}")
    missing = sorted(measured - places)
    if missing:
        print(f"no page has a place for: {', '.join(missing)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

"""The documents: where they link to and what they name exists."""

import re
from itertools import chain
from pathlib import Path

import pytest

import reinforce

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(chain(ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md")))
FOLDERS = "(?:reinforce|configs|learner|workers|cluster|tests|benchmarks|docs)"

WRITTEN_BY_THE_SITE = {ROOT / "docs/reference" / name for name in ("settings.md", "verbs.md")}
"""By docs/site/reference.py, from the code; whoever has not built the site has none."""

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
PATH = re.compile(rf"`((?:{FOLDERS}/[\w./-]+|test_\w+)\.\w+|{FOLDERS}/(?:[\w.-]+/)*)`")
MODULE = re.compile(r"`reinforce\.([a-z_.]+)`|-m reinforce\.([a-z_.]+)")


def anchors(document):
    """Return what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    broken = []
    for target, anchor in LINK.findall(document.read_text()):
        place = document.parent / target if target else document
        if place in WRITTEN_BY_THE_SITE and not anchor:
            continue
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(f"{target}#{anchor}")

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_modules_that_are_named_exist(document):
    text = document.read_text()
    modules = [Path("reinforce", *"".join(names).split(".")) for names in MODULE.findall(text)]
    missing = [m for m in modules if not ((ROOT / m).is_dir() or (ROOT / f"{m}.py").is_file())]
    missing = [m for m in missing if m.parts[1] not in reinforce.__all__]
    for name in PATH.findall(text):
        places = [ROOT / name] if "/" in name else list((ROOT / "tests").rglob(name))
        if "NAME" not in name and not any(place.exists() for place in places):
            missing.append(name)

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_knows_the_targets_that_are_named(document):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|\$ )make ([a-z-]+)", document.read_text())

    assert set(named) - set(targets) == set()


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    rows = re.compile(r"^\| \[\d{4}\]\(([\w-]+\.md)\)", re.MULTILINE)
    listed = rows.findall((folder / "README.md").read_text())

    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_the_reference_has_all_that_python_offers():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()

    assert sorted(re.findall(r"^::: reinforce[.](\w+)$", page, re.MULTILINE)) == sorted(
        reinforce.__all__
    )

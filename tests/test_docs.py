"""The documents: where they link to and what they name exists."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import reinforce
from reinforce.configs.loading import load_config, preset_names, preset_summary

ROOT = Path(__file__).parent.parent
FOLDERS = "(?:reinforce|configs|learner|workers|cluster|tests|benchmarks|docs)"

MADE_BY_THE_SITE = [ROOT / "docs" / "reference" / name for name in ("settings.md", "verbs.md")]

DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - set(MADE_BY_THE_SITE))

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
PATH = re.compile(rf"`((?:{FOLDERS}/[\w./-]+|test_\w+)\.\w+|{FOLDERS}/(?:[\w.-]+/)*)`")
MODULE = re.compile(r"`reinforce\.([a-z_.]+)`|-m reinforce\.([a-z_.]+)")


def prose(document):
    """Return the text without blocks of code, whose comments are no headings."""
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(document):
    """Return what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    broken = []
    for target, anchor in LINK.findall(prose(document)):
        place = document.parent / target if target else document
        if place in MADE_BY_THE_SITE:
            continue
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(f"{target}#{anchor}")

    assert broken == []


@pytest.mark.parametrize(
    "document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name
)
def test_no_link_leads_to_or_is_called_by_a_file_that_the_site_lacks(document):
    assert re.findall(r"\[[\w-]+\.md\]", document.read_text()) == []
    places = [(ROOT / "docs" / target).resolve() for target, _ in LINK.findall(prose(document))]
    assert [place for place in places if not place.is_relative_to(ROOT / "docs")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_modules_that_are_named_exist(document):
    text = document.read_text()
    modules = [Path("reinforce", *"".join(names).split(".")) for names in MODULE.findall(text)]
    missing = [m for m in modules if not ((ROOT / m).is_dir() or (ROOT / f"{m}.py").is_file())]
    missing = [m for m in missing if m.parts[1] not in {*reinforce.__all__, "__version__"}]
    for name in PATH.findall(text):
        places = [ROOT / name] if "/" in name else list((ROOT / "tests").rglob(name))
        if "NAME" not in name and not any(place.exists() for place in places):
            missing.append(name)

    assert missing == []


ITEM = re.compile(r"\s*(?:[-*]|1\.) ")


def swallowed_lists(text):
    """Yield first items of lists that the site takes for the end of the paragraph before them."""
    block = ""  # how the block of lines began that the line belongs to
    for line in text.splitlines():
        if ITEM.match(line) and block and not ITEM.match(block) and not block.startswith("#"):
            yield line
        if not line.strip() or not block or ITEM.match(line):
            block = line.rstrip()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_blank_line_is_before_every_list(document):
    assert list(swallowed_lists(prose(document))) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_knows_the_targets_that_are_named(document):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|\$ )make ([a-z-]+)", document.read_text())

    assert set(named) - set(targets) == set()


def test_the_methods_section_has_the_defaults_and_the_citation_the_version():
    methods = (ROOT / "docs" / "derivation.md").read_text().partition("## For a methods section")[2]
    learner, config = reinforce.Config().learner, reinforce.Config()
    for said in (
        f"batch of {learner.episodes_per_update} whole episodes",
        f"learning rate {learner.learning_rate}, no gradient clipping",
        f"\\gamma = {learner.discount}$",
        f"layers of {config.policy.hidden_sizes[0]} {config.policy.activation} units",
        f"over {config.evaluation.episodes} episodes",
    ):
        assert said in " ".join(methods.replace("\n> ", " ").split()), said
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"version = {{{version}}}" in methods
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    rows = re.compile(r"^\| \[\d{4}\]\(([\w-]+\.md)\)", re.MULTILINE)
    listed = rows.findall((folder / "README.md").read_text())

    assert listed == sorted(path.name for path in folder.glob("0*.md"))


SITE = {
    "index.html": '<a href="tools/#here">to</a> <img src="images/a.png"> <a href="https://x.y/#z">',
    "tools/index.html": '<h2 id="here">Here</h2> <a href="..">up</a> <a href="#here">down</a>',
    "images/a.png": "",
}
BROKEN = {
    "a page": '<a href="none/">',
    "an anchor of the page": '<a href="#none">',
    "an anchor of another page": '<a href="tools/#none">',
    "an image": '<img src="images/none.png">',
    "a file outside": '<a href="../outside.md">',
}


@pytest.mark.parametrize("case", [None, *BROKEN])
def test_the_built_site_is_searched_for_links_anchors_and_images_that_lead_nowhere(case, tmp_path):
    (tmp_path / "outside.md").write_text("")
    for name, text in SITE.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    with (tmp_path / "site" / "index.html").open("a") as page:
        page.write(BROKEN.get(case, ""))
    check = [sys.executable, ROOT / "docs" / "site" / "check_links.py", tmp_path / "site"]

    found = subprocess.run(check, check=False, capture_output=True, text=True)

    lines = found.stderr.splitlines()[1:]
    assert lines == ([f"index.html: {BROKEN[case].split(chr(34))[1]}"] if case else [])
    assert found.returncode == bool(case)


def test_the_reference_has_all_that_python_offers():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()

    assert sorted(re.findall(r"^::: reinforce[.](\w+)$", page, re.MULTILINE)) == sorted(
        reinforce.__all__
    )


def test_the_table_of_presets_is_that_of_the_presets():
    text = (ROOT / "docs" / "environments.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\w*) ?\| .* \|$", text, re.MULTILINE)

    assert rows == [
        (
            name,
            load_config(name).environment.id,
            "".join(re.findall(r"[(]extra (\w+)[)]", preset_summary(name))),
        )
        for name in preset_names()
    ]

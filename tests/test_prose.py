"""How we write: without phrases that read as translated, in documents, messages and docstrings.

The list holds what reviewers found in this project. Decisions are history: their words may be
mended, what they say stays.
"""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "decisions").glob("*.md"),
    ROOT / "docs/reference/python.md",
]
MODULES = [
    path
    for folder in ("configs", "learner", "workers", "cluster", "reinforce", "examples")
    for path in (ROOT / folder).rglob("*.py")
]

INSTEAD = {
    r"\banew\b": "again",
    r"\b(?:is|are|was|were|be) told (?!apart)": "the active voice: who reports it",
    r"\b(?:is|are|was|were) said to\b": "the active voice",
    r"\bnone (?:is|was) at hand\b": "not tested on",
    r"\bmore narrow\b": "narrower",
    r"\bbelongs? into\b": "belong in",
    r"\bfor ever\b": "forever",
    r"\bbe it\b": "whether it is",
    r"\bthe fewer ones\b": "fewer",
    r"\bonce more to\b": "again to",
    r"\blimits? of time\b": "time limit",
    r"\bstands? twice\b": "appears twice",
    r"\bhow (?:\w+ )?(?:it|they|runs?) stands?\b": "its state",
    r"\bnobody (?:can tell|vouches)\b": "unknown, ambiguous, not trusted",
    r"\b(?:all|no|whose) chance\b": "random numbers",
    r"\bof no influence\b": "does not affect",
    r"\bsays? of (?:it|them|itself|each|an?|its|what|such)\b": "says about",
    r"\bruns? (?:that|which) (?:is|are) (?:still )?going on\b": "a live run",
    r"\bof yours\b": "your own",
    r"\bat hand\b": "available",
    r"\b(?:takes?|taken|comes?|came) along\b": "is included",
    r"\bother ones\b": "others, different ones",
    r"\bbehind the (?:limit|name|preset|last step)\b": "past, after",
    r", for (?:it|they|nobody|then) (?:\w+ )?(?:is|are|has|have|would|may|does)\b": "because",
}


def findings(text):
    flat = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return [
        f"{match.group()!r}: rather {better}"
        for phrase, better in INSTEAD.items()
        for match in re.finditer(phrase, " ".join(flat.split()), re.IGNORECASE)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_read_as_if_somebody_had_said_them(document):
    assert findings(document.read_text()) == []


def test_messages_and_docstrings_do_too():
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong = findings(node.value)
                if node.value.startswith("Of "):
                    wrong.append("begins with 'Of': name the thing")
                found += [f"{module.relative_to(ROOT)}, line {node.lineno}: {it}" for it in wrong]

    assert found == []


COUNTED = re.compile(r" (?:updates|episodes|steps|workers|trials|seeds|nodes|files|lines)\b(?!/)")


def is_count(value):
    """Return whether a value in an f-string may be 1: it is neither a constant nor a fraction."""
    if not isinstance(value, ast.FormattedValue):
        return False
    name = ast.unparse(value.value).rpartition(".")[2].strip("_")
    form = ast.unparse(value.format_spec) if value.format_spec else ""
    return not name.isupper() and "." not in form


def test_numbers_of_things_have_a_singular():
    """``{number} updates`` says "1 updates" now and then: ``configs.plurals.counted`` does not."""
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            for value, text in pairwise(node.values if isinstance(node, ast.JoinedStr) else ()):
                is_text = isinstance(text, ast.Constant) and COUNTED.match(text.value)
                if is_text and is_count(value):
                    found.append(f"{module.relative_to(ROOT)}, line {text.lineno}: {text.value!r}")

    assert found == []


def test_paragraphs_of_docstrings_keep_their_indentation():
    """The reference prints a line that hangs, or an error among another's words, as it stands."""
    hanging = re.compile(r"^(?! |.*(?::|::|\.\.)$|[*\-=`]).+\n +\S", re.MULTILINE)
    swallowed = re.compile(r"^ +.*\. \w+Error: ", re.MULTILINE)
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                found += [
                    f"{module.relative_to(ROOT)}: {match.group()!r}"
                    for fault in (hanging, swallowed)
                    for match in fault.finditer(text)
                ]

    assert found == []

"""What others wrote neither steers a terminal nor fills it."""

import re
import shlex
from pathlib import Path

import pytest

from reinforce.configs.quoting import command_line, message_text, printable, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        (["x" * 500], "['" + "x" * 198 + "... (504 characters)"),
        pytest.param(9**9999, "a int with too long a number", id="endless"),
    ],
)
def test_a_value_is_shown_on_one_line_and_cut(value, text):
    assert shown(value) == text


def test_what_a_terminal_would_obey_is_escaped_and_lines_stay():
    assert printable("é\t1\n\x1b[2J\r\u202egnp\udcff") == "é\t1\n\\x1b[2J\\r\\u202egnp\\udcff"


def test_an_endless_line_of_a_message_is_cut_and_the_others_are_whole():
    first, second = message_text(f"{'x' * 9999}: why\nshort").splitlines()

    assert first == "x" * 1600 + " ... (10,004 characters) ... " + "x" * 395 + ": why"
    assert second == "short"


def test_a_command_can_be_copied_whatever_its_path_holds():
    words = ["resume", "/my runs/it's $HOME", "--tracking.uri", "sqlite:///a b"]
    assert shlex.split(command_line(*words)) == ["reinforce", *words]
    assert command_line("resume", Path("runs/a")) == "reinforce resume runs/a"


def test_no_message_writes_a_path_into_a_command_by_itself():
    root = Path(__file__).parent.parent.parent
    floors = ("configs", "learner", "workers", "cluster", "reinforce")
    sources = [path for floor in floors for path in (root / floor).rglob("*.py")]

    wrong = {
        path.name: found
        for path in sources
        if (found := re.findall(r"`reinforce \w+ {[^}]*}", path.read_text()))
    }

    assert wrong == {}

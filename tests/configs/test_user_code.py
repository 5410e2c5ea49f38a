"""What a user's code raised is shown with the last line of theirs that it passed."""

import json
import random
from pathlib import Path

import hypothesis
import pytest
import silent_assert

from reinforce.configs.given_objects import imported, needed_later
from reinforce.configs.loading import load_config
from reinforce.configs.user_code import described, names_meant, place

HERE = Path(__file__)


def error_of(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whichever it is)
        function(*arguments)
    return caught.value


@pytest.mark.case
def test_an_assertion_without_words_is_shown_as_it_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    text = described(error_of(silent_assert.Own))

    assert text == f"AssertionError: assert size > 0 ({silent_assert.__file__}:10, in __init__)"


def test_what_a_library_raises_is_shown_at_the_line_that_called_it(monkeypatch):
    monkeypatch.chdir(HERE.parent)
    called_from = HERE.read_text().splitlines().index("        function(*arguments)") + 1

    text = described(error_of(json.loads, "{"))

    assert text.startswith("JSONDecodeError: Expecting property name")
    assert text.endswith(f" ({HERE.name}:{called_from}, in error_of)")


@pytest.mark.parametrize(
    ("named", "way_out"),
    [
        ("lift.py", "lift:Lift"),
        ("./lift.py", "lift:Lift"),
        ("envs/lift.py", "envs.lift:Lift"),
        ("envs/lift", "envs.lift:Lift"),
        ("/mine/lift.py", "lift:Lift, called from /mine"),
    ],
)
def test_a_file_in_place_of_a_module_is_refused_with_the_module(named, way_out):
    error = error_of(imported, f"{named}:Lift")

    assert str(error) == f"{named} is a file: name the module, as in {way_out}"


def test_a_module_that_hides_the_users_is_named_with_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hypothesis.py").write_text("class Lift: ...")  # an installed package's name

    for module in (random, hypothesis):
        said = str(error_of(imported, f"{module.__name__}:Lift"))
        assert (
            f"; {module.__name__} was imported from {module.__file__}: give your own module" in said
        )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("")
    assert "imported from" not in str(error_of(imported, "mine:Lift"))


def test_a_line_of_ours_is_not_shown():
    error = error_of(load_config, "no_such_preset")
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without this file's

    assert described(error) == f"ConfigError: {error}"


def test_a_line_is_named_even_where_the_current_directory_is_gone(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert place("/mine/lift.py", 12, "step") == "/mine/lift.py:12, in step"


def test_objects_of_a_program_are_said_to_be_needed_later():
    assert needed_later(["python:Light", "mlp"]).startswith(
        "python:Light: only this program has it"
    )
    assert needed_later(["lift:Lift", "mlp"]) == ""


def test_a_list_of_names_that_goes_on_says_so(tmp_path, monkeypatch):
    names = [f"Task{letter}" for letter in "abcdefghijk"]
    (tmp_path / "many.py").write_text("".join(f"class {name}: ...\n" for name in names))
    monkeypatch.syspath_prepend(tmp_path)
    imported("many:Taska")

    assert names_meant("many", "xyz") == f"; many has {', '.join(names[:10])}, …"

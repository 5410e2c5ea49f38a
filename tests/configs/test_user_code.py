"""What a user's code raised is shown with the last line of theirs that it passed."""

import json
from pathlib import Path

import pytest
import silent_assert

from reinforce.configs.loading import load_config
from reinforce.configs.user_code import described

HERE = Path(__file__)


def error_of(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whichever it is)
        function(*arguments)
    return caught.value


@pytest.mark.case
def test_an_assertion_without_words_is_shown_as_it_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    text = described(error_of(silent_assert.Own))

    assert text == f"AssertionError: assert size > 0 ({silent_assert.__file__}, line 10)"


def test_what_a_library_raises_is_shown_at_the_line_that_called_it(monkeypatch):
    monkeypatch.chdir(HERE.parent)
    called_from = HERE.read_text().splitlines().index("        function(*arguments)") + 1

    text = described(error_of(json.loads, "{"))

    assert text.startswith("JSONDecodeError: Expecting property name")
    assert text.endswith(f" ({HERE.name}, line {called_from})")


def test_a_line_of_ours_is_not_shown():
    error = error_of(load_config, "no_such_preset")
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without this file's

    assert described(error) == f"ConfigError: {error}"

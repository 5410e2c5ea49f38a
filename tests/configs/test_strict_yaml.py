"""YAML that somebody wrote to do harm is refused in a sentence, at once, and in little memory."""

import pytest
import yaml

from reinforce.configs.strict_yaml import parse

pytestmark = pytest.mark.case


def bomb(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]"
        for level in range(1, levels + 1)
    ]
    return "\n".join(lines)


REFUSED = {
    "bomb of aliases": (bomb(8), "more than 20,000 values, counted each time they are used"),
    "bomb of merges": (
        bomb(8).replace("[x, x, x,", "{a: 1, b: [x,").replace("[*", "{<<: [*").replace("]", "]}"),
        "more than 20,000 values, counted each time they are used",
    ),
    "alias to itself": ("a: &a [*a]", "it holds a value that holds itself"),
    "deep list": ("[" * 400, "it holds more than 50 levels"),
    "deep list of dashes": ("- " * 400, "it holds more than 50 levels"),
    "many values": ("[" + "1," * 30_000 + "]", "it holds more than 20,000 values"),
    "long text": ("a: " + "x" * 2**20, "it has 1,048,579 characters"),
    "endless integer": ("a: " + "9" * 5000, "it holds a number of 5,000 characters"),
    "endless integer of another base": ("a: 0x" + "f" * 5000, "a number of 5,002 characters"),
    "endless minutes": ("a: " + "1:" * 50_000 + "1", "a number of 100,001 characters"),
    "binary": ("a: !!binary aaaa", "the tag 'tag:yaml.org,2002:binary'"),
    "set": ("!!set {a}", "the tag 'tag:yaml.org,2002:set'"),
    "ordered mapping": ("!!omap [a: 1]", "the tag 'tag:yaml.org,2002:omap'"),
    "object": ("!!python/object/apply:os.abort []", "the tag 'tag:yaml.org,2002:python"),
    "no integer": ("!!int x", "it holds 'x', which is not a valid int"),
    "no digit": ("a: 0b_", "it holds '0b_', which is not a valid int"),
    "no truth value": ("!!bool x", "it holds 'x', which is not a valid bool"),
    "no mapping": ("!!map [1, 2]", "expected a mapping node"),
    "list as a key": ("? [1]\n: 2", "it holds a list or a mapping as a key"),
    "control character": ("a: \x1b", "character 3 is #x001b, which YAML forbids"),
    "half a character": ("a: \udcff", "character 3 is #xdcff, which YAML forbids"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_meant_to_do_harm_is_refused_by_one_kind_of_error(case):
    text, message = REFUSED[case]

    with pytest.raises(yaml.MarkedYAMLError, match=message) as caught:
        parse(text)

    assert max(map(len, str(caught.value).splitlines())) < 200


def test_dates_are_text_and_a_merge_is_one():
    text = "day: 2024-02-30\nequal: =\na: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]"

    assert parse(text) == {
        "day": "2024-02-30",
        "equal": "=",
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }

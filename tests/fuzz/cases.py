"""Inputs that are wrong in every way we can think of: configurations, words, run directories."""

import hashlib
import json
import os
from dataclasses import dataclass, field

import numpy as np
import yaml
from hypothesis import strategies as st
from safetensors.numpy import load, save

from reinforce.configs.config import Config
from reinforce.configs.sweep import SweepConfig
from reinforce.learner.policies.weights import arrays_sha256

FIELDS = [
    (section, name, info)
    for section, part in Config.model_fields.items()
    for name, info in part.annotation.model_fields.items()
]

SAFE = ["--cluster.backend", "inline", "--tracking.enabled", "false", "--evaluation.video", "false"]


@dataclass(frozen=True)
class Case:
    """A command line, and the state of the folder that it is given in.

    Attributes:
        words: What follows ``reinforce``.
        files: Content by path.
        clues: A refusal has to hold one of each group.
        in_a_run: Whether ``run`` is a copy of a finished run, before ``spoil`` is called.
        spoil: (path, action, argument) of what is done to that copy.
    """

    words: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    clues: tuple[tuple[str, ...], ...] = ()
    in_a_run: bool = False
    spoil: tuple = ()


ABOUT_ALL = ("YAML", "is empty", "holds a", "unknown key", "UTF-8", "the configuration")
"""Of a refusal that names no setting, since the file as a whole is wrong."""

HOSTILE = [
    *("", " ", "None", "null", "~", "nan", ".inf", "1e999", "-1", "0x", "=", "<<", "2024-13-45"),
    *("\x1b[2J", "\x07", "\u202e", "\udcff", "a\nb", "\r", "x" * 5000, "9" * 5000),
    *("[" * 400, "{" * 60, "- " * 200, "&a [*a]", "*a", "!!binary aaaa", "!!python/name:os.abort"),
    *("1:" * 400 + "1", "!!int x", "!!set {a}", "? [a]\n: b", "a: 1\na: 2", "\t", "%", "@"),
    *("`", "'", '"', "]", "}", "../up", "/", "/dev/null", "/proc/self/mem", ".", "a" * 300),
    *("cartpole", "x.yaml", "./x", "s3://", "nowhere://x", "http://[", "http://127.0.0.1:9"),
    *("sqlite://", "a:b", "a:b:c"),
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**90, 10**200]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(HOSTILE),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.one_of(st.text(max_size=12), st.sampled_from(HOSTILE)).map(lambda t: t.replace("\0", ""))


def _bounds(info):
    """Return the numbers at and next to what a field's constraints name."""
    found = [
        getattr(mark, name)
        for mark in info.metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(mark, name, None) is not None
    ]
    return [near for bound in found for near in (bound - 1, bound, bound + 1, -bound, bound + 0.5)]


def values_of(info):
    """Return what a field may be given: anything, and what is next to its bounds and choices."""
    near = [*_bounds(info), info.get_default(call_default_factory=True)]
    return st.one_of(values, st.sampled_from(near), st.lists(st.sampled_from(near), max_size=3))


def _as_yaml(document):
    """Return a value as YAML, or, where YAML has no such text, as JSON."""
    try:
        return yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogateescape")
    except (yaml.YAMLError, ValueError):
        return json.dumps(document, default=str).encode()


@st.composite
def mutated(draw, text):
    """Return a text with some of it cut, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 20)))
        middle = draw(
            st.one_of(
                st.just(b""),
                st.just(text[start:end] * 2),
                st.binary(max_size=6),
                st.sampled_from(HOSTILE).map(lambda t: t.encode("utf-8", "surrogateescape")),
            )
        )
        text = text[:start] + middle + text[end:]
    return text


@st.composite
def configurations(draw):
    """A file in which one setting, one section or some bytes are wrong, or all of it."""
    section, name, info = draw(st.sampled_from(FIELDS))
    document = draw(
        st.one_of(
            values_of(info).map(lambda value: {section: {name: value}}),
            values.map(lambda value: {section: value}),
            st.tuples(words, values).map(lambda pair: {section: {pair[0]: pair[1]}}),
            values,
        )
    )
    content = _as_yaml(document)
    if draw(st.integers(0, 3)) == 0:
        content = draw(mutated(_as_yaml({section: {name: draw(values_of(info))}, "run": {}})))
    clues = (("mine.yaml",), (section, "run = None", *ABOUT_ALL))
    return Case(["config", "./mine.yaml"], {"mine.yaml": content}, clues)


@st.composite
def settings_in_words(draw):
    """A setting on the command line."""
    section, name, info = draw(st.sampled_from(FIELDS))
    value = draw(st.one_of(words, values_of(info).map(_as_word)))
    right = f"--{section}.{name}"
    option = draw(st.sampled_from([*[right] * 8, f"--{section}", f"--{name}", "--"]))
    rest = draw(st.lists(words, max_size=1))
    clues = ((f"{section}.{name}", "YAML", "nrecognized", "rguments"),)
    return Case(["config", "cartpole", option, value, *rest], {}, clues)


def _as_word(value):
    return _as_yaml(value).decode("utf-8", "surrogateescape").strip().replace("\0", "")


VERBS = [
    *("train", "resume", "scale", "pause", "unpause", "replay", "config", "sync", "evaluate"),
    *("record", "export", "plot", "compare", "sweep", "ui", "submit", "doctor", "verify", "diff"),
    *("show", "status", "pretrain"),
]
OPTIONS = [
    *("--episodes", "--seed", "--best", "--sampled", "--json", "--output", "--uri", "--port"),
    *("--parallel", "--directory", "--plot", "--statistic", "--resume", "--onnx", "--webm"),
]


@st.composite
def command_lines(draw):
    """A verb about something that does not exist, with options of any verb."""
    verb = draw(st.one_of(st.sampled_from(VERBS), words.filter(lambda word: word not in VERBS)))
    about = "./none" + draw(words)
    rest = draw(st.lists(st.one_of(words, st.sampled_from(OPTIONS)), max_size=4))
    rest = [word for word in rest if word not in ("-h", "--help", "--experiment")]
    return Case([verb, about, *rest])


RUN_FILES = [
    *("config.yaml", "metrics.jsonl", "history.jsonl", "summary.json", "control.json"),
    *("origin.json", "tracking.json", "system.jsonl", "checkpoints/best.safetensors"),
    *("checkpoints/update-000000002.safetensors", "checkpoints/update-000000001.safetensors"),
    *("checkpoints/update-000000009.safetensors", "checkpoints", "plots", "tracking.log"),
]
"""What is spoilt, whether it is there or not."""

ON_RUNS = [
    ["resume", "run"],
    ["resume", "run", "--stop.max_updates", "3", "--stop.target_return", "None"],
    ["train", "run/config.yaml", "--resume", "auto", "--run.directory", ".", "--run.name", "run"],
    ["replay", "run", "1:0"],
    ["replay", "run", "evaluation:0:0"],
    ["replay", "run", "0:0:1"],
    ["verify", "run", "--updates", "1"],
    ["diff", "run", "run"],
    ["show", "run"],
    ["evaluate", "run", "--episodes", "5"],
    ["evaluate", "run", "--episodes", "5", "--best"],
    ["export", "run", "--output", "out", "--steps", "5"],
    ["plot", "run", "--output", "out"],
    ["compare", "run", "--json"],
    ["pause", "run"],
    ["scale", "run", "3"],
    ["ui", "run"],
]


@st.composite
def run_directories(draw, template):
    """A finished run, something of which somebody has spoilt, and a verb about it.

    ``template`` is the content of its files by path.
    """
    path = draw(st.sampled_from(RUN_FILES))
    kinds = ["pipe", "folder", "link", "giant", "remove", "empty"]
    content = template.get(path)
    action = draw(st.sampled_from([*kinds, "write", "write", "write", "write"]))
    argument = b""
    if action == "write":
        argument = draw(_other_content(path, content or b"{}\n"))
    verb = draw(st.sampled_from(ON_RUNS))
    if verb[0] == "ui" and path == "tracking.json":
        verb = ["plot", "run"]  # one that is found would be shown, by a server
    name = path.removeprefix("checkpoints/")
    clues = ((name, "checkpoint", "is not training", "is not in MLflow", "one process"),)
    return Case(verb, {}, clues, in_a_run=True, spoil=(path, action, argument))


@st.composite
def _other_content(draw, path, content):
    if draw(st.booleans()):
        return draw(mutated(content))
    if path.endswith(".safetensors"):
        return draw(_forged(content))
    if path.endswith(".yaml"):
        section, name, info = draw(st.sampled_from(FIELDS))
        document = yaml.safe_load(content)
        document[section][name] = draw(values_of(info))
        return _as_yaml(document)
    lines = content.splitlines() if path.endswith(".jsonl") else [content]
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = draw(_other_json(lines[number] or b"{}")).encode()
    return b"\n".join(lines) + b"\n"


@st.composite
def _other_json(draw, text):
    """Return a mapping in which one value, at any depth, is another."""
    document = json.loads(text)
    place = document
    while isinstance(place, dict) and place:
        key = draw(st.sampled_from(sorted(place)))
        if not (isinstance(place[key], dict) and draw(st.booleans())):
            place[key] = draw(values)
            break
        place = place[key]
    return json.dumps(document, default=str)


@st.composite
def _forged(draw, content):
    """Return a checkpoint that says something else, under a digest that is right."""
    if len(content) < 8:
        return content
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length])["__metadata__"]["about"]
    arrays = load(content)
    if draw(st.booleans()):
        about = draw(_other_json(about))
    else:
        name = draw(st.sampled_from(sorted(arrays)))
        change = draw(st.sampled_from([np.float64, np.int8, np.ravel, np.atleast_2d, None]))
        array = arrays.pop(name)
        if change is not None:
            rows = np.atleast_1d(change(array))[: draw(st.integers(0, 9))]
            arrays[name] = np.ascontiguousarray(rows)
    digest = hashlib.sha256((about + arrays_sha256(arrays)).encode()).hexdigest()
    return save(arrays, {"about": about, "sha256": digest})


def spoil(folder, path, action, argument):
    """Do to a file of a run what a case says."""
    place = folder / path
    if action == "write":
        if not place.is_dir():
            place.write_bytes(argument)
        return
    if place.is_dir():
        place.rename(folder / "moved")
    place.unlink(missing_ok=True)
    if action == "pipe":
        os.mkfifo(place)
    elif action == "folder":
        place.mkdir()
    elif action == "link":
        place.symlink_to("/dev/zero")
    elif action == "giant":
        with place.open("wb") as file:
            file.truncate(2**42)
    elif action == "empty":
        place.touch()


@st.composite
def sweeps(draw):
    """A sweep that something is wrong with; if nothing is, it is refused for --parallel 0."""
    name, info = draw(st.sampled_from(sorted(SweepConfig.model_fields.items())))
    section, setting, about = draw(st.sampled_from(FIELDS))
    choices = draw(
        st.one_of(
            st.lists(values_of(about), max_size=3),
            st.fixed_dictionaries({"low": scalars, "high": scalars, "log": scalars}),
            values,
        )
    )
    document = {"base": "cartpole", "settings": {f"{section}.{setting}": choices}}
    if draw(st.booleans()):
        document[name] = draw(values_of(info) if not info.is_required() else values)
    if draw(st.booleans()):
        document |= {"method": "random", "trials": draw(scalars)}
    content = _as_yaml(document)
    if draw(st.integers(0, 4)) == 0:
        content = draw(mutated(content))
    words = ["sweep", "sweep.yaml", "--parallel", "0"]
    return Case(words, {"sweep.yaml": content}, (("sweep.yaml", "--parallel"),))


TRAINED = ("environment", "policy", "run", "checkpoint", "stop", "tracking", "evaluation")
NOT_TRAINED = ("hidden_sizes", "episodes", "max_updates", "enabled", "video", "every_updates")


@st.composite
def trainings(draw):
    """A run of one update in which one setting is another, unless that would take long."""
    section, name, info = draw(
        st.sampled_from([f for f in FIELDS if f[0] in TRAINED and f[1] not in NOT_TRAINED])
    )
    value = draw(st.one_of(words, values_of(info).map(_as_word)))
    if name == "directory":  # stay in the folder of the case
        value = value.replace("..", "").lstrip("/~")
    small = ["--stop.max_updates", "1", "--evaluation.episodes", "5", "--policy.hidden_sizes", "4"]
    few = ["--learner.episodes_per_update", "4", "--evaluation.every_updates", "1"]
    changed = [f"--{section}.{name}", value]
    return Case(["train", "cartpole", *changed, *small, *few, *SAFE], {}, ((name, "YAML"),))

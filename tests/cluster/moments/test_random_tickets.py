"""Random tickets of five kinds of runs are had again; random bits that are altered are named."""

import json
import shutil

import numpy as np
import pytest
from small_runs import NORMALISED_GRU, resumed_twice, train

import reinforce
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import TicketName, play_ticket
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory

NUM_UPDATES, NUM_TICKETS = 12, 20
LONGER = {"stop.max_updates": NUM_UPDATES}

RUNS = {
    "inline": lambda folder: train(folder, LONGER),
    "Ray": lambda folder: train(folder, {**LONGER, "workers.num_workers": 2}, backend="ray"),
    "lookahead 1": lambda folder: train(folder, {**LONGER, "cluster.lookahead": 1}),
    "GRU, normalised": lambda folder: train(folder, {**LONGER, **NORMALISED_GRU}),
    "resumed twice": lambda folder: resumed_twice(folder, LONGER),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs():
    """The runs that are there already, by kind."""
    return {}


@pytest.fixture
def generator():
    """Another one each time; what it has altered stays in the folder of a test that fails."""
    return np.random.default_rng()


@pytest.fixture(params=RUNS)
def run(request, runs, tmp_path_factory, runs_on_local_ray):
    if request.param not in runs:
        runs[request.param] = RUNS[request.param](tmp_path_factory.mktemp("runs"))
    return runs[request.param]


def test_random_tickets_have_the_digests_of_the_journal(run, generator):
    entries = {e.updates: e for e in read_entries(run.path / "metrics.jsonl") if e.batch}
    names = [
        f"{update}:{index}"
        for update in range(NUM_UPDATES)
        for index in range(len(entries[update + 1].batch.ticket_sha256))
    ]
    console, versions = PlainConsole(quiet=True), set()

    for text in generator.choice(names, NUM_TICKETS, replace=False):
        name = TicketName.parse(text)
        past = Reconstruction(RunDirectory.open(run.path), console)
        played = play_ticket(past, name, console)
        expected = entries[name.update + 1].batch.ticket_sha256[name.index]
        assert played.report.trajectories_sha256 == expected, text
        if name.update:
            versions.add(name.update)
            assert past.at(name.update).weights.sha256 == entries[name.update].weights_sha256, text
    assert len(versions) > 1


def flip_a_bit(file, generator, *, first=0, last=None):
    """Flip a random bit between two places of a file."""
    content = bytearray(file.read_bytes())
    content[int(generator.integers(first, last or len(content)))] ^= 1 << generator.integers(8)
    file.write_bytes(bytes(content))


def a_bit_of_a_checkpoint(run, generator):
    (file,) = (run.path / "checkpoints").glob("update-*")
    flip_a_bit(file, generator)
    return "checkpoint", NUM_UPDATES


def a_bit_of_a_line(run, generator):
    """Of what weights and tickets decide; times and counts of workers are not verified."""
    file = run.path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    number = int(generator.integers(NUM_UPDATES))
    begin = sum(map(len, lines[:number]))
    assert json.loads(lines[number])["updates"] == number + 1
    batch = begin + lines[number].index(b'"batch": ')
    flip_a_bit(file, generator, first=batch, last=begin + len(lines[number]) - 1)
    return None, number + 1


def a_setting(run, generator):
    settings = {
        "learning_rate: 0.02": "learning_rate: 0.020000001",
        "discount: 0.99": "discount: 0.98",
        "seed: 0": "seed: 1",
        "episodes_per_ticket: 2": "episodes_per_ticket: 3",
        "- 4": "- 5",  # policy.hidden_sizes
    }
    old = str(generator.choice(list(settings)))
    file = run.path / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, settings[old], 1))
    return "setting", NUM_UPDATES


@pytest.mark.parametrize("alter", [a_bit_of_a_checkpoint, a_bit_of_a_line, a_setting])
def test_random_alterations_are_named(alter, run, generator, tmp_path):
    for trial in range(5):
        copy = tmp_path / str(trial)
        shutil.copytree(run.path, copy)
        part, update = alter(reinforce.load(copy), generator)

        finding = reinforce.load(copy).verify("all", progress=False).findings[0]

        if part:
            assert (finding.part, finding.updates) == (part, update)
        else:
            assert finding.updates == update or f"line {update} is damaged" in finding.text

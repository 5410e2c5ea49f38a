"""``diff`` finds the first update at which two runs part, and what differs in it."""

import pytest
from small_runs import train

from reinforce.cluster.cli import main
from reinforce.cluster.files import write_json
from reinforce.cluster.tracking.provenance import describe_provenance


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(folder):
    return trained(folder, name="one")


def trained(folder, overrides=None, **options):
    return train(folder, {"stop.max_updates": 3, **(overrides or {})}, **options)


def said_of(run, other, capsys, code):
    assert main(["diff", str(run.path), str(other.path)]) == code
    return " ".join(capsys.readouterr().out.split())


PARTINGS = {
    "learning rate": (
        {"learner.learning_rate": [0.02, 0.01], "learner.schedule_updates": 4},
        "update 2, which has another vector of weights learner/",
        "first 1 are equal",
        "setting learner.learning_rate: 0.02 | [0.02, 0.01]",
    ),
    "discount": (
        {"learner.discount": 0.9},
        "update 1, which has another gradient learner/",
        "first 0 are equal",
        "setting learner.discount: 0.99 | 0.9",
    ),
    "reward": (
        {"environment.kwargs": {"sutton_barto_reward": True}},
        "update 1, which has another batch batch.sha256: ",
        "first 0 are equal",
        "setting environment.kwargs: {} | {'sutton_barto_reward': True}",
    ),
}


@pytest.mark.parametrize("kind", PARTINGS)
def test_the_first_update_that_differs_is_named_with_what_differs(kind, run, tmp_path, capsys):
    overrides, *expected = PARTINGS[kind]

    said = said_of(run, trained(tmp_path, overrides, name="other"), capsys, 1)

    assert [text for text in expected if text not in said] == []


def test_the_seed_is_a_setting_that_decides(run, tmp_path, capsys):
    said = said_of(run, trained(tmp_path, {"run.seed": 7}, name="other"), capsys, 1)

    assert "setting run.seed: 0 | 7 updates" in said


def test_how_much_of_a_step_was_taken_is_no_part_of_the_gradient(tmp_path, capsys):
    one, other = (
        trained(tmp_path, {"learner.max_kl": limit, "stop.max_updates": 1}, name=str(limit))
        for limit in (1e-5, 1e-4)
    )

    said = said_of(one, other, capsys, 1)

    assert "update 1, which has another vector of weights learner/kl" in said
    assert "learner/step_fraction: " in said


def test_runs_of_one_configuration_are_equal_wherever_and_however_fast(run, tmp_path, capsys):
    again = trained(tmp_path, {"checkpoint.every_s": 1.0}, name="again")

    said = said_of(run, again, capsys, 0)

    assert said == (
        "setting checkpoint.every_s: 60.0 | 1.0 (does not affect the weights) "
        "updates 3 and 3, of which the first 3 are equal "
        "difference none: every update that both have made has the same batch and weights"
    )


def test_a_run_that_is_further_on_is_another_one(run, tmp_path, capsys):
    longer = trained(tmp_path, {"stop.max_updates": 4}, name="longer")

    said = said_of(run, longer, capsys, 1)

    assert "updates 3 and 4, of which the first 3 are equal difference none" in said


def test_versions_and_processors_that_the_runs_noted_are_compared(run, tmp_path, capsys):
    other, here = trained(tmp_path, name="other"), describe_provenance([])
    there = {**here, "processor": "an abacus", "versions": {**here["versions"], "torch": "0.1"}}
    write_json(run.path / "origin.json", here)
    write_json(other.path / "origin.json", there)

    said = said_of(run, other, capsys, 0)

    assert f"version torch: {here['versions']['torch']} | 0.1" in said
    assert "| an abacus" in said
    assert said.count("version ") == 2

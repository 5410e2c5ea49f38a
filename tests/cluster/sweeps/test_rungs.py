"""Pruning: trials stop at rungs, go on exactly, and the study says the same wherever it was cut."""

import json
from itertools import count
from types import SimpleNamespace

import pytest
from optuna.storages.journal import JournalFileBackend
from small_sweeps import IN_THIS_PROCESS, rows_of, states_of, summary_of, text_of

from reinforce.cluster.cli import main
from reinforce.cluster.number_format import number as number_shown

pytestmark = pytest.mark.usefixtures("_sweeps_in_this_process")

CORRIDOR = {
    "environment": {
        "id": "talkative_corridor:Corridor-v0",
        "use_vector_implementation": False,
        "info_metrics": {"energy": "sum"},
    },
    "stop": {"max_updates": 8},  # some 220 steps
    "evaluation": {"episodes": 20, "every_updates": None, "greedy": False},
}
RATES = {"settings": {"learner.learning_rate": [0.3, 0.001]}}
HALVING = {"pruner": "successive_halving", "first_rung": 50, "reduction_factor": 2}


def outcomes_of(folder):
    """All that the study holds but who wrote it, and when."""
    return [
        (row.user_attrs["trial"], row.state.name, row.params, row.intermediate_values, row.values)
        for row in rows_of(folder)
    ]


def sweep(write_sweep, name, about):
    write_sweep(about, **CORRIDOR)
    assert main(["sweep", "sweep.yaml", "--directory", name]) == 0


def test_pruned_or_not_a_trial_has_the_weights_of_a_run_that_was_never_stopped(
    write_sweep, tmp_path, capsys
):
    sweep(write_sweep, "whole", RATES)
    sweep(write_sweep, "pruned", {**RATES, **HALVING})
    said = capsys.readouterr().out

    whole, folder = tmp_path / "whole", tmp_path / "pruned"
    states = [row.state.name for row in rows_of(folder)]
    assert {"COMPLETE", "PRUNED"} == set(states)
    for number, (row, other) in enumerate(zip(rows_of(folder), rows_of(whole), strict=True)):
        summary, unstopped = summary_of(folder, number), summary_of(whole, number)
        if row.state.name == "PRUNED":
            assert summary["environment_steps"] >= row.last_step > 0
            assert summary["environment_steps"] < unstopped["environment_steps"]
            words = ["resume", str(folder / "runs" / f"trial-{number:04d}-seed-0")]
            assert main([*words, "--stop.max_environment_steps", "None"]) == 0
            summary = summary_of(folder, number)
        else:
            assert (row.value, list(row.intermediate_values)) == (other.value, [50, 100])
        assert summary["weights_sha256"] == unstopped["weights_sha256"]
        assert summary["evaluation"] == unstopped["evaluation"]
    number = states.index("PRUNED")
    rate = RATES["settings"]["learner.learning_rate"][number]
    assert (
        f"trial-{number:04d} ({number + 1} of 2): learner.learning_rate {rate}: pruned after "
        in said
    )
    assert said.count(": begins\n") == 2 * len(states)
    whole_row = rows_of(folder)[1 - states.index("PRUNED")]
    for steps, value in whole_row.intermediate_values.items():
        assert f": continues after {steps} steps, mean return {number_shown(value)}\n" in said


@pytest.mark.parametrize(
    "num_writes", [4, *(pytest.param(num, marks=pytest.mark.slow) for num in (1, 2, 3, 5, 6, 7, 8))]
)
def test_a_sweep_that_is_killed_after_any_write_goes_on_as_if_nothing_had_happened(
    num_writes, write_sweep, tmp_path, monkeypatch
):
    about = {"settings": {"learner.learning_rate": [0.3, 0.001]}, **HALVING}
    sweep(write_sweep, "undisturbed", about)
    assert len(text_of(tmp_path / "undisturbed").splitlines()) == 8
    written, append = [], JournalFileBackend.append_logs

    def die_after(self, logs):
        append(self, logs)
        written.append(logs)
        if len(written) == num_writes:
            raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(JournalFileBackend, "append_logs", die_after)
        assert main(["sweep", "sweep.yaml", "--directory", "killed"]) == 130
    with (tmp_path / "killed" / "study.jsonl").open("a") as file:
        file.write('{"op_code": 4, "torn')

    sweep(write_sweep, "killed", about)

    assert outcomes_of(tmp_path / "killed") == outcomes_of(tmp_path / "undisturbed")
    assert "torn" not in text_of(tmp_path / "killed")


def test_a_failed_trial_is_tried_again_from_the_rung_it_had_come_to(write_sweep, tmp_path):
    about = {"settings": {"learner.learning_rate": [0.3]}, **HALVING}
    sweep(write_sweep, "whole", about)
    sweep(write_sweep, "mended", about)
    lines = text_of(tmp_path / "mended").splitlines(keepends=True)
    report = next(n for n, line in enumerate(lines) if 'intermediate_value":' in line)
    failure = {**json.loads(lines[-1]), "state": 3, "values": None}
    (tmp_path / "mended" / "study.jsonl").write_text(
        "".join([*lines[: report + 1], json.dumps(failure), "\n"])
    )
    assert states_of(tmp_path / "mended") == [(0, "FAIL")]

    words = ["sweep", "sweep.yaml", "--directory", "mended", "--retry-failed"]
    assert main(words) == 0

    (whole,), (_, again) = (rows_of(tmp_path / name) for name in ("whole", "mended"))
    assert again.user_attrs == {"trial": 0}
    assert (again.state.name, again.params, again.values) == (
        "COMPLETE",
        whole.params,
        whole.values,
    )
    assert again.intermediate_values == {50: whole.intermediate_values[50]}


def test_a_run_that_dies_without_a_word_is_begun_again_twice(write_sweep, tmp_path, monkeypatch):
    """As its driver does with its Ray node, or where the system has no memory left.

    The summary that it leaves is that of the rung before, and is not taken for its end.
    """
    num_started, dying = count(1), set()

    class Dies(IN_THIS_PROCESS.Popen):
        def __init__(self, command, **options):
            if next(num_started) in dying:
                self._code = -9
                options["stdout"].write(b"no memory left\n")
            else:
                super().__init__(command, **options)

    processes = SimpleNamespace(Popen=Dies, PIPE=None)
    monkeypatch.setattr("reinforce.cluster.sweeps.trial_process.subprocess", processes)
    about = {"settings": {"learner.learning_rate": [0.3]}, **HALVING}
    sweep(write_sweep, "never", about)
    for name, code, deaths in (("twice", 0, {2, 3}), ("always", 1, {2, 3, 4})):
        num_started, dying = count(1), deaths
        assert main(["sweep", "sweep.yaml", "--directory", name]) == code

    assert outcomes_of(tmp_path / "twice") == outcomes_of(tmp_path / "never")
    (row,) = rows_of(tmp_path / "always")
    assert (row.state.name, list(row.intermediate_values)) == ("FAIL", [50])
    assert row.user_attrs["error"] == "seed 0: no memory left"


def test_a_trial_that_ends_before_a_rung_is_complete(write_sweep, tmp_path):
    about = {"settings": {"stop.max_updates": [1, 9]}, **HALVING}

    sweep(write_sweep, "sweep", about)

    short, long = rows_of(tmp_path / "sweep")
    assert (short.state.name, short.intermediate_values) == ("COMPLETE", {})
    assert list(long.intermediate_values) == [50, 100, 200]
    assert summary_of(tmp_path / "sweep", 0)["stop_reason"] == "max_updates"


def test_a_rung_is_no_difference_between_runs_that_are_compared(write_sweep, tmp_path, capsys):
    """One seed may come so far beyond a rung that it need not go on, and keeps its limit."""
    sweep(write_sweep, "pruned", {**RATES, **HALVING, "seeds": [0, 1]})
    assert "PRUNED" in {state for _, state in states_of(tmp_path / "pruned")}
    capsys.readouterr()

    assert main(["compare", *map(str, (tmp_path / "pruned" / "runs").iterdir()), "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["configuration"] for row in rows) == [
        f"learner.learning_rate {rate}"
        for rate in sorted(RATES["settings"]["learner.learning_rate"])
    ]
    assert {row["settings"]["stop.max_environment_steps"] for row in rows} == {"None"}


def test_a_limit_of_the_base_below_a_rung_is_the_end(write_sweep, tmp_path):
    write_sweep(
        {"settings": {"learner.learning_rate": [0.3]}, **HALVING},
        **{**CORRIDOR, "stop": {"max_environment_steps": 75}},
    )

    assert main(["sweep", "sweep.yaml"]) == 0

    (row,) = rows_of(tmp_path / "sweeps" / "sweep")
    assert (row.state.name, list(row.intermediate_values)) == ("COMPLETE", [50])


def test_several_objectives_and_constraints_give_a_pareto_front(write_sweep, tmp_path, capsys):
    about = {
        "settings": {"stop.max_updates": [1, 2, 9]},
        "objectives": [
            {"metric": "is_success"},
            {"metric": "environment_steps", "direction": "minimize"},
        ],
        "constraints": {"energy": 1e3, "environment_steps": 200},
        "seeds": [0, 1],
    }
    sweep(write_sweep, "sweep", about)
    said = capsys.readouterr().out

    rows = rows_of(tmp_path / "sweep")
    for number, row in enumerate(rows):
        summaries = [summary_of(tmp_path / "sweep", number, seed) for seed in (0, 1)]
        metrics = [each["evaluation"]["metrics"] for each in summaries]
        steps = sum(each["environment_steps"] for each in summaries) / 2
        assert row.values == [sum(each["is_success"] for each in metrics) / 2, steps]
        assert row.constraints == {
            "energy": sum(each["energy"] for each in metrics) / 2 - 1e3,
            "environment_steps": steps - 200,
        }
    assert [row.constraints["environment_steps"] > 0 for row in rows] == [False, False, True]
    front = "trial-0000, trial-0001" if rows[1].values[0] > rows[0].values[0] else "trial-0000\n"
    assert front in said
    assert f"environment_steps {rows[2].values[1]:.1f}" in said
    assert ", violates a constraint" in said

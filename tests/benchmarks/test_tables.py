import figures
import pytest
import tables


def run(program, seed, rate, greedy=1.0, sampled=2.0, outcome="reached"):
    return {
        "program": program,
        "seed": seed,
        "time_limit_s": 120.0,
        "outcome": outcome,
        "greedy_training_s": greedy,
        "sampled_training_s": sampled,
        "sampled_environment_steps": None if sampled is None else 1000 * (seed + 1),
        "environment_steps_per_s": rate,
        "training_s": 9.0,
        "start_s": 4.0 + seed,
    }


ROWS = [
    *[run("ours, Ray", seed, 100_000 * (seed + 1), sampled=1.0 + seed) for seed in range(3)],
    *[run("theirs", seed, 1000, sampled=10.0 if seed else None) for seed in range(3)],
    *[run("late", seed, 2000, None, None, "time limit") for seed in range(3)],
    *[run("done", seed, 2000, None, None, "budget used up") for seed in range(3)],
]


def cells(table, program):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {program} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("steps_per_s", "steps / s"),
        ("driver_cpu_ms_per_ticket", "driver cpu (ms per ticket)"),
        ("ray_steps_per_s_and_core", "ray steps / s and core"),
        ("whole_process_s_max", "whole process, max (s)"),
        ("steps_per_s_min", "steps / s, min"),
        ("goal_mb", "goal (MB)"),
        ("ratio_min", "ratio min"),
        ("start_s", "start (s)"),
        ("num_workers", "num workers"),
    ],
)
def test_a_heading_has_its_unit(key, words):
    assert tables.heading(key) == words


@pytest.mark.parametrize(
    ("cell", "text"),
    [(1234567, "1,234,567"), (0.98765, "0.988"), (12345.6, "12,346"), (None, "-"), (True, "yes")],
)
def test_a_number_has_as_many_digits_as_mean_something(cell, text):
    assert tables.value(cell) == text


def test_rows_become_a_table_with_a_column_per_key():
    table = tables.plain([{"what": "a", "time_s": 1.5}, {"what": "b", "goal": 3}])

    assert table.splitlines() == [
        "| what | time (s) | goal |",
        "| --- | --- | --- |",
        "| a | 1.5 | - |",
        "| b | - | 3 |",
    ]


def test_the_table_of_peers_has_medians_and_ranges():
    row = cells(tables.peers(ROWS), "ours, Ray")

    assert row == ["ours, Ray", "3", "1 (1 to 1)", "2 (1 to 3)", "5", "2,000", "200,000", "1"]


def test_seeds_that_did_not_get_there_are_told_and_not_averaged_away():
    assert cells(tables.peers(ROWS), "theirs")[3] == "10 to 10; 2 of 3 seeds"
    assert cells(tables.peers(ROWS), "late")[3] == "not within 120 s"
    assert cells(tables.peers(ROWS), "done")[3] == "not within its own budget"


def test_the_ratio_compares_runs_of_the_same_seed():
    # 100, 200 and 300 times: the median of the ratios.
    assert cells(tables.peers(ROWS), "theirs")[-1] == "200"


def test_the_table_with_many_environments_compares_ours_with_theirs():
    rows = [run("ours, Ray, 9 lanes", seed, 600, None, None) for seed in range(2)]
    rows += [run("theirs", seed, 100 * (seed + 1), None, None) for seed in range(2)]

    table = tables.peers_wide(rows)

    assert cells(table, "theirs") == ["theirs", "2", "150 (100 to 200)", "4.5"]


def test_the_table_of_tasks_compares_within_each_task():
    rows = [run("ours, Ray", 0, 600) | {"task": "A"}, run("theirs", 0, 100) | {"task": "A"}]
    rows += [run("ours, Ray", 0, 900) | {"task": "B"}, run("theirs", 0, 300) | {"task": "B"}]

    table = tables.peers_tasks(rows)

    assert "| A | theirs | 1 | 100 (100 to 100) | 6 |" in table
    assert "| B | theirs | 1 | 300 (300 to 300) | 3 |" in table


def test_a_note_ends_the_line_below_the_table():
    machine = {"cpu": "A", "cores": 2, "memory_gib": 8.0, "system": "Linux"}
    result = {"command": "c", "date": "d", "machine": machine, "versions": {"python": "3"}}

    assert tables.origin(result | {"rows": [], "note": "shared"}).endswith("python 3; shared.")


def test_the_origin_of_a_table_is_written_below_it():
    result = {
        "name": "anything",
        "command": "benchmarks/anything.py",
        "date": "2026-11-23",
        "machine": {"cpu": "A", "cores": 2, "memory_gib": 8.0, "system": "Linux x86_64"},
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "rows": [{"value": 1, "versions": {"jax": "0.10.2"}}, {"value": 2}],
    }

    assert tables.of(result).splitlines()[-1] == (
        "`benchmarks/anything.py`, 2 cores of A, 8.0 GiB, Linux x86_64, 2026-11-23; "
        "python 3.11.7, numpy 2.4.6; theirs: jax 0.10.2."
    )


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("peers", ROWS),
        ("limit", [{"environment": "A", "ratio": 0.8, "goal": 0.5}]),
        (
            "scaling",
            [
                {"ticket_ms": 200, "workers": n, "steps_per_s": n, "ideal_steps_per_s": n}
                for n in (1, 2)
            ],
        ),
    ],
)
def test_a_result_becomes_a_picture(tmp_path, name, rows):
    path = tmp_path / "images" / figures.picture(name)

    figures.draw({"name": name, "rows": rows}, path)

    assert path.read_bytes()[:4] == b"\x89PNG"


def test_most_results_have_no_picture():
    assert figures.picture("worker") is None


def test_the_line_below_a_table_names_every_version_that_was_used():
    rows = [{"versions": {"gymnasium": number}} for number in ("1.2.2", "0.29.1", "1.2.2")]
    machine = {"cores": 2, "cpu": "x", "memory_gib": 1, "system": "Linux"}
    result = {"command": "c", "machine": machine, "date": "d", "versions": {}, "rows": rows}

    assert "; theirs: gymnasium 1.2.2 and 0.29.1." in tables.origin(result)

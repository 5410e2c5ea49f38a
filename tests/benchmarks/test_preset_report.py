"""docs/results.md says what the runs of the presets came to, and runs are made once."""

import json

import preset_report
import preset_results
import pytest
import results

PAGE = "before\n<!-- table: presets -->\nold\n<!-- end -->\nafter\n"


def measured(preset, *scores, **changes):
    rows = [
        {
            "seed": 100 + number,
            "return_mean": score,
            "environment_steps": 1000 * (number + 1),
            "updates": 10,
            "training_s": 2.5,
            "commit": "abc",
            "date": "2026-11-29",
            "settings": preset_results.settings_of("cartpole"),
            "curve": [[0, 0.0], [1000 * (number + 1), score]],
            **changes,
        }
        for number, score in enumerate(scores)
    ]
    machine = {"cores": 2, "cpu": "some", "system": "Linux x86_64"}
    named = {"name": preset, "command": "make results", "machine": machine}
    return {**named, "versions": {"numpy": "2"}, "rows": rows}


def all_measured():
    names = sorted(path.stem for path in preset_report.FOLDER.glob("*.json"))
    return [results.read(name, folder=preset_report.FOLDER) for name in names]


def test_the_page_says_what_the_results_say():
    page = preset_report.PAGE.read_text()

    assert preset_report.filled(page, all_measured()) == page, "run benchmarks/preset_report.py"


def test_a_row_holds_mean_interval_and_every_seed():
    filled = preset_report.filled(PAGE, [measured("cartpole", 480.0, 490.0, 500.0)])

    assert "| 100 to 102 | 490.0 (465.2 to 514.8) | 480.0 490.0 500.0 | 2,000 |" in filled
    assert "cartpole 2026-11-29 at abc" in filled
    assert "old" not in filled


def test_a_preset_whose_processor_is_not_the_usual_one_says_so():
    few, many = measured("one", 1.0, cpu="other"), measured("two", 1.0, 2.0)

    filled = preset_report.filled(PAGE, [few, many])

    assert "2 cores of some" in filled
    assert "one 2026-11-29 at abc on other; two 2026-11-29 at abc.)" in filled


def test_one_seed_has_no_interval_and_no_results_no_table():
    assert "| 100 to 100 | 1.000 | 1.000 |" in preset_report.filled(PAGE, [measured("taxi", 1.0)])
    assert "Not measured yet." in preset_report.filled(PAGE, [])


def test_the_curves_are_drawn(tmp_path):
    preset_report.draw([measured("one", 1.0, 2.0), measured("two", 1.0)], tmp_path / "curves.png")

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_other_settings_are_measured_again(tmp_path):
    ours, theirs = measured("cartpole", 1.0), measured("cartpole", 2.0, settings={"old": 1})
    content = {**ours, "rows": [*ours["rows"], *theirs["rows"]]}
    (tmp_path / "cartpole.json").write_text(json.dumps(content))

    assert preset_results.rows_of("cartpole", tmp_path) == ours["rows"]
    assert preset_results.rows_of("taxi", tmp_path) == []


@pytest.mark.slow
def test_a_run_is_made_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preset_results, "RUNS", tmp_path / "runs")
    words = ["--presets", "cartpole", "--seeds", "100", "100", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["preset_results.py", *words])

    preset_results.main()
    assert capsys.readouterr().out.startswith("cartpole 100: ")
    preset_results.main()

    assert capsys.readouterr().out == ""
    (row,) = results.read("cartpole", folder=tmp_path)["rows"]
    assert row["episodes"] == 100
    assert row["curve"][-1][0] == row["environment_steps"]
    assert row["settings"]["stop.target_return"] == 475.0


def test_a_preset_whose_settings_have_changed_begins_new_runs(monkeypatch):
    before = preset_results.run_name("cartpole", 100)
    changed = preset_results.settings_of("cartpole") | {"learner.learning_rate": 0.5}
    assert preset_results.run_name("cartpole", 100) == before

    monkeypatch.setattr(preset_results, "settings_of", lambda preset: changed)

    assert preset_results.run_name("cartpole", 100) != before

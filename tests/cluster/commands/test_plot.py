"""The pictures of a run: drawn whenever they are asked for, from what is there."""

import shutil

import numpy as np
from matplotlib.image import imread

from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.cli import main


def test_both_pictures_are_drawn_from_the_journal(trained_run, tmp_path, capsys):
    assert main(["plot", str(trained_run), "--output", str(tmp_path / "drawn")]) == 0

    files = sorted((tmp_path / "drawn").iterdir())
    assert [file.name for file in files] == ["episode_length.png", "overview.png"]
    assert set(map(str, files)) == set(capsys.readouterr().out.split())
    for file in files:
        red, _, blue, _ = np.moveaxis(imread(file), 2, 0)
        assert (red != blue).mean() > 0.005  # curves have colours, frames and words have none


def test_a_run_that_is_going_on_is_drawn_up_to_its_last_whole_line(trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "going on")
    journal = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(journal[:-20])

    assert main(["plot", str(run)]) == 0

    assert (run / "plots" / "overview.png").exists()


def test_a_journal_without_evaluations_is_drawn(trained_run, tmp_path):
    lines = (trained_run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(x for x in lines if '"batch": {' in x))

    assert len(draw_run(tmp_path / "metrics.jsonl", tmp_path, "run")) == 2


def test_a_run_that_has_not_played_has_no_picture(trained_run, tmp_path, capsys):
    run = shutil.copytree(trained_run, tmp_path / "new")
    (run / "metrics.jsonl").unlink()

    assert main(["plot", str(run)]) == 2
    assert "metrics.jsonl has no update yet: there is nothing to draw" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(trained_run, capsys):
    assert main(["plot", str(trained_run), "--output", "/proc/plots"]) == 2
    assert "cannot write to '/proc/plots'" in capsys.readouterr().err

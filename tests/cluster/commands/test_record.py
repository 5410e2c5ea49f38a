"""Films of a trained policy: decoded again, they show what was played, and nothing half-made."""

import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from free_port import free_port

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.export.video import MP4, VideoWriter
from reinforce.cluster.files import read_json
from reinforce.cluster.new_run import run_training
from reinforce.workers.environment import UnsuitableEnvironmentError


def frames_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return stream, pictures


@pytest.fixture
def train(make_config, tmp_path):
    """Return a function that makes a finished run and gives its directory."""

    def make(environment_id, **sections):
        config = make_config(
            environment={"id": environment_id, **sections.pop("env", {})}, **sections
        )
        run_training(config, PlainConsole(quiet=True), time.monotonic())
        return tmp_path / "runs" / "test"

    return make


@pytest.fixture
def drawn_run(train):
    """A finished run in an environment that is brighter by 50 with each of its four steps."""
    return train("fake_environments:Drawn-v0")


def test_an_episode_becomes_an_h264_film_of_its_frames_in_order(drawn_run, capsys):
    assert main(["record", str(drawn_run), "--episodes", "2"]) == 0

    films = sorted((drawn_run / "videos").iterdir())
    assert [str(film) for film in films] == capsys.readouterr().out.splitlines()[-2:]
    assert [film.name for film in films] == [
        f"step_000000000032_seed_0_episode_{episode}_return_4.0.mp4" for episode in (0, 1)
    ]
    for film in films:
        stream, pictures = frames_of(film)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (48, 34)
        assert stream.average_rate == 10
        brightness = [picture.mean() for picture in pictures]
        np.testing.assert_allclose(brightness, [0, 50, 100, 150, 200], atol=4)


def test_the_index_stands_before_the_pictures_so_that_a_browser_need_not_wait(drawn_run):
    assert main(["record", str(drawn_run), "--episodes", "1"]) == 0

    (film,) = (drawn_run / "videos").iterdir()
    content = film.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_a_webm_stands_beside_on_request_and_output_names_another_folder(drawn_run, tmp_path):
    folder = tmp_path / "Ordner für Filme"
    options = ["--episodes", "1", "--webm", "--output", str(folder)]

    assert main(["record", str(drawn_run), *options]) == 0

    assert not (drawn_run / "videos").exists()
    mp4, webm = sorted(folder.iterdir())
    assert (mp4.suffix, webm.suffix) == (".mp4", ".webm")
    stream, pictures = frames_of(webm)
    assert stream.codec_context.name == "vp9"
    np.testing.assert_allclose([p.mean() for p in pictures], [0, 50, 100, 150, 200], atol=4)


def test_an_environment_of_gymnasium_s_draws_itself_without_a_screen(trained_run, tmp_path):
    assert main(["record", str(trained_run), "--episodes", "1", "--output", str(tmp_path)]) == 0

    (film,) = tmp_path.iterdir()
    stream, pictures = frames_of(film)
    steps = float(film.stem.rpartition("_")[2])  # CartPole pays 1 per step
    assert len(pictures) == steps + 1
    assert (stream.width, stream.height) == (600, 400)
    assert np.std(pictures[0]) > 0


UNFIT = {
    "cannot draw": ("fake_environments:Countdown-v0", "", "a video needs 'rgb_array'"),
    "draws something else": ("fake_environments:Drawn-v0", "shape", "render() gave uint8 (5, 7)"),
    "lacks a package": ("fake_environments:Drawn-v0", "dependency", "run `pip install drawing`"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_filmed_is_said_and_leaves_nothing(case, train, capsys):
    environment_id, fault, message = UNFIT[case]
    run = train(environment_id, env={"kwargs": {"fault": fault} if fault else {}})

    assert main(["record", str(run)]) == 2

    assert message in capsys.readouterr().err
    assert not (run / "videos").exists()


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(drawn_run, capsys):
    assert main(["record", str(drawn_run), "--output", "/proc/videos"]) == 2

    said = capsys.readouterr().err
    assert "cannot write to '/proc/videos'" in said
    assert "choose another folder" in said


def test_a_film_that_is_not_kept_leaves_no_file(tmp_path):
    with VideoWriter(tmp_path, MP4, 10) as writer:
        writer.add(np.zeros((20, 20, 3), np.uint8))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.case
def test_a_run_films_its_last_and_its_best_weights_when_it_is_over(train):
    """Of this simulator there can be one at a time; that of the worker is closed by then."""
    run = train(
        "ports:OnePort",
        env={"kwargs": {"port": free_port()}},
        workers={"envs_per_worker": 1},
        evaluation={"video": True, "every_updates": 1},
    )

    films = sorted((run / "videos").iterdir())
    assert [film.name for film in films] == [
        # All versions are equally good here, so the first is the best.
        "step_000000000000_best_seed_0_episode_0_return_5.0.mp4",
        "step_000000000040_seed_0_episode_0_return_5.0.mp4",
    ]
    assert [len(frames_of(film)[1]) for film in films] == [6, 6]


def test_a_run_that_could_not_be_filmed_in_the_end_does_not_begin(train, tmp_path):
    with pytest.raises(UnsuitableEnvironmentError, match="a video needs 'rgb_array'"):
        train("fake_environments:Countdown-v0", evaluation={"video": True})

    assert not (tmp_path / "runs").exists()


def test_filming_that_fails_is_said_and_the_run_is_finished_all_the_same(train, capsys):
    run = train(
        "fake_environments:Drawn-v0",
        env={"kwargs": {"fault": "shape"}},
        evaluation={"video": True},
    )

    assert read_json(run / "summary.json")["status"] == "finished"


def test_filming_leaves_sigterm_to_the_system(trained_run, tmp_path):
    """SDL, by which CartPole is drawn, would catch it and go on."""
    program = (
        "from reinforce.cluster.cli import main; from pathlib import Path; import sys;"
        "code = main(sys.argv[1:]);"
        "print('SigCgt', Path('/proc/self/status').read_text().split('SigCgt:')[1].split()[0]);"
        "sys.exit(code)"
    )
    words = ["record", str(trained_run), "--episodes", "1", "--output", str(tmp_path)]

    said = subprocess.check_output([sys.executable, "-c", program, *words], text=True, timeout=120)

    caught = int(said.split()[-1], 16)
    assert not caught >> (signal.SIGTERM - 1) & 1


def test_an_agent_of_the_zoo_is_filmed_by_its_name_also_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert main(["record", "zoo:cartpole", "--episodes", "1"]) == 0

    (film,) = (tmp_path / "videos" / "cartpole").iterdir()
    (same,) = reinforce.load("zoo:cartpole").record(directory=tmp_path / "others")
    assert same.name == film.name


def test_an_agent_has_one_version_to_film(capsys):
    assert main(["record", "zoo:cartpole", "--best"]) == 2
    assert "'zoo:cartpole' is one version: leave out --best" in capsys.readouterr().err
    assert main(["record", "cartpole"]) == 2
    assert "there is no run cartpole here; did you mean 'zoo:cartpole'?" in capsys.readouterr().err

"""Every moment of every run can be had again: weights and episodes are those of the journal."""

import json
import shutil

import av
import numpy as np
import pytest
from small_runs import RUNS, SMALL, train
from written_runs import write_run

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import TicketName, play_ticket
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory


@pytest.mark.parametrize("kind", RUNS)
def test_any_ticket_of_any_run_is_played_again(kind, tmp_path):
    run = RUNS[kind](tmp_path)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert [path.name for path in (run.path / "checkpoints").glob("update-*")] == [
        "update-000000006.safetensors"
    ]
    entries = {e.updates: e for e in read_entries(run.path / "metrics.jsonl") if e.batch}
    generator, console = np.random.default_rng(0), PlainConsole(quiet=True)

    for update in [*generator.choice(range(1, 5), 2, replace=False), 5]:
        past = Reconstruction(RunDirectory.open(run.path), console)
        digests = entries[update + 1].batch.ticket_sha256
        name = TicketName.parse(f"{update}:{generator.integers(len(digests))}")
        played = play_ticket(past, name, console)

        assert past.at(update).weights.sha256 == entries[update].weights_sha256
        assert played.report.trajectories_sha256 == digests[name.index]
        assert played.is_as_recorded
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert after == before


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"))


def test_python_has_every_moment_with_its_policy_and_its_steps(run):
    moment = run.at(3, progress=False)
    steps = moment.play(ticket=1)
    recorded = run.episodes.query("update == 3 and ticket == 1")

    for ticket in (-1, 10**6, "0"):
        with pytest.raises(reinforce.UsageError):
            moment.play(ticket=ticket)
    assert moment.weights_sha256 == moment.policy().weights_sha256
    assert moment.policy().update == 3
    assert steps.groupby("episode")["reward"].sum().tolist() == recorded["return"].tolist()
    assert steps.groupby("episode")["step"].max().tolist() == recorded["length"].tolist()
    last = steps.groupby("episode").last()
    assert last["terminated"].tolist() == recorded["terminated"].tolist()
    assert steps["terminated"].sum() + steps["truncated"].sum() == 2
    assert steps["observation"][0].shape == (4,)
    assert run.at(6, progress=False).weights_sha256 == run.weights_sha256


def test_every_step_of_an_episode_is_printed(run, capsys):
    assert main(["replay", str(run.path), "3:1:1"]) == 0

    said, progress = capsys.readouterr()
    length = run.episodes.query("update == 3 and ticket == 1 and episode == 1")["length"].item()
    steps = run.at(3, progress=False).play(ticket=1).query("episode == 1")
    rows = said.splitlines()[3:-1]
    assert ", as in the journal" in said.splitlines()[2]
    assert rows[0].split() == ["step", "action", "reward", "log_prob", "observation"]
    assert len(rows) == length + 1
    assert rows[-1].split()[:3] == [str(length), str(steps["action"].iloc[-1]), "1"]
    assert f"was terminated after {length} steps" in said
    assert "computing updates 1 to 3 again" in progress


def altered(run, folder, old, new, file="metrics.jsonl"):
    """A copy of a run in which somebody has changed a text that stands in one file."""
    shutil.copytree(run.path, folder / "a")
    text = (folder / "a" / file).read_text()
    assert old in text
    (folder / "a" / file).write_text(text.replace(old, new))
    return reinforce.load(folder / "a")


def test_a_moment_that_comes_out_otherwise_is_none_of_the_run(run, tmp_path):
    other = altered(run, tmp_path, "learning_rate: 0.02", "learning_rate: 0.03", "config.yaml")

    with pytest.raises(
        reinforce.NotReproducedError, match="update 1 has another vector of weights"
    ):
        other.at(3, progress=False)
    assert main(["replay", str(other.path), "3:0"]) == 1
    films = tmp_path / "films"
    assert main(["replay", str(other.path), "3:0:0", "--film", str(films)]) == 1
    assert list(films.iterdir()) == []


def test_a_ticket_that_is_played_otherwise_is_none_of_the_run(run, tmp_path, capsys):
    entries = read_entries(run.path / "metrics.jsonl")
    batch = next(entry.batch for entry in entries if entry.updates == 4)
    other = altered(run, tmp_path, batch.ticket_sha256[1], "0" * 64)

    assert main(["replay", str(other.path), "3:1"]) == 1
    assert "this is not what the run played" in capsys.readouterr().out
    with pytest.raises(reinforce.NotReproducedError, match=f"{'0' * 64} in the journal"):
        other.at(3, progress=False).play(ticket=1)
    assert len(other.at(3, progress=False).play(ticket=0)) > 0


def test_what_began_with_recorded_actions_is_made_again_from_its_checkpoints_only(tmp_path):
    generator = np.random.default_rng(0)
    data = {"observations": generator.normal(size=(40, 4)), "actions": np.arange(40) % 2}
    options = {"name": "a", "directory": tmp_path, "progress": False, "epochs": 1}
    inline = {**SMALL, "cluster.backend": "inline", "stop.max_updates": 2, "checkpoint.keep": 9}
    cloned = reinforce.pretrain(None, data, inline, **options)
    run = cloned.resume({"stop.max_updates": 3}, progress=False)

    assert run.verify("all", progress=False).verified
    (run.path / "checkpoints" / "update-000000000.safetensors").unlink()
    with pytest.raises(reinforce.UsageError, match="began with weights from `pretrain`"):
        run.at(1, progress=False)


@pytest.mark.parametrize("update", [7, -1])
def test_a_moment_that_never_was_is_refused(run, update):
    with pytest.raises(reinforce.UsageError, match=f"no update {update}: choose 0 to"):
        run.at(update, progress=False)


def frames_of(path):
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


@pytest.mark.parametrize("vectorised", [True, False])
def test_an_episode_is_filmed_as_it_was_played(vectorised, tmp_path, capsys):
    """The third of three in two lanes: in a vector implementation it is one of a second round."""
    setting = {"environment.use_vector_implementation": vectorised}
    size = {"workers.episodes_per_ticket": 3, "stop.max_updates": 2}
    run = train(tmp_path, {**setting, **size})
    words = ["replay", str(run.path), "1:1:2", "--film", str(tmp_path / "films")]

    assert main(words) == 0

    said = capsys.readouterr().out
    episode = run.episodes.query("update == 1 and ticket == 1 and episode == 2")
    (film,) = (tmp_path / "films").iterdir()
    assert ", as in the journal" in said
    assert said.splitlines()[-1] == str(film)
    returned = episode["return"].item()
    assert film.name == f"update_1_ticket_1_episode_2_return_{returned:.1f}.mp4"
    assert frames_of(film) == episode["length"].item() + 1


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_played(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "films"

    assert main(["replay", str(run.path), "3:1:1", "--film", str(folder)]) == 2

    said = capsys.readouterr().err
    assert f"cannot write to {str(folder)!r}" in said
    assert "again, in this process" not in said


def test_a_command_that_plays_an_episode_again_can_be_copied(run, tmp_path, capsys):
    path = shutil.copytree(run.path, tmp_path / "a run")

    assert main(["show", str(path), "--worst", "1"]) == 0

    assert f"reinforce replay '{path}' " in capsys.readouterr().out


def test_the_worst_the_best_and_the_longest_are_shown_and_filmed(run, tmp_path, capsys):
    episodes = run.episodes
    worst, best = episodes["return"].min(), episodes["return"].max()

    assert main(["show", str(run.path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    films = ["--worst", "1", "--longest", "1", "--film", str(tmp_path / "films")]
    assert main(["show", str(run.path), *films]) == 0

    assert [row.split()[0] for row in rows] == ["worst"] * 3 + ["best"] * 3
    name = rows[0].split()[1]
    update, ticket, episode = map(int, name.split(":"))
    found = episodes.query(f"update == {update} and ticket == {ticket} and episode == {episode}")
    assert found["return"].item() == worst
    assert rows[0].endswith(f"reinforce replay {run.path} {name}")
    assert f"return {best:g} " in rows[3]
    lengths = sorted(frames_of(film) - 1 for film in (tmp_path / "films").iterdir())
    assert lengths == [episodes["length"].min(), episodes["length"].max()]


def test_the_most_surprising_are_those_of_the_lowest_log_probability(run, tmp_path, capsys):
    means = {}
    for update in range(6):
        for ticket in range(3):
            steps = run.at(update, progress=False).play(ticket=ticket)
            for episode, mean in steps.groupby("episode")["log_prob"].mean().items():
                means[f"{update}:{ticket}:{episode}"] = mean
    expected = sorted(means, key=means.get)[:3]

    assert main(["show", str(run.path), "--surprising", "3"]) == 0

    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [["surprising", name] for name in expected]
    assert f"log-probability {means[expected[0]]:.4f}".split() == rows[0][6:8]
    np.testing.assert_allclose(run.episodes["log_prob"], list(means.values()), atol=1e-4)


def test_a_journal_without_log_probabilities_finds_no_surprise(run, tmp_path, capsys):
    other = shutil.copytree(run.path, tmp_path / "a")
    file = other / "metrics.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    for entry in entries:
        (entry["batch"] or {}).pop("episode_log_probs", None)
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))

    assert main(["show", str(other), "--surprising", "3"]) == 2

    assert "has no log-probabilities of 0:0:0" in capsys.readouterr().err
    assert main(["show", str(other), "--worst", "1"]) == 0
    assert "log-probability" not in capsys.readouterr().out
    assert reinforce.load(other).episodes["log_prob"].isna().all()


def test_a_run_without_an_episode_has_none_to_show(make_config, capsys):
    run = write_run(make_config())

    assert main(["show", str(run.path)]) == 2

    assert "metrics.jsonl has no episode yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "--worst", "0"], "worst = 0 must be >= 1"),
        (["replay", "1:1", "--film", "films"], "name an episode of it, such as 1:1:0"),
        (["replay", "4:99"], "there is no ticket 4:99: the last of its batch is "),
        (["replay", "4:1:99"], "there is no episode 4:1:99: the last of its ticket is 1"),
        (["replay", "evaluation:4:0"], "there is no ticket evaluation:4:0: every regular"),
        (["replay", "confirmation:5:0:99"], "there is no episode confirmation:5:0:99"),
        (["replay", "confirmation:7:0"], "has no update 7: choose 0 to 6"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_updates_are_made_again(run, words, message, capsys):
    verb, *rest = words

    assert main([verb, str(run.path), *rest]) == 2

    said = capsys.readouterr().err
    assert message in said
    assert "again" not in said

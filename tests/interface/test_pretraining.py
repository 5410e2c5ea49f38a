"""Behaviour cloning, as its documentation shows it: data, weights, and REINFORCE from there on."""

import json
import shutil

import gymnasium
import numpy as np
import pytest

import reinforce
from reinforce.cluster.cli import main

QUICK = {"cluster.backend": "inline", "tracking.enabled": False}
LEARNING = {
    "learner.episodes_per_update": 8,
    "evaluation.episodes": 6,
    "evaluation.every_updates": 1,
    "stop.max_updates": 2,
    "stop.target_return": None,
}


def expert(observation):
    """Push to where the pole falls, and a little against the cart's way."""
    place, speed, angle, turning = observation
    return int(angle + 0.3 * turning + 0.05 * place + 0.1 * speed > 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten episodes in which one of five actions is another than the expert's, which is recorded."""
    environment, generator = gymnasium.make("CartPole-v1"), np.random.default_rng(0)
    observations, actions, lengths = [], [], []
    for seed in range(10):
        observation, over, start = environment.reset(seed=seed)[0], False, len(actions)
        while not over:
            action = expert(observation)
            observations.append(observation)
            actions.append(action)
            done = action if generator.random() < 0.8 else 1 - action
            observation, _, terminated, truncated, _ = environment.step(done)
            over = terminated or truncated
        lengths.append(len(actions) - start)
    file = tmp_path_factory.mktemp("data") / "expert.npz"
    np.savez(file, observations=observations, actions=actions, episode_lengths=lengths)
    return file


@pytest.fixture(scope="module")
def cloned(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {"name": "cloned", "directory": folder, "progress": False}
    return reinforce.pretrain("cartpole", data, QUICK, seed=1, **options)


def test_the_expert_of_cartpole_is_cloned_without_any_reinforcement(cloned):
    measured = cloned.summary["pretraining"]

    assert cloned.evaluate(episodes=50).mean >= 475
    assert measured["judged"]["accuracy"] > 0.9
    assert -0.2 < measured["judged"]["log_likelihood"] < 0
    assert cloned.status == "finished"
    assert cloned.summary["stop_reason"] == "pretrained"
    assert len(cloned.updates) == 0


def test_its_tables_are_empty_and_keep_their_columns(cloned):
    updates, episodes, evaluations = cloned.updates, cloned.episodes, cloned.evaluations

    assert (len(updates), len(episodes), len(evaluations)) == (0, 0, 0)
    assert "rollout/return_mean" in updates.columns
    assert "evaluation/return_mean" in evaluations.columns
    assert {"return", "length", "truncated"} < set(episodes.merge(updates, on="update").columns)


def test_it_cannot_be_compared_for_it_has_played_nothing(cloned):
    with pytest.raises(reinforce.UsageError, match="is a pretrained run, which has no"):
        reinforce.compare([cloned])


def test_the_command_line_gives_the_same_weights_from_the_same_seed(cloned, data, tmp_path, capsys):
    options = ["--run.name=again", f"--run.directory={tmp_path}", "--cluster.backend=inline"]

    assert main(["pretrain", "cartpole", str(data), "--run.seed=1", *options]) == 0

    assert reinforce.load(tmp_path / "again").weights_sha256 == cloned.weights_sha256
    said = capsys.readouterr().out
    assert "epoch 20/20: log-likelihood -" in said
    assert "held out:     log-likelihood -" in said
    assert f"weights     sha256 {cloned.weights_sha256}" in said


def test_reinforcement_goes_on_from_it(cloned, tmp_path):
    at_once = {"callbacks": [lambda event: event.stop("at once")], "progress": False}
    # With nothing but returns of 500 there is only the entropy to gain.
    bonus = {"learner.entropy_coefficient": 0.01}
    overrides = {**QUICK, **LEARNING, **bonus, "run.start_from": str(cloned.path)}

    untouched = reinforce.train("cartpole", overrides, directory=tmp_path, **at_once)
    learned = reinforce.train("cartpole", overrides, directory=tmp_path, progress=False)

    assert untouched.weights_sha256 == cloned.weights_sha256
    assert untouched.config.run.start_from == f"{cloned.path}@0"
    assert learned.weights_sha256 != cloned.weights_sha256
    assert learned.updates["rollout/return_mean"].iloc[0] > 300  # from nothing it is 20


def test_it_is_a_run_that_can_be_exported_and_resumed(data, tmp_path):
    options = {"name": "both", "directory": tmp_path, "progress": False, "epochs": 1}
    run = reinforce.pretrain("cartpole", data, {**QUICK, **LEARNING}, **options)

    assert reinforce.load(run.export(tmp_path / "bundle")).weights_sha256 == run.weights_sha256
    began_with = run.weights_sha256
    resumed = run.resume({"stop.max_updates": 1}, progress=False)
    assert len(resumed.updates) == 1
    assert resumed.config.run.start_from_sha256 == began_with  # so it is counted apart
    assert resumed.summary["start_from"]["source"] == "recorded actions"
    first = json.loads((run.path / "history.jsonl").read_text().splitlines()[0])
    assert first["pretraining"]["epochs"] == 1  # what it imitated is known after the summary went


def test_a_supervised_training_of_its_name_goes_on_from_it(data, tmp_path):
    """The command says nothing of a start, and the run has its weights already."""
    settings = {**QUICK, **LEARNING, "stop.max_updates": 1}
    options = {"name": "both", "directory": tmp_path, "progress": False, "epochs": 1}
    run = reinforce.pretrain("cartpole", data, settings, **options)
    began_with = run.weights_sha256
    said = [f"--{name}={value}" for name, value in settings.items()]
    said += ["--run.name=both", f"--run.directory={tmp_path}"]

    assert main(["train", "cartpole", "--resume=auto", *said]) == 0

    assert run.summary["updates"] == 1
    assert run.summary["start_from"]["weights_sha256"] == began_with
    other = f"--run.start_from_sha256={'0' * 64}"
    assert main(["train", "cartpole", "--resume=auto", *said, other]) == 2  # it was said on purpose


def test_it_does_not_begin_anew_when_its_weights_are_gone(data, tmp_path):
    options = {"name": "gone", "directory": tmp_path, "progress": False, "epochs": 1}
    run = reinforce.pretrain("cartpole", data, {**QUICK, **LEARNING}, **options)
    shutil.rmtree(run.path / "checkpoints")
    summary = run.summary

    with pytest.raises(
        reinforce.UsageError, match=r"`pretrain` made .* are gone .* put those back"
    ):
        run.resume({"stop.max_updates": 1}, progress=False)

    assert run.summary == summary


def test_one_that_began_with_a_run_names_that_as_its_origin_alone(cloned, data, tmp_path):
    start = {**QUICK, "run.start_from": str(cloned.path)}
    options = {"directory": tmp_path, "progress": False, "epochs": 1}

    run = reinforce.pretrain("cartpole", data, start, **options)

    assert run.weights_sha256 != cloned.weights_sha256
    own = {"source": "recorded actions", "weights_sha256": run.weights_sha256, "mlflow": None}
    assert run.summary["start_from"] == own
    (line,) = (run.path / "history.jsonl").read_text().splitlines()
    origin = {"source": f"{cloned.path}@0", "weights_sha256": cloned.weights_sha256}
    assert json.loads(line)["pretraining"]["start_from"] == {**origin, "mlflow": None}
    with pytest.raises(reinforce.UsageError, match="the configuration of a pretrained run"):
        reinforce.train(run.path / "config.yaml", name="alone", directory=tmp_path)


def test_a_gradient_is_not_longer_than_it_may_be(cloned, data, tmp_path):
    """One epoch of Adam: of steps that all have the same short length, it makes others."""
    options = {"directory": tmp_path, "progress": False, "epochs": 1, "seed": 1}

    free = reinforce.pretrain("cartpole", data, QUICK, name="free", **options)
    short = {**QUICK, "learner.max_gradient_norm": 1e-9}

    bound = reinforce.pretrain("cartpole", data, short, name="bound", **options)

    assert bound.weights_sha256 != free.weights_sha256


def test_checkpoints_of_another_run_stay_as_they_are(data, tmp_path):
    place = {**QUICK, "checkpoint.directory": str(tmp_path / "shared")}
    folder = tmp_path / "shared" / "same"
    folder.mkdir(parents=True)
    (folder / "update-000000003.safetensors").write_bytes(b"somebody's")

    with pytest.raises(reinforce.RunDirectoryError, match="holds checkpoints of another run"):
        reinforce.pretrain("cartpole", data, place, name="same", directory=tmp_path / "runs")

    assert [file.name for file in folder.iterdir()] == ["update-000000003.safetensors"]
    assert not (tmp_path / "runs" / "same").exists()


def test_a_memory_is_followed_through_the_episodes_of_the_data(tmp_path):
    """Recall shows a number once; three steps later only a memory can say it."""
    numbers = np.random.default_rng(0).integers(3, size=200)
    observations = np.stack([numbers, *[np.full(200, 3)] * 3], axis=1).ravel()
    data = {
        "observations": observations,
        "actions": np.repeat(numbers, 4),
        "episode_lengths": np.full(200, 4),
    }
    overrides = {**QUICK, "policy.hidden_sizes": [16], "learner.learning_rate": 0.03}
    options = {"environment": "space_tasks:Recall", "policy": "gru", "directory": tmp_path}

    run = reinforce.pretrain(None, data, overrides, progress=False, batch_steps=128, **options)

    assert run.summary["pretraining"]["judged"]["accuracy"] == 1
    assert run.evaluate(episodes=20).mean == 1


def test_numbers_are_imitated_in_the_bounds_of_their_box(tmp_path):
    """Say what is seen: both come from one Box, whose bounds differ."""
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 5.0])
    shown = np.random.default_rng(0).uniform(low, high, (1500, 2))
    overrides = {**QUICK, "environment.kwargs": {"space": "box"}, "learner.learning_rate": 0.02}
    data = {"observations": shown, "actions": shown}
    options = {"environment": "space_tasks:Imitation", "directory": tmp_path, "progress": False}

    run = reinforce.pretrain(None, data, overrides, epochs=25, **options)

    said = np.array([run.policy().act(row)[0] for row in shown[:50].astype(np.float32)])
    assert np.abs(said - shown[:50]).mean() < 0.05 * (high - low).mean()
    assert run.summary["pretraining"]["judged"]["accuracy"] is None


WRONG = {
    "a value outside": ({"actions": np.array([0, 2, 1])}, {}, "row 1 of actions holds 2"),
    "too short": ({"actions": np.array([0]), "observations": np.zeros((1, 4))}, {}, "held out"),
    "beyond float32": (
        *({"observations": np.full((3, 4), 1e39)}, {}),
        r"row 0 of observations holds 1e\+39",
    ),
    "an optimizer": (
        *({}, {"overrides": {**QUICK, "run.start_from_optimizer": True}}),
        "uses a fresh optimizer",
    ),
    "no epochs": ({}, {"epochs": 0}, "epochs = 0 must be an integer >= 1"),
    "nothing held out": ({}, {"held_out": 0.0}, "held_out = 0.0 must be between 0 and 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_imitated_is_refused_and_nothing_is_left(case, tmp_path):
    arrays, options, message = WRONG[case]
    data = {"observations": np.zeros((3, 4)), "actions": np.array([0, 1, 1]), **arrays}

    options = {"directory": tmp_path / "runs", "progress": False, "overrides": QUICK, **options}

    with pytest.raises(reinforce.ReinforceError, match=message):
        reinforce.pretrain("cartpole", data, **options)
    assert list(tmp_path.iterdir()) == []


FILES = {
    "text": b"observations, actions",
    "a torn archive": b"PK\x03\x04 and then nothing",
    "an array alone": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': (3,)}",
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_dataset_is_refused(case, tmp_path):
    file = tmp_path / "data.npz"
    file.write_bytes(FILES[case])

    with pytest.raises(reinforce.ConfigError, match=r"cannot read the data in '.*data\.npz'"):
        reinforce.pretrain("cartpole", file, QUICK, directory=tmp_path / "runs", progress=False)
    with pytest.raises(reinforce.ConfigError, match="No such file"):
        reinforce.pretrain("cartpole", tmp_path / "none.npz", QUICK, progress=False)


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, observations=np.zeros((3, 4)), actions=np.array([print, None, 1]))

    with pytest.raises(
        reinforce.ConfigError, match=r"not an \.npz file of plain arrays \(Object arr"
    ):
        reinforce.pretrain("cartpole", file, QUICK, directory=tmp_path / "runs", progress=False)


def test_the_command_asks_for_its_data(capsys):
    assert main(["pretrain", "cartpole"]) == 2
    assert "needs data after the preset" in capsys.readouterr().err

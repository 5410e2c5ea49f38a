"""Trained agents: those that come along, and those that are fetched from and offered elsewhere."""

import hashlib
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.commands import zoo
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import decode, encode
from reinforce.cluster.zoo.card import SETTINGS, read_card
from reinforce.cluster.zoo.names import SHIPPED, find_agent, shipped_names
from reinforce.cluster.zoo.places import Folder
from reinforce.configs.loading import load_config

KEPT = ("card.json", "checkpoint.safetensors")


@pytest.fixture(autouse=True)
def own_zoo(tmp_path, monkeypatch):
    """The folder of the user's own agents, empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "reinforce" / "zoo"


@pytest.fixture(scope="module")
def offered(trained_run, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    words = ["--place", str(place), "--name", "walker", "--licence", "MIT"]
    assert main(["zoo", "push", str(trained_run), *words]) == 0
    return place


@pytest.fixture
def place(offered, tmp_path):
    """A folder in which somebody offers one agent, walker."""
    return Path(shutil.copytree(offered, tmp_path / "place"))


def refused(capsys, *words):
    assert main(["zoo", *map(str, words)]) == 2
    return capsys.readouterr().err


def pulled(place, *words):
    assert main(["zoo", "pull", "walker", "--place", str(place), *words]) == 0


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_agent_is_what_its_card_says_and_data_alone(name):
    card, checkpoint = find_agent(name)

    assert card.name == name
    assert card.licence == "MIT"
    assert card.evaluation is not None
    assert checkpoint.weights.sha256 == card.weights_sha256
    assert {file.name for file in (SHIPPED / name).iterdir()} == {*KEPT, SETTINGS}
    assert load_config(str(SHIPPED / name / SETTINGS)).environment.id == card.environment


def test_the_shipped_agents_are_small():
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*")) < 1_000_000


def test_a_shipped_agent_is_evaluated_by_its_name(capsys):
    assert main(["evaluate", "zoo:cartpole", "--episodes", "5", "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["run"] == "zoo:cartpole"
    assert result["return_mean"] == 500.0


def test_it_is_played_otherwise_where_that_is_said(capsys):
    words = ["--environment.max_episode_steps", "100", "--episodes", "5", "--json"]
    assert main(["evaluate", "zoo:cartpole", *words]) == 0

    assert json.loads(capsys.readouterr().out)["return_mean"] == 100.0


def test_an_agent_has_one_version(capsys):
    assert main(["evaluate", "zoo:cartpole", "--best"]) == 2

    assert "is one version: leave out --best" in capsys.readouterr().err


def test_a_run_starts_from_an_agent(tmp_path):
    overrides = {
        "run.start_from": "zoo:cartpole",
        "stop.max_updates": 1,
        "stop.target_return": None,
        "evaluation.episodes": 5,
        "tracking.enabled": False,
    }
    run = reinforce.train(
        "cartpole", overrides, directory=tmp_path, backend="inline", progress=False
    )

    assert run.config.run.start_from == "zoo:cartpole"
    assert run.config.run.start_from_sha256 == find_agent("cartpole")[0].weights_sha256
    assert run.updates["rollout/return_mean"].iloc[0] > 200  # random weights: 20


def test_a_misspelt_agent_is_named(capsys):
    assert main(["evaluate", "zoo:cartpol"]) == 2

    assert "did you mean 'cartpole'?" in capsys.readouterr().err


def test_what_is_pushed_is_listed_pulled_and_the_same_policy(place, trained_run, own_zoo, capsys):
    assert main(["zoo", "list", "--place", str(place)]) == 0
    assert "walker" in capsys.readouterr().out
    pulled(place)

    assert find_agent("walker")[0].weights_sha256 == reinforce.load(trained_run).weights_sha256
    card = read_card((own_zoo / "walker" / "card.json").read_bytes(), "walker")
    assert card.updates == 3
    assert card.evaluation.episodes == 20
    assert card.curve[-1][0] == card.environment_steps
    assert "| licence | MIT |" in (own_zoo / "walker" / "README.md").read_text()
    assert main(["zoo", "list"]) == 0
    assert "zoo:walker" in capsys.readouterr().out


def test_the_settings_of_an_agent_train_it_again_and_name_no_place(place, trained_run):
    again = load_config(str(place / "walker" / SETTINGS))

    for section in ("environment", "learner", "policy", "stop", "workers"):
        assert getattr(again, section) == getattr(reinforce.load(trained_run).config, section)
    assert str(trained_run.parent) not in (place / "walker" / SETTINGS).read_text()


def test_a_url_is_a_place(trained_run, tmp_path):
    url = f"memory://{tmp_path.name}"

    assert main(["zoo", "push", str(trained_run), "--place", url, "--name", "walker"]) == 0
    pulled(url)

    assert find_agent("walker")[0].licence is None


def test_nothing_of_a_stranger_but_card_and_checkpoint_is_taken(place, own_zoo):
    theirs = {file.name for file in (place / "walker").iterdir()} - set(KEPT)
    for name in theirs:
        (place / "walker" / name).write_text("raise SystemExit('I ran')")
    pulled(place)

    assert theirs == {file.name for file in (own_zoo / "walker").iterdir()} - set(KEPT)
    for name in theirs:
        assert "I ran" not in (own_zoo / "walker" / name).read_bytes().decode("latin-1")


def test_a_stranger_does_not_choose_what_training_again_would_import(place, own_zoo, capsys):
    folder = place / "walker"
    checkpoint = decode((folder / "checkpoint.safetensors").read_bytes(), "walker")
    environment = checkpoint.config["environment"] | {"id": "os:system"}
    content = encode(replace(checkpoint, config=checkpoint.config | {"environment": environment}))
    card = json.loads((folder / "card.json").read_text())
    card |= {"environment": "os:system", "checkpoint_sha256": hashlib.sha256(content).hexdigest()}
    (folder / "checkpoint.safetensors").write_bytes(content)
    (folder / "card.json").write_text(json.dumps(card))

    assert "'os:system'" in refused(capsys, "pull", "walker", "--place", place)
    assert not own_zoo.exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("checkpoint.safetensors", lambda old: old[:-1] + b"\xff", "does not match its card"),
        (
            "card.json",
            lambda old: old.replace(b'"updates": 3', b'"updates": "3"'),
            "is not an agent's card",
        ),
        ("card.json", lambda old: b"[" * 10_000, "is not an agent's card"),
        (
            "card.json",
            lambda old: old.replace(b'"weights_sha256": "', b'"w": "'),
            "is not an agent's card",
        ),
        (
            "card.json",
            lambda old: old.replace(b'"MIT"', b'"MIT |\\n# Run this"'),
            "is not an agent's card",
        ),
        ("card.json", lambda old: old + b" " * 2**20, "larger than 1,048,576 bytes"),
        ("card.json", lambda old: old.replace(b'"CartPole-v1"', b'"Other-v1"'), "not trained as"),
        ("card.json", lambda old: old.replace(b'"updates": 3', b'"updates": 2'), "not trained as"),
    ],
)
def test_an_agent_that_is_not_what_its_card_says_is_refused(
    place, own_zoo, capsys, file, change, message
):
    path = place / "walker" / file
    path.write_bytes(change(path.read_bytes()))

    assert message in refused(capsys, "pull", "walker", "--place", place)
    assert not own_zoo.exists()


def test_other_weights_under_a_right_digest_of_the_file_are_refused(place, capsys):
    path = place / "walker" / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"weights_sha256": "0" * 64}))

    assert "has different weights" in refused(capsys, "pull", "walker", "--place", place)


def test_one_broken_agent_does_not_hide_the_others_in_a_list(place, capsys):
    shutil.copytree(place / "walker", place / "broken")
    (place / "broken" / "card.json").write_text("{")
    (place / "walker" / "checkpoint.safetensors").unlink()  # a list needs cards alone

    assert main(["zoo", "list", "--place", str(place)]) == 0

    broken, walker = capsys.readouterr().out.splitlines()
    assert "is not an agent's card" in broken
    assert "MIT" in walker


def test_what_could_not_be_stored_whole_is_not_in_the_way_of_the_next_try(tmp_path):
    folder = Folder(str(tmp_path))
    with pytest.raises(UsageError, match="cannot be used"):
        folder.write("walker", {"a": b"", "b/c": b"", "card.json": b"{}"})  # there is no folder b

    assert folder.write("walker", {"card.json": b"{}"}) == f"{tmp_path}/walker"
    assert (tmp_path / "walker").stat().st_mode & 0o755 == 0o755, "others may take it"
    assert folder.names() == ["walker"]


@pytest.mark.parametrize(
    "url",
    ["s3://ann:hush@bucket/zoo", "simplecache::s3://ann:hush@bucket", "https://host/zoo?sig=hush"],
)
def test_a_place_that_may_hold_a_secret_is_refused_and_not_repeated(capsys, url):
    said = refused(capsys, "list", "--place", url)

    assert "is not a plain address" in said
    assert "hush" not in said


def test_names_that_cannot_be_are_refused(place, trained_run, capsys):
    there = ["--place", str(place)]

    assert "there are: walker" in refused(capsys, "pull", "runner", *there)
    assert "choose another" in refused(capsys, "pull", "walker", *there, "--name", "cartpole")
    assert "cannot name an agent" in refused(capsys, "push", trained_run, "--name", "../out")
    assert "exists already" in refused(capsys, "push", trained_run, *there, "--name", "walker")
    assert "say where 'walker' is" in refused(capsys, "pull", "walker")
    assert "is not the name of a licence" in refused(
        capsys, "push", trained_run, "--licence", "a\nb"
    )
    assert "needs the name of an agent" in refused(capsys, "pull")
    assert "nosuch://place" in refused(capsys, "list", "--place", "nosuch://place")


def test_a_class_of_the_users_own_is_no_data(tmp_path, capsys):
    words = ["--policy.kind", "user_package:Projecting", "--stop.max_updates", "1"]
    quick = ["--cluster.backend", "inline", "--tracking.enabled", "false"]
    quick += ["--evaluation.episodes", "5", "--run.directory", str(tmp_path), "--run.name", "own"]
    assert main(["train", "cartpole", *words, *quick]) == 0

    assert "is code, but the zoo holds only data" in refused(capsys, "push", tmp_path / "own")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    with FakeHub() as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
        hub.shutdown()
        thread.join()


def test_hugging_face_is_a_place(hub, trained_run, capsys):
    words = ["--place", "hf:ann", "--name", "walker", "--licence", "MIT"]
    assert main(["zoo", "push", str(trained_run), *words]) == 0
    assert main(["zoo", "list", "--place", "hf:ann"]) == 0
    assert "walker" in capsys.readouterr().out
    pulled("hf:ann")

    assert find_agent("walker")[0].weights_sha256 == reinforce.load(trained_run).weights_sha256
    front = hub.repositories["ann/walker"]["README.md"].decode()
    assert front.startswith("---\nlibrary_name: distributed-reinforce\n")
    assert "license: mit\n---\n# A policy for CartPole-v1" in front


def test_what_is_too_large_for_a_card_is_not_downloaded(hub, trained_run, capsys):
    assert main(["zoo", "push", str(trained_run), "--place", "hf:ann", "--name", "walker"]) == 0
    hub.repositories["ann/walker"]["card.json"] += b" " * 2**20

    said = refused(capsys, "pull", "walker", "--place", "hf:ann")

    assert "hf:ann/walker/card.json is larger than 1,048,576 bytes" in said
    assert ("GET", "card.json") not in hub.asked


def test_what_hugging_face_refuses_is_said_without_the_token(hub, trained_run, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")

    said = refused(capsys, "push", trained_run, "--place", "hf:ann", "--name", "walker")

    assert "401" in said
    assert "hf_of_somebody_else" not in said
    assert hub.repositories == {}
    assert "hf:ann" in refused(capsys, "pull", "walker", "--place", "hf:ann")


def test_what_hugging_face_does_not_take_leaves_nothing_that_refuses_the_next_try(
    hub, trained_run, monkeypatch, capsys
):
    push = ["push", str(trained_run), "--place", "hf:ann", "--name", "walker"]
    hub.refused_commits = 1

    assert "507" in refused(capsys, *push)

    assert hub.repositories == {}
    assert main(["zoo", *push]) == 0


def test_a_place_that_does_not_answer_is_named(place, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "_TIMEOUT_S", 0.01)
    monkeypatch.setattr(Folder, "names", lambda self: time.sleep(1))

    said = refused(capsys, "list", "--place", place)

    assert f"{place} has not answered for 0.01 s" in said


def test_an_agent_that_does_not_answer_does_not_hide_the_others(place, monkeypatch, capsys):
    shutil.copytree(place / "walker", place / "slow")
    card = Folder.card
    monkeypatch.setattr(zoo, "_TIMEOUT_S", 1.0)
    monkeypatch.setattr(
        Folder, "card", lambda self, name: card(self, name) if name != "slow" else time.sleep(3)
    )

    assert main(["zoo", "list", "--place", str(place)]) == 0

    slow, walker = capsys.readouterr().out.splitlines()
    assert "slow has not answered for 1 s" in slow
    assert "MIT" in walker


def test_a_place_without_agents_is_told(tmp_path, capsys):
    assert main(["zoo", "list", "--place", str(tmp_path / "nowhere")]) == 0
    assert capsys.readouterr().err == f"there is no agent in {tmp_path / 'nowhere'}\n"
    assert "leave out 'walker'" in refused(capsys, "list", "walker")

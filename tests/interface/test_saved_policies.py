"""Policies without their run: from checkpoints at a URL, their files, and exported bundles."""

import shutil
import threading
from contextlib import chdir, suppress
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import fsspec
import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import reinforce
from reinforce.cluster.policy_sources import find_policy, names_the_same
from reinforce.cluster.run_store.checkpoint import decode, encode
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT
from reinforce.configs.execution import TrackingConfig

QUICK = {
    "learner.episodes_per_update": 8,
    "workers.episodes_per_ticket": 4,
    "evaluation.episodes": 6,
    "evaluation.every_updates": 2,
    "stop.max_updates": 3,
    "stop.target_return": None,
    "tracking.enabled": False,
    "policy.normalize_observations": True,
    "cluster.backend": "inline",
}
OBSERVATION = np.array([0.1, -0.2, 0.05, 0.3])


def train(directory, overrides=(), **options):
    options = {"directory": directory, "progress": False, **options}
    return reinforce.train("cartpole", {**QUICK, **dict(overrides)}, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that keeps its checkpoints at a URL."""
    overrides = {"checkpoint.directory": "memory://kept", "checkpoint.keep": [2, 2]}
    return train(tmp_path_factory.mktemp("runs"), overrides, name="mine", seed=1)


@pytest.fixture(scope="module")
def places(run, tmp_path_factory):
    """The same policy in other places: by what it is, its name."""
    folder = tmp_path_factory.mktemp("places")
    files = folder / "files"
    files.mkdir()
    for name in ("update-000000002.safetensors", "update-000000003.safetensors"):
        (files / name).write_bytes(fsspec.filesystem("memory").cat_file(f"/kept/mine/{name}"))
    bundle = run.export(folder / "bundle")
    return {
        "run": str(run.path),
        "URL": "memory://kept/mine",
        "version at a URL": "memory://kept/mine@3",
        "file at a URL": "memory://kept/mine/update-000000003.safetensors",
        "folder": str(files),
        "URL of a folder": files.as_uri(),
        "file": str(files / "update-000000003.safetensors"),
        "bundle": str(bundle),
        "URL of a bundle": bundle.as_uri(),
    }


PLACES = (
    *("URL", "version at a URL", "file at a URL", "folder", "URL of a folder", "file"),
    *("bundle", "URL of a bundle"),
)


@pytest.mark.parametrize("place", PLACES)
def test_a_policy_acts_and_is_measured_as_in_its_run_wherever_it_is_kept(place, run, places):
    saved = reinforce.load(places[place])

    assert type(saved) is reinforce.SavedPolicy
    assert saved.weights_sha256 == run.weights_sha256
    assert names_the_same(saved.source, places[place])
    assert saved.config.policy == run.config.policy
    assert saved.policy().act(OBSERVATION)[0] == run.policy().act(OBSERVATION)[0]
    returns = saved.evaluate(episodes=5, seed=7).returns
    np.testing.assert_array_equal(returns, run.evaluate(episodes=5, seed=7).returns)
    assert repr(saved) == f"<SavedPolicy {saved.source!r}>"


def test_another_version_is_asked_for_by_an_at_sign(run):
    assert reinforce.load("memory://kept/mine@2").policy().update == 2
    best = reinforce.load("memory://kept/mine@best")
    assert best.weights_sha256 == run.policy(best=True).weights_sha256
    assert reinforce.load(f"{run.path}@2").policy().update == 2


def test_a_run_has_all_that_a_saved_policy_has(run):
    assert isinstance(run, reinforce.SavedPolicy)
    public = {name for name in dir(reinforce.SavedPolicy) if not name.startswith("_")}
    assert all(hasattr(run, name) for name in {*public, "source"})


def test_a_saved_policy_is_exported_again_with_the_same_actions(places, tmp_path):
    first = reinforce.load(places["bundle"])

    again = reinforce.load(first.export(tmp_path / "again"))

    assert again.weights_sha256 == first.weights_sha256
    assert again.config == first.config


@pytest.mark.parametrize("place", [*PLACES, "run"])
def test_a_run_starts_from_any_place_with_its_very_weights(place, run, places, tmp_path):
    def at_once(event):
        event.stop("at once")

    warm = train(tmp_path, {"run.start_from": places[place]}, callbacks=[at_once])

    assert warm.weights_sha256 == run.weights_sha256
    noted = warm.config.run.start_from
    assert reinforce.load(noted).weights_sha256 == run.weights_sha256
    start = {"source": noted, "weights_sha256": run.weights_sha256, "mlflow": None}
    assert warm.summary["start_from"] == start


def test_a_run_starts_from_a_policy_that_is_loaded(run, places, tmp_path):
    saved = reinforce.load(places["URL"])

    warm = train(tmp_path, {"run.start_from": saved}, callbacks=[lambda event: event.stop("now")])

    assert warm.config.run.start_from == saved.source
    assert warm.weights_sha256 == run.weights_sha256


def test_statistics_of_the_observations_go_on_from_where_they_were(places, tmp_path):
    """From a bundle as from the run: the second update sees what the first one counted."""
    digests = {
        train(tmp_path, {"run.start_from": places[place], "stop.max_updates": 2}).weights_sha256
        for place in ("run", "bundle", "URL")
    }

    assert len(digests) == 1


def test_a_bundle_tells_neither_places_nor_secrets(run, places):
    config = reinforce.load(places["bundle"]).config

    assert config.run.name == "mine"
    assert config.checkpoint.directory is None
    assert str(run.path.parent) not in repr(config)


def test_an_environment_with_secrets_is_played_from_its_run_only(tmp_path):
    def locked(api_token):
        assert api_token == "s3cret"
        return gymnasium.make("CartPole-v1", max_episode_steps=9)

    overrides = {"environment.kwargs": {"api_token": "s3cret"}}
    run = train(tmp_path, overrides, environment=locked)
    bundle = run.export(tmp_path / "bundle")

    assert b"s3cret" not in (bundle / PORTABLE_CHECKPOINT).read_bytes()
    with pytest.raises(reinforce.UsageError, match="with secrets in its settings"):
        reinforce.load(bundle, environment=locked).evaluate(5)
    assert run.evaluate(5).mean > 0


class Gated(nn.Module):
    """A policy with arguments; it notes on which devices its weights have been made."""

    devices: ClassVar[set[str]] = set()

    def __init__(self, observation_shapes, num_outputs, num_tokens=3, api_token="s3cret"):
        if api_token == "wr0ng":
            raise ValueError("it is none")
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, num_tokens), nn.Linear(num_tokens, num_outputs))
        self.devices.add(self.layers[0].weight.device.type)

    def forward(self, observations):
        return self.layers(next(iter(observations.values())))


def test_a_number_that_is_called_like_a_secret_comes_along(tmp_path):
    def short(auth_steps):
        return gymnasium.make("CartPole-v1", max_episode_steps=auth_steps)

    numbers = {"policy.arguments": {"num_tokens": 16}, "environment.kwargs": {"auth_steps": 9}}
    run = train(tmp_path, numbers, policy=Gated, environment=short, name="a")
    bundle = run.export(tmp_path / "bundle")

    saved = reinforce.load(bundle, environment=short, trust=True)

    assert saved.config.policy.arguments == {"num_tokens": 16}
    assert saved.evaluate(5).lengths.max() == 9
    start = {**numbers, "run.start_from": str(bundle)}
    assert train(tmp_path, start, policy=Gated, environment=short, name="b").status == "finished"


def test_a_policy_with_secrets_is_had_from_its_run_only(tmp_path):
    secret = {"policy.arguments": {"api_token": "s3cret"}}
    run = train(tmp_path, secret, policy=Gated, name="a")
    bundle = run.export(tmp_path / "bundle")
    saved = reinforce.load(bundle, trust=True)

    assert b"s3cret" not in (bundle / PORTABLE_CHECKPOINT).read_bytes()
    for use in (
        saved.policy,
        lambda: saved.export(tmp_path / "again"),
        lambda: train(tmp_path, {**secret, "run.start_from": str(bundle)}, policy=Gated, name="b"),
    ):
        with pytest.raises(reinforce.UsageError, match=r"with secrets in policy\.arguments"):
            use()
    start = {**secret, "run.start_from": str(run.path)}
    assert train(tmp_path, start, policy=Gated, name="c").status == "finished"


def test_secrets_are_in_no_message_about_policies_that_differ(tmp_path):
    run = train(tmp_path, {"policy.arguments": {"api_token": "s3cret"}}, policy=Gated, name="a")
    start = {"run.start_from": str(run.path)}

    for token, message in (("wr0ng", "it is none"), ("0ther", "there, .* here")):
        with pytest.raises(reinforce.ReinforceError, match=message) as refused:
            train(tmp_path, {**start, "policy.arguments": {"api_token": token}}, policy=Gated)
        assert "'api_token': '***'" in str(refused.value)
        assert "s3cret" not in str(refused.value)
        assert token not in str(refused.value)


@pytest.mark.parametrize(
    "greedy",
    [
        {"kind": "gru", "hidden_sizes": [3000, 3000]},
        {"kind": "cnn", "hidden_sizes": [3000, 3000]},
        {"kind": "mlp", "hidden_sizes": [3000, 3000]},
        {"kind": "python:Gated", "arguments": {"num_tokens": 10_000_000}},
    ],
    ids=lambda policy: policy["kind"],
)
def test_no_memory_is_taken_for_a_policy_that_has_other_weights(
    greedy, places, tmp_path, monkeypatch
):
    def made(architecture):
        raise AssertionError("a network is made")

    monkeypatch.setattr("reinforce.learner.networks.network.TorchPolicy", made)
    monkeypatch.setattr(Gated, "devices", set())
    checkpoint = decode((Path(places["bundle"]) / PORTABLE_CHECKPOINT).read_bytes(), "it")
    config = {**checkpoint.config, "policy": {**checkpoint.config["policy"], **greedy}}
    (tmp_path / PORTABLE_CHECKPOINT).write_bytes(encode(replace(checkpoint, config=config)))
    given = {"policy": Gated} if "arguments" in greedy else {}

    with pytest.raises(reinforce.UsageError, match="weights do not fit a policy of"):
        reinforce.load(tmp_path, **given).policy()

    assert Gated.devices <= {"meta"}


@cache
def ones(size):
    return torch.ones(size)


class Cached(Gated):
    """A policy with a constant that is made once per process."""

    def forward(self, observations):
        return super().forward(observations) * self.ones

    def __init__(self, observation_shapes, num_outputs):
        super().__init__(observation_shapes, num_outputs)
        self.ones = ones(num_outputs)


def test_a_class_that_keeps_tensors_is_made_with_memory_alone_where_it_is_trusted(tmp_path):
    """In another environment than that of training, too, which has no say in whose run it is."""
    run = train(tmp_path, {"stop.max_updates": 1}, policy=Cached, name="a")
    ones.cache_clear()

    other = {"kwargs": {"sutton_barto_reward": True}}
    assert run.evaluate(5, environment=other).mean <= 0
    ones.cache_clear()
    reinforce.load(run.path / "checkpoints", trust=True).policy().act(OBSERVATION)


class Handler(BaseHTTPRequestHandler):
    """A store that fails, or does not say how long what it sends is, or never comes to an end."""

    def do_GET(self):
        if "/failing/" in self.path:
            self.send_error(500)
            return
        self.send_response(200)
        self.end_headers()
        with suppress(ConnectionError):
            while self.command == "GET":
                self.wfile.write(b"x" * 1000)
                if "/endless/" not in self.path:
                    break

    do_HEAD = do_GET  # noqa: N815  (as http.server calls it)

    def log_message(self, *words):
        pass


@pytest.fixture
def store():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("failing", r"update-000000001\.safetensors cannot be read: 500, "),
        ("without-length", r"update-000000001\.safetensors cannot be read: "),
        ("endless", "it is larger than 100,000 bytes"),
    ],
)
def test_a_server_that_does_as_it_likes_is_one_message(kind, message, store, monkeypatch):
    memory = SimpleNamespace(total=200_000)
    monkeypatch.setattr(
        "reinforce.cluster.run_store.checkpoints.psutil.virtual_memory", lambda: memory
    )

    with pytest.raises(reinforce.UsageError, match=message) as refused:
        find_policy(f"{store}/{kind}/update-000000001.safetensors", "source", TrackingConfig())

    assert "\n" not in str(refused.value)


def test_what_does_not_fit_is_named_tensor_by_tensor(places, tmp_path):
    overrides = {"run.start_from": places["bundle"], "policy.hidden_sizes": [64, 3]}

    with pytest.raises(reinforce.UsageError, match=r"tensor 2: \[64, 64\] there, \[3, 64\] here"):
        train(tmp_path, overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_has_no_optimizer_to_go_on_with(places, tmp_path):
    overrides = {"run.start_from": places["bundle"], "run.start_from_optimizer": True}

    with pytest.raises(reinforce.UsageError, match="none there; leave out run"):
        train(tmp_path, overrides)
    overrides["run.start_from"] = places["URL"]
    assert train(tmp_path, overrides).status == "finished"


def test_code_that_it_names_is_imported_only_if_it_is_trusted(tmp_path):
    short = {"environment.kwargs": {"observation": "box", "action": "discrete"}}
    run = train(tmp_path, {**short, "stop.max_updates": 1}, environment="space_tasks:Samples")
    bundle = run.export(tmp_path / "bundle")

    saved = reinforce.load(bundle)

    assert saved.policy().act(np.zeros(3))[0] in (0, 1, 2)  # nothing has to be imported for it
    with pytest.raises(
        reinforce.UsageError, match=r"import 'space_tasks:Samples' .*\n.*trust=True"
    ):
        saved.evaluate(5)
    assert reinforce.load(bundle, trust=True).evaluate(5).returns.shape == (5,)


def test_an_environment_of_the_program_is_handed_over_again(run, tmp_path):
    def heavy():
        return gymnasium.make("CartPole-v1", max_episode_steps=9)

    bundle = train(tmp_path, environment=heavy).export(tmp_path / "bundle")

    assert reinforce.load(bundle, environment=heavy).evaluate(5).lengths.max() == 9


WRONG = {
    "memory://kept/nobody": "no such checkpoint in memory://kept/nobody .*after update: none",
    "memory://kept/mine@7": r"after update: 2, 3\); give only the place, or add @best or @UPD",
    "nothing://kept/mine": "Protocol not known: nothing",
    "{bundle}@best": "it is one version: leave out @best",
    "{torn}": "cannot be read",
    "{folder}@best": "no such checkpoint",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_loaded_is_said_in_one_message(name, places, tmp_path):
    torn = tmp_path / "update-000000001.safetensors"
    torn.write_bytes(b"torn")

    with pytest.raises(reinforce.UsageError, match=WRONG[name]) as refused:
        reinforce.load(name.format(torn=torn, **places))
    assert str(refused.value).startswith("source = ")


def test_what_was_altered_is_not_loaded(places, tmp_path):
    with chdir(tmp_path):
        shutil.copytree(places["bundle"], "bundle")
        file = tmp_path / "bundle" / PORTABLE_CHECKPOINT
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)

        with pytest.raises(reinforce.UsageError, match="does not match its own digest"):
            reinforce.load("bundle")


def test_a_path_where_nothing_is_is_no_run():
    with pytest.raises(reinforce.RunDirectoryError, match="does not exist"):
        reinforce.load("nowhere")

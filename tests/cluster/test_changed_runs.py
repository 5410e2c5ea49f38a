"""A run that is changed on purpose goes on as a learner whose settings are changed there."""

import hashlib
import json
import re
from contextlib import closing

import gymnasium
import pytest
from mlflow import MlflowClient

import reinforce
from reinforce.cluster.batches import training_tickets
from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.changed_run import consequences
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import Outcome, write_summary
from reinforce.cluster.tracking.store import TrackingStore, histories_of
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.experiment import Change
from reinforce.configs.loading import with_overrides
from reinforce.configs.roles import changes_between, config_at
from reinforce.learner.learner import Learner
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of

SMALL = {
    "policy.hidden_sizes": [4],
    "learner.episodes_per_update": 4,
    "learner.learning_rate": 0.02,
    "workers.episodes_per_ticket": 2,
    "workers.envs_per_worker": 2,
    "evaluation.episodes": 5,
    "evaluation.every_updates": 2,
    "stop.max_updates": 3,
    "tracking.enabled": False,
}
HALVED = {"learner.learning_rate": 0.01}
OTHER_REWARD = {"environment.kwargs": {"sutton_barto_reward": True}}


@pytest.fixture
def train(tmp_path):
    def train(overrides=None, **options):
        options = {"backend": "inline", "directory": tmp_path, "name": "a", **options}
        return reinforce.train(None, {**SMALL, **(overrides or {})}, progress=False, **options)

    return train


def changed(run, overrides, *, until=5, **options):
    overrides = {**overrides, "stop.max_updates": until}
    return run.resume(overrides, change=True, progress=False, **options)


def by_hand(*stages):
    """Return the digest that a learner comes to which begins each stage with the last one's state.

    A stage is (settings, updates at its end, what of the state it does not take over).
    """
    state = None
    for overrides, last, fresh in stages:
        config = with_overrides(Config(), {**SMALL, **overrides})
        spec = inspect_environment(config.environment)
        learner = Learner(config.learner, architecture_of(config, spec), config.run.seed)
        if state:
            arrays = {name: a for name, a in state.arrays.items() if not name.startswith(fresh)}
            learner.load_state(LearnerState(state.version, arrays))
        with closing(RolloutWorker(config, spec)) as worker:
            for update in range(learner.version, last):
                tickets = training_tickets(config, update, config.learner.episodes_per_update)
                weights = learner.weights()
                played = [worker.play(ticket, weights, lambda *_: None) for ticket in tickets]
                learner.update([trajectories for _, trajectories in played])
        state = learner.state()
    return learner.weights().sha256


CHANGES = {
    "half the learning rate": ({}, HALVED, ()),
    "entropy, discount, batch size": (
        {},
        {
            "learner.entropy_coefficient": 0.01,
            "learner.discount": 0.9,
            "learner.episodes_per_update": 6,
        },
        (),
    ),
    "a schedule, which counts from the run's first update": (
        {},
        {"learner.learning_rate": [0.02, 0.001], "learner.schedule_updates": 6},
        (),
    ),
    "another optimizer, which starts fresh": (
        {},
        {"learner.optimizer": "rmsprop"},
        ("optimizer.",),
    ),
    "a value function, which is new": (
        {},
        {"learner.baseline": "value"},
        ("estimator.value.", "estimator.linear"),
    ),
    "a value function, which is kept": (
        {"learner.baseline": "value"},
        {"learner.value_learning_rate": 0.001},
        (),
    ),
    "a value function that sees time in other units, which is new": (
        {
            "learner.baseline": "value",
            "learner.value_horizon_steps": 20,
            "policy.normalize_observations": True,
        },
        {"learner.value_horizon_steps": 30},
        ("estimator.value.",),
    ),
    "a value function that remembers, which is new": (
        {"learner.baseline": "value"},
        {"learner.value_memory": True},
        ("estimator.value.",),
    ),
    "a linear baseline in place of a value function": (
        {"learner.baseline": "value", "policy.normalize_observations": True},
        {"learner.baseline": "linear"},
        ("estimator.value.",),
    ),
    "another environment": ({}, {**OTHER_REWARD, "environment.max_episode_steps": 30}, ()),
}


@pytest.mark.parametrize(
    "settings",
    [
        {"learner.value_horizon_steps": (None, 30)},
        {"learner.baseline": ("linear", "value"), "learner.value_horizon_steps": (None, 30)},
    ],
)
def test_a_baseline_that_starts_fresh_is_said_to_once(settings):
    said = list(consequences(Change(update=3, settings=settings)))

    assert said[1:] == ["the baseline starts fresh"]


class KilledError(BaseException):
    """Like SIGKILL: no checkpoint is written."""


def kill(event):
    if event.updates == 4 and not event.is_evaluation:
        raise KilledError


@pytest.mark.parametrize(("began", "change", "fresh"), CHANGES.values(), ids=CHANGES)
def test_a_changed_run_is_a_learner_that_is_changed_there_also_after_a_kill(
    train, began, change, fresh
):
    expected = by_hand((began, 3, ()), ({**began, **change}, 5, fresh))

    run = train(began)
    with pytest.raises(KilledError):
        changed(run, change, callbacks=[kill])
    assert Checkpoints(run._directory, run.config).versions() == [3]
    run = run.resume(progress=False)

    assert run.weights_sha256 == expected
    assert run.updates["updates"].tolist() == [1, 2, 3, 4, 5]
    assert [e.updates for e in read_entries(run.path / "metrics.jsonl") if e.changes] == [3]


def test_a_kill_before_the_configuration_is_written_is_made_good_by_the_checkpoint(train):
    run = train()
    old = (run.path / "config.yaml").read_bytes()
    with pytest.raises(KilledError):
        changed(run, HALVED, callbacks=[kill])
    (run.path / "config.yaml").write_bytes(old)

    run = run.resume({"stop.max_updates": 5}, progress=False)

    assert run.weights_sha256 == by_hand(({}, 3, ()), (HALVED, 5, ()))
    assert run.summary["changes"][0]["settings"] == {"learner.learning_rate": [0.02, 0.01]}
    assert run.config.learner.learning_rate == 0.01


@pytest.fixture
def half_changed(train):
    """A run that was killed between its changed checkpoint and ``config.yaml``."""
    run = train()
    old = (run.path / "config.yaml").read_bytes()
    with pytest.raises(KilledError):
        changed(run, HALVED, callbacks=[kill])
    (run.path / "config.yaml").write_bytes(old)
    return run


def test_what_the_checkpoint_alone_knows_is_told(half_changed, capsys):
    assert main(["resume", str(half_changed.path), "--stop.max_updates=4"]) == 0

    said = " ".join(capsys.readouterr().out.split())
    assert "config.yaml lacks earlier changes made on purpose" in said
    assert "learner.learning_rate: 0.02 is now 0.01" in said
    last = json.loads((half_changed.path / "history.jsonl").read_text().splitlines()[-1])
    assert last["changes"] == {"learner.learning_rate": [0.02, 0.01], "stop.max_updates": [3, 4]}


@pytest.mark.parametrize("trust", [[], ["--trust"]], ids=["", "trusted"])
def test_a_change_back_is_one_also_if_the_configuration_has_not_seen_the_first(half_changed, trust):
    back = ["--learner.learning-rate", "0.02", "--stop.max_updates=5"]

    assert main(["resume", str(half_changed.path), *back, "--change", *trust]) == 0

    run = reinforce.load(half_changed.path)
    assert run.config.learner.learning_rate == 0.02
    assert run.weights_sha256 == by_hand(({}, 5, ()))
    there_and_back = [{"learner.learning_rate": both} for both in ((0.02, 0.01), (0.01, 0.02))]
    assert [change.settings for change in run.config.run.changes] == there_and_back


def test_looking_ahead_a_batch_that_is_fixed_keeps_its_size_also_after_a_kill(train):
    began, more = {"cluster.lookahead": 1}, {"learner.episodes_per_update": 6}
    undisturbed = changed(train(began), more, until=6)
    run = train(began, name="b")
    with pytest.raises(KilledError):
        changed(run, more, until=6, callbacks=[kill])
    run = run.resume(progress=False)

    assert run.weights_sha256 == undisturbed.weights_sha256
    assert run.episodes.groupby("update").size().tolist() == [4, 4, 4, 4, 6, 6]


@pytest.mark.ray
@pytest.mark.usefixtures("runs_on_local_ray")
def test_on_ray_it_comes_to_the_same_weights(train):
    run = changed(train(), {**HALVED, "cluster.backend": "ray", "workers.num_workers": 2})

    assert run.weights_sha256 == by_hand(({}, 3, ()), (HALVED, 5, ()))


def test_the_change_stands_in_config_journal_and_summary(train, capsys):
    run = train()
    main(
        [
            "resume",
            str(run.path),
            "--learner.learning_rate=0.01",
            "--stop.max_updates=4",
            "--change",
        ]
    )

    event = {"update": 3, "settings": {"learner.learning_rate": [0.02, 0.01]}}
    assert run.summary["changes"] == [event]
    assert run.config.model_dump(mode="json")["run"]["changes"] == [event]
    entries = list(read_entries(run.path / "metrics.jsonl"))
    (place,) = [index for index, entry in enumerate(entries) if entry.changes]
    assert entries[place].changes == {"learner.learning_rate": (0.02, 0.01)}
    assert entries[place].updates == entries[place - 1].updates == 3
    assert entries[place - 1].batch
    assert len(run.evaluations) == 4  # after 0, 2 and 4 updates, and at the end
    said = " ".join(capsys.readouterr().out.split())
    assert main(["resume", str(run.path), "--stop.max_updates=5"]) == 0
    assert run.summary["changes"] == [event]
    assert run.summary["updates"] == 5
    assert "changed on purpose from update 3 on learner.learning_rate 0.02 -> 0.01" in said


def test_without_the_flag_it_is_refused_and_the_message_names_the_flag(train):
    run = train()
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    with pytest.raises(ConfigError, match=r"cannot be changed .* `reinforce resume RUN_DIR --chan"):
        run.resume({**HALVED, "stop.max_updates": 5}, progress=False)

    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("policy.hidden_sizes", [5], "existing weights and records would not fit"),
        ("policy.normalize_observations", True, "existing weights and records would not fit"),
        ("environment.id", "Acrobot-v1", "run.start_from to take over these weights"),
        ("run.start_from", "runs/other", "would not fit"),
        ("run.changes", [{"update": 1, "settings": {}}], "would not fit"),
        ("stop.target_metric", "is_success", "would not fit"),
        ("workers.episodes_per_ticket", 3, "would not fit"),
        ("cluster.lookahead", 1, "would not fit"),
        ("run.seed", 5, "it defines which run this is, where it is kept or what is recorded"),
        ("run.name", "b", "it defines which run this is"),
        ("environment.info_metrics", {"x": "sum"}, "it defines which run this is"),
        ("checkpoint.directory", "/elsewhere", "it defines which run this is"),
        ("tracking.experiment", "other", "it defines which run this is"),
    ],
)
def test_some_settings_cannot_be_changed_even_so(setting, value, reason):
    old = with_overrides(Config(), SMALL)

    with pytest.raises(ConfigError) as refused:
        changes_between(old, with_overrides(old, {setting: value}), on_purpose=True)

    assert str(refused.value).startswith(f"{setting} = ")
    assert "not even with --change" in str(refused.value)
    assert reason in str(refused.value)


def test_an_environment_with_other_spaces_is_refused_and_nothing_changes(train):
    run = train()
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    with pytest.raises(reinforce.UsageError, match=r"other spaces:\n  observation: "):
        changed(run, {"environment.wrappers": [{"FrameStackObservation": {"stack_size": 2}}]})

    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_change_of_a_finished_run_that_does_not_train_on_is_refused(train):
    run = train()

    with pytest.raises(reinforce.UsageError, match=r"learner\.learning_rate would have no effect"):
        run.resume(HALVED, change=True, progress=False)


def test_a_changed_environment_begins_a_new_search_for_the_best(train):
    run = changed(train(), {"environment.max_episode_steps": 9}, until=4)

    # Before the change, episodes of CartPole were longer than the 9 steps that are now possible.
    assert run.evaluations["evaluation/return_best"].iloc[1] > 9
    assert run.evaluations["evaluation/return_best"].dropna().iloc[-1] <= 9


SHORT = {"environment.max_episode_steps": 9, "evaluation.every_updates": 50}
"""Nothing is measured on the way after a change of the environment."""


def test_the_best_policy_of_another_environment_is_the_best_no_longer(train):
    run = train()
    assert run.policy(best=True).update <= 2

    run = changed(run, SHORT)

    with pytest.raises(reinforce.UsageError, match="best"):
        run.policy(best=True)


def test_the_best_policy_outlives_a_change_of_how_it_is_learned(train):
    run = train({"evaluation.every_updates": 3})
    best = run.policy(best=True).update

    run = changed(run, HALVED, until=5)  # nothing is measured on the way

    assert run.policy(best=True).update == best


def test_a_kill_before_the_best_policy_is_forgotten_is_made_good_by_the_next_start(
    train, monkeypatch
):
    def die(self):
        raise KilledError

    run = train()
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "forget_best", die)
        with pytest.raises(KilledError):
            changed(run, SHORT)
    assert Checkpoints(run._directory, run.config).newest(print).progress.best_return is None

    with pytest.raises(KilledError):  # before any checkpoint of its own
        run.resume({"stop.max_updates": 5}, progress=False, callbacks=[kill])

    assert Checkpoints(run._directory, run.config).best() is None


def test_it_is_counted_with_the_runs_of_neither_configuration(train):
    run = changed(train(), HALVED)
    one, other = train(name="b", seed=1), train(HALVED, name="c", seed=2)
    for each in (one, other):
        each.resume({"stop.max_updates": 5}, progress=False)

    scores = reinforce.compare([run, one, other]).scores

    assert scores["runs"].tolist() == [1, 1, 1]


def test_runs_that_differ_in_their_seeds_and_were_changed_alike_are_one_group(train):
    runs = [changed(train(name=f"s{seed}", seed=seed), HALVED) for seed in (1, 2)]

    assert reinforce.compare(runs).scores["runs"].tolist() == [2]


def test_mlflow_has_the_event_and_counts_it_apart(train, store_uri):
    run = train()
    sync_run_directory(RunDirectory.open(run.path))
    client, run_id = MlflowClient(store_uri), read_json(run.path / "tracking.json")["run_id"]
    group = client.get_run(run_id).data.tags["group"]
    halved = train(HALVED, name="b")
    halved.resume({"stop.max_updates": 5}, progress=False)
    sync_run_directory(RunDirectory.open(halved.path))

    changed(run, HALVED)
    sync_run_directory(RunDirectory.open(run.path))

    data = client.get_run(run_id).data
    assert data.params["learner.learning_rate"] == "0.02"  # params cannot be overwritten
    assert data.tags["changed.learner.learning_rate"] == "0.01"
    assert "learner.learning_rate': [0.02, 0.01]" in data.tags["changed.run.changes"]
    assert "from update 3 on learner.learning_rate 0.02 -> 0.01" in data.tags["mlflow.note.content"]
    store = TrackingStore.of(run.config.tracking, run.path)
    first, second = histories_of(store, "reinforce")
    assert data.tags["group"] not in (group, _group_of(client, halved))
    assert first.experiment != second.experiment
    assert first.experiment["learner.learning_rate"] == "0.01"


def _group_of(client, run):
    run_id = read_json(run.path / "tracking.json")["run_id"]
    return client.get_run(run_id).data.tags["group"]


def test_replay_plays_each_ticket_under_the_settings_of_its_time(train, capsys):
    run = changed(train({"checkpoint.keep": [3, 1]}), OTHER_REWARD)
    digests = {
        e.updates: e.batch.sha256 for e in read_entries(run.path / "metrics.jsonl") if e.batch
    }

    for update in (1, 3, 4):  # the change holds from update 3 on
        capsys.readouterr()
        for ticket in (0, 1):
            assert main(["replay", str(run.path), f"{update}:{ticket}"]) == 0
        played = re.findall(r"trajectories: ([0-9a-f]{64})", capsys.readouterr().out)

        assert hashlib.sha256("".join(played).encode()).hexdigest() == digests[update + 1]


CUT_SHORT = {"environment.max_episode_steps": 9, "evaluation.every_updates": 2}


def returns_of(ticket, run, capsys):
    capsys.readouterr()
    assert main(["replay", str(run.path), ticket]) == 0
    said = "".join(capsys.readouterr())
    return re.search(r"episodes returned\n(.*)", said)[1], " ".join(said.split())


def test_an_evaluation_at_the_update_of_a_change_is_replayed_as_the_journal_has_it(train, capsys):
    run = train({"stop.max_updates": 4, "checkpoint.keep": [9, 1]})
    before, said = returns_of("confirmation:4:0", run, capsys)
    assert "journal" not in said
    regular, _ = returns_of("evaluation:0:0", run, capsys)
    assert "9, 9" not in (before, regular)
    with pytest.raises(KilledError):
        changed(run, CUT_SHORT, until=6, callbacks=[after_first_evaluation])

    # The regular evaluation was played again since, right after the change.
    assert returns_of("evaluation:0:0", run, capsys)[0] == "9, 9"
    run = run.resume(progress=False)

    # The run was confirmed after 4 updates before the change alone, after 6 since.
    assert returns_of("confirmation:6:0", run, capsys)[0] == "9, 9"
    returns, said = returns_of("confirmation:4:0", run, capsys)
    assert returns == before
    assert "from update 4 on environment.max_episode_steps None -> 9" in said
    assert "the ticket is from before that" in said


def after_first_evaluation(event):
    if not event.is_evaluation:
        raise KilledError


def kill_later(event):
    if event.updates == 5:
        raise KilledError


def test_an_evaluation_that_is_due_right_after_a_change_is_replayed_with_it(train, capsys):
    run = train({"stop.max_updates": 4})
    # No update follows: it is confirmed once more.
    changed(run, CUT_SHORT, until=6, callbacks=[lambda event: event.stop("at once")])

    returns, said = returns_of("confirmation:4:0", run, capsys)

    assert returns == "9, 9"
    assert "the ticket is from after that" in said


def test_an_evaluation_is_replayed_without_a_change_after_which_there_was_none(train, capsys):
    run = train()
    before, _ = returns_of("evaluation:0:0", run, capsys)
    with pytest.raises(KilledError):
        changed(run, SHORT, until=6, callbacks=[kill_later])

    assert returns_of("evaluation:0:0", run, capsys)[0] == before


def test_a_run_that_fell_back_behind_its_change_does_not_go_on_by_itself(train):
    run = changed(train({"checkpoint.keep": [9, 1]}), HALVED)
    for update in (3, 4, 5):
        (run.path / "checkpoints" / f"update-00000000{update}.safetensors").write_bytes(b"torn")
    (run.path / "summary.json").unlink()

    with pytest.raises(ConfigError, match=r"the newest checkpoint of .* --change"):
        run.resume(progress=False)
    run = run.resume(change=True, progress=False)

    assert [change.update for change in run.config.run.changes] == [2]
    assert run.weights_sha256 == by_hand(({}, 2, ()), (HALVED, 5, ()))


def test_a_run_without_a_checkpoint_is_one_of_the_new_configuration_from_the_start(train, tmp_path):
    def kill_early(event):
        raise KilledError

    with pytest.raises(KilledError):
        train(callbacks=[kill_early])
    run = changed(reinforce.load(tmp_path / "a"), HALVED)

    assert run.config.run.changes == ()
    assert run.weights_sha256 == by_hand((HALVED, 5, ()))


def test_a_changed_secret_is_shown_nowhere(tmp_path):
    settings = {"environment.kwargs": ({"token": "abc", "size": 1}, {"token": "def", "size": 2})}
    change, run = Change(update=3, settings=settings), RunDirectory(tmp_path)

    write_summary(run, Outcome("max_updates", 0, Progress(), None), 1.0, [change])

    assert str(change) == (
        "from update 3 on environment.kwargs {'token': '***', 'size': 1} -> "
        "{'token': '***', 'size': 2}"
    )
    assert '"token": "***"' in run.summary_file.read_text()
    assert "abc" not in run.summary_file.read_text()


def test_a_changed_secret_is_in_no_message_and_not_in_mlflow(train, tmp_path, store_uri, capfd):
    def locked(api_token):
        return gymnasium.make("CartPole-v1", max_episode_steps=9)

    run = train({"environment.kwargs": {"api_token": "0ld-s3cret"}}, environment=locked)
    sync_run_directory(RunDirectory.open(run.path))
    new = {"environment.kwargs": {"api_token": "n3w-s3cret"}, "stop.max_updates": 4}

    with pytest.raises(ConfigError, match="'api_token': '\\*\\*\\*'") as refused:
        run.resume(new, progress=False)
    run.resume(new, change=True, progress=True)
    sync_run_directory(RunDirectory.open(run.path))
    with pytest.raises(ConfigError) as kept:
        changes_between(run.config, with_overrides(run.config, {"run.changes": []}))

    client, run_id = MlflowClient(store_uri), read_json(run.path / "tracking.json")["run_id"]
    data, files = client.get_run(run_id).data, tmp_path / "mlartifacts"
    stored = b"".join(file.read_bytes() for file in files.rglob("*") if file.is_file())
    said = f"{refused.value} {kept.value} {capfd.readouterr()} {data.params} {data.tags} {stored}"
    assert "environment.kwargs: {'api_token': '***'} is now {'api_token': '***'}" in said
    assert "api_token" in data.tags["changed.run.changes"]
    assert "s3cret" not in said


def test_a_new_run_does_not_take_over_that_another_was_changed(train, tmp_path):
    run = changed(train(), HALVED, until=4)

    with pytest.raises(ConfigError, match=r"from update 3 on .* leave run.changes out"):
        reinforce.train(run.config, name="again", directory=tmp_path, progress=False)


def test_the_configuration_of_any_update_can_be_had_again():
    first = with_overrides(Config(), {"learner.discount": 0.9})
    changes = [
        {"update": 3, "settings": {"learner.discount": [0.9, 0.8]}},
        {
            "update": 7,
            "settings": {"learner.discount": [0.8, 0.7], "learner.optimizer": ["sgd", "adam"]},
        },
    ]
    now = with_overrides(first, {"learner.discount": 0.7, "run.changes": changes})

    found = {update: config_at(now, update).learner for update in (0, 2, 3, 6, 7, 9)}

    assert [found[update].discount for update in found] == [0.9, 0.9, 0.8, 0.8, 0.7, 0.7]
    assert [found[update].optimizer for update in (6, 7)] == ["sgd", "adam"]
    assert config_at(now, 2).run.changes == ()
    assert [change.update for change in config_at(now, 3).run.changes] == [3]

"""Ready-made callbacks, and what an event refuses."""

import functools

import pytest

import reinforce
from reinforce.callbacks import MaxUpdateTime, SaveEachBest
from reinforce.cluster.callbacks import callback_named
from reinforce.cluster.cli import main

QUICK = {
    "learner.episodes_per_update": 4,
    "learner.learning_rate": 0.05,
    "environment.max_episode_steps": 60,
    "policy.hidden_sizes": [4],
    "workers.episodes_per_ticket": 4,
    "evaluation.episodes": 5,
    "evaluation.every_updates": 1,
    "stop.max_updates": 6,
    "tracking.enabled": False,
    "checkpoint.keep": 1,
}


@pytest.fixture
def train(tmp_path):
    def train(*callbacks, **overrides):
        options = {"directory": tmp_path, "name": "a", "backend": "inline", "progress": False}
        return reinforce.train(None, {**QUICK, **overrides}, callbacks=callbacks, **options)

    return train


def kept(run):
    return [path.name for path in sorted((run.path / "checkpoints").glob("update-*"))]


def test_each_new_best_is_kept_for_good_and_can_be_started_from(train, tmp_path):
    run = train(SaveEachBest())

    means = run.evaluations["evaluation/return_mean"].dropna().tolist()
    bests = [update for update, mean in enumerate(means) if mean > max([-1, *means[:update]])]
    assert len(bests) > 1, "or this test shows nothing"
    names = [f"update-{update:09d}.kept.safetensors" for update in bests]
    assert [name for name in kept(run) if ".kept." in name] == names
    run = run.resume({"stop.max_updates": 8}, progress=False)  # it does not know the callback
    assert [name for name in kept(run) if ".kept." in name] == names
    assert [name for name in kept(run) if ".kept." not in name] == ["update-000000008.safetensors"]
    start = {**QUICK, "run.start_from": f"{run.path}@{bests[-2]}", "stop.max_updates": 1}
    warm = reinforce.train(None, start, directory=tmp_path, backend="inline", progress=False)
    assert warm.config.run.start_from == f"{run.path}@{bests[-2]}"


def test_a_checkpoint_that_is_for_good_is_there_once(train):
    def twice(event):
        if event.updates == 6:
            event.save_checkpoint(for_good=event.is_evaluation)

    assert kept(train(twice)) == ["update-000000006.kept.safetensors"]  # and one at the end


def test_an_update_that_takes_too_long_ends_the_run_with_the_reason(train):
    assert train(MaxUpdateTime(1000)).summary["stop_reason"] == "max_updates"


def test_an_update_that_took_too_long_is_the_last_one(train):
    run = train(MaxUpdateTime(1e-9))

    assert run.status == "finished"
    assert run.summary["updates"] == 1
    took_s = run.updates[["time/sampling_s", "time/learning_s"]].loc[0].sum()
    assert run.summary["stop_reason"] == f"update 1 took {took_s:.3g} s, more than 1e-09 s"


@pytest.mark.parametrize("seconds", [0, -1, "60", None])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(reinforce.UsageError, match="give a number of seconds, > 0"):
        MaxUpdateTime(seconds)


def test_the_command_line_makes_them_with_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"--{name}={value}" for name, value in QUICK.items() if name != "policy.hidden_sizes"]
    names = ["reinforce.callbacks:MaxUpdateTime(1e-9)", "reinforce.callbacks:SaveEachBest"]
    callbacks = [word for name in names for word in ("--callback", name)]

    code = main(
        ["train", "cartpole", "--cluster.backend=inline", "--run.name=a", *words, *callbacks]
    )

    assert code == 0
    run = reinforce.load("runs/a")
    assert run.summary["updates"] == 1
    assert kept(run)[0] == "update-000000000.kept.safetensors"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reinforce.callbacks", "is not module:function, such as"),
        ("reinforce.callbacks:MaxUpdateTime", "missing 1 required positional argument"),
        ("reinforce.callbacks:MaxUpdateTime()", "missing 1 required positional argument"),
        ("reinforce.callbacks:MaxUpdateTime(no)", "malformed node"),
        ("reinforce.callbacks:MaxUpdateTime(-5)", r"MaxUpdateTime\(-5\): give"),
        ("reinforce.callbacks:MaxUpdateTime(5", "is not module:function, such as"),
        ("reinforce.callbacks:None", "has no attribute 'None'"),
        ("math:pi", "math:pi': 3.14.* cannot be called: a callback is a function of one event"),
        ("math:comb", r"math:comb': comb\(n, k\): a callback is a function of one event"),
    ],
)
def test_what_names_no_callback_is_refused(name, message):
    with pytest.raises(reinforce.UsageError, match=message):
        callback_named(name)


def test_a_function_of_something_else_is_refused_before_anything_starts(train, tmp_path):
    with pytest.raises(reinforce.UsageError, match=r"\(locals_, globals_\): a callback is a"):
        train(lambda locals_, globals_: None)

    assert not [*tmp_path.iterdir()]


def test_the_refusal_of_a_partial_shows_none_of_its_values(train):
    post = functools.partial(lambda event, place, token: None, token="hidden")

    with pytest.raises(reinforce.UsageError, match=r"partial\(event, place, token\)") as refused:
        train(post)

    assert "hidden" not in str(refused.value)


def test_what_is_no_number_is_not_recorded(train):
    with pytest.raises(reinforce.CallbackError, match="ValueError: loss = 'low': give a number"):
        train(lambda event: event.record("loss", "low"))


def test_an_event_is_of_no_use_when_its_call_is_over(train):
    events = []
    train(events.append, **{"stop.max_updates": 1})

    for ask in (
        lambda event: event.stop("too late"),
        lambda event: event.record("x", 1.0),
        lambda event: event.save_checkpoint(),
    ):
        with pytest.raises(RuntimeError, match="the event of update 1 is over and cannot be"):
            ask(events[-1])
    assert events[-1].metrics["evaluation/confirmed_return_mean"] > 0  # reading is no question


def test_a_callback_that_asks_an_old_event_ends_the_run_with_its_traceback(train):
    events = []

    def watch(event):
        events.append(event)
        events[0].record("x", 1.0)

    with pytest.raises(reinforce.CallbackError, match="the event of update 0 is over"):
        train(watch)


@pytest.mark.parametrize("name", ["two words", "", "a/b", "x" * 101])
def test_a_name_has_letters_digits_and_three_signs(train, name):
    with pytest.raises(reinforce.CallbackError, match=f"'{name}' cannot name a metric: use up to"):
        train(lambda event: event.record(name, 1.0))


def test_every_event_has_the_mean_return_of_its_episodes(train):
    means = []

    run = train(lambda event: means.append((event.is_evaluation, event.return_mean)))

    updates = [mean for is_evaluation, mean in means if not is_evaluation]
    assert updates == run.updates["rollout/return_mean"].tolist()
    evaluations = run.evaluations
    *regular, last = [mean for is_evaluation, mean in means if is_evaluation]
    assert regular == evaluations["evaluation/return_mean"].dropna().tolist()
    assert last == run.evaluation.mean


def test_an_evaluation_that_is_watched_by_its_name_is_answered_at_the_last_one(train):
    def watch(event):
        if event.is_evaluation and event.metrics["evaluation/return_mean"] > 1000:
            event.stop("good enough")

    with pytest.raises(reinforce.CallbackError, match=r"did you mean 'evaluation/confirmed_return"):
        train(watch)


def test_a_callback_that_returns_something_is_refused(train):
    with pytest.raises(
        reinforce.CallbackError, match=r"returned True, but .*: end the run with event\.stop\("
    ):
        train(lambda event: event.updates < 2)

"""The Python interface, as its documentation shows it."""

import builtins
import inspect
import re
import shutil
import subprocess
import sys
import threading
from contextlib import chdir
from importlib.metadata import version

import gymnasium
import matplotlib.figure
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import torch
from user_wrappers import Doubled

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.commands.arguments import ConfiguredCommand
from reinforce.workers.seeds import environment_seed
from reinforce.workers.tickets import Purpose, draw_tickets

QUICK = {
    "learner.episodes_per_update": 8,
    "workers.episodes_per_ticket": 4,
    "workers.envs_per_worker": 2,
    "evaluation.episodes": 6,
    "evaluation.every_updates": 2,
    "stop.max_updates": 3,
    "stop.target_return": None,
    "tracking.enabled": False,
}


class Line(gymnasium.Env):
    """A walk of eight steps; a step to the right is worth 1."""

    observation_space = gymnasium.spaces.Box(-8, 8, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = 0, 0
        return self._seen(), {}

    def step(self, action):
        self.place += 1 if action else -1
        self.steps += 1
        return self._seen(), float(action), self.steps == 8, False, {"is_success": self.place > 1}

    def _seen(self):
        return np.array([self.place], np.float32)


class Heavy(gymnasium.Wrapper):
    """CartPole with another gravity."""

    def __init__(self, gravity):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.unwrapped.gravity = gravity


class Net(torch.nn.Module):
    """One linear layer."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(*observation_shapes["observation"], num_outputs)

    def forward(self, observations):
        return self.layer(observations["observation"])


def train(*arguments, **options):
    overrides = {**QUICK, **options.pop("overrides", {})}
    options = {"backend": "inline", "progress": False, **options}
    return reinforce.train(*arguments, overrides=overrides, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("cartpole", seed=1, name="mine", directory=tmp_path_factory.mktemp("runs"))


def test_a_run_says_what_it_is_and_what_it_came_to(run):
    assert run.name == "mine"
    assert run.status == "finished"
    assert run.config.run.seed == 1
    assert len(run.weights_sha256) == 64
    assert run.evaluation["episodes"] == run.evaluation.episodes == 6
    assert run.evaluation["return_mean"] == run.evaluation.mean
    assert run.evaluation["return_ci95"] == run.evaluation.interval
    assert run.evaluation.greedy
    assert reinforce.load(run.path).weights_sha256 == run.weights_sha256
    recorded = run.verify(updates=1, progress=False).recorded
    assert recorded["versions"]["torch"] == version("torch")  # although tracking is off
    assert repr(run) == f"<Run {str(run.path)!r}, finished>"


def test_its_tables_are_data_frames_that_agree_with_each_other(run):
    updates, episodes = run.updates, run.episodes

    assert isinstance(updates, pd.DataFrame)
    assert updates["updates"].tolist() == [1, 2, 3]
    assert updates["update"].tolist() == [0, 1, 2]
    assert len(episodes) == 24
    columns = ["update", "ticket", "episode", "return", "length", "log_prob"]
    columns += ["terminated", "truncated"]
    assert episodes.columns.tolist() == columns
    assert episodes["ticket"].tolist() == ([0] * 4 + [1] * 4) * 3
    means = episodes.groupby("update")["return"].mean().tolist()
    np.testing.assert_allclose(means, updates["rollout/return_mean"])
    assert (episodes["terminated"] ^ episodes["truncated"]).all()
    assert episodes["length"].sum() == updates["environment_steps"].iloc[-1]
    assert run.evaluations["updates"].tolist() == [0, 2, 3]
    joined = episodes.merge(updates, on="update")
    assert len(joined) == 24
    steps = joined.groupby("update").agg({"length": "sum", "environment_steps": "first"})
    assert steps["length"].cumsum().tolist() == steps["environment_steps"].tolist()


def test_fresh_episodes_are_the_same_for_the_same_seed(run):
    one, again = run.evaluate(episodes=10, seed=7), run.evaluate(episodes=10, seed=7)

    np.testing.assert_array_equal(one.returns, again.returns)
    assert one.returns.shape == (10,)
    assert one.mean == one.returns.mean()
    assert one.interval[0] <= one.mean <= one.interval[1]
    assert one.update == 3
    sampled = run.evaluate(episodes=10, seed=7, sampled=True)
    assert not np.array_equal(sampled.returns, one.returns)


def test_a_policy_acts_as_in_the_evaluation(tmp_path):
    """Played by hand, the first episode returns what it did there."""
    one_by_one = {"environment.use_vector_implementation": False}
    run = train("cartpole", directory=tmp_path, overrides=one_by_one)
    (ticket,) = draw_tickets(7, Purpose.REVIEW, 0, 1, 4, greedy=True)
    policy, environment = run.policy(), gymnasium.make("CartPole-v1")
    observation, _ = environment.reset(seed=environment_seed(ticket.episode_seeds[0]))
    total, over = 0.0, False
    while not over:
        action, _ = policy.act(observation)
        observation, reward, terminated, truncated, _ = environment.step(action)
        total, over = total + reward, terminated or truncated

    assert policy.weights_sha256 == run.weights_sha256
    assert run.evaluate(episodes=1, seed=7).returns.tolist() == [total]


def test_sampled_actions_come_from_the_generator_that_is_given(run):
    policy, observation = run.policy(), np.zeros(4, np.float32)

    def actions(seed):
        generator = np.random.default_rng(seed)
        return [policy.act(observation, greedy=False, generator=generator)[0] for _ in range(50)]

    assert actions(0) == actions(0)
    assert set(actions(0)) == {0, 1}


def test_a_memory_is_handed_from_step_to_step(tmp_path):
    options = {"policy": "gru", "directory": tmp_path, "overrides": {"policy.hidden_sizes": [8]}}
    policy = train(environment="space_tasks:Recall", **options).policy()
    observation = 0

    _, first = policy.act(observation)
    _, second = policy.act(observation, first)
    _, again = policy.act(observation)

    assert first.shape == (1, 8)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
    for wrong in ("first", first[0], [[0.0] * 8]):
        with pytest.raises(
            ValueError, match=r"not the state that the previous step returned.* \(1, 8\)"
        ):
            policy.act(observation, wrong)
    with pytest.raises(ValueError, match="observation 99 holds a category outside its"):
        policy.act(99)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([0, np.nan, 0, 0], r"observation \[0, nan, 0, 0\] holds a NaN or an infinity"),
        ([0, 0, np.inf, 0], "holds a NaN or an infinity"),
        ([[0, 0, 0, 0]], r"it has shape \(1, 4\), its space \(4,\): act takes one observation"),
        ([0, 0, 0], r"observation \[0, 0, 0\] does not fit: .*shape \(3,\) instead of \(4,\)"),
        ("left", "observation 'left' does not fit"),
        (None, "observation None does not fit"),
        ((np.zeros(4), {}), "does not fit: this is what reset returns: pass its first element"),
    ],
)
def test_an_observation_that_the_environment_never_shows_is_one_error(observation, message, run):
    with pytest.raises(ValueError, match=message):
        run.policy().act(observation)


def test_what_reset_returns_besides_is_no_state(run):
    with pytest.raises(
        ValueError, match=r"^state = \{\} .*; info, which reset returns, is not passed"
    ):
        run.policy().act(np.zeros(4), {})


class Gauge(Line):
    """Shows a Dict."""

    observation_space = gymnasium.spaces.Dict(
        level=gymnasium.spaces.Box(-8, 8, (2,), np.float32), mode=gymnasium.spaces.Discrete(3)
    )

    def _seen(self):
        return {"level": np.full(2, self.place, np.float32), "mode": 1}


def test_a_part_of_an_observation_that_does_not_fit_is_named(tmp_path, run):
    act = train(environment=Gauge, directory=tmp_path).policy().act
    level, mode = np.zeros(2, np.float32), 1

    def refusal(observation, act=act):
        with pytest.raises(ValueError, match=" does not fit: ") as caught:
            act(observation)
        return str(caught.value).partition(" does not fit: ")[2]

    act({"level": level, "mode": mode})
    assert refusal({"level": level}) == "'mode' is missing"
    assert refusal(level) == "it must hold 'level', 'mode', as the environment returns them"
    assert refusal({"level": level, "mode": np.eye(3)[1]}) == (
        "'mode' is a category up to 2, as the environment returns it"
    )
    assert refusal({"level": np.zeros((4, 2)), "mode": mode}) == (
        "'level' has shape (4, 2), its space (2,): act takes one observation, so call it once for "
        "each"
    )
    assert refusal(np.zeros((8, 4)), run.policy().act).startswith("it has shape (8, 4), its space")


def test_a_mask_that_is_needed_is_asked_for(tmp_path):
    kwargs = {"observation": "discrete", "action": "discrete", "masks": "info"}
    overrides = {"environment.kwargs": kwargs, "environment.max_episode_steps": 5}
    run = train(environment="space_tasks:Samples", directory=tmp_path, overrides=overrides)
    policy = run.policy()

    with pytest.raises(reinforce.UsageError, match="pass it as mask="):
        policy.act(2)
    with pytest.raises(ValueError, match="it must hold"):
        policy.act(2, mask=[1])


def test_environment_and_policy_may_be_classes_of_the_program(tmp_path):
    run = train(environment=Line, policy=Net, directory=tmp_path, name="line")
    episodes, result = run.episodes, run.evaluate(episodes=20, sampled=True)

    assert run.config.environment.id == f"{__name__}:Line"
    # Right of 1 after eight steps: five of them to the right, or more.
    assert (episodes["is_success"] == (episodes["return"] >= 5)).all()
    np.testing.assert_array_equal(result.metrics["is_success"], result.returns >= 5)
    assert run.policy().act(np.zeros(1, np.float32))[0] in (0, 1)


def test_a_wrapper_may_be_a_class_that_can_be_imported(tmp_path):
    class Hidden(Doubled):
        """Of this function alone."""

    wrapped = train("cartpole", overrides={"environment.wrappers": [Doubled]}, directory=tmp_path)

    assert wrapped.config.environment.wrappers == ("user_wrappers:Doubled",)
    with pytest.raises(reinforce.ConfigError, match=r"a function that you pass as environment="):
        train("cartpole", overrides={"environment.wrappers": [Hidden]}, directory=tmp_path)


def test_an_environment_that_does_not_exist_is_among_all_that_is_wrong(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("environment: {id: CartPol-v1}\nlearner: {gamma: 0.9}\n")
    faults = [
        f"{file}: 2 things are wrong",
        "unknown key 'learner.gamma'; did you mean 'learner.discount'?",
    ]

    for load in (reinforce.train, ConfiguredCommand.base):
        with pytest.raises(reinforce.ConfigError) as caught:
            load(str(file))
        *others, last = str(caught.value).splitlines()
        assert others == faults
        assert last.startswith("environment.id = 'CartPol-v1' does not exist here (Environment")


def test_what_cannot_be_imported_is_given_by_value(tmp_path):
    def make():
        return Line()

    run = train(environment=make, directory=tmp_path, name="made")

    assert run.config.environment.id == "python:make"
    assert run.evaluate(episodes=5).mean == reinforce.load(run.path).evaluate(episodes=5).mean


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"learner.learning_rat": 1}, "did you mean 'learner.learning_rate'"),
        ({"nothing": 1}, "there is no setting 'nothing'; write settings as"),
        ({"learning_rate": 1}, "no setting 'learning_rate'; did you mean 'learner.learning_rate'"),
        ({"policy": {"hidden_sizes": [32]}}, r'a section: give "policy.hidden_sizes": \[32\]$'),
        ({"stop": {"max_updates": 3, "target_return": None}}, 'max_updates": 3, "stop.target_re'),
        ({"policy": "mlp"}, "no setting 'policy'; did you mean 'policy.kind'"),
        ({"learner.gamma": 1}, "unknown key 'learner.gamma'; did you mean 'learner.discount'"),
        ({"learner.learning_rate": "high"}, "learner.learning_rate = 'high' is refused"),
    ],
)
def test_settings_that_do_not_exist_are_refused_as_in_the_shell(overrides, message, tmp_path):
    with chdir(tmp_path), pytest.raises(reinforce.ConfigError, match=message):
        train("cartpole", overrides=overrides)
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "a class as source": ([Line], {}, "source = <class .*Line'>: give a preset.*environment="),
    "no source": ([5], {}, "source = 5: give a preset, the path of"),
    "one callback": (["cartpole"], {"callbacks": print}, "callbacks = .*print>: give a list"),
    "no callback": (["cartpole"], {"callbacks": [5]}, "5 cannot be called"),
    "a class": (["cartpole"], {"callbacks": [reinforce.SaveEachBest]}, r"write SaveEachBest\("),
    "no overrides": (["cartpole", 5], {}, "overrides = 5: give a mapping of settings such as"),
    "a number as setting": (["cartpole", {3: 4}], {}, "overrides = {3: 4}: give a mapping of"),
    "an instance as policy": (
        ["cartpole"],
        {"policy": Net({"observation": (4,)}, 2)},
        "every worker needs its own",
    ),
    "an instance as environment": ([], {"environment": Line()}, "every worker needs its own"),
    "a word for no": (["cartpole"], {"progress": "no"}, "progress = 'no': give True or False$"),
    "a text as seed": (["cartpole"], {"seed": "1"}, "seed = '1': give an integer or None$"),
    "a number as place": (["cartpole"], {"directory": 5}, "directory = 5: give a path or None$"),
    "no backend": (["cartpole"], {"backend": "rey"}, "backend = 'rey': give 'inline' or 'ray' or"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_argument_is_refused_before_anything_is_made(case, tmp_path):
    arguments, options, message = WRONG[case]
    with chdir(tmp_path), pytest.raises(reinforce.UsageError, match=message):
        reinforce.train(*arguments, **options)
    assert list(tmp_path.iterdir()) == []


UNCHECKED = {"observation", "state", "mask"}
"""Whatever an environment has; what does not fit is an error of its own."""


def functions_of_the_interface():
    yield from (reinforce.train, reinforce.pretrain, reinforce.load, reinforce.compare)
    yield from (reinforce.MaxUpdateTime.__init__, reinforce.Run.__init__)
    for kind in (reinforce.Run, reinforce.SavedPolicy, reinforce.Policy):
        names = (name for name in vars(kind) if not name.startswith("_"))
        yield from filter(inspect.isfunction, (vars(kind)[name] for name in names))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        pytest.param(function, name, id=f"{function.__qualname__}({name})")
        for function in functions_of_the_interface()
        for name in inspect.signature(function).parameters
        if name not in {"self", *UNCHECKED}
    ],
)
def test_every_argument_of_a_wrong_type_is_named_before_anything_is_done(function, name):
    with pytest.raises(reinforce.UsageError, match=f"^{name} = <object object at .*>: give [^<]*$"):
        function(**{name: object()})


def test_words_are_not_taken_for_yes_and_numbers_of_numpy_are_numbers(run):
    for wrong in ({"sampled": "no"}, {"best": "yes"}, {"seed": True}, {"episodes": 1.5}):
        with pytest.raises(reinforce.UsageError, match=f"^{next(iter(wrong))} = .*: give"):
            run.evaluate(**wrong)
    result = run.evaluate(np.int64(5), seed=np.uint8(7), sampled=np.bool_(False))  # noqa: FBT003
    np.testing.assert_array_equal(result.returns, run.evaluate(5, seed=7).returns)


WRONG_LATER = {
    "trust": (lambda run: reinforce.load(run.path, trust="no"), "trust = 'no': give True or False"),
    "no path": (lambda run: reinforce.load(""), "source = '': give a path"),
    "compare": (lambda run: reinforce.compare([run, 5]), "a run = 5: give a Run or a path"),
    "one run": (reinforce.compare, "runs = <Run .*>: give a list of runs or"),
    "one run of a group": (lambda run: reinforce.compare({"mine": run}), "mine = <Run .*: give a"),
    "no run": (lambda run: reinforce.compare({"mine": []}), "there are no runs to compare"),
    "statistic": (
        lambda run: reinforce.compare([run], statistic="median"),
        "statistic = 'median': give 'iqm' or 'mean'",
    ),
}


@pytest.mark.parametrize("case", WRONG_LATER)
def test_arguments_that_do_not_fit_are_named(case, run):
    call, message = WRONG_LATER[case]
    with pytest.raises(reinforce.UsageError, match=message):
        call(run)


def test_a_journal_that_is_gone_is_no_empty_run(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    (copy / "metrics.jsonl").unlink()

    for table in ("updates", "episodes", "evaluations"):
        with pytest.raises(reinforce.RunDirectoryError, match=r"copy/metrics.jsonl is missing"):
            getattr(reinforce.load(copy), table)


def test_what_goes_with_a_policy_may_stand_in_the_mapping(tmp_path):
    mapping = {"environment": {"id": "CartPole-v1"}, "policy": {"arguments": {"width": 3}}}

    class Wide(Net):
        def __init__(self, observation_shapes, num_outputs, width):
            super().__init__(observation_shapes, num_outputs)
            self.wide = torch.nn.Linear(width, 1)

        def forward(self, observations):
            return self.layer(observations["observation"]) + self.wide.weight.sum()

    assert train(mapping, policy=Wide, directory=tmp_path).config.policy.arguments == {"width": 3}


def test_layers_for_a_network_of_ones_own_are_refused_unless_values_use_them(tmp_path):
    layers, options = {"policy.hidden_sizes": [8]}, {"policy": Net, "directory": tmp_path}

    with pytest.raises(
        reinforce.ConfigError,
        match=r"^policy.hidden_sizes would not be used: .*:Net is your own, and its arguments are ",
    ):
        train("cartpole", overrides=layers, **options)
    with_values = train("cartpole", overrides={**layers, "learner.baseline": "value"}, **options)
    assert with_values.config.policy.hidden_sizes == (8,)
    assert train("article", **options).config.policy.hidden_sizes == (128,)  # the preset's


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"seed": -1}])
def test_numbers_of_an_evaluation_are_checked(run, wrong):
    with pytest.raises(reinforce.UsageError, match="must be >= "):
        run.evaluate(**wrong)


def test_a_mask_that_training_had_not_is_refused(run):
    with pytest.raises(reinforce.UsageError, match="leave mask out"):
        run.policy().act(np.zeros(4), mask=[0, 1])


def test_a_source_may_be_a_mapping_a_file_or_a_config(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("environment: {id: CartPole-v1}\npolicy: {hidden_sizes: [4]}\n")
    mapping = {"environment": {"id": "CartPole-v1"}, "policy": {"hidden_sizes": [4]}}
    config = reinforce.Config.model_validate(mapping)

    digests = {
        train(source, directory=tmp_path, name=f"run{index}").weights_sha256
        for index, source in enumerate([file, str(file), mapping, config])
    }

    assert len(digests) == 1


def test_callbacks_see_what_the_journal_has_record_numbers_and_end_the_run(tmp_path):
    seen = []

    def watch(event):
        seen.append((event.is_evaluation, event.updates))
        if not event.is_evaluation:
            event.record("longest", max(event.episode_lengths))
            event.save_checkpoint()
        if event.updates == 2:
            event.stop("two are enough")

    run = train("cartpole", callbacks=[watch], directory=tmp_path)

    assert run.summary["stop_reason"] == "two are enough"
    assert seen == [(True, 0), (False, 1), (False, 2), (True, 2), (True, 2)]
    longest = run.episodes.groupby("update")["length"].max().tolist()
    assert run.updates["custom/longest"].tolist() == longest
    kept = sorted(path.name for path in (run.path / "checkpoints").glob("update-*"))
    assert kept == ["update-000000001.safetensors", "update-000000002.safetensors"]


def test_callbacks_change_nothing_but_the_end(run, tmp_path):
    watched = train("cartpole", seed=1, callbacks=[lambda event: None], directory=tmp_path)

    assert watched.weights_sha256 == run.weights_sha256


def test_a_callback_that_raises_ends_the_run_after_a_checkpoint(tmp_path):
    def broken(event):
        if event.updates == 1 and not event.is_evaluation:
            raise ZeroDivisionError("of mine")

    with pytest.raises(reinforce.CallbackError, match="ZeroDivisionError: of mine"):
        train("cartpole", callbacks=[broken], directory=tmp_path, name="broken")

    run = reinforce.load(tmp_path / "broken")
    assert run.status == "failed"
    assert "in broken" in run.summary["stop_reason"]
    assert len(run.resume(progress=False).updates) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_not_recorded(value, tmp_path):
    with pytest.raises(reinforce.CallbackError, match="is not finite"):
        train("cartpole", callbacks=[lambda event: event.record("x", value)], directory=tmp_path)


def test_a_run_goes_on_to_the_weights_of_one_that_was_not_stopped(run, tmp_path):
    options = {"directory": tmp_path, "name": "stopped", "seed": 1}
    stopped = train("cartpole", overrides={"stop.max_updates": 1}, **options)

    assert stopped.resume({"stop.max_updates": 3}, progress=False).weights_sha256 == (
        run.weights_sha256
    )


@pytest.mark.parametrize("kind", ["name", "path", "run"])
def test_a_warm_start_begins_with_the_weights_of_another_run(kind, run, tmp_path):
    def at_once(event):
        event.stop("at once")

    overrides = {"run.start_from": {"name": str(run.path), "path": run.path, "run": run}[kind]}
    warm = train("cartpole", overrides=overrides, callbacks=[at_once], directory=tmp_path)

    assert warm.weights_sha256 == run.weights_sha256
    assert warm.config.run.start_from == f"{run.path}@3"
    assert warm.config.run.start_from_sha256 == run.weights_sha256
    assert len(warm.updates) == 0


def test_a_warm_start_that_does_not_fit_names_each_tensor_and_leaves_nothing(run, tmp_path):
    overrides = {"run.start_from": str(run.path), "policy.hidden_sizes": [64, 3]}

    with pytest.raises(reinforce.UsageError) as refused:
        train("cartpole", overrides=overrides, directory=tmp_path)

    assert "tensor 2: [64, 64] there, [3, 64] here" in str(refused.value)
    assert "tensor 0" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_warm_start_in_another_environment_says_what_both_see_and_do(run, tmp_path):
    overrides = {"run.start_from": run, "environment.id": "Pendulum-v1"}

    with pytest.raises(reinforce.UsageError) as refused:
        train("cartpole", overrides=overrides, directory=tmp_path)

    _, observation, action, *tensors = str(refused.value).splitlines()
    assert observation == ("  observation: numbers of shape (4,) there, numbers of shape (3,) here")
    assert action == (
        "  action: choices of shape (), 2 values from 0, int64 there, "
        "real numbers of shape (1,), -2.0 to 2.0, float32 here"
    )
    assert all(line.startswith("  tensor ") for line in tensors)


@pytest.mark.parametrize("machine", ["same", "new"])
def test_a_warm_start_that_is_called_again_goes_on(machine, run, tmp_path):
    """As a supervisor does it: the same command, which names the run as it did the first time."""
    runs, checkpoints = tmp_path / "runs", tmp_path / "checkpoints"
    short = [f"--{name}={'None' if value is None else value}" for name, value in QUICK.items()]
    command = ["train", "cartpole", "--resume", "auto", *short, "--tracking.enabled=false"]
    command += ["--run.name=warm", f"--run.directory={runs}", f"--run.start_from={run.path}"]
    command += ["--cluster.backend=inline", f"--checkpoint.directory={checkpoints}"]

    assert main([*command, "--stop.max_updates=1"]) == 0
    if machine == "new":  # the run's directory went with the old one
        shutil.rmtree(runs)
    assert main(command) == 0

    warm = reinforce.load(runs / "warm")
    assert warm.summary["updates"] == 3
    assert warm.config.run.start_from == f"{run.path}@3"
    assert warm.summary["start_from"]["weights_sha256"] == run.weights_sha256


def test_an_optimizer_that_is_taken_over_has_to_be_the_same(run, tmp_path):
    overrides = {"run.start_from": str(run.path), "run.start_from_optimizer": True}
    refused = pytest.raises(reinforce.UsageError, match="optimizer: adam there, sgd here")

    with refused:
        train("cartpole", overrides={**overrides, "learner.optimizer": "sgd"}, directory=tmp_path)
    time = {"learner.baseline": "value", "learner.value_horizon_steps": 500}
    with pytest.raises(reinforce.UsageError, match="value_horizon_steps: None there, 500 here"):
        train("cartpole", overrides={**overrides, **time}, directory=tmp_path)
    memory = {"learner.baseline": "value", "learner.value_memory": True}
    with pytest.raises(reinforce.UsageError, match="value_memory: False there, True here"):
        train("cartpole", overrides={**overrides, **memory}, directory=tmp_path)
    assert train("cartpole", overrides=overrides, directory=tmp_path).status == "finished"


def test_functions_of_one_name_are_kept_apart(tmp_path):
    makers = [lambda gravity=gravity: Heavy(gravity) for gravity in (5.0, 50.0)]
    one, other = (train(environment=make, directory=tmp_path) for make in makers)

    assert one.config.environment.id != other.config.environment.id
    before = one.evaluate(episodes=5).returns
    train(environment=makers[1], directory=tmp_path)
    np.testing.assert_array_equal(one.evaluate(episodes=5).returns, before)


def test_runs_are_compared_over_their_seeds(run, tmp_path):
    others = [
        train("cartpole", seed=seed, directory=tmp_path, overrides=changes)
        for seed, changes in [(2, {}), (1, {"learner.learning_rate": 0.5})]
    ]

    comparison = reinforce.compare([run, *others])

    scores = comparison.scores.set_index("group")
    assert scores["runs"].to_dict() == {
        "learner.learning_rate 0.015": 2,
        "learner.learning_rate 0.5": 1,
    }
    each = comparison.runs.set_index("run")
    for one in (run, *others):
        assert each.loc[one.name, "seed"] == one.config.run.seed
        assert each.loc[one.name, "score"] == one.evaluation.mean
        assert each.loc[one.name, "steps"] == one.summary["environment_steps"]
    steps = comparison.runs.groupby("group")["steps"].agg(["min", "max"])
    assert scores["steps_min"].to_dict() == steps["min"].to_dict()
    assert scores["steps_max"].to_dict() == steps["max"].to_dict()
    curves = comparison.curves()
    assert [*curves.columns] == ["group", "run", "steps", "value", "low", "high"]
    assert curves["group"].nunique() == 2
    assert {*curves["run"]} == {"", *(each.name for each in (run, *others))}
    assert curves[["low", "high"]].isna().all(axis=None), "two seeds have no interval"
    tabulated_as_drawn(comparison)
    drawn_by_both(comparison, [run, *others], tmp_path)
    drawn_into_axes(comparison, others[-1])


def test_a_run_that_repeats_a_seed_is_named_and_not_counted(run, tmp_path, capsys):
    again = train("cartpole", seed=1, directory=tmp_path)

    comparison = reinforce.compare([run, again])

    assert comparison.scores["runs"].tolist() == [1]
    assert len(comparison.not_counted) == 1
    assert f"the same seed: {comparison.not_counted[0]}\n" in capsys.readouterr().err


def drawn_by_both(comparison, runs, tmp_path):
    """The same file comes from Python and from the command line."""
    options = {"profile": True, "size": (9, 3), "metric": "learner/entropy", "x_axis": "updates"}
    words = ["--profile", "--size", "9", "3", "--metric", "learner/entropy", "--x-axis", "updates"]
    for settings, more in (({}, []), (options, words)):
        mine, theirs = tmp_path / "mine.svg", tmp_path / "theirs.svg"
        assert comparison.plot(mine, **settings) == mine
        assert main(["compare", *(str(r.path) for r in runs), *more, "--plot", str(theirs)]) == 0
        assert mine.read_bytes() == theirs.read_bytes()


def tabulated_as_drawn(comparison):
    """The table has the points of the lines, by default and for the same arguments."""
    for options in ({}, {"metric": "learner/entropy", "x_axis": "updates"}):
        axes = comparison.plot(matplotlib.figure.Figure().add_subplot(), **options)
        curves = comparison.curves(**options)
        drawn = {tuple(line.get_ydata()): tuple(line.get_xdata()) for line in axes.get_lines()}
        assert drawn == {
            tuple(curve["value"]): tuple(curve[options.get("x_axis", "steps")])
            for _, curve in curves.groupby(["group", "run"])
        }
    with pytest.raises(reinforce.UsageError, match=r"no run has the metric 'x/y'"):
        comparison.curves(metric="x/y")


def drawn_into_axes(comparison, alone):
    axes = matplotlib.figure.Figure().add_subplot()

    assert comparison.plot(axes) is axes
    assert axes.get_title() == ""
    assert comparison.plot(axes, title="Two rates") is axes

    lines = {line.get_label(): line for line in axes.get_lines()}
    assert axes.get_title() == "Two rates"
    assert {"learner.learning_rate 0.015 (2 seeds)", "learner.learning_rate 0.5 (1 seed)"} <= {
        *lines
    }
    last_step = lines["learner.learning_rate 0.5 (1 seed)"].get_xdata()[-1]
    assert last_step == alone.summary["environment_steps"]


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("a.bmp", {}, r"^target = 'a\.bmp' must end in \.png, \.svg or \.pdf$"),
        ("a.svg", {"size": (0, 4)}, "^size = 0 4 must be inches, up to 100$"),
        ("a.svg", {"size": (4,)}, "give width and height in inches"),
        ("a.svg", {"metric": "x/y"}, "no run has the metric 'x/y'"),
        ("none/a.svg", {}, r"^target = 'none/a\.svg': No such file"),
        (5, {}, "^target = 5: give a path, or axes of Matplotlib$"),
        (
            matplotlib.pyplot,
            {},
            "^target = <module 'matplotlib.pyplot' .*: give a path, or axes of",
        ),
        ("axes", {"profile": True}, "^profile and size are for files"),
    ],
)
def test_what_cannot_be_drawn_is_refused(run, target, options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = matplotlib.figure.Figure().add_subplot() if target == "axes" else target

    with pytest.raises(reinforce.UsageError, match=says):
        reinforce.compare([run]).plot(target, **options)


def test_warm_starts_from_several_runs_are_a_group_where_it_is_said(run, tmp_path):
    other = train("cartpole", seed=2, directory=tmp_path)
    overrides = [{"run.start_from": str(parent.path)} for parent in (run, other)]
    warm = [train("cartpole", seed=5, overrides=each, directory=tmp_path) for each in overrides]

    assert reinforce.compare(warm).scores["runs"].tolist() == [1, 1]
    scores = reinforce.compare({"cold": [run, other], "warm": warm}).scores
    assert scores["group"].tolist() == ["cold", "warm"]
    assert scores["runs"].tolist() == [2, 2]


def test_a_run_in_a_thread_leaves_signals_alone(run, tmp_path):
    found = []

    def go():
        found.append(train("cartpole", seed=1, directory=tmp_path))

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()

    assert found[0].weights_sha256 == run.weights_sha256


def test_importing_it_takes_neither_torch_nor_ray_nor_mlflow():
    script = "import sys, reinforce; print({'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_every_name_of_the_interface_has_words_for_it():
    for name in reinforce.__all__:
        assert name == "Callback" or getattr(reinforce, name).__doc__, name  # a type has none
    assert set(reinforce.__all__) == set(reinforce._HOMES)


def test_every_error_that_is_documented_can_be_caught():
    """By its name in the package, or it is one of Python's."""
    for thing in (reinforce, reinforce.Run, reinforce.SavedPolicy, reinforce.Policy):
        names = reinforce.__all__ if thing is reinforce else [n for n in dir(thing) if n[0] != "_"]
        for name in names:
            text = inspect.getdoc(getattr(thing, name)) or ""
            raised = text.partition("Raises:")[2].partition("\n\n")[0]
            for error in re.findall(r"\b([A-Z]\w*Error|KeyboardInterrupt)\b", raised):
                assert hasattr(reinforce, error) or hasattr(builtins, error), (name, error)


def test_the_package_says_its_version():
    assert reinforce.__version__ == version("distributed-reinforce")


def test_a_name_that_is_none_is_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        reinforce.trian  # noqa: B018


def test_warnings_of_a_silent_run_are_heard_on_standard_error(tmp_path, capsys):
    """Of the checks before it, and of the books of its evaluations, which cut long episodes."""
    kwargs = {"fault": "bounds"}
    overrides = {"environment.kwargs": kwargs, "evaluation.max_episode_steps": 2}

    train(None, environment="broken_environment:Broken", directory=tmp_path, overrides=overrides)

    printed = capsys.readouterr()
    assert printed.out == ""
    warned = printed.err.splitlines()
    assert warned[0].startswith("warning: the observation leaves the bounds of its space")
    assert "cut" in warned[1]
    assert warned[2].startswith("all returns of the first batch are equal")
    assert len(warned) == 3

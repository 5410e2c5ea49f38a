"""What users of other libraries write first is answered with what to write here."""

import traceback

import gymnasium
import numpy as np
import pytest

import reinforce


class Tank(gymnasium.Env):
    """Never played."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)


class EvalCallback:
    """As those of Stable-Baselines3: an object without a call."""

    def _on_step(self):
        return False


def vectors():
    return gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")])


def refusal(call, *arguments, **options):
    with pytest.raises(reinforce.ReinforceError) as caught:
        call(*arguments, **options)
    return str(caught.value)


OF_TRAIN = {
    "total_timesteps": (1000, "write {'stop.max_environment_steps': 1000} as overrides"),
    "n_envs": (8, "write {'workers.envs_per_worker': 8} as overrides"),
    "max_updates": (5, "write {'stop.max_updates': 5} as overrides"),
    "device": ("auto", "write {'learner.device': ...} as overrides. It is cpu or cuda"),
    "verbose": (1, "every update is recorded; Python's train(progress=False) prints warnings only"),
    "callback": (print, "did you mean 'callbacks'?"),
    "env": (Tank, "did you mean 'environment'?"),
    "env_kwargs": ({"size": 2}, "write {'environment.kwargs': {'size': 2}} as overrides"),
    "eval_env": (
        Tank,
        "evaluation.environment is what differs in evaluations, such as "
        "{'kwargs': {'gravity': -5.0}}",
    ),
    "tensorboard_log": (
        "logs",
        "write {'tracking.tensorboard': ...} as overrides. It is true or false; the files go to "
        "the run directory",
    ),
    "zzz": (
        1,
        "the arguments are: source, overrides, environment, policy, seed, name, directory, "
        "backend, callbacks, progress",
    ),
}


@pytest.mark.parametrize("name", OF_TRAIN)
def test_an_argument_that_training_has_not_is_answered_with_the_setting(name):
    value, hint = OF_TRAIN[name]

    assert refusal(reinforce.train, "cartpole", **{name: value}) == (
        f"train has no argument {name!r}; {hint}"
    )


def test_an_argument_that_a_method_has_not_is_answered_with_its_own():
    evaluate = reinforce.Run.evaluate

    assert refusal(evaluate, None, n_eval_episodes=5).endswith("; did you mean 'episodes'?")
    assert refusal(evaluate, None, deterministic=True).endswith(
        "; did you mean 'sampled'? It is the opposite: sampled=True draws actions"
    )
    assert refusal(evaluate, None, total_timesteps=5).endswith(
        "; the arguments are: episodes, seed, sampled, best, environment"
    )


def test_each_setting_without_its_section_is_named():
    assert refusal(reinforce.train, None, {"n_envs": 2, "max_updates": 3, "seed": 1}) == (
        "there is no setting 'n_envs'; did you mean 'workers.envs_per_worker'?\n"
        "there is no setting 'max_updates'; did you mean 'stop.max_updates'?\n"
        "there is no setting 'seed'; did you mean 'run.seed'?"
    )


INSTANCES = [
    (
        (),
        {"environment": Tank()},
        "environment = Tank(...): give a class or a function, not an instance (every worker needs "
        "its own): pass Tank and put its arguments into environment.kwargs",
    ),
    (
        ("MlpPolicy", Tank()),
        {},
        "; an environment and a policy are train(environment=Tank, policy='mlp')",
    ),
    (
        ("MlpPolicy", Tank),
        {},
        "; an environment and a policy are train(environment=Tank, policy='mlp')",
    ),
    ((), {"environment": vectors()}, "give what makes a single one"),
    ((), {"environment": vectors}, "for more info; workers.envs_per_worker replaces vectorized"),
    (("MlpPolicy",), {}, "no preset 'MlpPolicy'; mlp is what other libraries call MlpPolicy"),
    (
        (),
        {"callbacks": [EvalCallback()]},
        "a callback is a function of one event; in place of _on_step, and of its return False, "
        "event.stop(reason)",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "hint"), INSTANCES)
def test_a_value_of_another_library_is_answered_with_ours(arguments, options, hint, tmp_path):
    assert hint in refusal(reinforce.train, *arguments, **options, directory=tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("save", "a run is saved in its directory while it trains"),
        ("learn", r"resume\(.* continues the run"),
        ("predict", r"policy\(\).act\(observation\) returns an action"),
        ("model", r"policy\(\) returns the policy"),
        ("set_env", r"evaluate\(environment=...\) plays elsewhere"),
        ("nothing", "has no attribute 'nothing'$"),
    ],
)
def test_a_method_of_another_library_is_answered_with_ours(name, hint):
    with pytest.raises(AttributeError, match=hint):
        getattr(reinforce.load("zoo:cartpole"), name)


def test_a_policy_and_a_callback_s_event_answer_names_of_another_library(tmp_path):
    with pytest.raises(AttributeError, match=r"act\(observation\) returns an action"):
        _ = reinforce.load("zoo:cartpole").policy().predict

    with pytest.raises(reinforce.CallbackError, match=r"'num_timesteps'; event\.environment_steps"):
        reinforce.train(
            overrides={"tracking.enabled": False, "evaluation.every_updates": None},
            callbacks=[lambda event: event.num_timesteps],
            backend="inline",
            directory=tmp_path,
            progress=False,
        )


@pytest.mark.parametrize("algorithm", ["A2C", "DQN", "PPO", "SAC", "TD3"])
def test_an_algorithm_of_another_library_is_answered_with_train(algorithm):
    with pytest.raises(AttributeError, match=r"write reinforce\.train\('cartpole'\) or "):
        getattr(reinforce, algorithm)


def test_a_traceback_of_a_wrong_argument_shows_the_callers_line_alone():
    with pytest.raises(reinforce.UsageError) as caught:
        reinforce.train("cartpole", seed="1")

    shown = traceback.extract_tb(caught.value.__traceback__)
    assert {frame.filename for frame in shown} == {__file__}

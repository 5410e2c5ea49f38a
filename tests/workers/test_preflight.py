"""What would fail or mislead later is found before anything starts, each with its own message."""

import itertools
import re
import time
import tracemalloc

import pytest
import yaml
from sample_spaces import ACTION_SPACES

from reinforce.configs.errors import ConfigError
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    describe_environment,
    make_environment,
)
from reinforce.workers.preflight import preflight
from reinforce.workers.random_rollout import TimeAllowance, play_random_rollout


def check(make_config, fault="", **sections):
    environment = {"id": "broken_environment:Broken", "kwargs": {"fault": fault}} | sections.pop(
        "environment", {}
    )
    return preflight(make_config(environment=environment, **sections))


REFUSALS = {
    "init raises": r"cannot be made with kwargs .*: OSError: no licence \(.*broken_env",
    "reset raises": "reset raises KeyError: 'map'",
    "reset exits": r"reset raises SystemExit: 0 \(.*_environment.py:29, in reset",
    "step raises": "step 3 raises ZeroDivisionError: wheel",
    "step exits": "step 2 raises SystemExit: 5",
    "old reset": r"reset \(.*_environment.py:23, in Broken.reset\) returned array.*, not "
    r"\(observation, info\)",
    "old step": r"step 1 \(.*_environment.py:34, in Broken.step\) returned .*, not \(observation, "
    r"reward, terminated, truncated, info\)",
    "reward": r"step 1 \(.*_environment.py:34, in Broken.step\) returned the reward "
    r"array\(\[1., 1.\]\), not a single number",
    "nan reward": r"step 1 \(.*in Broken.step\) returned the reward nan, which would",
    "flag": r"step 1 \(.*in Broken.step\) returned terminated = 1, not a bool",
    "shape": r"step 2 \(.*in Broken.step\): the observation has shape \(2,\), but its space "
    r".* says shape \(3,\)",
    "image": r"reset \(.*in Broken.reset\): the observation is of dtype float64, but its "
    "space .* says uint8",
    "category": r"reset \(.*in Broken.reset\): the observation is 3, which is not in its "
    r"space Discrete\(3\)",
    "nan": r"reset \(.*in Broken.reset\): the observation holds a NaN or an infinity",
    "list": r"reset \(.*in Broken.reset\): the observation is a list, but its space .* says an "
    r"array of shape \(3,\)",
    "never ends": "did not end within .* steps.*set environment.max_episode_steps",
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_fault_is_refused_with_its_own_message(make_config, monkeypatch, fault):
    monkeypatch.setattr("reinforce.workers.preflight.MAX_STEPS_WITHOUT_LIMIT", 1000)

    with pytest.raises(UnsuitableEnvironmentError, match=REFUSALS[fault]) as caught:
        check(make_config, fault)

    assert "Broken" in str(caught.value)


def test_a_reset_without_a_seed_is_answered_with_its_new_form(make_config):
    with pytest.raises(UnsuitableEnvironmentError) as caught:
        check(make_config, environment={"id": "broken_environment:Unseeded"})

    assert str(caught.value).endswith(
        "Unseeded.reset() got an unexpected keyword argument 'seed'; this is the form of old "
        "Gym: write reset(self, *, seed=None, options=None)"
    )


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("old step", r"step 1 \(.*in Broken.step\) returned .*, not \(observation, reward, term"),
        ("nan", r"reset \(\S*broken_environment.py:\d+, in Broken.reset\): the observation holds"),
        ("nan reward", r"Broken.step, then .*user_wrappers.py:9, in Doubled.reward\) returned the"),
    ],
)
def test_a_wrapper_is_named_for_what_it_makes_and_hides_nothing(make_config, fault, says):
    environment = {"wrappers": ["user_wrappers:Doubled"]}
    kwargs = {"id": "broken_environment:Broken", "kwargs": {"fault": fault}}

    with pytest.raises(UnsuitableEnvironmentError, match=says):
        preflight(make_config(environment=kwargs | environment))


def test_a_sound_environment_passes_without_a_word(make_config):
    assert check(make_config).warnings == ()


@pytest.mark.parametrize(
    ("fault", "where"),
    [("unseeded", "in two instances"), ("remembers", "in two instances")],
)
def test_chance_without_a_seed_withdraws_the_promise_aloud(make_config, fault, where):
    (warning,) = check(make_config, fault).warnings

    assert (
        "is not deterministic under a seed: the same seed and actions gave different episodes "
        f"{where}, from" in warning
    )
    assert "this withdraws the promise that a run gives the same results again" in warning


def test_another_environment_for_evaluations_is_tried_too_and_named(make_config):
    evaluation = {"environment": {"kwargs": {"fault": "bounds"}}}

    (warning,) = check(make_config, evaluation=evaluation).warnings
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"^evaluation\.environment: .*step 3 raises ZeroDivision"
    ):
        check(make_config, evaluation={"environment": {"kwargs": {"fault": "step raises"}}})

    assert warning.startswith("evaluation.environment: ")
    assert "leaves the bounds of its space" in warning


def test_what_both_environments_do_is_said_once(make_config):
    evaluation = {"environment": {"max_episode_steps": 9}}

    (warning,) = check(make_config, "bounds", evaluation=evaluation).warnings

    assert warning.startswith("the observation")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"observation": "image"},
            "the observations are not .*kind numbers.* in training, and it has .*kind pixels",
        ),
        (
            {"action": "unbounded box"},
            "the actions are not the same: .*kind categorical.*kind gaussian",
        ),
        (
            {"masks": "info"},
            "the action masks are not the same: .* has none in training, and it has info in evalu",
        ),
    ],
)
def test_one_policy_acts_in_both_environments(make_config, other, message):
    kwargs = {"observation": "box", "action": "discrete"}
    environment = {"id": "space_tasks:Samples", "kwargs": kwargs}

    with pytest.raises(UnsuitableEnvironmentError, match=r"^evaluation\.environment: ") as caught:
        preflight(
            make_config(environment=environment, evaluation={"environment": {"kwargs": other}})
        )

    assert re.search(message, str(caught.value))


def test_bounds_that_are_left_do_no_harm(make_config):
    (warning,) = check(make_config, "bounds").warnings

    assert "leaves the bounds of its space" in warning


def test_with_a_limit_of_time_every_episode_ends(make_config):
    environment = {"max_episode_steps": 50}

    assert check(make_config, "never ends", environment=environment).warnings == ()


@pytest.mark.parametrize("space", ["tuple", "grid", "row"])
def test_trials_keep_to_masks_over_several_choices(make_config, space):
    """The environment raises where a forbidden action is taken."""
    environment = {"id": "space_tasks:MaskedParts", "kwargs": {"space": space}}

    found = preflight(make_config(environment=environment))

    assert found.spec.action_mask == "info"
    assert found.warnings == ()


@pytest.mark.parametrize("action", ACTION_SPACES)
def test_trials_act_as_a_policy_will(make_config, monkeypatch, action):
    """Through the decoder; the environment raises where an action is not in its space."""
    kwargs = {"observation": "box", "action": action}
    config = make_config(environment={"id": "space_tasks:Samples", "kwargs": kwargs})
    assert preflight(config).warnings == ()

    monkeypatch.setattr("reinforce.workers.spaces.ActionDecoder.singles", lambda *_: ["no action"])

    with pytest.raises(UnsuitableEnvironmentError, match="step 1 raises"):
        preflight(config)


@pytest.mark.parametrize("name", ["Attentive", "Counter", "Projecting", "Locking"])
def test_a_sound_policy_of_the_user_s_passes_without_a_word(make_config, name):
    assert check(make_config, policy={"kind": f"user_package:{name}"}).warnings == ()


def test_a_policy_may_hold_whole_numbers_that_are_the_same_everywhere(make_config):
    policy = {"kind": "user_package:Shuffling", "arguments": {"is_seeded": True}}

    assert check(make_config, policy=policy).warnings == ()


@pytest.mark.parametrize(
    "arguments",
    [
        {"what": "parameter"},
        {"what": "buffer"},
        {"what": "buffer", "dtype": "float16"},
        {"what": "buffer", "dtype": "complex64"},
    ],
)
def test_numbers_that_do_not_travel_as_float32_are_refused(make_config, arguments):
    dtype = arguments.get("dtype", "float64")

    with pytest.raises(ConfigError, match=f"holds 'fine' of torch.{dtype}: weights travel .* as"):
        check(make_config, policy={"kind": "user_package:Precise", "arguments": arguments})


@pytest.mark.parametrize("masks", ["info", "observation"])
def test_a_mask_for_which_there_is_no_use_is_named(make_config, masks):
    environment = {"id": "space_tasks:MaskedBox", "kwargs": {"masks": masks}}

    found = preflight(make_config(environment=environment))

    (warning,) = found.warnings
    assert "gives an 'action_mask', but masks are used only if" in warning
    assert found.spec.observation.vector_size == 2  # what is not used as a mask is seen


def test_a_mask_that_comes_after_the_first_step_alone_is_named_once(make_config):
    found = preflight(make_config(environment={"id": "space_tasks:MaskedLater"}))

    (warning,) = found.warnings
    assert (
        "gives an 'action_mask' after a step but gave none after reset, so none is used" in warning
    )
    assert found.spec.action_mask is None


@pytest.mark.parametrize(
    ("name", "is_idle"), [("discrete", True), ("image", True), ("tuple", False)]
)
def test_normalising_where_there_is_nothing_to_normalise_is_said(make_config, name, is_idle):
    kwargs = {"observation": name, "action": "discrete"}

    found = preflight(
        make_config(
            environment={"id": "space_tasks:Samples", "kwargs": kwargs},
            policy={"normalize_observations": True},
        )
    )

    assert len(found.warnings) == is_idle
    assert all("normalize_observations has no effect" in warning for warning in found.warnings)


def pictures(make_config, *, shape, brightest, wrappers=(), key="", **policy):
    kwargs = {"shape": shape, "brightest": brightest, "key": key}
    environment = {"id": "space_tasks:PlainPictures", "kwargs": kwargs, "wrappers": list(wrappers)}
    return preflight(make_config(environment=environment, policy=policy))


def test_an_image_without_light_is_taken_for_a_board_and_the_way_out_is_one(make_config):
    (warning,) = pictures(make_config, shape=[7, 7, 3], brightest=10).warnings
    as_numbers = {"DtypeObservation": {"dtype": "float32"}}

    found = pictures(
        make_config,
        shape=[7, 7, 3],
        brightest=10,
        wrappers=[as_numbers],
        normalize_observations=True,
    )

    assert "the image 'observation' holds nothing above 10 in 3 random rollouts" in warning
    assert "DtypeObservation: {dtype: float32}" in warning
    assert found.warnings == ()
    assert found.spec.observation.vector_size == 7 * 7 * 3


@pytest.mark.parametrize(
    ("kind", "shape", "says"),
    [
        ("cnn", [84, 84, 3], None),
        ("cnn", [20, 500, 3], None),  # a narrow one is halved until it is short
        ("cnn", [600, 800, 3], "436,224 x 64 weights, 112 MB"),
        ("gru", [600, 800, 3], "436,224 x 192 weights, 335 MB"),
        ("mlp", [400, 400, 3], "480,000 x 64 weights, 123 MB"),
    ],
)
def test_images_that_make_the_weights_huge_are_named(make_config, kind, shape, says):
    found = pictures(make_config, shape=shape, brightest=255, kind=kind, hidden_sizes=[64])

    assert len(found.warnings) == (says is not None)
    assert all(says in warning and "{ResizeObservation:" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("shape", "key"), [([600, 800, 3], "eye"), ([2, 600, 800, 3], "")], ids=["in a Dict", "stacked"]
)
def test_gymnasium_s_wrapper_is_advised_only_where_it_can_be_made(make_config, shape, key):
    sections = {"brightest": 9, "kind": "cnn", "hidden_sizes": [64], "key": key}

    board, size = pictures(make_config, shape=shape, **sections).warnings

    assert ("make it a Box of float32 with your own wrapper" in board) == bool(key)
    assert "make it smaller with your own wrapper (Gymnasium's ResizeObservation takes" in size
    assert "{ResizeObservation" not in size


def test_the_memory_of_a_trial_does_not_grow_with_its_images(make_config):
    kwargs = {"shape": [64, 64, 3], "brightest": 99, "length": 2000}  # 25 MB of pixels
    config = make_config(environment={"id": "space_tasks:PlainPictures", "kwargs": kwargs})
    environment = make_environment(config.environment)
    spec = describe_environment(config.environment, environment)
    tracemalloc.start()

    trial = play_random_rollout(environment, spec, seed=0, max_steps=50_000)

    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (trial.num_steps, trial.brightest) == (2000, {"observation": 99})
    assert peak_bytes < 1e6


@pytest.mark.parametrize(
    ("dtype", "base", "step", "says"),
    [
        ("float64", 1.7e9, 1.0, "from 1700000000.0 to 1700000001.0 .*, both of which are 17000000"),
        ("int64", 2**53, 1, "from 9007199254740992 to 9007199254740993 .* both of which are 90071"),
        ("int64", 2**25, 5, r"from 33554432 to 33554437 in .* float32, where it has 2 values"),
        ("float64", 0.0, 1e-9, None),  # small, and nothing is lost
        ("float64", 3.0, 1e-9, None),  # held in its place, nearly
        ("float64", 101_325.0, 1e-10, None),  # rounding of the simulator, and no measurement
        ("float64", 1.7e9, 1e6, None),
        ("int64", 2**40, 2**30, None),
        ("int16", 30_000, 1, None),
    ],
)
@pytest.mark.case
def test_numbers_that_float32_cannot_tell_apart_are_named_with_both(
    make_config, dtype, base, step, says
):
    kwargs = {"dtype": dtype, "base": base, "step": step}

    found = preflight(make_config(environment={"id": "time_stamps:Clock", "kwargs": kwargs}))

    assert len(found.warnings) == (says is not None)
    for warning in found.warnings:
        assert re.search(rf"^the observation at 'now' in component \[1\] goes {says}", warning)


def one_hot(make_config, sides, **sections):
    environment = {"id": "one_hot_image:Planes", "kwargs": {"sides": list(sides)}}
    return preflight(make_config(environment=environment, **sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"policy": {"kind": "cnn"}},
        {"policy": {"kind": "gru"}},
        {"policy": {"kind": "user_package:Attentive"}, "learner": {"baseline": "value"}},
    ],
    ids=["cnn", "gru", "value function"],
)
@pytest.mark.case
def test_channels_are_shown_and_not_guessed_wherever_there_are_convolutions(make_config, sections):
    found = one_hot(make_config, (7, 7), **sections)

    assert found.images == ("'observation' of shape (7, 7, 20) is 20 channels of 7 x 7 pixels",)
    with pytest.raises(
        UnsuitableEnvironmentError,
        match=r"the shape \(9, 7, 20\) of the image 'observation' does not show .* set "
        r"policy\.channels to first for 9 channels of 7 x 20 pixels, or to last for 20 channels of",
    ):
        one_hot(make_config, (9, 7), **sections)


@pytest.mark.case
def test_channels_that_are_named_are_where_they_are_said_to_be(make_config):
    policy = {"kind": "cnn", "channels": "last"}

    found = one_hot(make_config, (9, 7), policy=policy)

    assert found.images == ("'observation' of shape (9, 7, 20) is 20 channels of 9 x 7 pixels",)


@pytest.mark.case
def test_without_convolutions_nobody_asks_where_the_channels_are(make_config):
    assert one_hot(make_config, (9, 7)).images == ()
    with pytest.raises(ConfigError, match=r"policy\.channels = 'last' says how convolutions read"):
        one_hot(make_config, (9, 7), policy={"channels": "last"})


@pytest.mark.case
def test_the_wrapper_that_is_advised_against_a_text_is_one(make_config):
    with pytest.raises(UnsuitableEnvironmentError) as caught:
        preflight(make_config(environment={"id": "text_in_dict:Mission"}))
    advised = re.search(r"the observation at 'mission'.*put (\{.*\}) among", str(caught.value))[1]

    environment = {"id": "text_in_dict:Mission", "wrappers": [yaml.safe_load(advised)]}

    assert preflight(make_config(environment=environment)).warnings == ()
    assert advised == '{FilterObservation: {filter_keys: ["direction", "image"]}}'


def test_a_cnn_needs_an_image(make_config):
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"'cnn' needs an image.*use policy\.kind mlp"
    ):
        check(make_config, policy={"kind": "cnn"})


def test_a_linear_baseline_sees_no_images(make_config):
    with pytest.raises(UnsuitableEnvironmentError, match="'linear' has a coefficient for every"):
        preflight(
            make_config(
                environment={"id": "space_tasks:BrightQuarter"}, learner={"baseline": "linear"}
            )
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Dropping",
            "holds Dropout at 'drop' with dropout 0.1: the learner recomputes the probability.*; "
            "take it out, or set its p to 0",
        ),
        (
            "DroppingInside",
            "holds MultiheadAttention at 'blocks.0.self_attn' with dropout 0.1: .*; create "
            r"TransformerEncoderLayer at 'blocks.0' without dropout \(dropout=0 in",
        ),
        (
            "DroppingBetween",
            "holds LSTM at 'memory' with dropout 0.1: .*; create LSTM at 'memory' without dropout",
        ),
        ("Lazy", "holds LazyLinear at 'last', which has no weights until .* without Lazy, and"),
        (
            "Unsound",
            r"is not a complete torch.nn.Module \(does its __init__ call super.*\): AttributeError",
        ),
        ("Unsized", "cannot be tried: ValueError: invalid literal for int.*'much'"),
        (
            "Asserting",
            r"cannot be made .*: AssertionError: assert num_outputs > 9 "
            r"\(.*user_package.py:\d+, in __init__\)",
        ),
        ("Normalizing", "holds BatchNorm1d at 'norm'"),
        ("Mixing", "gives a different output for the same observation in a batch"),
        ("MixingLater", "gives a different output for the same observation in a batch"),
        (
            "DroppingLater",
            "gives a different output for the same observation in a batch, at another time",
        ),
        (
            "Forgetful",
            "gives a different output for the same observation .* in step instead of forward",
        ),
        ("Shuffling", "fills the buffer 'order' of torch.int64 at random"),
        ("TooFew", r"returns shape \(3, 3\) for 3 observations; it must return \[3, 2\]"),
        ("Paired", r"forward returns a tuple; it must return one tensor \[n, num_outputs\]"),
        ("Unlearnable", "has no parameters to learn"),
        (
            "Overwriting",
            "fails when computing a gradient: RuntimeError: .* inplace",
        ),
        ("Detached", "cannot learn: its outputs have no gradient with respect to its parameters"),
        ("Zeroed", "cannot learn: its outputs have no gradient with respect to its parameters, or"),
        ("Ungraded", "cannot learn: its outputs have no gradient with respect to its parameters"),
        ("NoModule", "is not a torch.nn.Module"),
        ("Absent", "cannot be made .* AttributeError"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(make_config, name, message):
    with pytest.raises(Exception, match=message) as caught:
        check(make_config, policy={"kind": f"user_package:{name}"})

    assert type(caught.value).__name__ == "UnsuitablePolicyError"


def test_a_pause_in_a_debugger_uses_up_no_more_time_than_a_slow_step(monkeypatch):
    # Made at 0, one step in a debugger, then a second for each.
    clock = itertools.chain([0, 600], itertools.count(601))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    allowance = TimeAllowance(3)

    assert [allowance.is_over() for _ in range(5)] == [False, False, False, True, True]

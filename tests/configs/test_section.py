import pytest
from pydantic import ValidationError

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.roles import flat
from reinforce.configs.synonyms import SYNONYMS


def refusal(values):
    with pytest.raises(ConfigError) as caught:
        Config.model_validate(values)
    return str(caught.value)


def test_an_unknown_key_is_refused_with_the_suggestion():
    assert refusal({"learner": {"optimiser": 1}}) == (
        "unknown key 'learner.optimiser'; did you mean 'learner.optimizer'?"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learner": {"gamma": 0.9}}, "'learner.gamma'; did you mean 'learner.discount'?"),
        ({"learner": {"lr": 0.1}}, "'learner.lr'; did you mean 'learner.learning_rate'?"),
        ({"workers": {"num_envs": 4}}, "did you mean 'workers.envs_per_worker'?"),
        ({"seed": 1}, "unknown key 'seed'; did you mean 'run.seed'?"),
        ({"environment": {"max_steps": 9}}, "did you mean 'environment.max_episode_steps'?"),
        (
            {"learner": {"n_steps": 128}},
            "did you mean 'learner.episodes_per_update'? It counts whole episodes, not steps",
        ),
        ({"stop": {"eval_freq": 9}}, "'evaluation.every_updates'? It counts updates, not steps"),
        ({"n_epochs": 4}, "each batch for one update, and then plays a fresh one"),
        ({"learner": {"vf_coef": 1}}, "learner.value_learning_rate sets the latter"),
        ({"verbose": 1}, "Python's train(progress=False) prints warnings only"),
        ({"learner": {"learning_starts": 9}}, "it learns from fresh episodes only"),
        ({"learner": {"clip_range": 0.2}}, "there is no ratio to clip"),
        (
            {"policy": "MlpPolicy"},
            "did you mean 'policy.kind'? mlp is what other libraries call MlpPolicy, and cnn "
            "CnnPolicy; either takes a Dict, as MultiInputPolicy does",
        ),
    ],
)
def test_a_word_of_other_libraries_is_answered_with_ours(values, message):
    assert refusal(values).endswith(message)


@pytest.mark.parametrize("name", ["MlpPolicy", "CnnPolicy", "MultiInputPolicy"])
def test_a_policy_of_other_libraries_is_answered_with_the_kinds_that_there_are(name):
    assert refusal({"policy": {"kind": name}}).startswith(
        f"policy.kind = {name!r} is refused: mlp is what other libraries call MlpPolicy, "
        "and cnn CnnPolicy; either takes a Dict"
    )


def test_every_word_of_other_libraries_stands_for_a_setting_that_there_is():
    settings = flat(Config().model_dump())

    named = {meant.setting for meant in SYNONYMS.values()} - {""}

    assert named - set(settings) == set()


def test_a_word_of_other_libraries_without_a_setting_here_is_answered_with_the_reason():
    assert [name for name, meant in SYNONYMS.items() if not (meant.setting or meant.note)] == []


def test_an_unknown_section_is_refused_with_the_suggestion():
    assert refusal({"lerner": {}}) == "unknown key 'lerner'; did you mean 'learner'?"


def test_an_unknown_key_like_no_other_gets_the_whole_list():
    assert "the keys of 'policy' are: kind, hidden_sizes, activation" in refusal(
        {"policy": {"zzz": 1}}
    )


def test_a_value_out_of_range_is_named_with_its_rule_and_meaning():
    message = refusal({"learner": {"learning_rate": -1}})

    assert message.startswith(
        "learner.learning_rate = -1 is refused: it should be greater than 0\n"
        "  learner.learning_rate: Learning rate of the optimizer"
    )


def test_every_wrong_value_of_a_section_is_named_once():
    message = refusal({"learner": {"learning_rate": 0, "discount": 3}})

    assert message.count("is refused") == 2


def test_nan_is_no_number():
    assert "learner.learning_rate = nan is refused" in refusal(
        {"learner": {"learning_rate": float("nan")}}
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"run": {"seed": "x"}}, "run.seed = 'x' is refused: it should be an integer\n"),
        (
            {"run": {"name": "../up"}},
            "run.name = '../up' is refused: it does not have the required form\n"
            "  run.name: Name of the run and of its folder: up to 100 letters, digits",
        ),
        (
            {"run": {"directory": ""}},
            "run.directory = '' is refused: it should be the path of a folder; '.' is the current",
        ),
        (
            {"policy": {"kind": "a b"}},
            "policy.kind = 'a b' is refused: it does not have the required form",
        ),
        ({"run": {"name": 3}}, "run.name = 3 is refused: it should be text\n"),
        (
            {"learner": {"episodes_bounds": [16]}},
            "learner.episodes_bounds = [16] is refused: it has too few values\n",
        ),
        (
            {"learner": {"episodes_bounds": [2, 3, 4]}},
            "learner.episodes_bounds = [2, 3, 4] is refused: it has too many values\n",
        ),
        (
            {"evaluation": {"greedy": "maybe"}},
            "evaluation.greedy = 'maybe' is refused: it should be true or false or 'both'\n",
        ),
        (
            {"environment": {"wrappers": [3]}},
            "environment.wrappers = 3 is refused: it should be text or a mapping of keys\n",
        ),
        (
            {"learner": {"discount": True}},
            "learner.discount = 'true' is refused: it should be a number\n",
        ),
        (
            {"learner": {"learning_rate": "0,01"}},
            "learner.learning_rate = '0,01' is refused: it should be a number with a decimal point "
            "or a list\n",
        ),
        ({"run": {"seed": False}}, "run.seed = 'false' is refused: it should be an integer\n"),
        (
            {"workers": {"num_workers": True}},
            "workers.num_workers = 'true' is refused: it should be an integer or 'auto'\n",
        ),
        (
            {"learner": {"episodes_bounds": [True, 8]}},
            "learner.episodes_bounds = 'true' is refused: it should be an integer\n",
        ),
        ({"run": {"name": True}}, "run.name = True is refused: it should be text\n"),
        ({"stop": {3: 4}}, "unknown key 'stop.3'; the keys of 'stop' are: max_updates, "),
    ],
)
def test_a_value_of_another_kind_is_refused_in_plain_words(values, message):
    assert refusal(values).startswith(message)


def test_none_is_taken_as_the_descriptions_write_it_and_refused_where_nothing_is_no_value():
    assert Config.model_validate({"stop": {"target_return": "None"}}).stop.target_return is None
    assert refusal({"run": {"seed": "None"}}).startswith("run.seed = 'None' is refused")


def test_a_section_that_is_no_mapping_is_refused():
    assert refusal({"learner": 3}) == "learner = 3 is not a mapping of keys"
    assert refusal({"learner": "discount 1"}) == (
        "learner = 'discount 1' is not a mapping of keys; is a colon missing?"
    )


def test_sections_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config().learner.discount = 0.5

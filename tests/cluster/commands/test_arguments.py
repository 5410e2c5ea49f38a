"""Words after ``--section.field``: a setting refuses them as it refuses a value in a file."""

import pytest

from reinforce.cluster.commands.arguments import parse_command
from reinforce.cluster.commands.config import ConfigCommand
from reinforce.cluster.commands.submit import SubmitCommand
from reinforce.configs.errors import ConfigError

REFUSED = {
    "text for a number": (
        ["--learner.learning_rate", "abc"],
        "learner.learning_rate = 'abc' is refused: it should be a number or a list\n"
        "  learner.learning_rate: Learning rate of the optimizer",
    ),
    "three numbers for two": (
        ["--learner.learning_rate", "1", "2", "3"],
        "learner.learning_rate = ['1', '2', '3'] is refused: it should be a number\n",
    ),
    "text among numbers": (
        ["--policy.hidden_sizes", "64", "abc"],
        "policy.hidden_sizes = 'abc' is refused: it should be an integer\n",
    ),
    "a word for a list": (
        ["--policy.hidden_sizes", "abc"],
        "policy.hidden_sizes = 'abc' is refused: it should be an integer\n",
    ),
    "text in a list with commas": (
        ["--policy.hidden_sizes", "64,abc"],
        "policy.hidden_sizes = '64,abc' is refused: it should be an integer\n",
    ),
    "a list that does not end": (
        ["--policy.hidden_sizes", "[64"],
        "policy.hidden_sizes = '[64' is refused: it should be an integer\n",
    ),
    "a fraction for an integer": (
        ["--run.seed", "1.5"],
        "run.seed = '1.5' is refused: it should be an integer\n",
    ),
    "nothing for what takes something": (
        ["--run.seed", "None"],
        "run.seed = 'None' is refused: it should be an integer\n",
    ),
    "neither true nor false": (
        ["--policy.normalize_observations", "maybe"],
        "policy.normalize_observations = 'maybe' is refused: it should be true or false\n",
    ),
    "neither of two kinds": (
        ["--workers.num_workers", "many"],
        "workers.num_workers = 'many' is refused: it should be an integer or 'auto'\n",
    ),
    "none of the choices": (
        ["--learner.optimizer", "adan"],
        "learner.optimizer = 'adan' is refused: it should be 'adam', 'adamw', 'rmsprop' or 'sgd'\n",
    ),
    "a list for a mapping": (
        ["--environment.kwargs", "[1]"],
        "environment.kwargs = [1] is refused: it should be a mapping of keys\n",
    ),
    "a word for wrappers": (
        ["--environment.wrappers", "ClipAction"],
        "environment.wrappers = 'ClipAction' is refused: it should be a list\n",
    ),
    "no YAML": (["--environment.kwargs", "{a: ["], "'{a: [' is not valid YAML: expected"),
    "a key twice": (
        ["--environment.kwargs", "{a: 1, a: 2}"],
        "'{a: 1, a: 2}' is not valid YAML: the key 'a' appears twice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_word_that_is_no_value_is_refused_with_what_the_setting_takes(case):
    words, message = REFUSED[case]

    with pytest.raises(ConfigError) as caught:
        parse_command("config", ConfigCommand, ["cartpole", *words])

    assert str(caught.value).startswith(message)


def test_every_kind_of_value_is_taken():
    words = [
        *["--run.name", "123", "--run.directory", "elsewhere", "--stop.target_return", "None"],
        *["--learner.learning_rate", "0.1", "0.01", "--learner.schedule_updates", "5"],
        *["--policy.hidden_sizes", "--evaluation.greedy", "both", "--checkpoint.keep", "2", "5"],
        *["--environment.wrappers", "[ClipAction, {A: {b: 1}}]", "--tracking.enabled", "false"],
        *["--policy.normalize_observations", "true"],
        *["--environment.info_metrics", "{energy: sum}", "--stop.target_metric", "energy"],
    ]

    config = parse_command("config", ConfigCommand, ["cartpole", *words]).config

    assert config.run.name == "123"
    assert str(config.run.directory) == "elsewhere"
    assert config.stop.target_return is None
    assert config.learner.learning_rate == (0.1, 0.01)
    assert config.policy.hidden_sizes == ()
    assert config.policy.normalize_observations is True
    assert config.evaluation.greedy == "both"
    assert config.checkpoint.keep == (2, 5)
    assert config.environment.wrappers == ("ClipAction", {"A": {"b": 1}})
    assert config.environment.info_metrics == {"energy": "sum"}
    assert config.stop.target_metric == "energy"
    assert config.tracking.enabled is False


@pytest.mark.parametrize(
    "words",
    [
        ["cartpole", "--run.seed", "3", "--address", "http://there:1", "--detach"],
        ["--address", "http://there:1", "--detach", "cartpole", "--run.seed", "3"],
        ["--detach", "--address=http://there:1", "cartpole", "--run.seed", "3"],
    ],
)
def test_options_of_a_verb_may_stand_in_front_of_its_source(words):
    command = parse_command("submit", SubmitCommand, words)

    assert (command.source, command.config.run.seed) == ("cartpole", 3)
    assert (command.address, command.detach) == ("http://there:1", True)
    assert command.words == ("--run.seed", "3")  # what the job is told


@pytest.mark.parametrize(
    ("words", "sizes"),
    [(["64,32"], (64, 32)), (["[64, 32]"], (64, 32)), (["[]"], ()), (["8"], (8,))],
)
def test_a_list_may_be_one_word_as_in_yaml(words, sizes):
    line = ["cartpole", "--policy.hidden_sizes", *words]

    assert parse_command("config", ConfigCommand, line).config.policy.hidden_sizes == sizes

"""Integers may be written with an exponent or with underscores, with the same answer everywhere."""

import pytest

import reinforce
from reinforce.cluster.commands.arguments import parse_command
from reinforce.cluster.commands.config import ConfigCommand
from reinforce.cluster.commands.evaluate import EvaluateCommand
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import load_config, with_overrides


def answers(tmp_path, setting, value):
    """Return the setting that the command line, YAML and Python make of a value, or its refusal."""
    section, _, field = setting.partition(".")
    file = tmp_path / "mine.yaml"
    file.write_text(f"{section}: {{{field}: {value}}}")
    line = ["cartpole", f"--{setting}", value]
    ways = (
        lambda: parse_command("config", ConfigCommand, line).config,
        lambda: load_config(str(file)),
        lambda: with_overrides(Config(), {setting: value}),
        lambda: with_overrides(Config(), {setting: eval(value)}),
    )
    for way in ways:
        try:
            yield getattr(getattr(way(), section), field)
        except ConfigError as error:
            yield str(error).partition("is refused: ")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("setting", "value", "answer"),
    [
        ("stop.max_environment_steps", "1e6", 1_000_000),
        ("stop.max_updates", "1_000", 1000),
        ("run.seed", "2.5E3", 2500),
        ("learner.episodes_per_update", "1e2", 100),
        ("run.seed", "1e20", "it should be less than 9223372036854775808"),
        ("run.seed", "1.5", "it should be an integer"),
        ("run.seed", "1e-3", "it should be an integer"),
    ],
)
def test_every_way_to_set_an_integer_gives_the_same_answer(tmp_path, setting, value, answer):
    assert list(answers(tmp_path, setting, value)) == [answer] * 4


def test_integers_in_lists_may_be_written_so_too():
    config = Config.model_validate({"policy": {"hidden_sizes": ["1e2", 64.0]}})

    assert config.policy.hidden_sizes == (100, 64)


def test_a_name_and_a_real_number_stay_what_they_are():
    config = Config.model_validate({"run": {"name": "1e6"}, "learner": {"learning_rate": "1e-3"}})

    assert (config.run.name, config.learner.learning_rate) == ("1e6", 0.001)


def test_a_billion_digits_are_refused_at_once():
    with pytest.raises(ConfigError, match="it should be an integer"):
        Config.model_validate({"run": {"seed": "1e999999999"}})


def test_options_and_arguments_that_are_no_settings_take_them_too(tmp_path):
    words = ["runs/a", "--episodes", "1e3"]

    assert parse_command("evaluate", EvaluateCommand, words).episodes == 1000
    with pytest.raises(reinforce.UsageError, match=r"give an integer"):
        reinforce.train("cartpole", seed=1.5)
    with pytest.raises(reinforce.ConfigError, match="less than 9223372036854775808"):
        reinforce.train("cartpole", seed=1e20)

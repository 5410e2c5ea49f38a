import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import (
    load_config,
    preset_names,
    preset_summary,
    to_yaml,
    with_overrides,
)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_says_what_it_is_for(name):
    assert isinstance(load_config(name), Config)
    assert preset_summary(name).endswith(".")


@pytest.mark.parametrize(
    ("source", "name"),
    [("lift.py", "lift:MyEnvironment"), ("./lift.py", "lift:MyEnvironment"), ("a:Lift", "a:Lift")],
)
def test_python_in_place_of_settings_is_answered_with_how_to_give_an_environment(source, name):
    with pytest.raises(ConfigError, match=f"as in `cartpole --environment.id {name}`, or write"):
        load_config(source)


def test_the_article_preset_holds_the_article_s_settings():
    config = load_config("article")

    assert config.environment.id == "CartPole-v0"
    assert config.learner.discount == 0.9
    assert config.learner.learning_rate == 3e-4
    assert config.learner.episodes_per_update == 1
    assert config.learner.advantage_scale == "episode"
    assert config.policy.hidden_sizes == (128,)
    assert config.stop.max_updates == 5000


def test_a_near_name_is_offered_for_an_unknown_preset():
    with pytest.raises(ConfigError, match="did you mean 'cartpole'"):
        load_config("cartpol")
    with pytest.raises(ConfigError, match=r"there is no preset 'nope'\. The presets are"):
        load_config("nope")  # and not: did you mean 'hopper'?


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", "holds a list, not a mapping"),
        ("learner: {a: [", "is not valid YAML"),
        ("run: {seed: 1}\nstop: {}\nrun: {seed: 2}\n", "the key 'run' appears twice"),
        ("learner: {discount: 1.0, discount: 0.9}\n", "the key 'discount' appears twice"),
        ("learner:\n  gamma: 1\n", "unknown key 'learner.gamma'"),
        (" \n", "is empty"),  # a template that was not filled in
    ],
)
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message) as caught:
        load_config(str(path))

    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(str(tmp_path / "none.yaml"))


def test_the_id_of_an_environment_in_place_of_a_file_is_told_where_it_goes():
    with pytest.raises(ConfigError, match=r"`cartpole --environment\.id playground/HopperHop`"):
        load_config("playground/HopperHop")
    with pytest.raises(ConfigError, match=r"did you mean 'pong' or 'pong_karpathy'\?$"):
        load_config("ale/pong-v5")
    with pytest.raises(ConfigError, match="there is no preset 'Hopper-v5'; did you mean 'hopper'"):
        load_config("Hopper-v5")
    with pytest.raises(ConfigError, match=r"cartpole --run\.start_from zoo:cartpole"):
        load_config("zoo:cartpole")
    with pytest.raises(ConfigError) as refused:
        load_config("./none/mine")
    assert "--environment.id" not in str(refused.value)


def test_a_file_that_changes_nothing_is_the_defaults(tmp_path):
    path = tmp_path / "none.yaml"
    path.write_text("{}")

    assert load_config(str(path)) == Config()


@given(
    seed=st.integers(0, 2**63 - 1),
    rate=st.floats(1e-6, 1.0),
    sizes=st.lists(st.integers(1, 512), max_size=4),
)
def test_the_written_configuration_reads_back_unchanged(tmp_path_factory, seed, rate, sizes):
    config = Config.model_validate(
        {
            "run": {"seed": seed},
            "learner": {"learning_rate": rate},
            "policy": {"hidden_sizes": sizes},
        }
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(to_yaml(config))

    assert load_config(str(path)) == config


def test_everything_that_is_wrong_with_a_file_is_said_at_once(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "learner: {learning_rat: 0.01, discount: 1.5}\n"
        "stop: {max_updates: 0}\n"
        "environment: {info_metrics: {return: last}, max_episode_steps: 0}\n"
        "workers: {num_workers: 3, min_workers: 2, max_workers: 1}\n"
        "policy: {kind: gru, hidden_sizes: []}\n"
    )

    with pytest.raises(ConfigError) as caught:
        load_config(str(file))

    first, *others = str(caught.value).splitlines()
    assert first == f"{file}: 8 things are wrong"
    for part in (
        *("unknown key 'learner.learning_rat'", "learner.discount = 1.5", "max_updates = 0"),
        *("'return' is the name of another", "environment.max_episode_steps = 0"),
        *("workers.num_workers = 3 is fixed", "are not lower and upper bound", "'gru' needs"),
    ):
        assert [part in line for line in others].count(True) == 1, part


def test_a_folder_or_a_name_without_its_suffix_is_answered_with_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lift").mkdir()
    for source in ("lift", "./lift"):
        with pytest.raises(ConfigError, match=f"; the folder {source} holds no config.yaml."):
            load_config(source)

    (tmp_path / "lift" / "config.yaml").touch()
    for source, file in (("lift", "./lift/config.yaml"), ("./lift", "lift/config.yaml")):
        with pytest.raises(ConfigError, match=rf"; did you mean the file {file}\?"):
            load_config(source)
    (tmp_path / "reach.yaml").touch()
    with pytest.raises(ConfigError, match=r"no preset 'reach'; did you mean the file ./reach.yaml"):
        load_config("reach")


def test_of_a_file_of_another_program_a_few_keys_are_named_the_nearest_first(tmp_path):
    file = tmp_path / "sb3.yaml"
    file.write_text("".join(f"key{number}: 1\n" for number in range(300)) + "gamma: 0.9\n")

    with pytest.raises(ConfigError) as caught:
        load_config(str(file))

    first, nearest, *others, last = str(caught.value).splitlines()
    assert first == f"{file}: 6 things are wrong"
    assert nearest == "unknown key 'gamma'; did you mean 'learner.discount'?"
    assert len(others) == 4
    assert last.startswith("296 other keys of the configuration are unknown, such as 'key4', ")


def test_sections_are_not_held_against_one_that_is_wrong_itself(tmp_path):
    """Its defaults would stand for what the user meant."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "environment: {info_metrics: {energy: last}, id: ''}\nstop: {target_metric: energy}\n"
    )

    with pytest.raises(ConfigError, match=r"^[^\n]*environment.id = '' is refused") as caught:
        load_config(str(file))

    assert "energy" not in str(caught.value)


@pytest.mark.parametrize("section", Config.model_fields)
def test_a_section_in_overrides_is_answered_with_its_settings(section):
    with pytest.raises(ConfigError) as caught:
        with_overrides(Config(), {section: {"one": [32], "other": None}})

    assert str(caught.value) == (
        f"there is no setting '{section}'; {section} is a section: "
        f'give "{section}.one": [32], "{section}.other": None'
    )

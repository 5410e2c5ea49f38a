"""A target of a preset, a file or a run, when settings choose another environment."""

import json

import pytest
import yaml
from small_runs import train as train_small

import reinforce
from reinforce.cluster.cli import main
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, with_overrides
from reinforce.configs.other_environment import without_others_target
from reinforce.configs.sweep import SweepConfig

DROPPED = "stop.target_return = 475 is dropped: it was set for CartPole-v1, and evaluations play "
ACROBOT = {"environment.id": "Acrobot-v1"}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def target_under(settings, base=None):
    base = base or load_config("cartpole")
    config, remark = without_others_target(base, with_overrides(base, settings), settings)
    assert bool(remark) == (base.stop.target_return is not None and not config.stop.target_return)
    return config.stop.target_return


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({"environment.id": "CartPole-v1"}, 475.0),
        ({"environment.kwargs": {"sutton_barto_reward": True}}, 475.0),
        (ACROBOT, None),
        ({"evaluation.environment": {"id": "CartPole-v0"}}, None),
        ({**ACROBOT, "evaluation.environment": {"id": "CartPole-v1"}}, 475.0),
        ({**ACROBOT, "stop.target_return": -90.0}, -90.0),
        ({**ACROBOT, "stop.target_return": 475.0}, 475.0),
        ({**ACROBOT, "stop.max_updates": 3}, None),
    ],
)
def test_a_target_holds_for_the_environment_that_it_was_set_for(settings, target):
    assert target_under(settings) == target


def test_a_target_of_a_file_without_an_environment_holds_for_every_one():
    assert target_under(ACROBOT, Config.model_validate({"stop": {"target_return": -90}})) == -90


def test_a_rate_of_success_holds_for_every_environment():
    stop = {"target_metric": "is_success", "target_return": 0.9}
    base = Config.model_validate({"environment": {"id": "CartPole-v1"}, "stop": stop})

    assert target_under(ACROBOT, base) == 0.9


@pytest.mark.parametrize("explicit", [False, True])
def test_the_command_line_tells_it_in_a_line_of_standard_error(capsys, explicit):
    own = ["--stop.target-return", "-90"] if explicit else []

    assert main(["config", "cartpole", "--environment.id", "Acrobot-v1", *own]) == 0

    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["stop"]["target_return"] == (-90 if explicit else None)
    told = f"reinforce: {DROPPED}Acrobot-v1; set stop.target_return for a target there\n"
    assert printed.err == ("" if explicit else told)


def test_a_program_is_told_too_and_the_run_keeps_what_it_was_trained_with(capsys):
    config = with_overrides(load_config("cartpole"), {"stop.target_return": 475.0})
    settings = {
        "stop.max_updates": 1,
        "evaluation.episodes": 5,
        "tracking.enabled": False,
        "learner.episodes_per_update": 8,
        "environment.max_episode_steps": 20,
    }

    for source in ("cartpole", config):
        run = reinforce.train(source, settings, environment="Acrobot-v1", backend="inline")
        assert run.config.stop.target_return is None
        assert DROPPED in capsys.readouterr().out


def test_a_target_in_the_program_s_own_call_holds():
    stop = {"target_return": 5.0}
    run = reinforce.train(
        {"stop": {**stop, "max_updates": 1}},
        {"tracking.enabled": False, "evaluation.episodes": 5, "learner.episodes_per_update": 4},
        environment="CartPole-v0",
        backend="inline",
        progress=False,
    )

    assert run.config.stop.target_return == 5.0


def test_a_run_that_is_evaluated_elsewhere_loses_its_target(tmp_path, capsys):
    run = train_small(
        tmp_path,
        {
            "stop.target_return": 475.0,
            "environment.id": "CartPole-v1",
            "evaluation.every_updates": 5,
        },
    )
    settings = {"evaluation.environment": {"id": "CartPole-v0"}, "stop.max_updates": 7}

    run = run.resume(settings, change=True, progress=False)

    assert run.config.stop.target_return is None
    assert f"{DROPPED}CartPole-v0" in capsys.readouterr().err


def test_trials_of_a_sweep_over_environments_have_no_target_of_another_one():
    base = load_config("cartpole")
    sweep = SweepConfig.model_validate(
        {"base": "cartpole", "settings": {"environment.id": ["CartPole-v1", "Acrobot-v1"]}}
    )

    targets = [sweep.config(base, each).stop.target_return for each in sweep.grid()]

    assert targets == [475.0, None]


def test_a_sweep_over_environments_tells_it_once(tmp_path, capsys):
    """Its folder holds a sweep of version 0.1, so none begins."""
    (tmp_path / "sweeps" / "lift").mkdir(parents=True)
    (tmp_path / "sweeps" / "lift" / "settings.jsonl").touch()
    settings = {"environment.id": ["CartPole-v1", "Acrobot-v1"], "learner.discount": [0.9, 0.99]}
    sweep = {"base": "cartpole", "settings": settings}
    (tmp_path / "lift.yaml").write_text(json.dumps(sweep))

    assert main(["sweep", "lift.yaml"]) == 2

    printed = capsys.readouterr()
    assert printed.out.count(DROPPED) == 1
    assert "a sweep of version 0.1" in printed.err

import pytest

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import with_overrides
from reinforce.configs.roles import changes_between


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learner": {"episodes_per_update": 1}}, "needs learner.episodes_per_update >= 2, not 1"),
        (
            {"learner": {"advantage_scale": "episode"}},
            "undoes learner.baseline = 'time'; use learner.baseline none",
        ),
        (
            {"stop": {"target_return": 1.0}, "evaluation": {"every_updates": None}},
            "evaluation.every_updates is None; set it",
        ),
        (
            {"stop": {"target_metric": "is_sucess"}},
            "stop.target_metric = 'is_sucess' is not measured; did you mean 'is_success'",
        ),
        (
            {"stop": {"target_metric": "energy"}},
            "take it from info with environment.info_metrics, such as {energy: last}",
        ),
        (
            {"environment": {"info_metrics": {"episode/r": "last"}}},
            "'episode/r' cannot name a metric: a name is a letter or '_'",
        ),
        (
            {"environment": {"info_metrics": {"confirmed_return": "last"}}},
            "'confirmed_return' is the name of another metric of the run",
        ),
        (
            {"environment": {"info_metrics": {"energy": "median"}}},
            "it should be 'last', 'sum', 'mean', 'min' or 'max'",
        ),
        (
            {"environment": {"info_metrics": {f"x{number}": "sum" for number in range(11)}}},
            "it has too many values",
        ),
        (
            {"evaluation": {"environment": {"kwrgs": {}}}},
            "evaluation.environment: unknown key 'environment.kwrgs'; did you mean "
            "'environment.kwargs'",
        ),
        (
            {"evaluation": {"environment": {"max_episode_steps": 0}}},
            "evaluation.environment: environment.max_episode_steps = 0 is refused",
        ),
        (
            {"evaluation": {"environment": {"kwargs": 5}}},
            "environment.kwargs = 5 is refused: it should be a mapping of keys",
        ),
        (
            {"evaluation": {"environment": {"info_metrics": {"energy": "sum"}}}},
            "environment.info_metrics apply to training and evaluations",
        ),
        (
            {"evaluation": {"environment": {"seeded_only": True}}},
            "evaluation.environment: environment.seeded_only applies to training and evaluations",
        ),
        (
            {"cluster": {"backend": "inline", "address": "auto"}},
            "cluster.address = 'auto' has no meaning",
        ),
        (
            {"learner": {"gae_lambda": 0.9}},
            "learner.gae_lambda = 0.9 mixes in a value function; use learner.baseline value",
        ),
        ({"learner": {"truncation": "bootstrap"}}, "use learner.baseline value"),
        (
            {"learner": {"return_kind": "total", "discount_state_weight": True}},
            "would count the discount twice",
        ),
        (
            {"learner": {"truncation": "bootstrap", "baseline": "value", "discount": 1}},
            "with learner.discount = 1.0 it sums rewards without end",
        ),
        ({"learner": {"return_kind": "total", "baseline": "value"}}, "predicts rewards-to-go"),
        (
            {"learner": {"return_kind": "total"}, "cluster": {"lookahead": 1}},
            "use reward_to_go with cluster.lookahead 1",
        ),
        ({"learner": {"learning_rate": [0.1, 0.01]}}, "learner.schedule_updates is None"),
        ({"learner": {"schedule_updates": 5}}, "has a start and an end"),
        ({"learner": {"entropy_reward": [0.1, 0]}}, "learner.schedule_updates is None"),
        ({"learner": {"entropy_reward": -0.1}}, "learner.entropy_reward = -0.1 is refused"),
        ({"learner": {"max_kl": 0}}, "learner.max_kl = 0 is refused"),
        ({"policy": {"kind": "gru", "hidden_sizes": []}}, "the last one is its memory"),
        ({"policy": {"arguments": {"width": 3}}}, "are for your own module:Class"),
        ({"policy": {"kind": "transformer"}}, "policy.kind = 'transformer' is refused"),
        ({"learner": {"episodes_per_update": "auto", "episodes_bounds": [9, 3]}}, "swap them"),
        ({"learner": {"episodes_bounds": [3, 9]}}, "use learner.episodes_per_update auto"),
        (
            {"learner": {"value_learning_rate": 0.1}},
            "is for a value function; use learner.baseline value",
        ),
        ({"learner": {"value_horizon_steps": 500}}, "use learner.baseline value"),
        (
            {
                "learner": {
                    "baseline": "value",
                    "truncation": "bootstrap",
                    "value_horizon_steps": 500,
                }
            },
            "values past the limit, which it has never seen",
        ),
        ({"tracking": {"register_as": "it's"}}, "':' or quotes"),
        ({"learner": {"discount": 1, "discount_state_weight": True}}, "no effect"),
        ({"learner": {"importance_correction": "none", "importance_cap": 2}}, "no effect"),
        (
            {
                "learner": {
                    "advantage_scale": "episode",
                    "baseline": "none",
                    "return_kind": "total",
                }
            },
            "nothing is left",
        ),
        (
            {
                "learner": {"advantage_scale": "episode", "baseline": "none"},
                "cluster": {"lookahead": 1},
            },
            "would undo the importance weights",
        ),
        (
            {
                "learner": {
                    "baseline": "none",
                    "episodes_per_update": 1,
                    "importance_self_normalize": True,
                }
            },
            "every weight would be 1",
        ),
    ],
)
def test_sections_that_contradict_each_other_are_refused_with_the_way_out(values, message):
    with pytest.raises(ConfigError) as caught:
        Config.model_validate(values)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("discount", "environment"), [(0.99, {}), (1.0, {"max_episode_steps": 200})]
)
def test_values_that_a_discount_or_a_named_limit_bounds_are_accepted(discount, environment):
    learner = {"truncation": "bootstrap", "baseline": "value", "discount": discount}

    assert Config.model_validate({"learner": learner, "environment": environment})


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:hunter2@mlflow.example",
        "https://hunter2@mlflow.example",
        "postgresql://db/mlflow?password=hunter2",
        "http://[hunter2",
    ],
)
def test_a_tracking_uri_that_may_hold_a_secret_is_refused_and_not_repeated(uri):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_USERNAME") as caught:
        Config.model_validate({"tracking": {"uri": uri}})

    assert "hunter2" not in str(caught.value)


def test_each_field_is_described():
    fields = [
        (name, field)
        for section in Config.model_fields.values()
        for name, field in section.annotation.model_fields.items()
    ]

    assert [name for name, field in fields if not field.description] == []


def test_evaluations_play_the_environment_of_training_unless_something_differs():
    environment = {
        "id": "A-v0",
        "kwargs": {"gravity": -10, "wind": True},
        "wrappers": ["ClipAction"],
        "info_metrics": {"energy": "sum"},
    }
    differs = {"kwargs": {"gravity": -5, "goal": [1, 2]}, "wrappers": [], "max_episode_steps": 9}
    usual = Config.model_validate({"environment": environment})
    config = Config.model_validate(
        {"environment": environment, "evaluation": {"environment": differs}}
    )

    played = config.evaluation_environment

    assert usual.evaluation_environment == usual.environment == config.environment
    assert played.kwargs == {"gravity": -5, "wind": True, "goal": [1, 2]}
    assert (played.id, played.wrappers, played.max_episode_steps) == ("A-v0", (), 9)
    assert played.info_metrics == {"energy": "sum"}
    assert config.played_in(played).evaluation_environment == played


def test_what_evaluations_play_is_kept_to_the_end_and_what_is_said_of_seeds_is_not():
    config = Config()
    seeded = with_overrides(config, {"environment.seeded_only": True})
    elsewhere = with_overrides(config, {"evaluation.environment": {"kwargs": {"gravity": -5.0}}})

    assert changes_between(config, seeded) == {"environment.seeded_only": (False, True)}
    with pytest.raises(ConfigError, match=r"cannot be changed in a run that began with \{\}"):
        changes_between(config, elsewhere)


@pytest.mark.parametrize("chain", ["", "simplecache::", "zip://runs::simplecache::"])
def test_a_start_that_may_hold_a_secret_is_refused_and_not_repeated(chain):
    with pytest.raises(ConfigError, match=r"run\.start_from is not a plain address") as refused:
        Config.model_validate({"run": {"start_from": f"{chain}s3://key:s3cret@bucket/runs/mine"}})
    assert "s3cret" not in str(refused.value)
    Config.model_validate({"run": {"start_from": f"{chain}s3://bucket/runs/mine"}})
    Config.model_validate({"tracking": {"uri": "http://[::1]:5000"}})
    for plain in ("s3://bucket/mine@best", "models:/balancer@champion", "runs/mine@best", "who?"):
        Config.model_validate({"run": {"start_from": plain}})

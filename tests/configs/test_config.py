import pytest

from configs.config import Config
from configs.section import ConfigError


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
            {"cluster": {"backend": "inline", "address": "auto"}},
            "cluster.address = 'auto' has no meaning",
        ),
        (
            {"tracking": {"uri": "https://me:hunter2@mlflow.example"}},
            "MLFLOW_TRACKING_USERNAME",
        ),
    ],
)
def test_sections_that_contradict_each_other_are_refused_with_the_way_out(values, message):
    with pytest.raises(ConfigError) as caught:
        Config.model_validate(values)

    assert message in str(caught.value)


def test_a_password_in_a_refused_tracking_uri_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        Config.model_validate({"tracking": {"uri": "https://me:hunter2@mlflow.example"}})

    assert "hunter2" not in str(caught.value)


def test_tickets_cover_a_batch_that_they_do_not_divide():
    config = Config.model_validate(
        {"learner": {"episodes_per_update": 10}, "workers": {"episodes_per_ticket": 4}}
    )

    assert config.tickets_per_update == 3


def test_there_are_fewer_than_sixty_fields_and_each_is_described():
    fields = [
        (name, field)
        for section in Config.model_fields.values()
        for name, field in section.annotation.model_fields.items()
    ]

    assert len(fields) < 60
    assert [name for name, field in fields if not field.description] == []

"""What does not say what is seen and done is refused in one message that names its class."""

import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import UnsuitableEnvironmentError, make_environment

pytestmark = pytest.mark.case


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("NoObservations", "NoObservations has no observation_space; its constructor must set"),
        ("NoActions", "NoActions has no action_space; its constructor must set self.action_sp"),
        ("Unset", "Unset has no observation_space; its constructor must set"),
        ("PerAgent", "PerAgent has the observation_space <bound method PerAgent.observation_sp"),
        ("MultiAgents", "must inherit from the gymnasium.Env class, actual class: .*MultiAgents"),
    ],
)
def test_an_environment_without_spaces_is_refused_by_its_class(name, says):
    with pytest.raises(UnsuitableEnvironmentError, match=says) as caught:
        make_environment(EnvironmentConfig(id=f"missing_spaces:{name}"))

    assert str(caught.value).startswith(f"environment.id = 'missing_spaces:{name}'")
    assert str(caught.value).endswith(
        "environments of several agents, such as PettingZoo's and RLlib's MultiAgentEnv, are not "
        "supported"
    )


def test_a_class_that_is_no_environment_is_not_taken_for_one_of_several_agents():
    with pytest.raises(UnsuitableEnvironmentError, match="must inherit from") as caught:
        make_environment(EnvironmentConfig(id="missing_spaces:NoEnvironment"))

    assert "several agents" not in str(caught.value)


def test_a_space_that_cannot_be_read_is_refused_with_the_line():
    with pytest.raises(
        UnsuitableEnvironmentError,
        match=r"its observation_space cannot be read: KeyError: 'map' "
        r"\(.*missing_spaces.py:\d+, in observation_space\)",
    ):
        make_environment(EnvironmentConfig(id="missing_spaces:Failing"))

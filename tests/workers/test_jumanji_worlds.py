"""Jumanji's games, compiled, where jumanji is installed."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, MultiDiscrete

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    inspect_environment,
    make_environment,
    make_vector_environment,
)
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

pytest.importorskip("jumanji", reason="pip install 'distributed-reinforce[jumanji]' installs it")
from reinforce.workers import jumanji_worlds  # noqa: F401 - registers the ids

pytestmark = pytest.mark.filterwarnings("default")  # of its libraries

IDS = [name for name in gymnasium.registry if name.startswith("jumanji/")]
assert len(IDS) == 10
ONE_HOT = {"categories": {"board": 18}}


def game(**kwargs):
    return EnvironmentConfig(id="jumanji/Game2048-v1", kwargs=kwargs)


def played(environment, seed, choices):
    """Return boards, masks, rewards and ends if each lane takes its n-th allowed action."""
    observation, _ = environment.reset(seed=seed)
    steps = []
    for numbers in choices:
        masks = np.array(observation["action_mask"])
        actions = [
            np.flatnonzero(mask)[number % mask.sum()] if mask.any() else 0
            for mask, number in zip(masks, numbers, strict=True)
        ]
        observation, rewards, terminated, truncated, _ = environment.step(np.array(actions))
        steps.append((np.array(observation["board"]), masks, rewards, terminated | truncated))
    return [np.array(each) for each in zip(*steps, strict=True)]


def test_the_page_names_every_game():
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()

    assert [name for name in IDS if f"`{name.removeprefix('jumanji/')}`" not in page] == []


@pytest.mark.parametrize("name", IDS)
def test_policies_here_support_the_spaces_of_every_game(name):
    assert inspect_environment(EnvironmentConfig(id=name)).has_vector_implementation


def test_a_lane_depends_on_its_number_the_seed_and_its_actions():
    choices = np.random.default_rng(0).integers(4, size=(60, 4))
    many = make_vector_environment(game(), 4)
    first = played(many, 3, choices)
    played(many, 4, choices)
    again = played(many, 3, choices)
    few = played(make_vector_environment(game(), 2), 3, choices[:, :2])

    for index in range(4):
        np.testing.assert_array_equal(first[index], again[index])
        np.testing.assert_array_equal(first[index][:, :2], few[index])
    assert (first[0][0, 0] != first[0][0, 1]).any()


def test_a_game_ends_when_nothing_moves_and_begins_again():
    boards, masks, rewards, ends = played(
        make_vector_environment(game(), 1), 0, np.zeros((400, 1), int)
    )
    end = int(ends[:, 0].argmax())

    assert ends[end, 0]
    assert masks[: end + 1].any(axis=-1).all()
    assert not masks[end + 1].any()
    assert (boards[end, 0] > 0).all()
    assert np.count_nonzero(boards[end + 1, 0]) == 1
    assert rewards[end + 1, 0] == 0
    assert rewards.sum() > 0


def test_workers_obey_the_masks_and_play_a_ticket_alike_whatever_they_played_before(make_config):
    settings = make_config(
        environment={"id": "jumanji/Game2048-v1", "kwargs": ONE_HOT},
        workers={"envs_per_worker": 3, "episodes_per_ticket": 4},
    )
    spec = inspect_environment(settings.environment)
    num_parameters = architecture_of(settings, spec).num_parameters
    weights = Weights(0, np.zeros(num_parameters, np.float32))
    tickets = draw_tickets(0, Purpose.TRAINING, 0, 8, 4)

    def plays(order):
        worker = RolloutWorker(settings, spec)
        return [worker.play(tickets[i], weights) for i in order]

    (first, trajectories), (second, _), (again, _) = plays([0, 1, 0])
    assert first.trajectories_sha256 == again.trajectories_sha256
    assert second.trajectories_sha256 == plays([1])[0][0].trajectories_sha256
    assert first.trajectories_sha256 != second.trajectories_sha256

    masks, actions = trajectories.action_masks, trajectories.actions.ravel().astype(int)
    assert spec.action_mask == "observation"
    assert not masks.all()
    assert masks[np.arange(len(actions)), actions].all()
    # Each move changed the board, or it would have been forbidden.
    boards = trajectories.observations
    assert (boards[1:] != boards[:-1]).any(axis=-1).all()


def test_exponents_are_numbers_or_categories():
    assert isinstance(make_environment(game()).observation_space["board"], Box)
    board = make_environment(game(**ONE_HOT)).observation_space["board"]
    assert board == MultiDiscrete(np.full((4, 4), 18), dtype=np.int32)
    assert inspect_environment(game(**ONE_HOT)).observation.vector_size == 16 * 18


def test_arguments_go_to_the_game_and_wrong_ones_are_refused():
    small = make_environment(game(board_size=3))
    assert small.observation_space["board"].shape == (3, 3)

    with pytest.raises(UnsuitableEnvironmentError, match="board_length"):
        make_environment(game(board_length=3))
    with pytest.raises(UnsuitableEnvironmentError, match=r"categories.*boards.*board"):
        make_environment(game(categories={"boards": 18}))


def test_a_misspelt_game_is_no_missing_package():
    with pytest.raises(UnsuitableEnvironmentError, match="jumanji/Game2048-v1") as refused:
        make_environment(EnvironmentConfig(id="jumanji/Game2084-v1"))

    assert "pip install" not in str(refused.value)

"""Wrappers for games from pixels: what they show, which actions they leave, when a point ends."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import UnsuitableEnvironmentError, make_environment
from reinforce.workers.wrappers import ActionSubset, FrameDifferences


class Frames(gymnasium.Env):
    """Shows frames one after the other, and says in info which action it was given."""

    def __init__(self, *frames):
        self._frames = np.array(frames, np.uint8)
        self.observation_space = Box(0, 255, self._frames[0].shape, np.uint8)
        self.action_space = Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._num_shown = 1
        return self._frames[0], {}

    def step(self, action):
        self._num_shown += 1
        return self._frames[self._num_shown - 1], 0.0, False, False, {"action": action}


@pytest.fixture
def pong():
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")

    def make(wrappers, **changes):
        kwargs = {"frameskip": 4, "obs_type": "grayscale", "repeat_action_probability": 0.0}
        return make_environment(
            EnvironmentConfig(id="ALE/Pong-v5", wrappers=wrappers, kwargs=kwargs | changes)
        )

    return make


def played(environment, seed):
    """Return the frames and the rewards of an episode under actions that the seed decides."""
    frames, rewards, is_over = [environment.reset(seed=seed)[0]], [], False
    rng = np.random.default_rng(seed)
    while not is_over:
        frame, reward, terminated, truncated, _ = environment.step(int(rng.integers(6)))
        frames.append(frame)
        rewards.append(reward)
        is_over = terminated or truncated
    return np.array(frames), rewards


def test_a_subset_of_the_actions_is_numbered_from_0():
    environment = ActionSubset(Frames([[0]], [[0]]), (0, 5))
    environment.reset()

    assert environment.action_space == Discrete(2)
    assert environment.step(1)[-1] == {"action": 5}


@pytest.mark.parametrize("actions", [(), (1, 1), (0, 6)])
def test_actions_that_are_not_there_are_refused(actions):
    with pytest.raises(ValueError, match="must be different actions of a Discrete space"):
        ActionSubset(Frames([[0]]), actions)


def test_the_first_frame_has_not_moved_and_then_only_differences_are_seen():
    environment = FrameDifferences(Frames([[0, 255]], [[255, 255]]))

    np.testing.assert_array_equal(environment.reset()[0], [[0, 0]])
    np.testing.assert_array_equal(environment.step(0)[0], [[1, 0]])


def test_what_stands_still_is_seen_where_less_than_the_whole_is_subtracted():
    environment = FrameDifferences(
        Frames([[80, 100]], [[80, 80]]), previous=0.5, background=80, unit=20
    )

    np.testing.assert_allclose(environment.reset()[0], [[0, 0.5]])
    np.testing.assert_allclose(environment.step(0)[0], [[0, -0.5]])


def test_rows_are_cut_and_blocks_averaged():
    frame = np.arange(20).reshape(5, 4)
    environment = FrameDifferences(Frames(frame), previous=0.0, rows=(1, 5), block=2, unit=1)

    seen, _ = environment.reset()

    assert environment.observation_space.shape == (2, 2)
    np.testing.assert_array_equal(seen, [[6.5, 8.5], [14.5, 16.5]])


def test_images_in_colour_and_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="needs gray uint8 images"):
        FrameDifferences(Frames(np.zeros((4, 4, 3))))
    with pytest.raises(ValueError, match="leave nothing of"):
        FrameDifferences(Frames(np.zeros((4, 4))), block=5)


@pytest.mark.parametrize("noop_max", [15, 0])
def test_an_episode_is_one_point_and_a_function_of_its_seed(pong, noop_max):
    preprocessing = {"AtariPreprocessing": {"frame_skip": 1, "noop_max": noop_max}}
    wrappers = ["PointsAsEpisodes", preprocessing]
    environment, other = pong(wrappers), pong(wrappers)
    played(other, 8)  # what was played before is of no influence

    frames, rewards = played(environment, 7)
    again, _ = played(other, 7)

    assert rewards[:-1] == [0.0] * (len(rewards) - 1)
    assert abs(rewards[-1]) == 1.0
    np.testing.assert_array_equal(frames, again)


def test_an_episode_may_be_a_few_points(pong):
    environment = pong([{"PointsAsEpisodes": {"points": 3}}])

    for seed in (7, 8):
        _, rewards = played(environment, seed)
        assert np.count_nonzero(rewards) == 3
        assert rewards[-1] != 0


def test_half_of_the_episodes_begin_as_after_a_point_that_was_won(pong):
    """In Pong the winner's serve goes to the other side, which is the left half of the screen."""
    environment = pong(["PointsAsEpisodes"], obs_type="ram")
    horizontal = 49  # address of the place of the ball
    goes_left = []
    for seed in range(40):
        environment.reset(seed=seed)
        places = [int(environment.step(0)[0][horizontal]) for _ in range(24)][-3:]
        goes_left.append(places == sorted(places, reverse=True))

    assert 10 <= sum(goes_left) <= 30


def test_there_are_many_starts(pong):
    environment = pong(["PointsAsEpisodes"], obs_type="ram")

    assert len({environment.reset(seed=seed)[0].tobytes() for seed in range(60)}) > 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kwargs": {"repeat_action_probability": 0.25}}, "would draw its own random numbers"),
        ({"max_episode_steps": 500}, "use the wrapper TimeLimit after it"),
        ({"id": "CartPole-v1", "kwargs": {}}, "needs a game whose id begins with ALE/"),
    ],
)
def test_what_would_make_points_depend_on_more_than_their_seed_is_refused(changes, message):
    pytest.importorskip("ale_py")
    config = {"id": "ALE/Pong-v5", "kwargs": {"repeat_action_probability": 0.0}} | changes

    with pytest.raises(UnsuitableEnvironmentError, match=message):
        make_environment(EnvironmentConfig(wrappers=["PointsAsEpisodes"], **config))


def test_what_would_go_on_from_one_point_to_the_next_is_refused(pong):
    stack = {"FrameStackObservation": {"stack_size": 2}}

    with pytest.raises(UnsuitableEnvironmentError, match="comes before FrameStackObservation"):
        pong([stack, "PointsAsEpisodes"])


def test_a_misspelt_wrapper_of_ours_is_named():
    with pytest.raises(UnsuitableEnvironmentError, match="did you mean 'PointsAsEpisodes'"):
        make_environment(EnvironmentConfig(wrappers=["PointAsEpisodes"]))

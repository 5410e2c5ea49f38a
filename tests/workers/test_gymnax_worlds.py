"""gymnax's worlds, compiled; without gymnax, test_functional_environment.py covers the rest."""

import threading
from pathlib import Path

import gymnasium
import numpy as np
import pytest

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

pytest.importorskip("gymnax", reason="pip install 'distributed-reinforce[gymnax]' installs it")

from reinforce.workers import gymnax_worlds

IDS = [name for name in gymnasium.registry if name.startswith("gymnax/")]


def config(name, **others):
    return EnvironmentConfig(id=f"gymnax/{name}", **others)


def played(environment, seed, actions):
    """Return observations, rewards and both flags after each of the actions [t, n]."""
    environment.reset(seed=seed)
    return [
        np.array(each) for each in zip(*(environment.step(a)[:4] for a in actions), strict=True)
    ]


@pytest.mark.parametrize("name", IDS)
def test_policies_here_support_the_spaces_of_every_world(name):
    spec = inspect_environment(EnvironmentConfig(id=name))

    assert spec.has_vector_implementation


def test_worlds_that_download_or_show_their_time_limit_are_left_out():
    assert len(IDS) == 22
    assert not {f"gymnax/{name}" for name in gymnax_worlds.LEFT_OUT} & {*IDS}


def test_a_lane_depends_on_its_number_and_the_seed_alone():
    """The rooms draw numbers in every step, and their sums are exact."""
    actions = np.random.default_rng(0).integers(4, size=(1500, 5))
    many = make_vector_environment(config("FourRooms-misc"), 5)
    first = played(many, 3, actions)
    played(many, 4, actions)
    again = played(many, 3, actions)
    actions[:, 2:] = 0
    idle = played(many, 3, actions)
    few = played(make_vector_environment(config("FourRooms-misc"), 2), 3, actions[:, :2])

    for index in range(4):
        np.testing.assert_array_equal(first[index], again[index])
        np.testing.assert_array_equal(first[index][:, :2], idle[index][:, :2])
        np.testing.assert_array_equal(first[index][:, :2], few[index])
    assert first[2].any()
    assert (first[0][:, 0] != first[0][:, 1]).any()


def test_steps_are_compiled_once_for_a_number_of_lanes():
    """In MountainCar's first state the time is a number of Python's, and later one of JAX's."""
    car = config("MountainCar-v0", kwargs={"goal_velocity": 0.01})  # as no other test makes it
    first, second = (make_vector_environment(car, 3) for _ in range(2))
    for environment in (first, second):
        played(environment, 0, np.zeros((20, 3), np.int64))

    compiled = first.unwrapped._batch
    assert second.unwrapped._batch is compiled
    assert (compiled._reset._cache_size(), compiled._step._cache_size()) == (1, 1)


def test_a_fall_terminates_and_the_limit_truncates():
    actions = np.ones((12, 2), np.int64)
    fallen = played(make_vector_environment(config("CartPole-v1"), 2), 0, actions)
    limited = config("CartPole-v1", max_episode_steps=5)
    cut = played(make_vector_environment(limited, 2), 0, actions)

    end = int(fallen[2][:, 0].argmax())
    assert 5 < end < 11
    assert not fallen[3].any()
    assert abs(fallen[0][end, 0, 2]) > 0.2  # rad, beyond the limit: the state before the reset
    assert np.abs(fallen[0][end + 1, 0]).max() <= 0.05  # a new start
    assert cut[3][:, 0].tolist() == ([False] * 4 + [True] + [False]) * 2
    assert not cut[2].any()


@pytest.mark.parametrize("max_episode_steps", [None, 250])
def test_a_time_limit_is_that_of_the_world_or_of_the_settings_in_both_implementations(
    max_episode_steps,
):
    """The Pendulum of gymnax says ``done`` after 200 steps, and never terminates by itself."""
    pendulum = config("Pendulum-v1", max_episode_steps=max_episode_steps)
    last = (max_episode_steps or 200) - 1
    single, vector = make_environment(pendulum), make_vector_environment(pendulum, 2)
    single.reset(seed=0)
    vector.reset(seed=0)

    for step in range(last + 1):
        flags = single.step(np.zeros(1, np.float32))[2:4]
        batch = vector.step(np.zeros((2, 1), np.float32))[2:4]
        assert flags == (False, step == last)
        assert [each.tolist() for each in batch] == [[False] * 2, [step == last] * 2]


def test_arguments_go_to_the_world_or_its_parameters():
    assert make_environment(config("Breakout-MinAtar")).action_space.n == 3
    all_actions = config("Breakout-MinAtar", kwargs={"use_minimal_action_set": False})
    assert make_environment(all_actions).action_space.n == 6

    def fallen_after(force):
        environment = make_vector_environment(config("CartPole-v1", kwargs={"force_mag": force}), 1)
        return played(environment, 0, np.ones((40, 1), np.int64))[2][:, 0].argmax()

    assert fallen_after(5.0) > fallen_after(20.0) > 0

    with pytest.raises(UnsuitableEnvironmentError, match="max_steps_in_episode"):
        make_environment(config("CartPole-v1", kwargs={"max_steps_in_episode": 7}))


def test_a_misspelt_world_is_no_missing_package():
    with pytest.raises(UnsuitableEnvironmentError, match="gymnax/Breakout-MinAtar") as refused:
        make_environment(config("Breakout-MiniAtar"))

    assert "pip install" not in str(refused.value)


def test_a_ticket_is_played_alike_whatever_was_played_before(make_config):
    settings = make_config(
        environment={"id": "gymnax/FourRooms-misc"},
        workers={"envs_per_worker": 3, "episodes_per_ticket": 5},
    )
    spec = inspect_environment(settings.environment)
    num_parameters = architecture_of(settings, spec).num_parameters
    weights = Weights(0, np.zeros(num_parameters, np.float32))
    tickets = draw_tickets(0, Purpose.TRAINING, 0, 10, 5)

    def digests(order):
        worker = RolloutWorker(settings, spec)
        return [worker.play(tickets[i], weights)[0].trajectories_sha256 for i in order]

    first, second, again = digests([0, 1, 0])
    assert (first, second) == (again, digests([1])[0])
    assert first != second


def test_jax_computes_on_the_cpu_and_in_one_thread():
    """Of two threads that share a product each works for a tenth of a second or more."""
    import jax

    def hundredths():
        """Return the processor time of each other thread."""
        me, times = threading.get_native_id(), {}
        for path in Path("/proc/self/task").iterdir():
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            times[path.name] = int(fields[11]) + int(fields[12])
        return {name: spent for name, spent in times.items() if name != str(me)}

    product = jax.jit(lambda x: x @ x)
    x = np.ones((1500, 1500), np.float32)
    product(x).block_until_ready()
    before = hundredths()
    for _ in range(8):
        product(x).block_until_ready()

    assert {device.platform for device in jax.devices()} == {"cpu"}
    assert len([t for t, spent in hundredths().items() if spent - before.get(t, 0) > 5]) <= 1

"""Every preset passes its preflight; where the simulator is not installed, that is said."""

import importlib.util

import pytest

from reinforce.configs.loading import load_config, preset_names
from reinforce.workers.preflight import preflight

NEEDS = {
    "ant": ["mujoco"],
    "bipedal_walker": ["Box2D"],
    "cartpole_balance": ["mujoco_playground"],
    "game_2048": ["jumanji"],
    "lunarlander": ["Box2D"],
    "halfcheetah": ["mujoco"],
    "hopper": ["mujoco"],
    "inverted_pendulum": ["mujoco"],
    "minigrid_doorkey": ["minigrid"],
    "minigrid_empty": ["minigrid"],
    "pong": ["ale_py", "cv2"],
    "pong_karpathy": ["ale_py", "cv2"],
    "reacher": ["mujoco"],
    "space_invaders": ["gymnax"],
    "swimmer": ["mujoco"],
    "walker2d": ["mujoco"],
}


@pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained")  # Playground imports it
@pytest.mark.parametrize("name", preset_names())
def test_a_preset_passes_its_preflight(name):
    missing = [module for module in NEEDS.get(name, []) if not importlib.util.find_spec(module)]
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}, which is not installed here")

    assert preflight(load_config(name)).warnings == ()

"""The corridor in which a sign has to be remembered."""

import pytest

from reinforce.workers.t_maze import TMaze

UP, DOWN, BACK, ON = range(4)


def walk(maze, *actions):
    return [maze.step(action) for action in actions]


def sign(maze, seed):
    observation, _ = maze.reset(seed=seed)
    return UP if tuple(observation) == (0, 1, 1) else DOWN


def test_both_signs_are_shown_and_the_seed_decides():
    maze = TMaze()
    signs = [sign(maze, seed) for seed in range(20)]

    assert {*signs} == {UP, DOWN}
    assert [sign(maze, seed) for seed in range(20)] == signs


@pytest.mark.parametrize("seed", range(4))
def test_the_turn_of_the_sign_earns_4_and_the_other_one_nearly_nothing(seed):
    maze = TMaze(length=3)
    right = sign(maze, seed)

    *_, arrival, end = walk(maze, ON, ON, ON, right)
    assert tuple(arrival[0]) == (0, 1, 0)
    assert end[1:] == (4.0, True, False, {"is_success": True})

    sign(maze, seed)
    end = walk(maze, ON, ON, ON, DOWN if right == UP else UP)[-1]
    assert end[1:] == (-0.1, True, False, {"is_success": False})


def test_all_places_between_sign_and_junction_look_alike_whatever_the_sign_was():
    seen = set()
    for seed in range(10):
        maze = TMaze(length=4)
        maze.reset(seed=seed)
        seen |= {tuple(step[0]) for step in walk(maze, ON, ON, ON, BACK, BACK)}

    assert seen == {(1, 0, 1)}


def test_a_step_into_a_wall_costs_and_leads_nowhere():
    maze = TMaze(length=2)
    maze.reset(seed=0)

    assert [step[1] for step in walk(maze, BACK, UP, ON, DOWN, ON, ON)] == [
        -0.1,
        -0.1,
        0.0,
        -0.1,
        0.0,
        -0.1,
    ]


def test_a_maze_without_a_corridor_is_refused():
    with pytest.raises(ValueError, match="length = 0 must be >= 1"):
        TMaze(length=0)

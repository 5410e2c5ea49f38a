"""Where the optimum is known, it is reached: act as the observation says, see, and remember."""

import numpy as np
import pytest
from runs import train
from space_tasks import IMITATED

pytestmark = pytest.mark.slow

OPTIMUM = 1.0


def reached(make_config, display, environment, **sections):
    config = make_config(
        environment=environment,
        stop={"max_updates": sections.pop("updates")},
        learner={"episodes_per_update": 64, "learning_rate": 0.02} | sections.pop("learner", {}),
        workers={"envs_per_worker": 32, "episodes_per_ticket": 32},
        evaluation={"episodes": 100},
        **sections,
    )
    return train(config, display)[0].evaluation.return_mean


@pytest.mark.parametrize("space", IMITATED)
def test_acting_as_the_observation_says(make_config, display, space):
    environment = {"id": "space_tasks:Imitation", "kwargs": {"space": space}}

    found = reached(make_config, display, environment, updates=120, policy={"hidden_sizes": [32]})

    assert 0.95 * OPTIMUM <= found <= OPTIMUM


def test_a_cnn_sees(make_config, display):
    policy = {"kind": "cnn", "hidden_sizes": [16], "activation": "relu"}

    found = reached(
        make_config,
        display,
        {"id": "space_tasks:BrightQuarter"},
        updates=20,
        policy=policy,
        learner={"learning_rate": 0.005},
    )

    assert 0.95 * OPTIMUM <= found <= OPTIMUM


def test_a_gru_remembers_and_an_mlp_cannot(make_config, display):
    found = {
        kind: reached(
            make_config,
            display,
            {"id": "space_tasks:Recall"},
            updates=100,
            policy={"kind": kind, "hidden_sizes": [16]},
            learner={"discount": 1.0},
            run={"name": kind},
        )
        for kind in ("gru", "mlp")
    }

    assert 0.95 * OPTIMUM <= found["gru"] <= OPTIMUM
    assert found["mlp"] == pytest.approx(1 / 3, abs=3 * np.sqrt(2 / 9 / 100))


def test_the_user_s_own_module_learns(make_config, display):
    environment = {"id": "space_tasks:Imitation", "kwargs": {"space": "multi-binary"}}

    found = reached(
        make_config,
        display,
        environment,
        updates=60,
        policy={"kind": "user_package:Attentive", "arguments": {"width": 32}},
    )

    assert 0.95 * OPTIMUM <= found <= OPTIMUM

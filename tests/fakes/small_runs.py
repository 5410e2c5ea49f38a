"""Small runs of every kind, of which only the last checkpoint is kept."""

import pytest

import reinforce
from reinforce.configs.loading import load_config, to_yaml, with_overrides

SMALL = {
    "policy.hidden_sizes": [4],
    "learner.episodes_per_update": 6,
    "learner.learning_rate": 0.02,
    "workers.episodes_per_ticket": 2,
    "workers.envs_per_worker": 2,
    "evaluation.episodes": 5,
    "evaluation.every_updates": None,
    "stop.max_updates": 6,
    "checkpoint.keep": 1,
    "tracking.enabled": False,
}
NORMALISED_GRU = {"policy.kind": "gru", "policy.normalize_observations": True}


class KilledError(Exception):
    """Ends a run from a callback."""


def train(folder, overrides=None, **options):
    options = {"backend": "inline", "directory": folder, "name": "a", "progress": False, **options}
    return reinforce.train(None, {**SMALL, **(overrides or {})}, **options)


def killed_after(updates):
    def kill(event):
        if event.updates == updates:
            raise KilledError

    return kill


def resumed_twice(folder, overrides=None):
    """A callback ends it after two updates and again after four; the last checkpoint is kept."""
    with pytest.raises(reinforce.CallbackError):
        train(folder, overrides, callbacks=[killed_after(2)])
    run = reinforce.load(folder / "a")
    with pytest.raises(reinforce.CallbackError):
        run.resume(callbacks=[killed_after(4)], progress=False)
    return run.resume(progress=False)


def changed_twice(folder):
    """The optimizer and the rewards are others from update 2 on, the size of a batch from 4 on."""
    run = train(folder, {"stop.max_updates": 2, "cluster.lookahead": 1})
    other = {"learner.optimizer": "sgd", "environment.kwargs": {"sutton_barto_reward": True}}
    run = run.resume({**other, "stop.max_updates": 4}, change=True, progress=False)
    size = {"learner.episodes_per_update": 8, "stop.max_updates": 6}
    return run.resume(size, change=True, progress=False)


def on_a_cluster(folder):
    """The configuration is that of a run on a Ray cluster, which is gone."""
    run = train(folder)
    file = run.path / "config.yaml"
    there = {"cluster.backend": "ray", "cluster.address": "10.0.0.1:6379"}
    file.write_text(to_yaml(with_overrides(load_config(str(file)), there)))
    return run


def warmly_started(folder):
    first = train(folder, {**NORMALISED_GRU, "stop.max_updates": 1}, name="first")
    start = {"run.start_from": str(first.path), "run.start_from_optimizer": True}
    return train(folder, {**NORMALISED_GRU, **start})


RUNS = {
    "inline": train,
    "lookahead": lambda folder: train(folder, {"cluster.lookahead": 1}),
    "gru, normalised": lambda folder: train(folder, NORMALISED_GRU),
    "value baseline": lambda folder: train(folder, {"learner.baseline": "value"}),
    "limited step, entropy, clock": lambda folder: train(
        folder,
        {
            "learner.max_kl": 0.001,
            "learner.entropy_reward": 0.1,
            "learner.baseline": "value",
            "learner.value_horizon_steps": 500,
        },
    ),
    "growing batch": lambda folder: train(
        folder,
        {
            "learner.episodes_per_update": "auto",
            "learner.episodes_bounds": [4, 20],
            "learner.gradient_snr_target": 50.0,
            "cluster.lookahead": 1,
        },
    ),
    "resumed twice": resumed_twice,
    "changed twice": changed_twice,
    "warm start": warmly_started,
    "on a cluster": on_a_cluster,
}

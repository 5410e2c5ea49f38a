"""What other libraries call our settings: whoever comes from them finds the name here."""

from collections.abc import Iterable

from reinforce.configs.errors import suggestion

_SYNONYMS = {
    **dict.fromkeys(("gamma", "discount_factor"), "learner.discount"),
    **dict.fromkeys(("lr", "learning_rate", "step_size"), "learner.learning_rate"),
    **dict.fromkeys(("batch_size", "train_batch_size", "n_steps"), "learner.episodes_per_update"),
    **dict.fromkeys(("ent_coef", "entropy_coef", "entropy_coeff"), "learner.entropy_coefficient"),
    **dict.fromkeys(("max_grad_norm", "grad_clip", "clip_grad_norm"), "learner.max_gradient_norm"),
    **dict.fromkeys(("gae_lambda", "lambda", "lambda_"), "learner.gae_lambda"),
    **dict.fromkeys(("net_arch", "hidden_size", "fcnet_hiddens"), "policy.hidden_sizes"),
    **dict.fromkeys(("n_envs", "num_envs"), "workers.envs_per_worker"),
    **dict.fromkeys(("num_workers", "n_workers", "num_env_runners"), "workers.num_workers"),
    **dict.fromkeys(("env", "env_id"), "environment.id"),
    "seed": "run.seed",
    "total_timesteps": "stop.max_environment_steps",
}


def setting_meant(name: str) -> str:
    """Return the ``section.field`` that others call so, in whatever section; "" if none is."""
    return _SYNONYMS.get(name.rpartition(".")[2].lower(), "")


def setting_suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``suggestion(name, known)``, or the setting that others call so if none is as near."""
    known = list(known)
    meant = setting_meant(name)
    return suggestion(name, known, cutoff=0.85) or (
        f"did you mean {meant!r}?" if meant else suggestion(name, known)
    )

"""Words of other libraries, for users who come from them: our setting, or why there is none."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from reinforce.configs.errors import suggestion


class Meaning(NamedTuple):
    """What a word of another library means here.

    Attributes:
        setting: Our ``section.field``; "" if there is none.
        note: What differs, or why there is none; "" if nothing differs.
    """

    setting: str
    note: str = ""

    def answer(self, prefix: str = "") -> str:
        """Return what to use instead, to follow "there is no setting ...;".

        Args:
            prefix: Precedes the setting, which is quoted without one.
        """
        name = f"{prefix}{self.setting}" if prefix else repr(self.setting)
        question = f"did you mean {name}?" if self.setting else ""
        return " ".join(filter(None, (question, self.note)))


class Explained:
    """Answers attributes of other libraries, which it does not have, with its own."""

    _instead: ClassVar[Mapping[str, str]] = {}
    """By another library's attribute: what does the same here."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = f"; {self._instead[name]}" if name in self._instead else ""
            message = f"{type(self).__name__!r} object has no attribute {name!r}{hint}"
            raise AttributeError(message, name=name, obj=self)


_NO_BUFFER = Meaning("", "REINFORCE has no replay buffer: it learns from fresh episodes only")
_NO_EXPLORATION = Meaning("", "REINFORCE explores by drawing actions from its policy")
_NO_SHARED_LOSS = Meaning(
    "", "policy and value function share no loss here; learner.value_learning_rate sets the latter"
)
_ONE_STEP = Meaning("", "REINFORCE uses each batch for one update, and then plays a fresh one")
_POLICY_KINDS = (
    "mlp is what other libraries call MlpPolicy, and cnn CnnPolicy; either takes a Dict, as "
    "MultiInputPolicy does"
)

INSTEAD_OF_VECTORS = (
    "workers.envs_per_worker replaces vectorized environments: give what makes a single one"
)

SYNONYMS = {
    **dict.fromkeys(("gamma", "discount_factor"), Meaning("learner.discount")),
    **dict.fromkeys(("lr", "learning_rate", "step_size"), Meaning("learner.learning_rate")),
    "anneal_lr": Meaning("learner.learning_rate", "Two numbers are a linear schedule"),
    **dict.fromkeys(
        ("batch_size", "train_batch_size", "n_steps", "num_steps", "rollout_fragment_length"),
        Meaning("learner.episodes_per_update", "It counts whole episodes, not steps"),
    ),
    **dict.fromkeys(
        ("minibatch_size", "sgd_minibatch_size", "num_minibatches"),
        Meaning("learner.micro_batch_steps", "It bounds memory; each batch is still one update"),
    ),
    **dict.fromkeys(("n_epochs", "update_epochs", "num_epochs", "num_sgd_iter"), _ONE_STEP),
    **dict.fromkeys(
        ("clip_range", "clip_coef", "clip_param"),
        Meaning("learner.max_kl", "It limits each step of the policy; there is no ratio to clip"),
    ),
    "target_kl": Meaning("learner.max_kl", "It shortens the step; there are no epochs to end"),
    **dict.fromkeys(
        ("ent_coef", "entropy_coef", "entropy_coeff"), Meaning("learner.entropy_coefficient")
    ),
    **dict.fromkeys(
        ("vf_coef", "value_coef", "vf_loss_coeff", "clip_range_vf", "clip_vloss"), _NO_SHARED_LOSS
    ),
    **dict.fromkeys(
        ("max_grad_norm", "grad_clip", "clip_grad_norm"), Meaning("learner.max_gradient_norm")
    ),
    **dict.fromkeys(("gae_lambda", "lambda", "lambda_"), Meaning("learner.gae_lambda")),
    **dict.fromkeys(("normalize_advantage", "norm_adv"), Meaning("learner.advantage_scale")),
    **dict.fromkeys(("device", "cuda"), Meaning("learner.device", "It is cpu or cuda")),
    **dict.fromkeys(("buffer_size", "learning_starts", "train_freq", "gradient_steps"), _NO_BUFFER),
    **dict.fromkeys(("exploration_fraction", "exploration_final_eps", "use_sde"), _NO_EXPLORATION),
    **dict.fromkeys(
        ("net_arch", "hidden_size", "fcnet_hiddens"),
        Meaning("policy.hidden_sizes", "It lists the units of each layer, such as 64 64"),
    ),
    "policy_kwargs": Meaning(
        "policy.hidden_sizes",
        "policy.activation is a setting, too; policy.arguments are those of your own class",
    ),
    "policy": Meaning("policy.kind", _POLICY_KINDS),
    **dict.fromkeys(("n_envs", "num_envs"), Meaning("workers.envs_per_worker")),
    "vec_env_cls": Meaning("", INSTEAD_OF_VECTORS),
    **dict.fromkeys(
        ("num_workers", "n_workers", "num_env_runners"), Meaning("workers.num_workers")
    ),
    **dict.fromkeys(("env", "env_id"), Meaning("environment.id")),
    "env_kwargs": Meaning("environment.kwargs"),
    "eval_env": Meaning(
        "",
        "evaluation.environment is what differs in evaluations, such as "
        "{'kwargs': {'gravity': -5.0}}",
    ),
    "seed": Meaning("run.seed"),
    **dict.fromkeys(("total_timesteps", "timesteps"), Meaning("stop.max_environment_steps")),
    "reset_num_timesteps": Meaning(
        "",
        "run.resume() goes on counting; a run with run.start_from begins at 0",
    ),
    "eval_freq": Meaning("evaluation.every_updates", "It counts updates, not steps"),
    **dict.fromkeys(("n_eval_episodes", "eval_episodes"), Meaning("evaluation.episodes")),
    "deterministic": Meaning("evaluation.greedy"),
    "save_freq": Meaning("checkpoint.every_s", "It counts seconds"),
    "capture_video": Meaning("evaluation.video"),
    **dict.fromkeys(
        ("tensorboard_log", "tb_log_name"),
        Meaning("tracking.tensorboard", "It is true or false; the files go to the run directory"),
    ),
    **dict.fromkeys(
        ("verbose", "progress_bar", "log_interval"),
        Meaning(
            "", "every update is recorded; Python's train(progress=False) prints warnings only"
        ),
    ),
}
"""By the name of a setting in Stable-Baselines3, CleanRL, RLlib or Gymnasium's examples."""

_VALUES = {
    ("policy.kind", name): _POLICY_KINDS for name in ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
}


def meaning(name: str) -> Meaning | None:
    """Return what others mean by a setting of this name, in whatever section; None if unknown."""
    return SYNONYMS.get(name.rpartition(".")[2].lower())


def meaning_of_value(setting: str, value: object) -> str:
    """Return what others mean by this value of our setting; "" if unknown."""
    return _VALUES.get((setting, str(value)), "")


def setting_suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a ``suggestion``, or the setting that others call so if none is as near."""
    known = list(known)
    meant = meaning(name)
    return suggestion(name, known, 0.85, prefix) or (
        meant.answer() if meant else suggestion(name, known, prefix=prefix)
    )

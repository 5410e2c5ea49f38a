"""The environment that evaluations play where it is another than that of training.

One policy acts in both, so it has to see and do the same in both.
"""

from dataclasses import fields

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.policies.spaces import ActionLayout, ObservationLayout
from reinforce.workers.environment import EnvironmentSpec, UnsuitableEnvironmentError


def require_equal_spaces(
    training: EnvironmentConfig,
    spec: EnvironmentSpec,
    evaluation: EnvironmentConfig,
    found: EnvironmentSpec,
) -> None:
    """Refuse an environment in which a policy of the training's has no use.

    Raises:
        UnsuitableEnvironmentError: It shows something else, takes other actions, or gives its
            action masks elsewhere.
    """
    for what, one, other in (
        ("observations", _words(spec.observation), _words(found.observation)),
        ("actions", _words(spec.action), _words(found.action)),
        ("action masks", spec.action_mask or "none", found.action_mask or "none"),
    ):
        if one != other:
            is_same = evaluation.id == training.id
            raise UnsuitableEnvironmentError(
                f"one policy acts in training and in evaluations, and the {what} are not the same: "
                f"environment.id = {training.id!r} has {one} in training, and "
                f"{'it' if is_same else repr(evaluation.id)} has {other} in evaluations; change "
                "what evaluations play only where the spaces stay as they are"
            )


def _words(layout: ObservationLayout | ActionLayout) -> str:
    """Return all that a layout says of its parts."""
    parts = []
    for leaf in layout.leaves:
        said = {field.name: getattr(leaf, field.name) for field in fields(leaf)}
        parts.append(", ".join(f"{name} {value}" for name, value in said.items() if value != ()))
    return f"({'; '.join(parts)})"

"""A separate environment for evaluations.

One policy acts in both, so spaces and masks must be the same.
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
    """Refuse an environment in which a policy from training cannot act.

    Raises:
        UnsuitableEnvironmentError: Its observations, actions or action masks differ.
    """
    for what, one, other in (
        ("observations", _words(spec.observation), _words(found.observation)),
        ("actions", _words(spec.action), _words(found.action)),
        ("action masks", spec.action_mask or "none", found.action_mask or "none"),
    ):
        if one != other:
            is_same = evaluation.id == training.id
            raise UnsuitableEnvironmentError(
                f"one policy acts in training and in evaluations, but the {what} are not the same: "
                f"environment.id = {training.id!r} has {one} in training, and "
                f"{'it' if is_same else repr(evaluation.id)} has {other} in evaluations; choose an "
                "environment for evaluations with the same spaces"
            )


def _words(layout: ObservationLayout | ActionLayout) -> str:
    """Return everything that a layout says about its parts."""
    parts = []
    for leaf in layout.leaves:
        said = {field.name: getattr(leaf, field.name) for field in fields(leaf)}
        parts.append(", ".join(f"{name} {value}" for name, value in said.items() if value != ()))
    return f"({'; '.join(parts)})"

"""What a program may mean by an argument or a value that there is not."""

from collections.abc import Collection
from typing import Any

from reinforce.configs.errors import suggestion
from reinforce.configs.loading import setting_meant
from reinforce.configs.quoting import shown
from reinforce.configs.synonyms import INSTEAD_OF_VECTORS

_ARGUMENTS = {
    "environment.id": ("environment", ""),
    "policy.kind": ("policy", ""),
    "evaluation.greedy": ("sampled", "It is the opposite: sampled=True draws actions"),
}
"""By setting: the argument that does the same under another name, and what differs."""


def what_to_give(name: str, value: Any, known: Collection[str]) -> str:
    """Return what to give instead of an unknown argument: one of those known, or a setting."""
    if near := suggestion(name, known, cutoff=0.85):
        return near
    everything = f"the arguments are: {', '.join(known)}"
    meant = setting_meant(name)
    if meant is None:
        return suggestion(name, known) or everything
    field = meant.setting.rpartition(".")[2]
    for argument, note in ((field, ""), _ARGUMENTS.get(meant.setting, ("", ""))):
        if argument in known:
            return f"did you mean {argument!r}? {note}".strip()
    if meant.setting and "overrides" not in known:
        return everything
    example = f"write {{{meant.setting!r}: {'...' if meant.note else shown(value)}}} as overrides"
    return ". ".join(filter(None, (example if meant.setting else "", meant.note)))


def is_instance(value: Any) -> bool:
    """Return whether this is an environment or a policy, instead of something that makes one."""
    is_made = hasattr(value, "action_space") or hasattr(value, "parameters")
    return is_made and not isinstance(value, type)


def what_fits(name: str, value: Any, words: str) -> str:
    """Return what to give instead of a value that does not fit an argument's words."""
    if name == "overrides" and (isinstance(value, type) or is_instance(value)):
        kind = getattr(value, "__name__", type(value).__name__)
        way = f"an environment and a policy are train(environment={kind}, policy='mlp')"
        return f"give {words}; {way}"
    if not is_instance(value):
        return f"give {words}"
    if hasattr(value, "num_envs"):
        return INSTEAD_OF_VECTORS
    section = "policy.arguments" if hasattr(value, "parameters") else "environment.kwargs"
    return (
        "give a class or a function, not an instance (every worker needs its own): pass "
        f"{type(value).__name__} and put its arguments into {section}"
    )

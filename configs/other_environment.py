"""The target of a preset, a file or a run, when settings choose another environment."""

from collections.abc import Collection

from reinforce.configs.config import Config
from reinforce.configs.experiment import SUCCESS_METRICS


def without_others_target(
    base: Config, config: Config, said: Collection[str]
) -> tuple[Config, str]:
    """Return a configuration without the target of another environment, and a sentence about it.

    A mean return means something in its environment alone, so a run would end for the wrong reason
    or never. A rate of success stays. The sentence is empty if nothing is dropped.

    Args:
        base: The configuration before the user's settings.
        config: The configuration with them.
        said: Names of the user's settings; a target among them is for the environment they choose.
    """
    target, old = base.stop.target_return, base.evaluation_environment.id
    new = config.evaluation_environment.id
    is_named = "id" in base.environment.model_fields_set or "id" in base.evaluation.environment
    is_rate = config.stop.target_metric in SUCCESS_METRICS
    if target is None or new == old or not is_named or is_rate or "stop.target_return" in said:
        return config, ""
    stop = config.stop.model_copy(update={"target_return": None})
    return config.model_copy(update={"stop": stop}), (
        f"stop.target_return = {target:g} is dropped: it was set for {old}, and evaluations play "
        f"{new}; set stop.target_return for a target there"
    )

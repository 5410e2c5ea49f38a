"""Settings that change along a run: a function of the version alone, so nothing is remembered."""

from configs.learning import Scheduled


def scheduled_value(setting: Scheduled, version: int, schedule_updates: int | None) -> float:
    """Return the value of a setting at a version of the weights.

    Args:
        setting: A constant, or (start, end) to move between linearly.
        version: Updates applied so far, >= 0.
        schedule_updates: Updates after which ``end`` is reached, >= 1.
    """
    if isinstance(setting, float):
        return setting
    start, end = setting
    progress = min(1.0, version / (schedule_updates or 1))
    return start + (end - start) * progress

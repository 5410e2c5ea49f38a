"""Metrics from ``info``: combines the values of an episode's steps into one number."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.experiment import Reduction

_UFUNCS = {"sum": np.add, "mean": np.add, "min": np.minimum, "max": np.maximum}
_STARTS = {"min": np.inf, "max": -np.inf}
_NUMBERS = (bool, int, float, np.generic, np.ndarray)


class InfoMetrics:
    """Metrics of the episodes of one ticket, collected while it is played.

    An episode has a metric if one of its steps (with ``last``: the last one) has that name in
    ``info``, and every value under that name is a finite number. ``reset`` does not count.

    Attributes:
        faults: By name, the first value in ``info`` that was not a finite number, in words.
    """

    def __init__(self, reductions: Mapping[str, Reduction], num_episodes: int) -> None:
        self._at_the_end = [_Metric(name, how, num_episodes) for name, how in reductions.items()]
        self._at_each_step = [metric for metric in self._at_the_end if metric.how != "last"]
        self.faults: dict[str, str] = {}

    def add(self, episode: int, info: Mapping[str, Any], *, ended: bool) -> None:
        """Count one step of one episode; ``ended`` marks the last one."""
        for metric in self._at_the_end if ended else self._at_each_step:
            if metric.name in info:
                metric.add(episode, self._number(metric.name, info[metric.name]))

    def add_lanes(
        self,
        first: int,
        live: NDArray[np.int64],
        ended: NDArray[np.bool_],
        info: Mapping[str, Any],
        final_info: Any,
    ) -> None:
        """Count one step of a vector environment with N lanes.

        Args:
            first: Episode of lane 0.
            live: Lanes whose episodes count.
            ended: [N] lanes in which this step was the last one.
            info: Values of lanes that continue: arrays [N] by name; ``_NAME`` [N] says which lanes
                have ``NAME``.
            final_info: The same for lanes that ended, if it has any.
        """
        for metrics, lanes, said in (
            (self._at_each_step, live[~ended[live]], info),
            (self._at_the_end, live[ended[live]], final_info),
        ):
            if not isinstance(said, dict):
                continue
            for metric in metrics if len(lanes) else ():
                if metric.name not in said:
                    continue
                speaks = said.get(f"_{metric.name}")
                chosen = lanes
                if isinstance(speaks, np.ndarray) and speaks.shape == ended.shape:
                    chosen = lanes[speaks[lanes].astype(bool)]
                if len(chosen):
                    numbers = self._numbers(metric.name, said[metric.name], chosen, len(ended))
                    metric.add(first + chosen, numbers)

    def values(self) -> dict[str, NDArray[np.float64]]:
        """Return [E] values of each metric that any episode has, NaN for episodes without it."""
        values = {metric.name: metric.values() for metric in self._at_the_end}
        return {name: each for name, each in values.items() if not np.isnan(each).all()}

    def _numbers(
        self, name: str, values: Any, lanes: NDArray[np.int64], num_lanes: int
    ) -> NDArray[np.float64]:
        if not isinstance(values, np.ndarray) or values.shape[:1] != (num_lanes,):
            return np.full(len(lanes), self._number(name, values))
        if values.ndim == 1 and values.dtype.kind in "biuf":
            numbers = values[lanes].astype(np.float64)
            if np.isfinite(numbers).all():
                return numbers
        return np.array([self._number(name, values[lane]) for lane in lanes], np.float64)

    def _number(self, name: str, value: Any) -> float:
        """Return a number as a float, or NaN for anything else, which is noted."""
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, _NUMBERS):
            array = np.asarray(value)
            if array.ndim == 0 and array.dtype.kind in "biuf" and np.isfinite(array):
                return float(array)
        text = str(value)[:60]
        is_text = isinstance(value, str)
        fault = f"the string {text!r}" if is_text else f"{type(value).__name__} {text}"
        self.faults.setdefault(name, fault)
        return np.nan


class _Metric:
    """One metric of E episodes."""

    def __init__(self, name: str, how: Reduction, num_episodes: int) -> None:
        self.name, self.how = name, how
        self._ufunc = _UFUNCS.get(how)
        self._values = np.full(num_episodes, _STARTS.get(how, 0.0))
        self._counts = np.zeros(num_episodes, np.int64)

    def add(self, episodes: Any, values: Any) -> None:
        """Count one value for each of one or several episodes; a NaN stays."""
        if self._ufunc:
            values = self._ufunc(self._values[episodes], values)
        self._values[episodes] = values
        self._counts[episodes] += 1

    def values(self) -> NDArray[np.float64]:
        values = self._values
        if self.how == "mean":
            values = values / np.maximum(self._counts, 1)
        return np.where((self._counts > 0) & np.isfinite(values), values, np.nan)

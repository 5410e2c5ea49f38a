"""Learners that fail in one way each. Their processes start fast: nothing here imports Torch."""

import os
import signal
import time

import ray

from reinforce.cluster.backends.ray.actors import WrongVersionError
from reinforce.cluster.backends.ray.other_learners import News
from reinforce.learner.state import LearnerState, UpdateReport


class AnsweringLearner:
    """Gives signs of life."""

    @ray.method(concurrency_group="signs")
    def sign_of_life(self):
        pass


class DyingLearner(AnsweringLearner):
    """Ends its process in every update, once what it has answered before can have been sent."""

    def state(self):
        return LearnerState(0, {})

    @ray.method(num_returns=4)
    def update(self, trajectories, version):
        time.sleep(0.2)
        os._exit(1)


class LosingLearner(DyingLearner):
    """Cannot get at the trajectories."""

    @ray.method(num_returns=4)
    def update(self, trajectories, version):
        raise ray.exceptions.ObjectLostError("00" * 28, None, "")


class FittingLearner(AnsweringLearner):
    """Its state says what was done; a file orders its fits to die, to wait, to halt, or nothing.

    A batch whose file is gone is lost.
    """

    def __init__(self, state, orders):
        self.done = list(state.arrays["done"]) if state else []
        self.to_fit, self.orders = "", orders
        if orders.read_text() == "dies at once":
            orders.write_text("")
            os._exit(1)
        while orders.read_text() == "waits at once":
            time.sleep(0.01)

    def weights(self):
        return f"weights {self.version}"

    def state(self):
        if self.to_fit:
            self._halt_if_told("halts in its fit once")
            order = self.orders.read_text()
            if order == "dies once":
                self.orders.write_text("")
            if order.startswith("dies"):
                os._exit(1)
            while self.orders.read_text() == "waits":
                time.sleep(0.01)
            self.done.append(f"fitted {self.to_fit}")
            self.to_fit = ""
        return LearnerState(self.version, {"done": self.done})

    def _halt_if_told(self, order):
        if self.orders.read_text() == order:
            self.orders.write_text("")
            while True:  # whoever lets it go on, it halts again
                os.kill(os.getpid(), signal.SIGSTOP)

    @property
    def version(self):
        return sum(what.startswith("updated") for what in self.done)

    @ray.method(num_returns=4)
    def update(self, trajectories, version):
        self.state()
        self._halt_if_told("halts once")
        if self.version != version:
            raise WrongVersionError(f"{self.version} and not {version}")
        (batch,) = trajectories
        if not batch.exists():
            raise ray.exceptions.ObjectLostError("00" * 28, None, "")
        self.to_fit = batch.name
        self.done.append(f"updated {self.to_fit}")
        report = UpdateReport(self.version, {}, "", is_fit_due=True)
        return report, f"weights {self.version}", None, News()

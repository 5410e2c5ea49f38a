"""Another learner that fails when a file orders it to, and is a real one otherwise."""

import os
import time

from reinforce.cluster.backends.ray.actors import GradientActor


class FailingGradientActor(GradientActor):
    def __init__(self, orders, *arguments):
        self.orders = orders
        super().__init__(*arguments)

    def kind(self):
        found = super().kind()
        return {**found, "torch": "0.1"} if self.orders.read_text() == "differ" else found

    def gradients(self, task, weights):
        order = self.orders.read_text()
        if order == "die":
            os._exit(1)
        if order == "raise":
            raise MemoryError("no room on the GPU")
        while self.orders.read_text() == "wait":
            time.sleep(0.01)
        return super().gradients(task, weights)

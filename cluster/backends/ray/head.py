"""The head of a cluster, without which Ray ends a driver a minute later, without a word."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from reinforce.cluster.backends.ray.endpoint import peer_at, place_of
from reinforce.cluster.background_call import call_within
from reinforce.cluster.errors import HeadLostError

_NAME_TIMEOUT_S = 4.0
_PATIENCE_S = 10.0
_LOST_AFTER_S = 40.0
"""Ray's own limit is 60 s, and a checkpoint has to be written before."""

_POLL_S = 0.2


class HeadWatch:
    """Looks whether the head still answers, and waits for it if not.

    Args:
        address: HOST:PORT of the cluster.
        waiting: Makes a context that shows what is waited for, as ``Driver.waiting``.
        check: Called while waiting; raises what ends the wait.
    """

    def __init__(
        self,
        address: str,
        waiting: Callable[..., AbstractContextManager[None]],
        check: Callable[[], None],
    ) -> None:
        self._peer: tuple[str, int] | None = None
        self._address, self._waiting, self._check = address, waiting, check
        self.is_lost = False
        """It was waited for in vain: whatever asks Ray now may wait, too."""

    def look(self) -> None:
        """Return at once while the head answers; call it before Ray is asked anything.

        Raises:
            HeadLostError: It has not come back in time.
        """
        if self._answers():
            return
        ends_s = time.monotonic() + _LOST_AFTER_S
        stage = f"waiting for the head of the cluster at {self._address}"

        def prospect() -> str:
            left_s = max(0.0, ends_s - time.monotonic())
            return f"the run ends in {left_s:.0f} s, after a checkpoint, unless it answers"

        with self._waiting(stage, prospect, _PATIENCE_S):
            while not self._answers():
                self._check()
                if time.monotonic() > ends_s:
                    self.is_lost = True
                    raise HeadLostError(
                        f"the head of the cluster at {self._address} has not answered for "
                        f"{_LOST_AFTER_S:.0f} s"
                    )
                time.sleep(_POLL_S)

    def _answers(self) -> bool:
        if self._peer:
            try:
                if peer_at(self._peer):
                    return True
            except OSError:  # this process has no file descriptor left: no word about the head
                return True
        # By name only now: a name server that is silent is no dead head, and a head that was
        # started again may be at another IP.
        with suppress(OSError):
            found = call_within(
                _NAME_TIMEOUT_S, lambda: peer_at(place_of(self._address)), self._address
            )
            self._peer = found or self._peer
            return found is not None
        return False

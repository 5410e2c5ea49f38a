"""A port for a server of ours that nobody else is given meanwhile."""

import itertools
import os
import socket

# Above the ports of Ray's workers (10002 to 19999) and below those that Linux gives to whoever asks
# for any (from 32768): one of the latter may be another server's by the time that ours listens.
_PORTS = range(20_000, 32_000)
# No port is given twice, and processes of tests that run side by side, whose ids are often
# neighbours, begin far from each other.
_offsets = itertools.count(os.getpid() * 997)


def free_port() -> int:
    """A port on loopback where nobody listens now, another one at every call.

    Raises OSError where all of them are taken.
    """
    for _ in _PORTS:
        port = _PORTS[next(_offsets) % len(_PORTS)]
        with socket.socket() as probe:
            # As servers do it: a connection that has just ended does not make a port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")

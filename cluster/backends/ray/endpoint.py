"""HOST:PORT of a cluster: taken apart, and tried."""

import errno
import socket

CONNECT_TIMEOUT_S = 2.0

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)


def place_of(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT, without the brackets of an IPv6 address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def peer_at(place: tuple[str, int]) -> tuple[str, int] | None:
    """Return IP and port of what accepts a connection at host and port; None if nothing does.

    Raises:
        OSError: That cannot be told, as without a file descriptor or an answer to the name.
    """
    try:
        with socket.create_connection(place, CONNECT_TIMEOUT_S) as connection:
            host, port = connection.getpeername()[:2]
            return host, port
    except (ConnectionError, TimeoutError):
        return None
    except OSError as error:
        if error.errno in _UNREACHABLE:
            return None
        raise

"""Free ports on loopback for servers that need several in a row."""

import random
import socket
from contextlib import closing


def free_ports() -> int:
    """Return a port P such that P..P+4 and each of them + 10000 are free, below the ports that the system gives out.

    Raises OSError if no such run of ports is found.
    """
    for port in random.sample(range(12_000, 22_000, 5), 100):
        if all(_is_free(port + i + more) for i in range(5) for more in (0, 10_000)):
            return port
    raise OSError("no run of free ports found")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

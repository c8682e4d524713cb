"""Where the server listens."""

import ipaddress
import socket

from biomechjax.errors import InputError


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket, and the address to open in a browser on this machine.

    Raises:
        InputError: the host is none of this machine's, or the port is taken.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as e:
        raise InputError(f"--host {host} --port {port}: cannot listen there: {e}; choose another port or 0") from e
    bound = opened.getsockname()
    named = "localhost" if ipaddress.ip_address(bound[0]).is_unspecified else host
    return opened, f"http://{f'[{named}]' if ':' in named else named}:{bound[1]}/"

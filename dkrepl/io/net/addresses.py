"""Where a socket is bound or connected: a node's address and port as ZeroMQ spells them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket

import zmq

from dkrepl.errors import HostError


def endpoint(address: str, port: int) -> str:
    """Return the endpoint of ``address``, which may be a name or an address of either family."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(address).version == 6:
            return f"tcp://[{address}]:{port}"
    return f"tcp://{address}:{port}"


def numeric(address: str) -> str:
    """Return an IP address of ``address``: a socket is bound to a number. Raises ``HostError``."""
    try:
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise HostError(f"the address {address} of this node cannot be resolved ({error.strerror})") from error


def bind(sock: zmq.Socket[bytes], address: str, port: int, key: str) -> None:
    """Bind ``sock``; ``key`` is what the description calls the port. Raises ``HostError``."""
    try:
        sock.bind(endpoint(address, port))
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise HostError(f"port {port} of {address} is taken; stop what uses it or change {key}") from error
        raise HostError(f"cannot listen at {address} port {port} ({error}); check the node's address") from error

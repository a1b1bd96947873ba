"""A peer that was out of reach for a while is found soon after it can be reached again."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from dkrepl.config.description import Description, Node, parse
from dkrepl.io.net.access import Access
from dkrepl.io.net.control_port_socket import ControlPortSocket
from dkrepl.io.net.target_sockets import TargetSockets
from tests.integration.harness.ports import free_port
from tests.lab.waiting import wait_for

# The kernel repeats a connection request after 7 and 15 s, or after 11 and 19 s (tcp_syn_linear_timeouts).
OUT_OF_REACH = 11.5  # seconds
SOON = 3.0  # seconds: before that


def described(port: int) -> Description:
    nodes = "".join(
        f'[[node]]\nname = "{name}"\naddress = "127.0.0.1"\nstore = "/none/{name}"\n'
        f"control_port = {at}\ndata_port = {at + 1}\n"
        for name, at in (("alpha", port), ("beta", port + 2))
    )
    return parse(f'name = "r0"\nsize = "16MiB"\nsource = "alpha"\nsecurity = "none"\n{nodes}', "r0", {})


@contextlib.contextmanager
def requests_dropped(port: int) -> Iterator[None]:
    """Connection requests to ``port`` get no answer meanwhile, as through a cut line: the listener's queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield


def test_a_peer_that_was_out_of_reach_is_found_soon_after_it_is_back() -> None:
    port = free_port()
    description = described(port)
    alpha, beta = (description.node(name) for name in ("alpha", "beta"))

    def access(node: Node) -> Access:
        return Access(description, node, None, lambda *_: None)

    with requests_dropped(port):
        asking = TargetSockets(description, beta, access(beta))
        time.sleep(OUT_OF_REACH)
    asked_port = ControlPortSocket(description, alpha, access(alpha))
    try:

        def asked() -> bool:
            asking.send("alpha", b"who are you?")
            return asked_port.receive() is not None

        wait_for(asked, bool, "alpha hears beta", SOON)
    finally:
        asking.close()
        asked_port.close()

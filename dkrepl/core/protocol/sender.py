"""Who sent a message: the transport has proven a name, and a message may not speak under another one."""

from __future__ import annotations

from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Answer, AnyMessage, Ask, Describe, Hello, Stalled
from dkrepl.errors import ProtocolError

_NAMES_ITS_SENDER = (Ask, Answer, Describe, Hello, Stalled)


def name_of(identity: bytes) -> str:
    """Return the name in the identity of a connection, which the peer's key has proven: what comes before the slash."""
    return identity.partition(b"/")[0].decode("utf-8", "replace")


def check_sender(message: AnyMessage | Ack, proven: str) -> None:
    """Raise ``ProtocolError`` if a question, answer or greeting names another node than ``proven`` as its sender."""
    if isinstance(message, _NAMES_ITS_SENDER) and message.node != proven:
        raise ProtocolError(f"it speaks under the name {message.node!r}")

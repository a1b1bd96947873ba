"""Who this node is to its peers, whom it lets in, and whom it has turned away.

One a daemon; it outlives a change of role. The sockets ask it for their options, the authenticator (``io/net/zap.py``)
whether a key is a peer's, and the receiver of a frame whether the key behind it may speak under the name in it. May be
used from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import zmq

from dkrepl.config import public_key
from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.errors import NodeKeyError
from dkrepl.io.state.node_keys import NodeKeys

DOMAIN = b"dkrepl"
"""The ZAP domain (RFC 27) of every socket that is bound: it is enforced, so without an authenticator nobody gets in."""
OFF = (
    'security is "none": nodes do not know each other by keys and nothing is encrypted; anyone who reaches the ports '
    'can read and write all data; make keys and write security = "curve"'
)


class Report(Protocol):
    """Tells an event."""

    def __call__(self, name: str, level: str = "info", fields: Mapping[str, object] | None = None) -> None:
        """Report ``name`` at ``level``."""


class Access:
    """``keys`` are None where the description says security = "none"; then everybody is let in."""

    def __init__(
        self,
        description: Description,
        node: Node,
        keys: NodeKeys | None,
        report: Report,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        """Raises ``NodeKeyError`` if the keys are not those that the description names for this node."""
        self._limits = limits
        self._node = node.name
        self._keys = keys
        self._report = report
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._barred: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        """How often somebody was turned away, by reason; docs/reference/codes.md lists the reasons."""
        self._names: dict[str, str] = {}
        self._peers: dict[str, tuple[bytes, ...]] = {}
        self._replacing = False  # our own key
        self.renew(description)

    @property
    def closed(self) -> bool:
        """Whether peers have to prove who they are."""
        return self._keys is not None

    @property
    def warnings(self) -> list[str]:
        """What an administrator must be told as long as it is so."""
        return [] if self.closed else [OFF]

    def renew(self, description: Description) -> None:
        """Take the peers' keys from a new description. Raises ``NodeKeyError`` if it does not know our own."""
        keys = self._keys
        if keys is None:
            return
        mine = description.node(self._node)
        if keys.public_text not in mine.public_keys:
            raise NodeKeyError(
                f"this node's secret key belongs to the public key {keys.public_text}, but {description.name}.toml "
                f"says {mine.public_key or 'none'} for {self._node}; write what `dkrepl key show` prints there, on "
                "every node"
            )
        self._replacing = len(mine.public_keys) > 1
        peers = description.peers(self._node)
        # Replaced whole, never changed: other threads look at them.
        self._names = {key: peer.name for peer in peers for key in peer.public_keys}
        self._peers = {peer.name: tuple(public_key.read(key) for key in peer.public_keys) for peer in peers}

    def keys_of(self, peer: str) -> tuple[bytes | None, ...]:
        """The keys by which a peer may answer, one connection each: two while it is given a new one."""
        return (None,) if self._keys is None else self._peers.get(peer, ())

    def name_of(self, key: bytes) -> str | None:
        """The peer that has this public key; None if no node of the mirror does, or while it is barred."""
        text = public_key.write(key)
        name = self._names.get(text)
        until = self._barred.get(text)
        if until is not None:
            if time.monotonic() < until:
                return None
            self._barred.pop(text, None)
        return name

    def speaks_for(self, frame: zmq.Frame, name: str) -> bool:
        """Whether the one who sent ``frame`` proved to be the node ``name`` (still; keys may have been replaced)."""
        return self._keys is None or self._names.get(self.user(frame)) == name

    def knows(self, user: str) -> bool:
        """Whether a key by which somebody got in is still that of a peer."""
        return self._keys is None or user in self._names

    def user(self, frame: zmq.Frame) -> str:
        """The text of the public key of who sent ``frame``; empty without security."""
        try:
            return "" if self._keys is None else str(frame.get("User-Id"))
        except zmq.ZMQError:  # no such property: it came past the authenticator
            return "?"

    def bar(self, user: str) -> None:
        """Keep the owner of a key out for a while; it had to be thrown out."""
        if user in self._names:
            self._barred[user] = time.monotonic() + self._limits.barred_seconds

    def serve(self, sock: zmq.Socket[bytes]) -> None:
        """Let only peers in at a socket, which is to be bound afterwards."""
        if self._keys is not None:
            self._identify(sock, self._keys)
            sock.setsockopt(zmq.CURVE_SERVER, 1)
            sock.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
            sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def approach(self, sock: zmq.Socket[bytes], key: bytes | None) -> None:
        """Connect a socket, later, only to the owner of ``key`` (None: to any that answers)."""
        if self._keys is not None and key is not None:
            self._identify(sock, self._keys)
            sock.setsockopt(zmq.CURVE_SERVERKEY, key)

    def refuse(self, reason: str, **fields: object) -> None:
        """Count somebody who was turned away, and tell it, at most once a second for each reason."""
        now = time.monotonic()
        with self._lock:
            self.refused[reason] += 1
            count = self.refused[reason]
            again = self._limits.complaint_seconds
            if now - self._told.get(reason, -again) < again:
                return
            self._told[reason] = now
        # While our own key is replaced peers try both, and one of them is always the wrong one.
        level = "info" if reason == "handshake" and self._replacing else "warning"
        self._report("peer_refused", level, {"reason": reason, "count": count, **fields})

    @staticmethod
    def _identify(sock: zmq.Socket[bytes], keys: NodeKeys) -> None:
        sock.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        sock.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)

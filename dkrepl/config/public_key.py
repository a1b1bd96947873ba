"""How a Curve25519 key is written: 44 characters of base64, as other tools write such keys.

Not Z85, ZeroMQ's own form: its brackets, quotes and dollar signs mean something to shells, YAML and templates.
"""

from __future__ import annotations

import base64
import binascii

KEY_BYTES = 32


def write(key: bytes) -> str:
    """Return the text of a key of 32 bytes."""
    return base64.b64encode(key).decode("ascii")


def read(text: object) -> bytes:
    """Return the key in ``text``; raises ValueError("it must be ...")."""
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    # Only the one way to write it: two texts for one key could pass as two keys.
    if len(key) != KEY_BYTES or write(key) != text:
        raise ValueError("it must be what `dkrepl key show` prints on that node: 44 characters of base64")
    return key


def as_public(text: object) -> str:
    """Return ``text`` if it is a key, for the description; raises ValueError."""
    read(text)
    return str(text)

"""INIT, the first message on every connection: which kernels are served, and what is agreed with them."""

from __future__ import annotations

from pathlib import Path

from dkrepl.errors import HostError
from dkrepl.io.fuse import messages


def answer_init(message: bytes, mountpoint: Path | None) -> tuple[int, bytes]:
    """Return (unique, reply) for the first message. Raises ``HostError`` if it is not INIT of a kernel that serves."""
    if len(message) < messages.IN_HEADER.size:
        raise HostError(f"the kernel began FUSE on {mountpoint} with {len(message)} bytes, too few")
    _, opcode, unique, *_ = messages.IN_HEADER.unpack_from(message)
    offer = messages.parse_init(message[messages.IN_HEADER.size :])
    if opcode != messages.INIT or offer is None:
        raise HostError(f"the kernel began FUSE on {mountpoint} with message {opcode}, not INIT")
    if offer.major != messages.PROTOCOL_MAJOR or offer.minor < messages.PROTOCOL_MINOR_NEEDED:
        # Any kernel that is refused here also lacks LOOP_CONFIGURE, which came with Linux 5.8: loop(4).
        raise HostError(
            f"the kernel speaks FUSE {offer.major}.{offer.minor}, and dkrepl needs "
            f"{messages.PROTOCOL_MAJOR}.{messages.PROTOCOL_MINOR_NEEDED}: use Linux 5.8 or later"
        )
    return unique, messages.init_reply(offer)

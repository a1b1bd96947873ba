"""INIT: what is accepted from the kernel, and which kernels are refused."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.errors import HostError
from dkrepl.io.fuse import FuseSession, messages


def init(major: int, minor: int, flags: int) -> bytes:
    body = messages.INIT_IN.pack(major, minor, 131072, flags).ljust(64, b"\0")
    return messages.IN_HEADER.pack(40 + len(body), messages.INIT, 2, 0, 0, 0, 0, 0, 0) + body


def shake_hands(sent: bytes) -> bytes:
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    session = FuseSession(ours.detach(), 1 << 20, None)
    session.mountpoint = Path("/mnt/example")
    try:
        kernel.send(sent)
        session._shake_hands()
        return kernel.recv(4096)
    finally:
        session.mountpoint = None
        session.close()
        kernel.close()


@pytest.mark.parametrize("minor", [31, 38, 45, 99])
def test_a_known_kernel_is_told_to_send_a_mebibyte_at_once(minor: int) -> None:
    answer = shake_hands(init(7, minor, 0xFFFFFFFF))
    assert len(answer) == 16 + 64
    major, spoken, _, flags, background, _, max_write, _, max_pages, _, _ = messages.INIT_OUT.unpack(answer[16:])
    assert (major, spoken) == (7, min(minor, messages.PROTOCOL_MINOR_SPOKEN))
    assert (max_write, max_pages, background) == (1 << 20, 256, 256)
    assert flags == messages.FLAGS_WANTED


def test_only_what_is_offered_is_taken() -> None:
    answer = shake_hands(init(7, 38, messages.FUSE_ASYNC_DIO))
    assert messages.INIT_OUT.unpack(answer[16:])[3] == messages.FUSE_ASYNC_DIO


@pytest.mark.parametrize(("major", "minor"), [(7, 30), (6, 40), (8, 0)])
def test_another_protocol_is_refused_with_a_sentence(major: int, minor: int) -> None:
    with pytest.raises(HostError, match=rf"speaks FUSE {major}\.{minor}, and dkrepl needs 7\.31"):
        shake_hands(init(major, minor, 0))


@given(st.one_of(st.binary(min_size=1, max_size=200), st.binary(max_size=80).map(lambda b: init(7, 38, 0)[:40] + b)))
def test_a_hostile_beginning_is_refused(sent: bytes) -> None:
    try:
        answer = shake_hands(sent)
    except HostError:
        return
    length, error, _ = struct.unpack_from("<IiQ", answer)
    assert (length, error) == (len(answer), 0)

"""What the FUSE session makes of the kernel's messages, with a socket in the kernel's place."""

from __future__ import annotations

import errno
import gc
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkrepl.errors import HostError
from dkrepl.io.fuse import DISCARD, MAX_TRANSFER, READ, SYNC, WRITE, ZERO, FuseSession, SessionEnded, messages
from dkrepl.io.fuse.session import BUFFERS, LARGE

SIZE = 8 << 20
PUNCH, ZEROES, KEEP = 0x02, 0x10, 0x01


def header(opcode: int, unique: int, length: int) -> bytes:
    return messages.IN_HEADER.pack(length, opcode, unique, 1, 0, 0, 0, 0, 0)


def message(opcode: int, unique: int, body: bytes = b"") -> bytes:
    return header(opcode, unique, 40 + len(body)) + body


def write_message(unique: int, offset: int, data: bytes) -> bytes:
    return message(messages.WRITE, unique, struct.pack("<QQIIQII", 1, offset, len(data), 0, 0, 0, 0) + data)


def read_message(unique: int, offset: int, size: int) -> bytes:
    return message(messages.READ, unique, struct.pack("<QQIIQII", 1, offset, size, 0, 0, 0, 0))


def fallocate_message(unique: int, offset: int, length: int, mode: int) -> bytes:
    return message(messages.FALLOCATE, unique, messages.FALLOCATE_IN.pack(1, offset, length, mode, 0))


@dataclass
class Reply:
    unique: int
    error: int
    body: bytes


class Kernel:
    """The other end: sends messages and collects replies."""

    def __init__(self) -> None:
        self.end, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for side in (self.end, ours):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.end.setblocking(False)
        self.session = FuseSession.adopt(ours.detach(), SIZE, resend=False)

    def says(self, *what: bytes) -> None:
        for one in what:
            self.end.send(one)

    def heard(self) -> list[Reply]:
        replies: list[Reply] = []
        while True:
            try:
                packet = self.end.recv(2 << 20)
            except BlockingIOError:
                return replies
            length, error, unique = messages.OUT_HEADER.unpack_from(packet)
            assert length == len(packet)
            replies.append(Reply(unique, -error, packet[16:]))

    def close(self) -> None:
        self.session.close()
        self.end.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def test_a_write_arrives_with_its_data(kernel: Kernel) -> None:
    data = os.urandom(4096)
    kernel.says(write_message(7, 8192, data))
    request = kernel.session.receive()
    assert request is not None
    assert (request.op, request.unique, request.offset, request.length) == (WRITE, 7, 8192, 4096)
    assert bytes(request.data) == data
    kernel.session.reply_written(7, 4096)
    (reply,) = kernel.heard()
    assert (reply.unique, reply.error) == (7, 0)
    assert struct.unpack("<II", reply.body) == (4096, 0)


def test_nothing_waiting_is_none(kernel: Kernel) -> None:
    assert kernel.session.receive() is None


@pytest.mark.parametrize("size", [512, 4096, LARGE - 512, LARGE])
def test_data_of_a_request_survives_later_ones(kernel: Kernel, size: int) -> None:
    held = []
    for number in range(BUFFERS + 8):
        kernel.says(write_message(number, 0, bytes([number]) * size))
        request = kernel.session.receive()
        assert request is not None
        held.append(request)
    assert [bytes(request.data) for request in held] == [bytes([n]) * size for n in range(BUFFERS + 8)]


def test_buffers_come_back_when_the_last_view_is_gone(kernel: Kernel) -> None:
    session = kernel.session
    kernel.says(write_message(1, 0, b"a" * LARGE))
    request = session.receive()
    assert request is not None
    part = memoryview(request.data)[4096:8192]
    del request
    gc.collect()
    assert session._pool.lent == 1
    for number in range(2 * BUFFERS):
        kernel.says(write_message(number, 0, b"b" * LARGE))
        assert session.receive() is not None
    assert bytes(part) == b"a" * 4096
    del part
    gc.collect()
    assert session._pool.lent == 0
    assert session._pool._made <= BUFFERS


def test_a_read_is_clipped_to_the_file(kernel: Kernel) -> None:
    kernel.says(read_message(1, SIZE - 4096, 8192), read_message(2, SIZE, 4096), read_message(3, 1 << 63, 4096))
    request = kernel.session.receive()
    assert request is not None
    assert (request.op, request.offset, request.length) == (READ, SIZE - 4096, 4096)
    assert kernel.session.receive() is None
    assert [(reply.unique, reply.error, reply.body) for reply in kernel.heard()] == [(2, 0, b""), (3, 0, b"")]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (write_message(1, SIZE - 512, bytes(1024)), errno.ENOSPC),
        (write_message(1, (1 << 64) - 512, bytes(512)), errno.ENOSPC),
        (write_message(1, 1, bytes(512)), errno.EINVAL),
        (write_message(1, 0, bytes(100)), errno.EINVAL),
        (write_message(1, 0, b""), errno.EINVAL),
        (message(messages.WRITE, 1, bytes(8)), errno.EINVAL),
        (message(messages.READ, 1, bytes(39)), errno.EINVAL),
        (message(messages.FALLOCATE, 1, bytes(8)), errno.EINVAL),
        (fallocate_message(1, SIZE - 512, 1024, PUNCH | KEEP), errno.EINVAL),
        (fallocate_message(1, 0, 0, ZEROES | KEEP), errno.EINVAL),
        (fallocate_message(1, 0, 4096, 0), errno.EOPNOTSUPP),
        (fallocate_message(1, 0, 4096, ZEROES), errno.EOPNOTSUPP),
        (message(messages.SETATTR, 1, bytes(88)), errno.EPERM),
        (message(9999, 1), errno.ENOSYS),
    ],
)
def test_what_is_not_allowed_is_refused_here(kernel: Kernel, sent: bytes, code: int) -> None:
    kernel.says(sent)
    assert kernel.session.receive() is None
    assert [(reply.unique, reply.error) for reply in kernel.heard()] == [(1, code)]


@pytest.mark.parametrize(("mode", "op"), [(PUNCH | KEEP, DISCARD), (ZEROES | KEEP, ZERO)])
def test_a_discard_or_write_zeroes_is_received_with_its_range(kernel: Kernel, mode: int, op: int) -> None:
    kernel.says(fallocate_message(5, 4096, SIZE - 4096, mode))
    request = kernel.session.receive()
    assert request is not None
    assert (request.op, request.unique, request.offset, request.length) == (op, 5, 4096, SIZE - 4096)


def test_sync_keeps_the_mark_of_a_request_sent_again(kernel: Kernel) -> None:
    unique = (1 << 63) | 12
    kernel.says(message(messages.FSYNC, unique, bytes(16)))
    request = kernel.session.receive()
    assert request is not None
    assert (request.op, request.unique) == (SYNC, unique)
    kernel.session.reply_ok(unique)
    assert [(reply.unique, reply.error) for reply in kernel.heard()] == [(unique, 0)]


def test_questions_about_the_file_are_answered_here(kernel: Kernel) -> None:
    kernel.says(
        message(messages.GETATTR, 1, bytes(16)),
        message(messages.OPEN, 2, bytes(8)),
        message(messages.STATFS, 3),
        message(messages.FORGET, 4, bytes(8)),
        message(messages.INTERRUPT, 5, bytes(8)),
        message(messages.RELEASE, 6, bytes(24)),
    )
    assert kernel.session.receive() is None
    replies = {reply.unique: reply for reply in kernel.heard()}
    assert sorted(replies) == [1, 2, 3, 6]
    assert not any(reply.error for reply in replies.values())
    assert messages.ATTR_OUT.unpack(replies[1].body)[4] == SIZE
    assert messages.STATFS_OUT.unpack(replies[3].body)[5] == 4096


def test_an_error_reaches_the_kernel_as_a_negative_number(kernel: Kernel) -> None:
    kernel.session.reply_error(3, errno.EIO)
    assert [(reply.unique, reply.error) for reply in kernel.heard()] == [(3, errno.EIO)]


def test_a_closed_session_has_ended(kernel: Kernel) -> None:
    fd = os.dup(kernel.session.fd)
    kernel.session.close()
    os.close(fd)
    with pytest.raises(SessionEnded):
        kernel.session.receive()


opcodes = st.sampled_from([1, 3, 4, 14, 15, 16, 17, 18, 20, 26, 36, 38, 39, 42, 43, 47, 50, 4096, 0])
structured = st.builds(
    lambda opcode, claim, body: header(opcode, 9, 40 + len(body) + claim) + body,
    opcodes,
    st.sampled_from([0, 0, 0, 1, -1, 40, 0x7FFFFFFF - 4096]),
    st.binary(max_size=6000),
)
writes = st.builds(
    lambda offset, claim, data: message(
        messages.WRITE, 9, struct.pack("<QQIIQII", 1, offset, claim, 0, 0, 0, 0) + data
    ),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 32) - 1),
    st.binary(max_size=200),
)


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=300), structured, writes), max_size=8))
@settings(max_examples=400, deadline=None)
def test_hostile_messages_give_a_request_in_range_or_one_clear_error(hostile: list[bytes]) -> None:
    kernel = Kernel()
    complaints: list[str] = []
    try:
        for packet in hostile:
            kernel.says(packet)
            try:
                request = kernel.session.receive()
            except HostError as error:
                complaints.append(str(error))
                continue
            if request is not None:
                assert 0 <= request.offset <= request.offset + request.length <= SIZE
                assert request.length <= (SIZE if request.op in (DISCARD, ZERO) else MAX_TRANSFER)
                assert len(request.data) == (request.length if request.op == WRITE else 0)
            kernel.heard()
    finally:
        kernel.close()
    assert all("the kernel sent a FUSE message" in complaint for complaint in complaints)

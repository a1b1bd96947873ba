"""Layouts and constants of the FUSE kernel protocol that a one-file file system needs.

Source: ``include/uapi/linux/fuse.h`` and ``Documentation/filesystems/fuse.rst`` of the Linux kernel.
Everything is in host byte order without padding; dkrepl runs on little-endian machines only.
"""

from __future__ import annotations

import stat
import time
from struct import Struct
from typing import NamedTuple

# Requests by number; only those that are answered otherwise than with ENOSYS.
FORGET = 2
GETATTR = 3
SETATTR = 4
OPEN = 14
READ = 15
WRITE = 16
STATFS = 17
RELEASE = 18
FSYNC = 20
INIT = 26
INTERRUPT = 36
DESTROY = 38
IOCTL = 39
BATCH_FORGET = 42
FALLOCATE = 43
COPY_FILE_RANGE = 47

ROOT_NODE = 1
NOTIFY_RESEND = 7

#: struct fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding.
IN_HEADER = Struct("<IIQQIIIHH")
#: struct fuse_in_header followed by fuse_read_in or fuse_write_in, which share the fields that matter:
#: len, opcode, unique, (nodeid..padding, fh), offset, size.
TRANSFER = Struct("<IIQ32xQI")
#: A WRITE's data begins here: sizeof(fuse_in_header) + sizeof(fuse_write_in).
TRANSFER_HEADER_SIZE = 80
#: struct fuse_fallocate_in: fh, offset, length, mode, padding.
FALLOCATE_IN = Struct("<QQQII")
#: Beginning of struct fuse_init_in: major, minor, max_readahead, flags; then flags2 when it is long enough.
INIT_IN = Struct("<IIII")

#: struct fuse_out_header: len, error (0 or a negative errno), unique.
OUT_HEADER = Struct("<IiQ")
#: fuse_out_header and fuse_write_out: len, error, unique, size, padding.
WRITTEN = Struct("<IiQII")
#: struct fuse_init_out up to flags2, then 28 bytes unused.
INIT_OUT = Struct("<IIIIHHIIHHI28x")
#: struct fuse_open_out: fh, open_flags, backing_id.
OPEN_OUT = Struct("<QIi")
#: struct fuse_attr_out: attr_valid, attr_valid_nsec, dummy, then struct fuse_attr.
ATTR_OUT = Struct("<QIIQQQQQQIIIIIIIIII")
#: struct fuse_kstatfs: blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare[6].
STATFS_OUT = Struct("<QQQQQIIII24x")

PROTOCOL_MAJOR = 7
#: The layouts above are those of 7.31 (Linux 5.4) and later.
PROTOCOL_MINOR_NEEDED = 31
PROTOCOL_MINOR_SPOKEN = 38

FUSE_ASYNC_READ = 1 << 0
FUSE_BIG_WRITES = 1 << 5
FUSE_ASYNC_DIO = 1 << 15
FUSE_MAX_PAGES = 1 << 22
FLAGS_WANTED = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES

FOPEN_DIRECT_IO = 1 << 0
FOPEN_NOFLUSH = 1 << 5
FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_ZERO_RANGE = 0x10

PAGE = 4096
SECTOR = 512
#: Largest read or write the kernel is told to send, bytes.
MAX_TRANSFER = 1 << 20
#: Requests the kernel may have in the background at once; a loop device keeps at most 128.
MAX_BACKGROUND = 256

#: Seconds for which the kernel may keep the attributes: they never change, and a kernel that must not ask
#: for them can identify the loop device's backing file while nobody serves the session.
_ATTRIBUTES_VALID_SECONDS = 10 * 365 * 86400


class InitRequest(NamedTuple):
    """What the kernel offers when the file system is mounted."""

    major: int
    minor: int
    max_readahead: int
    flags: int


def parse_init(body: bytes) -> InitRequest | None:
    """Return the kernel's offer, or None if the message is too short to be one."""
    if len(body) < INIT_IN.size:
        return None
    return InitRequest._make(INIT_IN.unpack_from(body))


def init_reply(offer: InitRequest) -> bytes:
    """Return the body that accepts ``offer``: 1 MiB transfers, many at once, direct."""
    return INIT_OUT.pack(
        PROTOCOL_MAJOR,
        min(offer.minor, PROTOCOL_MINOR_SPOKEN),
        offer.max_readahead,
        offer.flags & FLAGS_WANTED,
        MAX_BACKGROUND,
        MAX_BACKGROUND * 3 // 4,
        MAX_TRANSFER,
        1,
        MAX_TRANSFER // PAGE,
        0,
        0,
    )


def open_reply() -> bytes:
    """Return the body for OPEN: no page cache in between, writes side by side."""
    return OPEN_OUT.pack(1, FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES, 0)


def attributes_reply(size: int) -> bytes:
    """Return the body for GETATTR: a regular file of ``size`` bytes that only root may open."""
    now = int(time.time())
    return ATTR_OUT.pack(
        *(_ATTRIBUTES_VALID_SECONDS, 0, 0),
        *(ROOT_NODE, size, size // SECTOR, now, now, now, 0, 0, 0),
        *(stat.S_IFREG | 0o600, 1, 0, 0, 0, PAGE, 0),
    )


def statfs_reply(size: int) -> bytes:
    """Return the body for STATFS; the loop driver takes its discard granularity from the block size."""
    return STATFS_OUT.pack(size // PAGE, 0, 0, 1, 0, PAGE, 255, PAGE, 0)

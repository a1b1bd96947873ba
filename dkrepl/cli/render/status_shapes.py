"""What a daemon answers to ``status``, as far as it is drawn; keys of newer daemons are passed over."""

from __future__ import annotations

from typing import Any

import msgspec

from dkrepl.cli.control_client import not_understood


class Window(msgspec.Struct):
    """Writes and bytes sent and not yet confirmed, and how many there may be."""

    writes: int = 0
    writes_limit: int = 0
    bytes: int = 0
    bytes_limit: int = 0


class Resync(msgspec.Struct):
    """A resync under way."""

    kind: str = ""
    percent: float = 0.0
    done_bytes: int = 0
    total_bytes: int = 0
    rate_bytes_per_second: float = 0.0
    eta_seconds: float | None = None


class LastResync(msgspec.Struct):
    """The resync that ended last."""

    kind: str = ""
    seconds: float = 0.0
    copied_bytes: int = 0
    sent_bytes: int = 0


class Target(msgspec.Struct):
    """A target as its source sees it."""

    name: str
    state: str
    address: str = ""
    mode: str = ""
    on_full: str = ""
    reason: str | None = None
    window: Window = msgspec.field(default_factory=Window)
    lag_seconds: float | None = None
    lag_bytes: int = 0
    dirty_blocks: int = 0
    dirty_bytes: int = 0
    resync: Resync | None = None
    last_resync: LastResync | None = None
    resent_bytes: int = 0
    paused: bool = False
    store_stalled: float | None = None


class Process(msgspec.Struct):
    """The daemon's process."""

    pid: int = 0
    rss_bytes: int = 0
    cpu_seconds: float = 0.0
    uptime_seconds: float = 0.0
    threads: int = 0
    open_files: int = 0


class Host(msgspec.Struct):
    """The host the daemon runs on."""

    load1: float | None = None
    memory_available_bytes: int | None = None
    store_free_bytes: int | None = None


class Counters(msgspec.Struct):
    """What went through the device or came from the source, since the daemon started."""

    writes: int | None = None
    written_bytes: int = 0
    reads: int | None = None
    read_bytes: int = 0
    flushes: int | None = None
    discards: int | None = None
    applied_bytes: int | None = None
    resync_bytes: int | None = None
    frames_refused: int = 0
    peers_refused: int = 0


class Status(msgspec.Struct):
    """A mirror as the daemon of this node sees it; ``role`` says which of the keys matter."""

    mirror: str
    node: str
    role: str
    state: str
    size: int = 0
    block: int = 0
    extent: int = 0
    generation: str | None = None
    session: str | None = None
    store_stalled: float | None = None
    warnings: list[str] = msgspec.field(default_factory=list)
    process: Process | None = None
    host: Host | None = None
    counters: Counters | None = None
    resync: Resync | None = None
    # source
    device: str | None = None
    loop: str | None = None
    seq: int | None = None
    active_extents: int | None = None
    targets: list[Target] = msgspec.field(default_factory=list)
    # target
    reason: str | None = None
    source: str | None = None
    store_state: str | None = None
    applied_seq: int | None = None
    durable_seq: int | None = None


def read_status(answer: Any, mirror: str) -> Status:
    """Return the answer as a Status; raises ProtocolError if it is none."""
    try:
        return msgspec.convert(answer, Status)
    except msgspec.ValidationError as error:
        raise not_understood(mirror, str(error)) from None

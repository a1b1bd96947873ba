"""What a daemon answers to ``status``: the one definition, which it fills and which the command line draws.

The reference and the JSON Schema are made from it. Fields are added, never renamed; one that is added later has a
default, so that a daemon which does not send it yet can still be asked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from dkrepl.api.quantities import Bytes, BytesPerSecond, Percent, Seconds, UnixTime

SCHEMA = 1
"""Counted up when the meaning of a field changes; a field that is only added does not count."""

STATES = ("Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Paused", "Refused")
"""The states of a target, on both sides. A newer daemon may send others; readers must accept them."""
_STATE = f"Its state: {', '.join(f'`{name}`' for name in STATES[:-1])} or `{STATES[-1]}`."


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to a target and not yet confirmed, and how much that may be."""

    writes: Annotated[int, Meta(description="Writes that the target has not confirmed yet.")]
    writes_limit: Annotated[int, Meta(description="How many there may be.")]
    bytes: Annotated[Bytes, Meta(description="Data of these writes.")]
    bytes_limit: Annotated[Bytes, Meta(description="How much there may be.")]


class Resync(msgspec.Struct, frozen=True, kw_only=True):
    """A resync in progress."""

    kind: Annotated[str, Meta(description="`full` or `partial`.")]
    percent: Annotated[Percent, Meta(description="How much of it is done.")]
    done_bytes: Annotated[Bytes, Meta(description="Confirmed as durable by the target.")]
    total_bytes: Annotated[Bytes, Meta(description="What was dirty when it began.")]
    rate_bytes_per_second: Annotated[BytesPerSecond, Meta(description="How fast it goes at the moment.")]
    eta_seconds: Annotated[Seconds | None, Meta(description="Until it ends, at this rate; null: not known.")]


class LastResync(msgspec.Struct, frozen=True, kw_only=True):
    """The resync that ended last."""

    kind: Annotated[str, Meta(description="`full` or `partial`.")]
    seconds: Annotated[Seconds, Meta(description="How long it took.")]
    copied_bytes: Annotated[Bytes, Meta(description="The blocks that it covered, including those that hold zeros.")]
    sent_bytes: Annotated[Bytes, Meta(description="Data that was sent; zeros are not sent as data.")]


class ExpectedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target as the description has it, and its state."""

    name: Annotated[str, Meta(description="The node.")]
    address: Annotated[str, Meta(description="Its address in the description.")]
    mode: Annotated[str, Meta(description="`sync` or `async`.")]
    on_full: Annotated[str, Meta(description="What happens when its window is full: `block` or `bitmap`.")]
    state: Annotated[str, Meta(description=_STATE)]
    reason: Annotated[str | None, Meta(description="Why it is not `InSync`, if it is not.")]


class TargetAtSource(ExpectedTarget, frozen=True, kw_only=True):
    """A target as its source sees it."""

    paused: Annotated[bool, Meta(description="Whether it was paused by `dkrepl pause`.")]
    window: Annotated[Window, Meta(description="Writes that are on their way to it.")]
    lag_seconds: Annotated[
        Seconds | None,
        Meta(
            description="`InSync`: for how long there has been a write that it has not confirmed, up to about two "
            "minutes; 0: it has confirmed all. Otherwise the time since it left the stream; 0: nothing is dirty; "
            "null: it left before the daemon started."
        ),
    ]
    lag_bytes: Annotated[
        Bytes, Meta(description="`InSync`: written data that it has not confirmed. Otherwise `dirty_bytes`.")
    ]
    dirty_blocks: Annotated[
        int,
        Meta(
            description="Blocks that may differ from the source's. An `InSync` target has some while applications "
            "write: those of writes that it has not flushed."
        ),
    ]
    dirty_bytes: Annotated[Bytes, Meta(description="The same in bytes.")]
    resync: Annotated[Resync | None, Meta(description="The resync in progress; null: none.")]
    last_resync: Annotated[LastResync | None, Meta(description="The last resync that ended; null: none yet.")]
    resent_bytes: Annotated[Bytes, Meta(description="Data sent to it in resyncs since this node took its role.")]
    store_stalled: Annotated[
        Seconds | None, Meta(description="How long its store has been stalled, as it reports; null: it is not.")
    ]


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """Whether enough synchronous copies can confirm a write."""

    available: Annotated[int, Meta(description="Copies that can confirm a write now.")]
    min: Annotated[int, Meta(description="How many must, before a write is completed: `min_copies`.")]


class SplitBrain(msgspec.Struct, frozen=True, kw_only=True):
    """Two copies that were written independently of each other."""

    peer: Annotated[str, Meta(description="The node with the other copy.")] = field(name="with")
    since: Annotated[UnixTime | None, Meta(description="When the copies diverged; null: not known.")]
    here_bytes: Annotated[Bytes | None, Meta(description="What only this node has, at most; null: not known.")]
    there_bytes: Annotated[Bytes | None, Meta(description="What only the other has, at most; null: not known.")]


class LastHeard(msgspec.Struct, frozen=True, kw_only=True):
    """What a target knows of the newest write of its source. Times are by the source's clock."""

    at: Annotated[UnixTime, Meta(description="When the source sent its last heartbeat.")]
    seq: Annotated[int, Meta(description="The newest write that it named.")]
    in_sync: Annotated[bool, Meta(description="Whether this target was `InSync` then.")]
    in_sync_as_of: Annotated[
        UnixTime | None,
        Meta(description="This copy has all that the source had then; null: not known, or a resync is incomplete."),
    ]
    missing_bytes: Annotated[Bytes | None, Meta(description="Known to be missing here; null: not known.")]


class SavedBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks that only this node had, saved when another node's data replaced them."""

    name: Annotated[str, Meta(description="For `dkrepl diverged export` and `drop`.")]
    at: Annotated[UnixTime, Meta(description="When they were saved.")]
    generation: Annotated[str, Meta(description="The generation that they belonged to.")]
    replaced_by: Annotated[str, Meta(description="The node whose data replaced them.")]
    bytes: Annotated[Bytes, Meta(description="Their size.")]
    settled: Annotated[bool, Meta(description="Whether blocks that turned out to be equal have been left out.")]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's process."""

    pid: Annotated[int, Meta(description="Its id.")]
    rss_bytes: Annotated[Bytes, Meta(description="Resident memory.")]
    cpu_seconds: Annotated[Seconds, Meta(description="CPU time, user and system.")]
    uptime_seconds: Annotated[Seconds, Meta(description="Since it started.")]
    threads: Annotated[int, Meta(description="Threads.")]
    open_files: Annotated[int, Meta(description="Open file descriptors.")]


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The host that the daemon runs on."""

    load1: Annotated[float | None, Meta(description="Load average of one minute.")]
    memory_available_bytes: Annotated[Bytes | None, Meta(description="Memory available to programs.")]
    store_free_bytes: Annotated[
        Bytes | None, Meta(description="Free in the file system of the store; null: not known.")
    ]


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """What was refused since the daemon started."""

    frames_refused: Annotated[int, Meta(description="Frames that were damaged or made no sense.")]
    peers_refused: Annotated[int, Meta(description="Connections that were turned away.")] = 0
    peers_refused_for: Annotated[dict[str, int], Meta(description="The same by reason.")] = field(default_factory=dict)


class SourceCounters(Refusals, frozen=True, kw_only=True):
    """What went through the device since the node took this role; refusals are counted since the daemon started."""

    writes: Annotated[int, Meta(description="Writes.")]
    written_bytes: Annotated[Bytes, Meta(description="Data written.")]
    reads: Annotated[int, Meta(description="Reads.")]
    read_bytes: Annotated[Bytes, Meta(description="Data read.")]
    flushes: Annotated[int, Meta(description="Flushes.")]
    discards: Annotated[int, Meta(description="Discards and writes of zeros.")]


class TargetCounters(Refusals, frozen=True, kw_only=True):
    """What came from the source since the node took this role; refusals are counted since the daemon started."""

    applied_bytes: Annotated[Bytes, Meta(description="Data applied, that of resyncs included.")]
    resync_bytes: Annotated[Bytes, Meta(description="Of these, data of resyncs.")]
    messages_refused: Annotated[
        int, Meta(description="Messages of a source that this target's state does not allow; they were ignored.")
    ] = 0


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What every node reports about a mirror."""

    schema: Annotated[int, Meta(description="The version of this structure.")] = SCHEMA
    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that answers.")]
    size: Annotated[Bytes, Meta(description="The size of the device.")]
    block: Annotated[Bytes, Meta(description="The size of a block, of which the bitmaps have a bit each.")]
    extent: Annotated[Bytes, Meta(description="The size of an extent of the activity log.")]
    generation: Annotated[
        str | None,
        Meta(description="The generation of this node's data, 16 hexadecimal digits; empty before the first write."),
    ]
    warnings: Annotated[list[str], Meta(description="What needs attention, a sentence each.")]
    process: Annotated[Process | None, Meta(description="The daemon's process.")] = None
    host: Annotated[Host | None, Meta(description="The host.")] = None


class SourceStatus(NodeStatus, frozen=True, kw_only=True):
    """A source."""

    role: Annotated[Literal["source"], Meta(description="The role of this node.")] = "source"
    state: Annotated[str, Meta(description="`Starting`, `Serving` or `Stopping`.")]
    device: Annotated[str | None, Meta(description="The link that applications open.")]
    loop: Annotated[str | None, Meta(description="The loop device that it leads to; null: not attached yet.")]
    session: Annotated[str, Meta(description="The session of its stream, new with each start.")]
    seq: Annotated[int, Meta(description="The number of the newest write of the session.")]
    active_extents: Annotated[
        int, Meta(description="Extents that may be written now: after a power loss, all of each is resent.")
    ]
    store_stalled: Annotated[
        Seconds | None,
        Meta(description="How long a flush, discard or read of the store has taken, once longer than `peer_timeout`."),
    ]
    quorum: Annotated[Quorum, Meta(description="Whether enough copies can confirm a write.")]
    split_brain: Annotated[SplitBrain | None, Meta(description="The split-brain that this copy is in; null: none.")]
    targets: Annotated[list[TargetAtSource], Meta(description="Its targets.")]
    counters: Annotated[SourceCounters, Meta(description="What it has done.")]


class TargetStatus(NodeStatus, frozen=True, kw_only=True):
    """A target."""

    role: Annotated[Literal["target"], Meta(description="The role of this node.")] = "target"
    mode: Annotated[str, Meta(description="`sync` or `async`.")]
    state: Annotated[str, Meta(description=_STATE)]
    reason: Annotated[str | None, Meta(description="Why it is not `InSync`, if it is not.")]
    source: Annotated[str | None, Meta(description="The node that it follows; null: none.")]
    store_state: Annotated[str, Meta(description="`Empty`, `Consistent` or `Inconsistent`.")]
    store_stalled: Annotated[
        Seconds | None,
        Meta(description="How long a flush, discard or read of the store has taken, once longer than `peer_timeout`."),
    ]
    session: Annotated[str, Meta(description="The session of the source's stream that it follows.")]
    applied_seq: Annotated[int, Meta(description="The newest write that is applied.")]
    durable_seq: Annotated[int, Meta(description="The newest write that is durable.")]
    last_heard: Annotated[LastHeard | None, Meta(description="Of the source's newest write; null: nothing was heard.")]
    resync: Annotated[Resync | None, Meta(description="The resync in progress; null: none.")]
    split_brain: Annotated[SplitBrain | None, Meta(description="The split-brain that this copy is in; null: none.")]
    diverged: Annotated[list[SavedBlocks], Meta(description="Blocks that were saved before they were replaced.")]
    counters: Annotated[TargetCounters, Meta(description="What it has done.")]


class ArbitratingStatus(NodeStatus, frozen=True, kw_only=True):
    """A node that was source, and asks the others before it serves again."""

    role: Annotated[Literal["source"], Meta(description="The role that it had last.")] = "source"
    state: Annotated[str, Meta(description="`Starting`: it does not serve yet.")] = "Starting"
    reason: Annotated[str, Meta(description="What it waits for.")]
    device: Annotated[None, Meta(description="There is none yet.")] = None
    targets: Annotated[list[ExpectedTarget], Meta(description="The other nodes of the mirror.")]
    counters: Annotated[Refusals, Meta(description="What it has refused.")]


Status = SourceStatus | TargetStatus | ArbitratingStatus


def from_json(answer: Any) -> Status:
    """Return an answer to ``status``, as JSON has it. Raises ``msgspec.ValidationError`` if it is none."""
    role = answer.get("role") if isinstance(answer, dict) else None
    if role == "target":
        return msgspec.convert(answer, TargetStatus)
    if role == "source" and "seq" not in answer:  # its stream has not begun
        return msgspec.convert(answer, ArbitratingStatus)
    return msgspec.convert(answer, SourceStatus)

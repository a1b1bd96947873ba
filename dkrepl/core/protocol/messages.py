"""Messages of the control channel: what nodes say to each other outside the stream.

Encoded as MessagePack by msgspec, which checks types and ranges; each travels in a checked control frame
(``frames.pack_control``). Seqs, sizes and offsets are in writes and bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dkrepl.core.protocol import frames
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.errors import ProtocolError

PROTOCOL_MIN = 3
PROTOCOL_MAX = 3

Name = Annotated[str, msgspec.Meta(max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # 4 bytes in a stream frame
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Identity = Annotated[str, msgspec.Meta(max_length=32)]
Terms = Annotated[dict[Annotated[str, msgspec.Meta(max_length=128)], Text], msgspec.Meta(max_length=512)]
BITMAP_PART_BYTES = 16 << 10  # of a bitmap, in one message


class Message(msgspec.Struct, tag=True, frozen=True):
    """A control message."""


class Hello(Message, frozen=True, kw_only=True):
    """Target to peers: who I am and what my copy is; asks to join."""

    protocol_min: Count
    protocol_max: Count
    mirror: Name
    mirror_id: Identity
    node: Name
    size: Count
    block: Count
    generation: Identity
    history: Annotated[list[Identity], msgspec.Meta(max_length=64)]
    store_state: Name
    epoch: Epoch
    software: Name
    follows: Name = ""  # the source of that epoch
    base: Annotated[list[Identity], msgspec.Meta(max_length=128)] = []  # that it keeps for the receiver
    tracked: bool = False  # whether its bitmap for the receiver has been kept
    dirty_blocks: Count = 0  # blocks that this bitmap names
    peer_epoch: Epoch = 0  # the receiver's own epoch, as far as it knows
    yields: Annotated[str, msgspec.Meta(pattern="^(keep|discard)?$")] = ""  # whether it gives way to the receiver
    terms: Terms = {}  # in which the nodes' descriptions must agree (config/terms.py)
    advisory: Identity = ""  # digest of those in which they need not


class Welcome(Message, frozen=True, kw_only=True):
    """Source to target: you may join; subscribe to your topics and wait for the probe."""

    protocol: Count
    epoch: Epoch
    session: Count
    group: Annotated[int, msgspec.Meta(ge=0, le=255)]
    slot: Annotated[int, msgspec.Meta(ge=0, le=7)]
    mirror_id: Identity
    generation: Identity
    history: Annotated[list[Identity], msgspec.Meta(max_length=64)]
    decision: Name
    source: Name
    node_epoch: Epoch = 0  # the source's own last epoch, of the time when it was a target
    terms: Terms = {}  # as in Hello
    advisory: Identity = ""
    former: Annotated[list[Terms], msgspec.Meta(max_length=16)] = []  # older terms that must be satisfied as well
    ballot: Ballot = Ballot()  # under which the source serves


class Refuse(Message, frozen=True):
    """Answer to Hello: you may not join; the sentence says why and what to do."""

    code: Name
    text: Text
    node: Name


class BitmapPart(Message, frozen=True):
    """Target to source, before Ready: a part of its bitmap of blocks that it wrote and the source may lack.

    ``first``: the number of the first block, a multiple of 8; ``bits``: one bit a block, the lowest first.
    """

    epoch: Epoch
    first: Count
    bits: Annotated[bytes, msgspec.Meta(max_length=BITMAP_PART_BYTES)]


class Ready(Message, frozen=True):
    """Target to source: the probe of this epoch was seen, so the subscriptions are in place.

    ``dirty_blocks``: how many blocks the BitmapParts named, to find out whether one was lost.
    """

    epoch: Epoch
    dirty_blocks: Count = 0


class Positions(Message, frozen=True):
    """Source to a target that is in sync: how far the targets are durable that are in sync, this one left out.

    ``durable``: name -> (number of its epoch, seq, whether it is synchronous). ``generation``: the source's, at that
    moment.
    """

    epoch: Epoch
    generation: Identity
    durable: Annotated[dict[Name, tuple[Epoch, Count, bool]], msgspec.Meta(max_length=1024)]


class Handover(Message, frozen=True):
    """From a node that was source to the next one: take over, if this epoch was your last."""

    node: Name
    epoch: Epoch
    generation: Identity


class Alive(Message, frozen=True, kw_only=True):
    """Either way: made by the loop that does the work. The source adds what it sees of the target."""

    epoch: Epoch
    session: Count
    state: Name = ""
    dirty_bytes: Count = 0
    total_bytes: Count = 0
    rate: float = 0.0
    at: float = 0.0  # Unix seconds, by the source's clock
    seq: Count = 0  # the source's newest write
    written: Count = 0  # bytes of data up to it, in this session
    lag_bytes: Count = 0  # that the target lacks, as far as it has confirmed
    lag_seconds: float | None = None
    stalled: Seconds = 0.0  # the sender's store has been stalled for so long, while its loop goes on
    former: bool = False  # of the source: whether terms of an older description must still be satisfied


class Stalled(Message, frozen=True):
    """To any peer, sent while the loop waits for the store: this node is alive, but its store stands still."""

    node: Name
    seconds: Seconds


class Evict(Message, frozen=True):
    """Source to target: you are out of the stream; say Hello again after ``retry`` seconds."""

    epoch: Epoch
    code: Name
    text: Text
    retry: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0


class Trouble(Message, frozen=True):
    """Target to source: I cannot go on in the stream (a gap, a bad frame, a store error)."""

    epoch: Epoch
    code: Name
    text: Text


class Digest(Message, frozen=True):
    """Target to source: the checksum of the range that a DIGEST marker named, at its place in the stream."""

    epoch: Epoch
    number: Number
    checksum: Annotated[str, msgspec.Meta(max_length=32)]


class Ask(Message, frozen=True):
    """To any node, by one that was source or may be: who are you, and what do you hold?

    ``vote``: "wanted" by a candidate; "withdrawn" by one that gave up; "" if no vote is asked for. ``ballot``: the
    number of the ballot that this is about.
    """

    node: Name
    mirror: Name
    mirror_id: Identity
    vote: Literal["", "wanted", "withdrawn"] = ""
    number: Number = 0  # of the question, or the round of questions; the answer repeats it
    ballot: Count = 0


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What a node that is not source says of its copy. Times are Unix seconds by the clock of the source then."""

    mode: Name = ""
    state: Name = ""
    store_state: Name = ""
    follows: Name = ""  # the source of its last epoch
    hears: Name = ""  # the source that it hears now
    in_sync_when_lost: bool = False
    in_sync_as_of: float | None = None
    heard_at: float | None = None  # the last heartbeat
    session: Count = 0  # of the stream that it was in last; 0: in none since its daemon started
    applied: Count = 0  # seq
    applied_bytes: Count = 0  # written in that session up to it
    head_bytes: Count = 0  # written in that session up to the newest write that it has heard of
    missing_bytes: Count | None = None  # what the source told a copy out of the stream that it lacks
    last_mode: Name = ""  # its mode in the last epoch: "sync" or "async"
    power_lost: bool = False  # since it was last in sync


class Answer(Message, frozen=True, kw_only=True):
    """Answer to Ask; ``role`` is "source", "target" or "arbitrating"."""

    node: Name
    mirror: Name
    mirror_id: Identity
    role: Name
    generation: Identity
    history: Annotated[list[Identity], msgspec.Meta(max_length=64)]
    base: Annotated[list[Identity], msgspec.Meta(max_length=128)] = []  # that it keeps for the one who asked
    since: float = 0.0  # Unix time at which it began its generation; 0: it did not
    own_bytes: Count = 0  # that it has written and the one who asked may lack
    copy: Copy | None = None  # not of a source
    terms: Terms = {}  # of its present description
    agreed: Terms = {}  # those under which it last served or followed
    store_failed: Text = ""  # why its store cannot be trusted, if so
    split_brain: Annotated[list[Name], msgspec.Meta(max_length=64)] = []  # peers with which it is in one, unresolved
    former: Annotated[list[Terms], msgspec.Meta(max_length=16)] = []  # older terms that must be satisfied as well
    next_source: Name = ""  # the node to which it hands the mirror over, as a former source
    vote: Name = ""  # the node that it votes for, for a few seconds (core/election/vote.py)
    ballot: Ballot = Ballot()  # under which it serves, or that of the source that it followed last
    promised: Annotated[list[Ballot], msgspec.Meta(max_length=64)] = []  # newer ones under which it voted
    stood: Count = 0  # number of the newest ballot under which it asked for votes itself
    yields_to: Name = ""  # the node whose data may replace what it alone has, as an administrator said
    number: Number = 0  # of the question


class Describe(Message, frozen=True):
    """To any node: what does your description say? Asked for `dkrepl config diff`."""

    node: Name
    mirror: Name


class Described(Message, frozen=True):
    """Answer to Describe: every key of the description that is not a node's own secret or key."""

    node: Name
    mirror: Name
    terms: Terms
    advisory: Annotated[dict[Annotated[str, msgspec.Meta(max_length=128)], Text], msgspec.Meta(max_length=2048)]


class Bye(Message, frozen=True):
    """Either way: this node stops now."""

    node: Name


AnyMessage = (
    Hello
    | Welcome
    | Refuse
    | BitmapPart
    | Ready
    | Positions
    | Alive
    | Stalled
    | Evict
    | Trouble
    | Digest
    | Ask
    | Answer
    | Describe
    | Described
    | Handover
    | Bye
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """Return the control frame of a message."""
    return frames.pack_control(_encoder.encode(message))


def decode(frame: frames.Buffer) -> AnyMessage | frames.Ack:
    """Check a control frame and return what it says. Raises ``ProtocolError``."""
    body = frames.parse_control(frame)
    if isinstance(body, frames.Ack):
        return body
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a control message cannot be understood ({error}); it was dropped") from None

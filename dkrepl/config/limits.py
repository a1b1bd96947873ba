"""Which limits are in force: sizes, counts and times that can be tuned, in one place.

They are not part of the description: an administrator has no reason to change them. Tests and the simulator use smaller
ones, so that each limit is reached often. What the protocol or a file format fixes is not here, nor what all nodes must
agree on: those constants stay with the code that packs and parses, or in ``core/election/vote.py``. So do the options
of sockets and files that one module of ``io`` sets, and gives the reasons for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The end of a name is its unit: ``_seconds``, ``_bytes``, ``_shift`` (a power of two); all else is a count.

    docs/reference/limits.md is made from this class: its headings, and what stands below each field.
    """

    # --- intent bitmaps
    piece_shift: int = 15
    """log2 of the blocks in a piece of a bitmap: 4096 bytes of bits. No extent is larger."""
    fill_pieces: int = 128
    """Pieces of a bitmap that are filled in one step, about a millisecond of work (R13)."""
    peer_bitmap_pieces: int = 1024
    """Pieces of one bitmap that a target brings up to date at one message (R13)."""
    peer_bitmap_spans: int = 4
    """Spans of writes remembered while another node lags; beyond it the two oldest become one."""

    # --- activity log
    active_extents: int = 1024
    """Extents active at once; with extents of 4 MiB a power loss costs at most 4 GiB of resync."""
    extent_idle_seconds: float = 10.0
    """Time without a write after which an extent may stop being active."""
    extents_ahead: int = 4
    """Extents made active ahead of a sequential writer."""

    # --- write log
    logged_writes: int = 1 << 16
    """Writes that the write log holds; a power of two."""
    logged_writes_spare: int = 4096
    """Of these, entries kept free for what one round of the loop adds."""
    cell_shift: int = 6
    """log2 of the blocks in a small cell of the write log, and of the small cells in a large one."""

    # --- resync
    resync_window_bytes: int = 8 << 20
    """Resync data on its way to one target."""
    resync_window_messages: int = 64
    """Resync messages on their way to one target."""
    resync_message_bytes: int = 256 << 10
    """Data in one resync message, unless one block is larger."""
    resync_extents_ahead: int = 16
    """Extents that a resync makes active at once."""
    resync_rate_seconds: float = 3.0
    """Time over which the rate that status shows is averaged."""
    resync_messages_idle: int = 8
    """Resync messages in a round of the loop while the device has no requests."""
    resync_messages_busy: int = 1
    """Resync messages in a round while it has some: enough to end in finite time."""
    zero_extents: int = 64
    """Extents that one change to zeros covers at most; all of them are active meanwhile."""
    zero_record_bytes: int = 1 << 30
    """Range of one record without data; its length field has 32 bits."""

    # --- a target, as its source sees it
    probe_first_seconds: float = 0.02
    """Time until the first probe is repeated; doubles each time."""
    probe_last_seconds: float = 1.0
    """Longest time between two probes."""
    positions_seconds: float = 0.25
    """Time between two messages that tell a target how far the other targets are."""
    bitmaps_lost: int = 3
    """Epochs in which a target's bitmap did not arrive whole, after which everything is copied to it."""
    stall_timeouts: int = 4
    """`peer_timeout`s without progress after which a target is evicted from the stream."""
    rejoin_first_seconds: float = 0.5
    """Pause before an evicted target may join again; doubles each time."""
    rejoin_last_seconds: float = 30.0
    """Longest such pause, and that after a block could not be read; the first again after so long `InSync`."""
    returning_seconds: float = 2.0
    """Time that a restarted source waits for its sync targets; one that runs is back sooner."""
    backpressure_seconds: float = 0.2
    """How long a target with `on_full = "bitmap"` may hold up a write; then it is evicted."""
    commit_retry_seconds: float = 1.0
    """Pause after a commit of metadata that failed."""
    lag_samples: int = 1200
    """Samples of the newest write, from which the lag is computed."""
    lag_sample_seconds: float = 0.1
    """Least time between two samples."""

    # --- a target
    hello_first_seconds: float = 0.1
    """Time between two Hellos of a target; doubles each time."""
    hello_last_seconds: float = 2.0
    """Longest time between two Hellos."""
    hello_restart_seconds: float = 0.2
    """Longest time between two Hellos while the source may be restarting."""
    restart_seconds: float = 3.0
    """Time that a restart of the source may take."""
    ask_again_seconds: float = 2.0
    """Time between two Hellos while `Paused` or `Refused`, and between two questions of a voter."""
    bitmap_part_bytes: int = 16 << 10
    """Part of a bitmap in one message; the protocol allows `BITMAP_PART_BYTES`."""
    bitmap_parts_a_round: int = 16
    """Such parts sent in one round of the loop."""
    heartbeats_waiting: int = 1200
    """Heartbeats remembered that name a write which has not arrived yet."""
    stream_messages_a_round: int = 64
    """Stream messages taken in one round of the loop."""
    flush_seconds: float = 0.5
    """Time after which a target begins to flush writes that are not durable."""
    flush_bytes: int = 32 << 20
    """Data that is not durable after which it begins to."""
    flush_resync_messages: int = 16
    """Resync messages that are not durable after which it begins to; the source's window is 64."""
    ack_window_part: int = 8
    """An async target confirms at the latest when this fraction (1/n) of its window is unconfirmed."""
    ack_seconds: float = 0.02
    """Or after this time, at the next round of the loop."""
    handover_seconds: float = 60.0
    """Time that the new source of a switchover has to take over."""
    zero_call_bytes: int = 16 << 20
    """Range that one call of a target's store zeroes."""

    # --- what a node remembers
    generations: int = 16
    """Earlier generations of a node's own data that it remembers; the protocol allows 64."""

    # --- a former source, until it serves
    quick_seconds: float = 0.5
    """Wait for answers where no other node can have been promoted, or this node holds nothing."""
    question_first_seconds: float = 0.05
    """Time between two questions to a peer that has not answered; doubles each time."""
    question_last_seconds: float = 2.0
    """Longest time between two questions."""
    answer_fresh_seconds: float = 6.0
    """Time after its question for which an answer counts; votes last far longer."""
    ready_anyway_seconds: float = 30.0
    """Time after which the service counts as started although the peers have not answered."""

    # --- a source's device
    requests_a_round: int = 64
    """Requests taken from the device in one round of the loop."""
    incomplete_bytes: int = 64 << 20
    """Data of writes that are not complete; beyond it no further request is taken (R5)."""
    message_records: int = 256
    """Records in one stream message; the protocol allows `MAX_RECORDS`."""
    message_bytes: int = 64 << 10
    """Data of writes in one stream message; a larger write is a message of its own."""
    copy_below_bytes: int = 64 << 10
    """Size below which data is copied into one frame with its head; more is sent from where it lies."""
    control_frames_a_round: int = 256
    """Control frames taken in one round of the loop."""
    zero_first_bytes: int = 16 << 20
    """First piece of a discard or write-zeroes."""
    zero_least_bytes: int = 1 << 20
    """Smallest piece."""
    zero_most_bytes: int = 256 << 20
    """Largest piece."""
    zero_short_seconds: float = 0.05
    """If a piece took less than this, the next one is larger."""
    zero_long_seconds: float = 0.25
    """If a piece took more than this, the next one is smaller."""
    detach_seconds: float = 10.0
    """Time that a clean stop waits for the device's users."""
    last_requests_seconds: float = 10.0
    """Time that a restart waits until every request is complete."""
    last_acks_seconds: float = 5.0
    """Time that a clean stop waits for the acks of the targets."""
    last_commit_seconds: float = 30.0
    """Time that a clean stop waits for a commit or a discard that is under way."""
    last_record_seconds: float = 5.0
    """Time for which a stop tries to record a failed flush."""
    poll_seconds: float = 0.02
    """Time between two looks at what an ending source waits for."""

    # --- verify
    verify_bytes: int = 1 << 20
    """Range that is compared at once."""
    verify_seconds: float = 30.0
    """Time that a target may take for one range."""
    verify_again_seconds: float = 0.01
    """Pause before the source's own range is read again, because a write was under way in it."""
    verify_look_seconds: float = 0.5
    """Time between two checks whether the target is still in sync."""
    verify_progress_seconds: float = 0.3
    """Time between two reports of progress."""

    # --- the loop
    tick_seconds: float = 0.05
    """Least time between two ticks, at which deadlines are checked."""

    # --- peers
    control_port_frames_a_round: int = 64
    """Frames of peers that do not follow, taken in one round of the loop."""
    other_source_ask_seconds: float = 2.0
    """Time between two questions to the peers that do not follow."""
    other_source_heard_seconds: float = 7.0
    """Time for which an answer to one counts."""
    poll_answer_seconds: float = 1.0
    """Time that a promotion waits for answers; a node that is silent then is not reachable."""
    poll_again_seconds: float = 0.1
    """Time after which a node that has not answered, or not voted, is asked again."""
    poll_ballots: int = 3
    """Ballots tried in one promotion, each newer than any that the answers to the one before named."""
    description_questions: int = 12
    """Times that a node which has not answered is asked for its description."""
    description_question_seconds: float = 0.25
    """Time between two of these questions."""
    complaint_seconds: float = 1.0
    """Least time between two events about refused frames, or about refused connections."""
    barred_seconds: float = 10.0
    """Time for which a peer that was disconnected for abuse may not connect."""
    stall_messages: int = 5
    """Messages to each peer in one `peer_timeout` while this node's store does not answer."""
    stall_looks: int = 4
    """Checks of the loop between two of these messages."""

    # --- control socket
    command_seconds: float = 8.0
    """Time that the loop, or a commit, may take for a command."""
    command_look_seconds: float = 0.05
    """Time between two checks whether the loop still runs while a command waits."""
    client_silence_seconds: float = 10.0
    """Time that a client may take to send its request, or to read the answer."""
    clients: int = 32
    """Commands served at once."""
    accept_again_seconds: float = 0.1
    """Pause after an accept(2) that failed."""
    events_kept: int = 2000
    """Events that a daemon remembers."""
    start_failed_seconds: float = 2.0
    """Time that a daemon which cannot start waits before it ends."""

    def __post_init__(self) -> None:
        if self.logged_writes.bit_count() != 1 or not 0 < self.logged_writes_spare < self.logged_writes:
            raise ValueError("the write log holds a power of two of writes, of which some are spare")

    @property
    def undurable_writes(self) -> int:
        """Writes that a target may leave without an ack that they are durable."""
        return self.logged_writes // 2

    @property
    def unconfirmed_writes(self) -> int:
        """Writes in the log beyond which a target leaves the stream, whatever its window."""
        return self.logged_writes - self.logged_writes_spare


DEFAULT = Limits()

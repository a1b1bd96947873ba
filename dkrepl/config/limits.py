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
    """Sizes are in bytes, times in seconds, unless a comment says otherwise."""

    # --- intent bitmaps ----------------------------------------------------------------------------------
    piece_shift: int = 15  # log2 of the blocks in a piece of a bitmap: 4096 bytes of bits; no extent is larger
    fill_pieces: int = 128  # pieces filled in one step: about a millisecond (R13)
    peer_bitmap_pieces: int = 1024  # pieces of one bitmap that a target brings up to date at one message (R13)
    peer_bitmap_spans: int = 4  # spans of writes kept while some node lags; beyond it the oldest two become one

    # --- activity log ------------------------------------------------------------------------------------
    active_extents: int = 1024  # extents active at once: of 4 MiB each, a power loss costs at most 4 GiB of resync
    extent_idle_seconds: float = 10.0  # without a write, after which an extent may stop being active
    extents_ahead: int = 4  # extents activated ahead of a sequential writer

    # --- write log ---------------------------------------------------------------------------------------
    logged_writes: int = 1 << 16  # writes that the log holds; a power of two
    logged_writes_spare: int = 4096  # of these kept free for what one round of the loop adds
    cell_shift: int = 6  # log2 of the blocks in a small cell, and of the small cells in a large one

    # --- resync ------------------------------------------------------------------------------------------
    resync_window_bytes: int = 8 << 20  # data on its way to one target
    resync_window_messages: int = 64  # messages on their way to one target
    resync_message_bytes: int = 256 << 10  # data in one message
    resync_extents_ahead: int = 16  # extents made active at once
    resync_rate_seconds: float = 3.0  # over which the rate shown is averaged
    resync_messages_idle: int = 8  # messages a round while no request of the device arrives
    resync_messages_busy: int = 1  # and while some do: enough to end in finite time
    zero_extents: int = 64  # extents that one change to zeros covers, for all of them are active meanwhile
    zero_record_bytes: int = 1 << 30  # that one record without data is about; its field has 32 bits

    # --- a target, as its source sees it -----------------------------------------------------------------
    probe_first_seconds: float = 0.02  # until the first probe is repeated; doubles each time
    probe_last_seconds: float = 1.0  # up to this
    positions_seconds: float = 0.25  # between two messages about how far the other targets are
    bitmaps_lost: int = 3  # epochs in which a target's marked blocks did not arrive, after which all of it is copied
    stall_timeouts: int = 4  # peer timeouts without progress after which a target leaves the stream
    rejoin_first_seconds: float = 0.5  # pause before a target that was evicted may join again; doubles each time
    rejoin_last_seconds: float = 30.0  # up to this
    returning_seconds: float = 2.0  # that a restarted source waits for its sync targets: one that runs is back sooner
    backpressure_seconds: float = 0.2  # that a write waits because of targets that may not delay it
    commit_retry_seconds: float = 1.0  # after a commit that failed
    lag_samples: int = 1200  # samples of the newest write, by which the lag is told
    lag_sample_seconds: float = 0.1  # between two of them, at the least

    # --- a target ----------------------------------------------------------------------------------------
    hello_first_seconds: float = 0.1  # between two Hellos; doubles each time
    hello_last_seconds: float = 2.0  # up to this
    hello_restart_seconds: float = 0.2  # or up to this, while the source may be restarting
    restart_seconds: float = 3.0  # that a restart of the source may take
    ask_again_seconds: float = 2.0  # between two Hellos while paused or refused, and two questions about an election
    bitmap_part_bytes: int = 16 << 10  # of a bitmap, in one message (at most BITMAP_PART_BYTES of the protocol)
    bitmap_parts_a_round: int = 16  # messages
    heartbeats_waiting: int = 1200  # heartbeats noted that name a write which has not arrived
    stream_messages_a_round: int = 64  # messages
    flush_seconds: float = 0.5  # an unflushed write waits no longer than this for a flush to begin
    flush_bytes: int = 32 << 20  # nor than until so many bytes are unflushed
    flush_resync_messages: int = 16  # nor a resync than until so many of its messages are (the source's window: 64)
    ack_window_part: int = 8  # an async target acks at the latest when this part of its window is not acked
    ack_seconds: float = 0.02  # or after this time, at the next round of the loop
    handover_seconds: float = 60.0  # that an heir has to take over
    zero_call_bytes: int = 16 << 20  # that one call of the store zeroes

    # --- what a node remembers ---------------------------------------------------------------------------
    generations: int = 16  # earlier generations of its own data (at most 64, as the protocol says)

    # --- a former source, until it serves ----------------------------------------------------------------
    quick_seconds: float = 0.5  # that it waits for answers where nobody can have been promoted, or it holds nothing
    question_first_seconds: float = 0.05  # between questions to a peer that has not answered; doubles each time
    question_last_seconds: float = 2.0  # up to this
    answer_fresh_seconds: float = 6.0  # after its question for which an answer counts; votes last far longer
    ready_anyway_seconds: float = 30.0  # after which the service counts as started although nobody has answered

    # --- a source's device -------------------------------------------------------------------------------
    requests_a_round: int = 64  # requests
    unanswered_bytes: int = 64 << 20  # of writes; beyond it no further request is taken (R5)
    message_records: int = 256  # records in one stream message (at most MAX_RECORDS of the protocol)
    copy_below_bytes: int = 64 << 10  # from here on a message has one write, which is sent from where it lies
    control_frames_a_round: int = 256  # frames
    zero_first_bytes: int = 16 << 20  # in the first piece of a discard
    zero_least_bytes: int = 1 << 20  # to which pieces shrink
    zero_most_bytes: int = 256 << 20  # to which they grow
    zero_short_seconds: float = 0.05  # after a piece that took less the next is larger
    zero_long_seconds: float = 0.25  # after one that took more it is smaller
    detach_seconds: float = 10.0  # that a clean stop waits for the device's users
    last_answers_seconds: float = 10.0  # that a restart waits until every request has its answer
    last_acks_seconds: float = 5.0  # that a clean stop waits for the targets
    last_record_seconds: float = 5.0  # for which a stop tries to record a failed flush
    poll_seconds: float = 0.02  # between two looks at what an ending source waits for

    # --- verify ------------------------------------------------------------------------------------------
    verify_bytes: int = 1 << 20  # compared at once
    verify_seconds: float = 30.0  # that a target may take for these
    verify_again_seconds: float = 0.01  # until the source's own range is looked at again
    verify_look_seconds: float = 0.5  # between two looks at whether the target is still in sync
    verify_progress_seconds: float = 0.3  # between two reports of progress

    # --- the loop ----------------------------------------------------------------------------------------
    tick_seconds: float = 0.05  # between two ticks, at the least

    # --- peers -------------------------------------------------------------------------------------------
    door_frames_a_round: int = 64  # frames
    other_source_ask_seconds: float = 2.0  # between two questions to the peers that do not follow
    other_source_heard_seconds: float = 7.0  # that an answer to one counts
    poll_answer_seconds: float = 1.0  # for which a promotion waits for answers; who is silent then is not reachable
    poll_again_seconds: float = 0.1  # after which who has not answered, or not voted, is asked again
    poll_ballots: int = 3  # tried in all, each newer than those that the answers to the one before it named
    description_questions: int = 12  # times that who has not answered is asked for its description
    description_question_seconds: float = 0.25  # between two of these
    complaint_seconds: float = 1.0  # between two events about refused frames, or about refused peers
    barred_seconds: float = 10.0  # that a peer is kept out after it was thrown out
    stall_messages: int = 5  # messages to each peer in one peer timeout, while the own store stands still
    stall_looks: int = 4  # looks at the loop between two of these

    # --- control socket ----------------------------------------------------------------------------------
    command_seconds: float = 8.0  # that the loop, or a commit, may take for a command
    command_look_seconds: float = 0.05  # after which it is looked at whether the loop runs at all
    client_silence_seconds: float = 10.0  # that a client may take to say what it wants, or to read the answer
    clients: int = 32  # commands served at once
    accept_again_seconds: float = 0.1  # after which a failed accept is tried again
    events_kept: int = 2000  # events
    start_failed_seconds: float = 2.0  # that a daemon waits before it ends because it cannot start

    def __post_init__(self) -> None:
        if self.logged_writes.bit_count() != 1 or not 0 < self.logged_writes_spare < self.logged_writes:
            raise ValueError("the write log holds a power of two of writes, of which some are spare")

    @property
    def undurable_writes(self) -> int:
        """Writes that a target may leave without durable confirmation."""
        return self.logged_writes // 2

    @property
    def unconfirmed_writes(self) -> int:
        """Writes in the log beyond which a target leaves the stream, whatever its window."""
        return self.logged_writes - self.logged_writes_spare


DEFAULT = Limits()

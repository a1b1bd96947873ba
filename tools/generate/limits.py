"""The reference of limits: what users meet, and every field of ``Limits``."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import fields

from dkrepl.config import limits
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.units import format_size
from dkrepl.core.election import vote
from tools.generate import markdown

_INTRODUCTION = """
**T** stands for `peer_timeout`, 5 s by default. Deadlines are checked every {s.tick_seconds}.
"""
_SIZES = """
| what | limit |
|---|---|
| nodes of a mirror | 2 to 32 |
| blocks of a mirror | 2^32 |
| writes to a target not confirmed as applied | `async_limit`, 3 to 1,048,576; never more than \
{n.undurable_writes} not confirmed as durable |
| bytes to a target not confirmed | `window`, 4 MiB to 16 GiB |
| writes that some target has not confirmed as durable | {n.unconfirmed_writes}; a target that leaves more is \
evicted |
| data of writes that are not complete | {b.incomplete_bytes}; then no further request is accepted |
| resync on the way to one target | {b.resync_window_bytes}, {n.resync_window_messages} messages |
| one resync message | {b.resync_message_bytes} of data (or one block, if that is larger), or a range of zeroes of up \
to {n.zero_extents} extents and {b.zero_record_bytes} |
| active extents | {n.active_extents} |
| one write from the kernel | 1 MiB |
| buffers of large writes | 48 of 1 MiB |
| one piece of a discard or write-zeroes on the source | {b.zero_least_bytes} to {b.zero_most_bytes}, at most \
{n.zero_extents} extents, adapted to take {s.zero_short_seconds} to {s.zero_long_seconds} |
| generations remembered | the present one and {n.generations} before it |
| promises (votes) that bind a target at once | {promises} |
| request on the control socket | 64 KiB |
| clients of the control socket | {n.clients} |
| events kept in memory | {n.events_kept} |
| description file | 1 MiB |
"""
_TIMES = """
| what | value | then |
|---|---|---|
| heartbeat, either way | T / 5 | |
| silence of a peer | T | `Disconnected`, each side for itself |
| heartbeats while the loop waits for its store | T / {n.stall_messages}, the first after T / {n.stall_messages}; none \
after `store_timeout` | the target is evicted (`StoreStalled`); the source counts as silent |
| joining, from the request to the end of the handshake | 2 T | `Behind` |
| no progress of a target in the stream | {n.stall_timeouts} T | `Behind` |
| pause of an evicted target | {s.rejoin_first_seconds}, doubling to {s.rejoin_last_seconds}; \
{s.rejoin_first_seconds} again once it was `InSync` for more than {s.rejoin_last_seconds} | it asks to join again |
| pause after a block could not be read at the source | {s.rejoin_last_seconds} | it asks to join again |
| pause after trouble of its own | 0.5 s; 0.1 s if the stream's connection was lost | it asks to join again |
| asking to join | {s.hello_first_seconds}, doubling to {s.hello_last_seconds} (to {s.hello_restart_seconds} in the \
first {s.restart_seconds} after it left a stream); every {s.ask_again_seconds} while `Refused` or `Paused` | |
| a connection that nothing answers | 2 s | tried again after 0.1 s, doubling to 0.5 s |
| handshake of a connection | 5 s | closed |
| a target's store is flushed | at each flush of the stream; after {b.flush_bytes}, {n.flush_resync_messages} resync \
messages, or {s.flush_seconds} | |
| an async target confirms | when something became durable, or a message of a resync was applied; when \
1/{n.ack_window_part} of its window is unconfirmed; after {s.ack_seconds} | |
| a confirmation is repeated | T / 5 | |
| waiting for sync targets after a restart of the source | {s.returning_seconds} | it acknowledges without them, under \
a new generation |
| question of a former source to its peers | {s.question_first_seconds}, doubling to {s.question_last_seconds} | |
| patience of a former source | {s.quick_seconds} if the device was handed over in time or it is newly initialised; \
else `start_alone` | it serves |
| answers of peers before a promotion | {s.poll_answer_seconds} for each ballot, asked again every \
{s.poll_again_seconds}; {n.poll_ballots} ballots at most | they count as not reachable; `NoVote` |
| a vote holds back other candidates | {vote:g} s after its last request | a candidate gives up {margin:g} s before |
| question of a voter to the node that it voted for | every {s.ask_again_seconds} once the vote has ended | if it was \
never elected, the voter is free |
| a switchover: the new source must take over | {s.handover_seconds} | the handover is void |
| search for other sources | every {s.other_source_ask_seconds} | |
| answers about descriptions | {descriptions:g} s, asked again every {s.description_question_seconds} | "no answer" |
| metadata cannot be recorded | tried again after {s.commit_retry_seconds} | what waits for it fails with EIO |
| loop device attached, detached | 10 s each | error; detached later, when its users let go |
| last requests before a restart | {s.last_requests_seconds} | the successor asks the kernel for the rest |
| last confirmations at a stop | {s.last_acks_seconds} | goes on without them |
| a commit or a discard under way at a stop | {s.last_commit_seconds} | the daemon ends with an error, as if killed |
| a failed flush is recorded at the end | {s.last_record_seconds} | recorded with the new role; without one, the \
daemon ends with an error |
| a disk that another process has locked | 5 s | exit code 9 |
| an extent without a write stops being active | {s.extent_idle_seconds} | |
| verify of {b.verify_bytes} | {s.verify_seconds} | exit code 7 |
| the loop answers a command | {s.command_seconds} | exit code 7 |
| control socket, silence either way | {s.client_silence_seconds} | closed |
| systemd's watchdog | 30 s, fed every 7.5 s | systemd kills and restarts the daemon |
"""
_ALL = """
Every size, count and time that the code does not take from the description, a file format or the protocol. They cannot
be configured. Tests and the simulator use smaller ones.
"""


class _Shown:
    """The limits by name, as ``show`` writes them."""

    def __init__(self, show: str) -> None:
        self._show = show

    def __getattr__(self, name: str) -> str:
        value = getattr(DEFAULT, name)
        return format_size(value) if self._show == "bytes" else self._show.format(value)


def reference() -> str:
    """Return the page."""
    shown = {"n": _Shown("{:,}"), "b": _Shown("bytes"), "s": _Shown("{:g} s")}
    more = {
        "promises": vote.MOST,
        "vote": vote.SECONDS,
        "margin": vote.MARGIN,
        "descriptions": DEFAULT.description_questions * DEFAULT.description_question_seconds,
    }
    introduction, sizes, times = (text.strip().format(**shown, **more) for text in (_INTRODUCTION, _SIZES, _TIMES))
    parts = [introduction, "## Sizes", sizes, "## Time-outs and back-off", times, "## All constants", _ALL.strip()]
    parts += [f"### {heading}\n\n{table}" for heading, table in _tables()]
    return markdown.page("Limits and time-outs", "dkrepl/config/limits.py and tools/generate/limits.py", *parts)


def _tables() -> Iterator[tuple[str, str]]:
    """Yield the headings in ``Limits``, and the table of the fields below each."""
    source = inspect.getsource(limits)
    headings = {number: found[1] for number, line in enumerate(source.splitlines(), 1) if (found := _heading(line))}
    meanings = dict(_meanings(ast.parse(source)))
    without = {field.name for field in fields(Limits)} - {name for _, name in meanings}
    assert not without, f"these fields of Limits do not say what they mean: {without}"
    starts = sorted(headings)
    for start, end in zip(starts, [*starts[1:], len(source)], strict=True):
        rows = [_row(name, text) for (line, name), text in meanings.items() if start < line < end]
        yield headings[start][0].upper() + headings[start][1:], markdown.table(("name", "value", "meaning"), rows)


def _heading(line: str) -> re.Match[str] | None:
    return re.fullmatch(r" {4}# --- (.*)", line)


def _meanings(module: ast.Module) -> Iterator[tuple[tuple[int, str], str]]:
    """Yield the line and the name of each field, and the string below it."""
    [body] = [node.body for node in module.body if isinstance(node, ast.ClassDef)]
    for field, below in itertools.pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield (field.lineno, name), text


def _row(name: str, meaning: str) -> tuple[str, str, str]:
    value = getattr(DEFAULT, name)
    if name.endswith("_bytes"):
        shown = format_size(value)
    elif name.endswith("_seconds"):
        shown = f"{value:g} s"
    else:
        shown = f"{value:,}"
    return f"`{name}`", shown, meaning

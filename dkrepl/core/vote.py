"""The vote of a target: of two nodes that want to be source at the same time, it supports one (rule R11).

The answers of enough nodes tell a candidate what was written before. They do not keep another candidate from asking the
same nodes a moment later, and then both would serve. So a node that wants to be source, because it is promoted or
because it was source before its daemon started, asks for votes. A target votes for one node at a time, and stays with
that node after its vote has ended, so that an old source that was only cut off cannot win it back (core/target.py).
Should that node turn out to be a target still, the voter is as it was before: it stays with the node that it voted for
earlier, if that may be source.

Two candidates that each need N - W + 1 of N nodes share a voter, as long as W, ``min_copies``, is at most half of N;
with a larger W only one of them can ever have W copies, so the other answers no write.

A vote is recorded before it is sent, because the voter may be restarted; it then counts anew from the start. It ends
after ``SECONDS``, or when the candidate withdraws. A candidate has recorded its role ``MARGIN`` seconds before that, or
gives up. This is how a candidate is elected in Raft (Ongaro, "Consensus: Bridging Theory and Practice", section 3.4),
with a time in place of a term: here an administrator decides who is a candidate.
"""

from __future__ import annotations

import msgspec

from dkrepl.core.metadata import NodeMetadata

SECONDS = 15.0  # for which a vote counts, from its last request
MARGIN = 5.0  # seconds before the end of the votes at which a candidate gives up


class Vote:
    """``recorded``: for whom this node voted when its daemon ended; that counts from ``now``, a monotonic clock."""

    def __init__(self, recorded: str, now: float) -> None:
        self._for = recorded
        self._until = now + SECONDS if recorded else 0.0

    def at(self, now: float) -> str:
        """Return the node that this one votes for, "" if none."""
        return self._for if now < self._until else ""

    def give(self, candidate: str, now: float) -> None:
        """Vote for ``candidate`` from now on. The caller has seen that the vote is free, and records it."""
        self._for, self._until = candidate, now + SECONDS

    def withdraw(self, candidate: str) -> None:
        """``candidate`` needs the vote no more."""
        if self._for == candidate:
            self._until = 0.0


def voted(metadata: NodeMetadata, candidate: str) -> NodeMetadata:
    """Return the record of a target that votes for ``candidate``; what an administrator said of others is void."""
    before = tuple(name for name in (metadata.voted_for, *metadata.voted_before) if name not in ("", candidate))
    metadata = msgspec.structs.replace(metadata, voted_for=candidate, voted_before=before)
    if metadata.yields_to not in ("", candidate):
        metadata = msgspec.structs.replace(metadata, yields="", yields_to="")
    return metadata


def released(metadata: NodeMetadata, node: str) -> NodeMetadata:
    """Return the record after it became known that ``node``, for which this one voted, is a target."""
    newest, *before = [name for name in (metadata.voted_for, *metadata.voted_before) if name not in ("", node)] or [""]
    return msgspec.structs.replace(metadata, voted_for=newest, voted_before=tuple(before))


def unbound(metadata: NodeMetadata) -> NodeMetadata:
    """Return the record of a target that no vote binds any more."""
    return msgspec.structs.replace(metadata, voted_for="", voted_before=())

"""Votes: of two nodes that want to be source, enough others support one, and never go back to an older one (rule R11).

A node that wants to be source, because it is promoted or because it was source before its daemon started, asks for
votes. A *ballot* is a number and the node that asks; ballots are ordered, and none is ever used twice. A source serves
under the ballot by which it was elected, and after a switchover the next source under the same one. A target that votes
promises this: it follows no source of an older ballot any more, and votes for none. So once N - W + 1 of N nodes have
voted under a ballot, at most W - 1 are left for any older source, which is too few to acknowledge a write (W:
``min_copies``; with W = 1 no node at all is left). What was answered before is known to one of the voters, for they
voted when they heard no source. This is how Paxos and Raft elect a leader (Lamport, "The Part-Time Parliament"; Ongaro,
"Consensus: Bridging Theory and Practice", section 3.4); here an administrator decides who is a candidate.

A promise ends in four ways only: the voter follows a source of that ballot or a newer one; it becomes source itself,
under a newer one; the candidate says that it never was source under it, and never will be; an administrator says so
(``dkrepl resolve --keep``).

Besides, a vote holds back other candidates for ``SECONDS``, or until the candidate withdraws, so that two nodes that
are promoted at the same time are not both source, even for a moment. A candidate has recorded its role ``MARGIN``
seconds before that, or gives up: only then may it say that it will not be source under that ballot. One that is source
under an older ballot has given up already, and may say so at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer

SECONDS = 15.0  # for which a vote holds back other candidates, from its last request
MARGIN = 5.0  # seconds before the end of the votes at which a candidate gives up
_FORCE = 1 << 20  # far more than elections that a node can miss, and far less than the largest number, 2**53
MOST = 16  # promises at once; while so many bind a target it votes for nobody, for it must not forget one


class Hold:
    """The vote that holds back other candidates. ``recorded``: for whom it had voted last; that counts from ``now``."""

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


def newest(metadata: NodeMetadata) -> Ballot:
    """Return the newest ballot that binds a node: it follows no source of an older one, and votes for none."""
    return metadata.promised[0] if metadata.promised else metadata.ballot


def with_promise(metadata: NodeMetadata, ballot: Ballot) -> NodeMetadata:
    """Return the record of a target that votes under ``ballot``; what an administrator said of others is void."""
    before = [one for one in metadata.promised if one != ballot]
    metadata = msgspec.structs.replace(metadata, promised=(ballot, *before))
    if metadata.yields_to not in ("", ballot.node):
        metadata = msgspec.structs.replace(metadata, yields="", yields_to="")
    return metadata


def without_promise(metadata: NodeMetadata, ballot: Ballot) -> NodeMetadata:
    """Return the record after it became known that nobody was source under ``ballot``, or will be."""
    kept = tuple(one for one in metadata.promised if one != ballot)
    return msgspec.structs.replace(metadata, promised=kept)


def as_following(metadata: NodeMetadata, ballot: Ballot) -> NodeMetadata:
    """Return the record of a target that follows a source of ``ballot``."""
    return msgspec.structs.replace(metadata, ballot=ballot, promised=())


def next_number(metadata: NodeMetadata, seen: Iterable[Ballot] = (), force: bool = False) -> int:
    """Return the number of a ballot that is newer than all that this node knows of, and than those ``seen``.

    ``force``: and than any that it need not know of, so that all follow a node that is promoted by force.
    """
    known = (metadata.ballot, *metadata.promised, *seen)
    return max(metadata.stood, *(ballot.number for ballot in known)) + (_FORCE if force else 1)


def of_answer(answer: Answer) -> list[Ballot]:
    """Return the ballots that the node which gave ``answer`` knows of, the newest promise first."""
    return [*answer.promised, answer.ballot]


def votes(answer: Answer, ballot: Ballot) -> bool:
    """Whether the node that gave ``answer`` votes under ``ballot``."""
    return answer.vote == ballot.node and answer.promised[:1] == [ballot]


def never_elected(answer: Answer, ballot: Ballot) -> bool:
    """Whether the candidate of ``ballot`` was never source under it and never will be, as it says in ``answer``.

    It remembers that it asked (a node that was initialised anew does not), it does not ask now, and its own ballot, as
    source or as target, is older.
    """
    asks = answer.vote == answer.node or answer.role == "arbitrating"
    return answer.node == ballot.node and answer.stood >= ballot.number and not asks and answer.ballot < ballot

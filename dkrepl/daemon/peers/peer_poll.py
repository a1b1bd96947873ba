"""Asks every peer what it holds, and waits a moment for the answers, by which a promotion is judged.

A node that is being promoted asks for the peers' votes as well (core/election/vote.py); a dry run does not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import Limits
from dkrepl.core.election.objections import withholds_vote
from dkrepl.core.election.promotion import Assessment, assess
from dkrepl.core.election.vote import of_answer
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask
from dkrepl.daemon.peers.peer_channel import PeerChannel

Work = Callable[[], None]
Later = Callable[[float, Work], None]
"""Calls something in the loop after so many seconds."""


class Asking(Protocol):
    """A runtime that can ask its peers."""

    description: Description
    limits: Limits
    node: Node
    channel: PeerChannel
    polls: list[PeerPoll]

    def facts(self) -> Answer:
        """Return what this node says of itself."""

    @property
    def stands(self) -> Ballot | None:
        """The ballot under which this node may ask for votes, None if it may not."""

    def stand(self, force: bool) -> None:
        """From now on this node is a candidate; ``force``: even if it votes for another node."""

    def stand_again(self, force: bool) -> None:
        """As ``stand``, of the same promotion: what kept it from standing may have passed."""

    def outbid(self, seen: Collection[Ballot]) -> None:
        """Go on as a candidate, under a ballot newer than those ``seen``."""

    def stand_down(self) -> bool:
        """One promotion of this node was refused; return whether the votes are to be given back."""


_NUMBERS = itertools.count(1 << 32)  # of polls; an arbitration numbers its rounds from 1


class PeerPoll:
    """One poll.

    ``candidate``: it asks for votes too; ``force``: of a promotion by force.
    """

    def __init__(self, runtime: Asking, candidate: bool = False, force: bool = False) -> None:
        own = runtime.facts()
        self.answers: dict[str, Answer | None] = dict.fromkeys(
            peer.name for peer in runtime.description.peers(runtime.node.name)
        )
        self.on_complete: Work = lambda: None
        """Called when all have answered."""
        self._ask = Ask(own.node, own.mirror, own.mirror_id, number=next(_NUMBERS))
        self._runtime = runtime
        self.candidate = candidate
        self._force = force

    def ask(self) -> None:
        """Ask those that have not answered, or whose vote is missing."""
        if self.candidate and self.ballot is None:
            self._runtime.stand_again(self._force)
        ballot = self.ballot
        ask = self._ask if ballot is None else msgspec.structs.replace(self._ask, vote="wanted", ballot=ballot.number)
        for peer, answer in self.answers.items():
            if not self._is_answered(answer):
                self._runtime.channel.ask(peer, ask)

    @property
    def ballot(self) -> Ballot | None:
        """The ballot under which it asks for votes."""
        return self._runtime.stands if self.candidate else None

    @property
    def newer(self) -> list[Ballot]:
        """The ballots that peers know of and that are newer than this node's: they cannot vote under that."""
        return [ballot for answer in self.answers.values() if answer is not None for ballot in self._newer(answer)]

    def _newer(self, answer: Answer) -> list[Ballot]:
        ballot = self.ballot
        return [] if ballot is None else [one for one in of_answer(answer) if one > ballot]

    def withdraw(self, ballot: Ballot) -> None:
        """Report the peers that their votes under ``ballot`` are no longer needed."""
        for peer in self.answers:
            ask = msgspec.structs.replace(self._ask, vote="withdrawn", ballot=ballot.number)
            self._runtime.channel.ask(peer, ask)

    def on_answer(self, peer: str, answer: Answer) -> None:
        """Take an answer; one of another mirror, or to an earlier question, counts as none."""
        if answer.number != self._ask.number:
            return  # it may be so late that the peer is something else by now
        ids = {answer.mirror_id, self._ask.mirror_id, ""}
        if peer in self.answers and answer.node == peer and answer.mirror == self._ask.mirror and len(ids) <= 2:
            self.answers[peer] = answer
            if all(map(self._is_answered, self.answers.values())):
                self.on_complete()

    def _is_answered(self, answer: Answer | None) -> bool:
        if answer is None or not self.candidate:
            return answer is not None
        return bool(self._newer(answer)) or not withholds_vote(answer, self.ballot)


def look_around(runtime: Asking, later: Later, fenced: Collection[str], then: Callable[[Assessment], None]) -> None:
    """Ask the peers, then call ``then`` with what a promotion of this node means.

    ``fenced``: nodes that are declared not to have answered a write without this one.
    """
    _ask(runtime, later, PeerPoll(runtime), fenced, lambda found, _ballot, _newer: then(found))


def stand(
    runtime: Asking,
    later: Later,
    fenced: Collection[str],
    force: bool,
    then: Callable[[Assessment, Ballot | None], None],
) -> None:
    """As ``look_around``, for a node that is being promoted: it asks its peers for their votes as well.

    ``then`` gets the ballot of these votes, too. ``force``: even if this node votes for another. If the promotion is
    refused, call ``stand_down``.
    """

    def polled(found: Assessment, ballot: Ballot | None, newer: list[Ballot], left: int) -> None:
        if not newer or not left:
            then(found, ballot)
            return
        if ballot is not None:
            PeerPoll(runtime).withdraw(ballot)
        runtime.outbid(newer)
        poll(left - 1)

    def poll(left: int) -> None:
        candidate = PeerPoll(runtime, candidate=True, force=force)
        _ask(runtime, later, candidate, fenced, lambda found, ballot, newer: polled(found, ballot, newer, left))

    runtime.stand(force)
    poll(runtime.limits.poll_ballots - 1)


def stand_down(runtime: Asking) -> None:
    """Withdraw the candidacy: the promotion was refused."""
    ballot = runtime.stands
    if runtime.stand_down() and ballot is not None:
        PeerPoll(runtime).withdraw(ballot)


def _ask(
    runtime: Asking,
    later: Later,
    poll: PeerPoll,
    fenced: Collection[str],
    then: Callable[[Assessment, Ballot | None, list[Ballot]], None],
) -> None:
    """Ask until all have answered, or for long enough."""
    again = runtime.limits.poll_again_seconds

    def look(left: int) -> None:
        if poll not in runtime.polls:
            return
        if left:
            poll.ask()
            later(again, lambda: look(left - 1))
        else:
            end()

    def end() -> None:
        if poll not in runtime.polls:
            return
        runtime.polls.remove(poll)
        facts, ballot = runtime.facts(), poll.ballot
        then(assess(runtime.description, facts, poll.answers, fenced, poll.candidate, ballot), ballot, poll.newer)

    runtime.polls.append(poll)
    poll.on_complete = lambda: later(0.0, end)  # not now, for other polls have to get this answer, too
    look(round(runtime.limits.poll_answer_seconds / again))

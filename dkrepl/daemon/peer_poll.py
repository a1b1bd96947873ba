"""Asks every peer what it holds, and waits a moment for the answers, by which a promotion is judged.

A node that is being promoted asks for the peers' votes as well (core/vote.py); a dry run does not.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec

from dkrepl.core.description import Description, Node
from dkrepl.core.messages import Answer, Ask, Describe
from dkrepl.core.objections import withholds_vote
from dkrepl.core.promotion import Assessment, assess

InLoop = Callable[[Callable[[], Any]], Any]

PATIENCE = 1.0
"""Seconds for the answers; a peer that has not answered then counts as not reachable."""
_AGAIN = 0.1  # seconds, after which those that have not answered, or not voted yet, are asked again


class Asking(Protocol):
    """A runtime that can ask its peers."""

    description: Description
    node: Node
    polls: list[PeerPoll]

    def facts(self) -> Answer:
        """Return what this node says of itself."""

    def ask_peer(self, peer: str, question: Ask | Describe) -> None:
        """Send a question to a peer."""

    def stand(self, force: bool) -> None:
        """From now on this node is a candidate; ``force``: even if it votes for another node."""

    def stand_down(self) -> bool:
        """One promotion of this node was refused; return whether the votes are to be given back."""


_NUMBERS = itertools.count(1 << 32)  # of polls; an enquiry numbers its rounds from 1


class PeerPoll:
    """One poll; made, and given its answers, in the loop. ``candidate``: it asks for votes too."""

    def __init__(self, runtime: Asking, candidate: bool = False) -> None:
        own = runtime.facts()
        self.answers: dict[str, Answer | None] = dict.fromkeys(
            peer.name for peer in runtime.description.peers(runtime.node.name)
        )
        self.complete = threading.Event()
        self._ask = Ask(own.node, own.mirror, own.mirror_id, "wanted" if candidate else "", next(_NUMBERS))
        self._runtime = runtime

    def ask(self) -> None:
        """Ask those that have not answered, or whose vote is missing."""
        for peer, answer in self.answers.items():
            if not self._is_answered(answer):
                self._runtime.ask_peer(peer, self._ask)

    def withdraw(self) -> None:
        """Tell the peers that their votes are no longer needed."""
        for peer in self.answers:
            self._runtime.ask_peer(peer, msgspec.structs.replace(self._ask, vote="withdrawn"))

    def on_answer(self, peer: str, answer: Answer) -> None:
        """Take an answer; one of another mirror, or to an earlier question, counts as none."""
        if answer.number != self._ask.number:
            return  # it may be so late that its vote has been given back since, and gone to another node (R11)
        ids = {answer.mirror_id, self._ask.mirror_id, ""}
        if peer in self.answers and answer.node == peer and answer.mirror == self._ask.mirror and len(ids) <= 2:
            self.answers[peer] = answer
            if all(map(self._is_answered, self.answers.values())):
                self.complete.set()

    def _is_answered(self, answer: Answer | None) -> bool:
        return answer is not None and not (self._ask.vote and withholds_vote(answer))


def look_around(runtime: Asking, in_loop: InLoop, fenced: Collection[str] = ()) -> Assessment:
    """Ask the peers and return what a promotion of this node means. Called from a client's thread.

    ``fenced``: nodes that are declared not to have answered a write without this one.
    """
    return _asked(runtime, in_loop, lambda: PeerPoll(runtime), fenced, candidate=False)


def stand(runtime: Asking, in_loop: InLoop, fenced: Collection[str], force: bool) -> Assessment:
    """As ``look_around``, for a node that is being promoted: it asks its peers for their votes as well.

    ``force``: even if this node votes for another. If the promotion is refused, call ``stand_down``.
    """

    def begin() -> PeerPoll:
        runtime.stand(force)
        return PeerPoll(runtime, candidate=True)

    return _asked(runtime, in_loop, begin, fenced, candidate=True)


def stand_down(runtime: Asking, in_loop: InLoop) -> None:
    """Withdraw the candidacy: the promotion was refused."""

    def end() -> None:
        if runtime.stand_down():
            PeerPoll(runtime, candidate=True).withdraw()

    in_loop(end)


def _asked(
    runtime: Asking, in_loop: InLoop, begin: Callable[[], PeerPoll], fenced: Collection[str], candidate: bool
) -> Assessment:
    def ask() -> PeerPoll:
        poll = begin()
        runtime.polls.append(poll)
        poll.ask()
        return poll

    def end() -> Assessment:
        runtime.polls.remove(poll)
        return assess(runtime.description, runtime.facts(), poll.answers, fenced, candidate)

    poll: PeerPoll = in_loop(ask)
    for _ in range(round(PATIENCE / _AGAIN)):
        if poll.complete.wait(_AGAIN):
            break
        in_loop(poll.ask)
    found: Assessment = in_loop(end)
    return found

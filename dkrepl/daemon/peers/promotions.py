"""The promotions of a node that are being tried: their questions go out, answers and time go in.

What is asked, and when that is enough, is decided in core/election/attempt.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

from dkrepl.core.actions import Send
from dkrepl.core.election.attempt import Attempt
from dkrepl.core.election.candidacy import Candidacy, Candidate, withdrawals
from dkrepl.core.election.promotion import Assessment
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask
from dkrepl.daemon.peers.peer_channel import PeerChannel
from dkrepl.daemon.surroundings import Surroundings

Later = Callable[[float, Callable[[], None]], None]
"""Calls something in the loop after so many seconds."""
Then = Callable[[Assessment, Ballot | None], None]


class Promotions:
    """``own()``: what this node says of itself; ``perform()`` carries out what ``role`` wants; ``now()``: its clock."""

    def __init__(
        self,
        role: Candidate,
        here: Surroundings,
        channel: PeerChannel,
        *,
        own: Callable[[], Answer],
        perform: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._candidacy = Candidacy(role)
        self._here = here
        self._channel = channel
        self._own = own
        self._perform_role = perform
        self._now = now
        # Of questions; a target numbers those about its vote from 1, and an arbitration its rounds.
        self._numbers = itertools.count(1 << 32)
        self._attempts: dict[Attempt, Callable[[], None]] = {}  # and what is to be done once all peers have answered
        channel.listen(self._on_answer)

    def look_around(self, later: Later, fenced: Collection[str], then: Callable[[Assessment], None]) -> None:
        """Ask the peers, then call ``then`` with what a promotion of this node means.

        ``fenced``: nodes that are declared not to have acknowledged a write without this one.
        """
        self._try(self._attempt(votes=False, fenced=fenced), later, lambda found, _: then(found))

    def stand(self, later: Later, fenced: Collection[str], force: bool, then: Then) -> None:
        """As ``look_around``, for a node that is being promoted: it asks its peers for their votes as well.

        ``then`` gets the ballot of these votes, too. ``force``: even if this node votes for another. If the promotion
        is refused, call ``stand_down``.
        """
        self._try(self._attempt(votes=True, force=force, fenced=fenced), later, then)

    def stand_down(self) -> None:
        """One promotion was refused: give the votes back, unless this node needs them all the same."""
        ballot = self._candidacy.refused()
        if ballot is not None:
            own = self._own()
            ask = Ask(own.node, own.mirror, own.mirror_id, number=next(self._numbers))
            self._send(withdrawals(ask, self._here.peers, ballot))

    def ask_for_votes(self) -> None:
        """It has just been recorded that this node is a candidate: ask at once."""
        for attempt in self._attempts:
            attempt.ask(self._now())
            self._perform(attempt)

    def _attempt(self, *, votes: bool, force: bool = False, fenced: Collection[str]) -> Attempt:
        return Attempt(
            self._candidacy,
            self._here.description,
            self._own,
            self._numbers,
            votes=votes,
            force=force,
            fenced=fenced,
            limits=self._here.limits,
        )

    def _try(self, attempt: Attempt, later: Later, then: Then) -> None:
        attempt.begin(self._now())
        self._perform(attempt)
        self._poll(attempt, later, then)

    def _poll(self, attempt: Attempt, later: Later, then: Then) -> None:
        """Run the poll that is under way to its end; then the next one, or ``then``."""
        poll = attempt.poll

        def goes_on() -> bool:
            return attempt.poll is poll and attempt.found is None

        def at_its_time() -> None:
            if goes_on():  # else it ended early, for all had answered
                attempt.go_on(self._now())
                done()

        def all_answered() -> None:
            if goes_on():
                attempt.end_poll(self._now())
                done()

        def done() -> None:
            self._perform(attempt)
            if goes_on():
                later(self._here.limits.poll_again_seconds, at_its_time)
            elif attempt.found is None:
                self._poll(attempt, later, then)
            else:
                del self._attempts[attempt]
                then(attempt.found, attempt.ballot)

        # Not now, for other attempts have to get this answer, too.
        self._attempts[attempt] = lambda: later(0.0, all_answered)
        at_its_time()

    def _on_answer(self, answer: Answer) -> None:
        for attempt, completed in self._attempts.items():
            if attempt.on_answer(answer):
                completed()

    def _perform(self, attempt: Attempt) -> None:
        self._perform_role()
        self._send(attempt.actions)
        attempt.actions.clear()

    def _send(self, actions: Collection[Send]) -> None:
        for action in actions:
            self._channel.send(action.peer, action.message)

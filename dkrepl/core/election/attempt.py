"""One ``promote``: asks every peer what it holds, and for its vote, until it is known what the promotion means.

    poll    Ask every peer; ask those that have not answered or voted again, for ``poll_answer_seconds`` at most.
    over    All have answered, or the time is up.
            A peer knows of a newer ballot: give the votes back and poll again under a ballot that is newer still,
            ``poll_ballots`` times at most. Otherwise: assess the promotion (core/election/promotion.py).

A dry run asks for no votes, so one poll is enough for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.core.actions import Send
from dkrepl.core.election.candidacy import Candidacy, withdrawals
from dkrepl.core.election.promotion import Assessment, assess
from dkrepl.core.election.rivals import withholds_vote
from dkrepl.core.election.vote import of_answer
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask


class Poll:
    """The answers of the ``peers`` to one question; who has given none has None.

    ``candidacy``: of the node that asks for votes as well, None in a dry run.
    """

    def __init__(self, ask: Ask, peers: Iterable[str], candidacy: Candidacy | None) -> None:
        self.ask = ask
        self.answers: dict[str, Answer | None] = dict.fromkeys(peers)
        self._candidacy = candidacy

    @property
    def ballot(self) -> Ballot | None:
        """The ballot under which it asks for votes."""
        return self._candidacy.ballot if self._candidacy is not None else None

    def questions(self) -> list[Send]:
        """Return what to ask those that have not answered, or whose vote is missing."""
        ballot, ask = self.ballot, self.ask
        if ballot is not None:
            ask = msgspec.structs.replace(ask, vote="wanted", ballot=ballot.number)
        return [Send(peer, ask) for peer, answer in self.answers.items() if not self._is_answered(answer)]

    def on_answer(self, answer: Answer) -> bool:
        """Take an answer; one of another mirror, or to an earlier question, counts as none. Returns whether it counts.

        An answer may be so late that the peer is something else by now.
        """
        ids = {answer.mirror_id, self.ask.mirror_id, ""}
        counts = (
            answer.number == self.ask.number
            and answer.node in self.answers
            and answer.mirror == self.ask.mirror
            and len(ids) <= 2
        )
        if counts:
            self.answers[answer.node] = answer
        return counts

    @property
    def complete(self) -> bool:
        """Whether every peer has answered, and has voted if it still can."""
        return all(map(self._is_answered, self.answers.values()))

    @property
    def newer(self) -> list[Ballot]:
        """The ballots that peers know of and that are newer than this node's: they cannot vote under that."""
        return [ballot for answer in self.answers.values() if answer is not None for ballot in self._newer(answer)]

    def _newer(self, answer: Answer) -> list[Ballot]:
        ballot = self.ballot
        return [] if ballot is None else [one for one in of_answer(answer) if one > ballot]

    def _is_answered(self, answer: Answer | None) -> bool:
        if answer is None or self._candidacy is None:
            return answer is not None
        return bool(self._newer(answer)) or not withholds_vote(answer, self.ballot)


class Attempt:
    """``own()``: what this node says of itself; ``numbers``: of questions, none of which is used twice.

    ``votes``: whether it asks for votes, and so is no dry run; ``force``: even if this node votes for another one.
    ``fenced``: nodes that are declared not to have acknowledged a write without this one.
    """

    def __init__(
        self,
        candidacy: Candidacy,
        description: Description,
        own: Callable[[], Answer],
        numbers: Iterator[int],
        *,
        votes: bool,
        force: bool = False,
        fenced: Collection[str] = (),
        limits: Limits,
    ) -> None:
        self.actions: list[Send] = []
        self.found: Assessment | None = None
        """What the promotion means, in the end."""
        self.ballot: Ballot | None = None
        """The ballot under which the votes were given then."""
        self._candidacy = candidacy
        self._description = description
        self._own = own
        self._numbers = numbers
        self._votes = votes
        self._force = force
        self._fenced = fenced
        self._times = round(limits.poll_answer_seconds / limits.poll_again_seconds)
        self._times_left = 0  # that this poll may still ask
        self._ballots_left = limits.poll_ballots - 1
        self.poll = self._new_poll()
        """The poll that is under way, or was the last."""

    def begin(self, now: float) -> None:
        """Stand for election, unless it is a dry run; ``go_on`` asks the first questions."""
        if self._votes:
            self._candidacy.begin(now, self._force)

    def _new_poll(self) -> Poll:
        self._times_left = self._times
        own = self._own()
        ask = Ask(own.node, own.mirror, own.mirror_id, number=next(self._numbers))
        peers = [peer.name for peer in self._description.peers(own.node)]
        return Poll(ask, peers, self._candidacy if self._votes else None)

    def go_on(self, now: float) -> None:
        """To be called at the begin of a poll and whenever ``poll_again_seconds`` have passed: ask, or end the poll."""
        if self._times_left:
            self._times_left -= 1
            self.ask(now)
        else:
            self.end_poll(now)

    def ask(self, now: float) -> None:
        """Ask now: at its time, and once it is on record that this node asks for votes."""
        if self._votes and self._candidacy.ballot is None:
            self._candidacy.go_on(now, self._force)
        self.actions += self.poll.questions()

    def on_answer(self, answer: Answer) -> bool:
        """Take an answer; returns whether that completes the poll: then call ``end_poll``, soon."""
        return self.poll.on_answer(answer) and self.poll.complete

    def end_poll(self, now: float) -> None:
        """Judge by the answers that are there: ``found`` is set, or another poll begins."""
        poll, ballot, newer = self.poll, self.poll.ballot, self.poll.newer
        if ballot is not None and newer and self._ballots_left:
            self._ballots_left -= 1
            self.actions += withdrawals(poll.ask, poll.answers, ballot)
            self._candidacy.outbid(now, newer)
            self.poll = self._new_poll()
            return
        self.ballot = ballot
        self.found = assess(self._description, self._own(), poll.answers, self._fenced, self._votes, ballot)

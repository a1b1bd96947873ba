"""How a target votes, and stands for election itself (rule R11; core/election/vote.py says why that is safe)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec

from dkrepl.core.election.vote import MOST, Hold, never_elected, newest, next_number, with_promise, without_promise
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask
from dkrepl.core.target.record import Purpose, TargetRecord


class Voter:
    """``send(peer, message)`` asks a peer; ``began``: monotonic seconds at which the daemon began."""

    def __init__(
        self,
        node: str,
        mirror: str,
        peers: Collection[str],
        record: TargetRecord,
        send: Callable[[str, Ask], None],
        began: float,
        ask_again: float,
    ) -> None:
        self._node = node
        self._mirror = mirror
        self._peers = peers
        self._record = record
        self._send = send
        made = record.metadata.promised
        self._hold = Hold(made[0].node if made else "", began)
        self._voting = Ballot()  # under which a vote is being recorded
        self.candidacy: Ballot | None = None
        """The ballot under which this node is a candidate, once that is recorded."""
        self._asked, self._ask_at = 0, 0.0
        self._ask_again = ask_again  # seconds between questions to the node that it voted for

    def votes_for(self, now: float) -> str:
        """Return the node that this one votes for, "" if none."""
        return self._hold.at(now)

    # --- for another node ------------------------------------------------------------------------------

    def may_vote(self, ballot: Ballot, now: float) -> bool:
        """Whether this node may vote under ``ballot``, as far as its votes go."""
        made = self._record.metadata.promised
        new = made[:1] == (ballot,) or (ballot > newest(self._record.metadata) and len(made) < MOST)
        free = self._hold.at(now) in ("", ballot.node)
        return new and free and ballot.node in self._peers and not self._record.waiting

    def vote(self, ballot: Ballot, now: float) -> None:
        """Vote under ``ballot``, once that is recorded."""
        record = with_promise(self._record.metadata, ballot)
        if record == self._record.metadata:
            self._hold.give(ballot.node, now)
        else:
            self._hold.withdraw(ballot.node)  # until it is recorded under this ballot
            self._voting = ballot
            self._record.commit("voted", record)

    def withdrawn(self, ballot: Ballot, ended: bool) -> None:
        """The candidate says that it needs no votes under ``ballot``; ``ended``: this node records nothing more."""
        if self._voting == ballot:
            self._voting = Ballot()
        if ballot == newest(self._record.metadata):
            self._hold.withdraw(ballot.node)
        if ballot in self._record.metadata.promised and not self._record.waiting and not ended:
            self._record.commit("vote withdrawn", without_promise(self._record.metadata, ballot))

    def on_answer(self, answer: Answer, now: float) -> None:
        """Take an answer of the node that this one voted for: if it was never elected, the promise no longer binds."""
        metadata = self._record.metadata
        ballot = newest(metadata)
        if answer.number != self._asked or self._record.waiting or self._hold.at(now):
            return
        if ballot in metadata.promised and never_elected(answer, ballot):
            self._record.commit("vote withdrawn", without_promise(metadata, ballot))

    def tick(self, now: float) -> None:
        """Ask the node that this one voted for, now and then, what became of its candidacy."""
        metadata = self._record.metadata
        elected = newest(metadata).node
        if not metadata.promised or elected not in self._peers or self._hold.at(now) or now < self._ask_at:
            return
        if not self._record.waiting:
            self._asked, self._ask_at = self._asked + 1, now + self._ask_again
            self._send(elected, Ask(self._node, self._mirror, metadata.mirror_id, number=self._asked))

    def follows(self, peer: str) -> None:
        """This node follows ``peer``, which is source now: it needs no more votes."""
        self._hold.withdraw(peer)

    def inherit(self, now: float) -> None:
        """The former source hands over to this node: it votes for nobody else meanwhile."""
        self._hold.give(self._node, now)

    # --- for itself ------------------------------------------------------------------------------------

    def stand(self, now: float, force: bool) -> None:
        """This node is being promoted: vote for itself, unless it votes for another and ``force`` is not given."""
        if not force and self._hold.at(now) not in ("", self._node):
            return
        standing = self.candidacy is not None or self._record.waits_for("stood")
        goes_on = standing and self._hold.at(now) == self._node  # another promotion of this node is under way
        self._hold.give(self._node, now)
        self._voting = Ballot()
        if not goes_on:
            self._take_ballot((), force)

    def outbid(self, now: float, seen: Iterable[Ballot]) -> None:
        """Go on as a candidate, under a ballot that is newer than those ``seen``."""
        if self._hold.at(now) == self._node:
            self._hold.give(self._node, now)
            self._take_ballot(seen, False)

    def stand_down(self) -> None:
        """The promotion was refused: withdraw the vote for itself."""
        self._hold.withdraw(self._node)
        self.candidacy = None

    def _take_ballot(self, seen: Iterable[Ballot], force: bool) -> None:
        self.candidacy = None
        number = next_number(self._record.metadata, seen, force)
        self._record.commit("stood", msgspec.structs.replace(self._record.metadata, stood=number))

    # --- commits ---------------------------------------------------------------------------------------

    def recorded(self, purpose: Purpose, now: float) -> None:
        """A commit about votes is durable."""
        durable = self._record.durable
        if purpose == "voted":
            if self._voting == newest(durable):
                self._hold.give(self._voting.node, now)
            self._voting = Ballot()
        elif purpose == "stood" and self._hold.at(now) == self._node:
            self.candidacy = Ballot(durable.stood, self._node)

    def not_recorded(self) -> None:
        """A commit about votes failed: this node does not vote. Its copy is as good as before."""
        self._voting = Ballot()

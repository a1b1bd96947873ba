"""How a target votes, stands for election itself, and is made source by a handover.

Rule R11; core/election/vote.py says why that is safe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from dkrepl.config.limits import Limits
from dkrepl.core.actions import TargetAction
from dkrepl.core.election.vote import MOST, Hold, never_elected, newest, next_number, with_promise, without_promise
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask, Handover
from dkrepl.core.target.ending import Ending
from dkrepl.core.target.following import Following
from dkrepl.core.target.record import Purpose, TargetRecord


class Voter:
    """Decides for whom a target votes, itself included; each vote is recorded before it counts.

    ``began``: monotonic seconds at which the daemon began.
    """

    def __init__(
        self,
        *,
        node: str,
        mirror: str,
        peers: Collection[str],
        following: Following,
        record: TargetRecord,
        ending: Ending,
        out: Outbox[TargetAction],
        began: float,
        limits: Limits,
    ) -> None:
        self.inherits: str | None = None
        """The former source that says that this node is to be source now."""
        self.stands: Ballot | None = None
        """The ballot under which this node is a candidate, once that is recorded."""
        self._node = node
        self._mirror = mirror
        self._peers = peers
        self._following = following
        self._record = record
        self._ending = ending
        self._out = out
        made = record.metadata.promised
        self._hold = Hold(made[0].node if made else "", began)
        self._voting = Ballot()  # under which a vote is being recorded
        self._asked, self._ask_at = 0, 0.0
        self._ask_again = limits.ask_again_seconds  # between questions to the node that it voted for
        self._serves = ""  # the node that it voted for, if that serves under an older ballot

    def votes_for(self, now: float) -> str:
        """Return the node that this one votes for, "" if none."""
        return self._hold.at(now)

    # --- for another node ------------------------------------------------------------------------------

    def on_ask(self, ask: Ask, now: float) -> str:
        """Take a question of a peer; return the node that this one votes for, once that is recorded."""
        ballot = Ballot(ask.ballot, ask.node)
        if ask.vote == "withdrawn":
            self._withdrawn(ballot)
        elif ask.vote == "wanted" and self._may_vote(ballot, now):
            if self._following.source.name is not None:
                self._following.leave("source lost", f"{ask.node} is to be source", now, 0.0)
            self._vote(ballot, now)
        return self._hold.at(now)

    def _may_vote(self, ballot: Ballot, now: float) -> bool:
        if self.inherits is not None or self._ending.begun or self._following.source.hears(now):
            return False
        made = self._record.metadata.promised
        new = made[:1] == (ballot,) or (ballot > newest(self._record.metadata) and len(made) < MOST)
        free = self._hold.at(now) in ("", ballot.node)
        return new and free and ballot.node in self._peers and not self._record.waiting

    def _vote(self, ballot: Ballot, now: float) -> None:
        self._serves = ""
        record = with_promise(self._record.metadata, ballot)
        if record == self._record.metadata:
            self._hold.give(ballot.node, now)
        else:
            self._hold.withdraw(ballot.node)  # until it is recorded under this ballot
            self._voting = ballot
            self._record.commit("voted", record)

    def _withdrawn(self, ballot: Ballot) -> None:
        """The candidate says that it needs no votes under ``ballot``."""
        if self._voting == ballot:
            self._voting = Ballot()
        if ballot == newest(self._record.metadata):
            self._hold.withdraw(ballot.node)
        if ballot in self._record.metadata.promised and not self._record.waiting and not self._ending.begun:
            self._record.commit("vote withdrawn", without_promise(self._record.metadata, ballot))

    def on_answer(self, answer: Answer, now: float) -> None:
        """Take an answer of the node that this one voted for: if it was never elected, the promise no longer binds."""
        metadata = self._record.metadata
        ballot = newest(metadata)
        held = self._hold.at(now) and answer.role != "source"  # a source is nobody's candidate: its word is final
        if self._following.in_stream or self._record.waiting or held:
            return
        if answer.number == self._asked and ballot in metadata.promised and never_elected(answer, ballot):
            self._hold.withdraw(ballot.node)
            self._record.commit("vote withdrawn", without_promise(metadata, ballot))

    def serves(self, peer: str) -> None:
        """``peer`` is source, under an older ballot than the newest promise: if that was to it, ask without waiting."""
        self._serves = peer

    def tick(self, now: float) -> None:
        """Ask the node that this one voted for, now and then, what became of its candidacy."""
        metadata = self._record.metadata
        elected = newest(metadata).node
        held = self._hold.at(now) and self._serves != elected
        if not metadata.promised or elected not in self._peers or held or now < self._ask_at:
            return
        if not self._record.waiting:
            self._asked, self._ask_at = self._asked + 1, now + self._ask_again
            self._out.send(elected, Ask(self._node, self._mirror, metadata.mirror_id, number=self._asked))

    def follows(self, peer: str) -> None:
        """This node follows ``peer``, which is source now: it needs no more votes."""
        self._hold.withdraw(peer)

    # --- a handover ------------------------------------------------------------------------------------

    def on_handover(self, peer: str, message: Handover, now: float) -> None:
        """The former source asks this node to be source: only as what it was when it left that source."""
        following, metadata = self._following, self._record.metadata
        unchanged = metadata.epoch == message.epoch and metadata.generation == message.generation
        bound = bool(metadata.promised)  # R11: the node that it voted for may be source
        if bound and following.state == "Disconnected":
            elected = newest(metadata).node
            following.reason = (
                f"{peer} hands over to {self._node}, which has voted for {elected}, so {elected} may be source: "
                f"start it, or promote {self._node} if {elected} is off for good"
            )
        free = self._hold.at(now) in ("", self._node) and not bound and not self._record.waiting
        apart = following.state in ("Disconnected", "Refused")  # refused by another source: one elected before
        if unchanged and apart and free and metadata.store_state != "Inconsistent":
            self.inherits = peer
            self._hold.give(self._node, now)  # it votes for nobody else meanwhile

    # --- for itself ------------------------------------------------------------------------------------

    def stand(self, now: float, force: bool = False) -> None:
        """This node is being promoted: from now on it votes for itself, and follows nobody.

        Does nothing while it has a source; nor while it votes for another node, unless ``force`` is given. It may ask
        for votes once its ballot is recorded: then ``stands`` names it.
        """
        if self._following.source.name is not None or (not force and self._hold.at(now) not in ("", self._node)):
            return
        standing = self.stands is not None or self._record.waits_for("stood")
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
        self.stands = None

    def _take_ballot(self, seen: Iterable[Ballot], force: bool) -> None:
        self.stands = None
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
            self.stands = Ballot(durable.stood, self._node)

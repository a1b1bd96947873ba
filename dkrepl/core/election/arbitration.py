"""Whether a node that was source may serve again: it asks its peers first (rule R7).

While it was away one of them may have been promoted. It may serve once every peer has answered, and none of them is
source or holds data that descends from its own. It becomes a target and follows a peer that holds such data, or that is
source and was not elected before this node. With ``min_copies`` of 2 or more it may also serve while peers are silent,
if these are too few to have acknowledged a write without any of the others (R11, core/election/quorum.py).

A node that was initialised anew and holds nothing follows any peer that holds data: it replaces a lost node.

Some answers count as silence:

- That of a peer which was source too and is asking as well: nothing tells which of the two is to serve. There are two
  exceptions: the peer was elected before this node and holds no writes that this node lacks; or its data is known to be
  older and it was not elected after this node.
- That of a target that holds writes which this node lacks, while this node holds writes which the target lacks. The
  administrator decides which of the two is right, by promoting one or by having the target give way.
- That of a source which was elected before this node: it may lack what was acknowledged since, so it is not followed,
  and this node does not serve beside it.
- An old answer, because the peer may have been promoted since.

Before it serves it needs votes, its own among them (core/election/vote.py). W = ``min_copies`` votes of sync nodes are
enough as long as no answer names a candidate, or a source that was elected after this node: then no other node can get
the N - W + 1 votes that a promotion takes. Otherwise it needs N - W + 1 votes, and the vote of every target that
answers. It serves under the ballot of these votes; if it did not have to ask for votes, under the ballot that it had.

Only where the service manager handed over the device, and the previous daemon gave a sign of life less than
``peer_timeout`` ago, is it certain that no other node was promoted: then it waits ``quick_seconds`` at most. Otherwise
it waits ``start_alone`` seconds, or without a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import required, sync_nodes
from dkrepl.core.actions import ArbitrationAction, Commit, Event, Send
from dkrepl.core.election.contention import Contention, contention, descends
from dkrepl.core.election.quorum import decisive, decisive_to_serve, satisfied
from dkrepl.core.election.vote import next_number, of_answer, votes
from dkrepl.core.election.waiting_reason import Waiting, waiting_reason
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import is_blank
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask

Verdict = Literal["serve", "follow"]


class _Contender(NamedTuple):
    """A peer beside which this node does not serve by itself; ``seen``: the round of its last answer."""

    seen: int
    what: Contention


class Arbitration:
    """``age``: seconds since the daemon that handed over the device gave a sign of life; None: there was none."""

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        age: float | None = None,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._limits = limits
        self._quick = limits.quick_seconds
        self.verdict: Verdict | None = None
        self.reason = ""
        self.actions: list[ArbitrationAction] = []
        self.answers: dict[str, Answer] = {}  # of this round of questions or the last
        self._contenders: dict[str, _Contender] = {}  # peers that may hold more than this node; which, nothing tells
        self._heard: dict[str, int] = {}  # the round in which a peer answered last
        self._round = 0
        self._asked: dict[int, float] = {}  # the rounds whose answers count, and when they were asked
        self._metadata = metadata
        self._node = node
        self._peers = [peer.name for peer in description.peers(node)]
        self._ask = Ask(node, description.name, metadata.mirror_id)
        self._newest = Ballot()  # that an answer named
        self._asked_votes = False
        self._stand_at = 0.0  # seconds waited, after which it may be recorded that it asks for votes
        self._stood = 0  # number of the ballot that is on record
        self._terms = required(description)
        self._elected: Ballot | None = None  # under which it is to serve; None: the one that it has
        self._alone = self._quick if is_blank(metadata) else description.start_alone
        # Seconds until another node can have been promoted.
        self._lead = None if age is None else description.peer_timeout - age
        self._began: float | None = None
        self._waited = 0.0  # seconds, at the last tick
        self._ask_at = 0.0
        self._wait = limits.question_first_seconds
        self._describe()

    @property
    def missing(self) -> list[str]:
        """The peers that have not answered."""
        return [name for name in self._peers if name not in self.answers]

    def on_answer(self, answer: Answer) -> None:
        """Take the answer of a peer; one of another mirror counts as none."""
        if self.verdict is not None or answer.node not in self._peers or answer.mirror != self._ask.mirror:
            return
        if is_blank(self._metadata) and (answer.role == "source" or answer.generation):
            # This node was initialised anew, as the description's first source, but the mirror lives on elsewhere.
            self._decide("follow", f"{answer.node} holds the mirror's data already, and this node none")
            return
        if answer.mirror_id and answer.mirror_id != self._metadata.mirror_id:
            return
        if answer.number not in self._asked:
            return  # to a question of too long ago: the peer may be something else by now
        self._newest = max(self._newest, *of_answer(answer))
        if (what := contention(self._metadata, answer)) is not None:
            self.answers.pop(answer.node, None)
            self._contenders[answer.node] = _Contender(answer.number, what)
            self._describe()
            return
        self._contenders.pop(answer.node, None)
        self.answers[answer.node], self._heard[answer.node] = answer, answer.number
        if answer.role == "source":
            self._decide("follow", f"{answer.node} is source")
        elif descends(self._metadata, answer):
            self._decide("follow", f"{answer.node} holds newer data (generation {answer.generation})")
        elif not self.missing and self._has_votes():
            self._serve_elected("every peer has answered, and none holds newer data")
        else:
            self._describe()

    def advance(self, now: float) -> None:
        """Take note of the time: answers to old questions no longer count, should the loop have stood still."""
        if self._began is None:
            self._began = now
        self._waited = now - self._began
        self._asked = {number: at for number, at in self._asked.items() if now - at < self._limits.answer_fresh_seconds}
        self.answers = {name: one for name, one in self.answers.items() if self._heard[name] in self._asked}

    def tick(self, now: float) -> None:
        """Let time pass: questions, and the end of the patience."""
        if self.verdict is not None:
            return
        self.advance(now)
        waited = self._waited
        if self._lead is not None and self._quick <= waited < self._lead and not self._others:
            self._decide("serve", f"it was away for less than the peer timeout; {self._names} did not answer")
        elif waited >= self._quick and self._enough() and self._has_votes():
            self._serve_elected(f"enough peers have answered, and none holds newer data; {self._names} did not answer")
        elif self._alone is not None and waited >= self._alone and not self._patient:
            short = "every peer has answered, but it did not get the votes that it needs"
            what = f"{self._names} did not answer" if self.missing else short
            self._decide("serve", f"{what} within {self._alone:g} s", level="warning")
        elif now >= self._ask_at:
            self._ask_at = now + self._wait
            self._wait = min(self._limits.question_last_seconds, self._wait * 2)
            self._round += 1
            self._asked[self._round] = now
            self._contenders = {name: one for name, one in self._contenders.items() if one.seen >= self._round - 1}
            self._describe()
            # Votes are asked for only while they would be enough to serve: a voter follows nobody else.
            wanted = ""
            if self._ask.vote and (not self.missing or self._enough()):
                self._take_ballot()  # a newer one, if an answer has named one that is newer than ours
                wanted = "wanted" if self.stands is not None else ""
                self._asked_votes = self._asked_votes or bool(wanted)
            ask = msgspec.structs.replace(self._ask, vote=wanted, number=self._round)
            self.actions += [Send(name, ask) for name in self._peers]

    def stand(self, now: float, force: bool = False) -> None:
        """An administrator promotes this node: from now on it asks for votes, and votes for itself."""
        self.advance(now)
        self._take_ballot(force=force)

    def outbid(self, now: float, seen: Collection[Ballot]) -> None:
        """Go on asking for votes, under a ballot newer than those ``seen``."""
        self.advance(now)
        self._take_ballot(seen)

    def stand_down(self) -> None:
        """The promotion was refused. A former source keeps asking for votes by itself."""

    def _take_ballot(self, seen: Iterable[Ballot] = (), force: bool = False) -> None:
        """Ask for votes, under a ballot newer than those ``seen``, and than those that the answers named."""
        if self._waited < self._stand_at:
            return
        newest = max((*seen, self._newest))
        if not self._ask.vote or newest > Ballot(self._ask.ballot, self._node):
            number = max(next_number(self._metadata, (newest,), force), self._ask.ballot + 1)
            self._ask = msgspec.structs.replace(self._ask, vote="wanted", ballot=number)
            self.actions.append(Commit(number, metadata=msgspec.structs.replace(self._metadata, stood=number)))

    @property
    def stands(self) -> Ballot | None:
        """The ballot under which this node asks for votes, once it is on record that it does."""
        return Ballot(self._ask.ballot, self._node) if self._ask.ballot == self._stood > 0 else None

    def committed(self, number: int) -> None:
        """It is on record that this node asks for votes under the ballot of that number."""
        self._stood = max(self._stood, number)
        self._ask_at, self._wait = 0.0, self._limits.question_first_seconds

    def commit_failed(self, number: int) -> None:
        """That could not be recorded; it is tried again."""
        self._stand_at = self._waited + self._limits.commit_retry_seconds
        if number == self._ask.ballot:
            self._ask = msgspec.structs.replace(self._ask, vote="")

    def _serve_elected(self, reason: str) -> None:
        """Serve under the new ballot, unless its own vote was enough, so that nobody was asked."""
        if self._asked_votes or self._voters:
            self._elected = self.stands
        self._decide("serve", reason)

    def insist(self, ballot: Ballot | None) -> None:
        """Serve now, although peers have not answered: the administrator has promoted this node."""
        if self.verdict is None:
            self._elected = ballot
            self._decide("serve", "promoted by the administrator")

    @property
    def elected(self) -> Ballot | None:
        """The ballot under which this node is to serve, None: the one that it has."""
        return self._elected

    @property
    def vote(self) -> str:
        """For whom this node votes: for itself, once it is to ask for votes. It votes for nobody else."""
        return self._node if self._ask.vote else ""

    def _has_votes(self) -> bool:
        """Whether so many nodes vote for this one that no other can be source. Begins to ask for votes if needed.

        A target that cannot record its vote keeps nobody from serving who has votes enough without it.
        """
        if is_blank(self._metadata):
            return True  # it holds nothing
        if self._lead is not None and self._waited < self._lead:
            return not self._others  # no other node can have been promoted yet, unless an answer shows a vote for one
        voters = {self._node, *self._voters}
        every = (self._terms, *self._metadata.former)
        left = self._others or any(map(self._left_us, self.answers.values()))
        if not left and all(satisfied(terms, voters) for terms in every):
            return True
        self._take_ballot()
        withheld = [name for name, answer in self.answers.items() if answer.role == "target" and name not in voters]
        absent = {*self._peers, *(name for terms in every for name in sync_nodes(terms))} - voters
        return not withheld and not any(decisive(sorted(absent), terms) for terms in every)

    @property
    def _voters(self) -> list[str]:
        """The targets that vote for this node."""
        ballot = self.stands
        return [
            name
            for name, answer in self.answers.items()
            if ballot is not None and answer.role == "target" and votes(answer, ballot)
        ]

    def _left_us(self, answer: Answer) -> list[str]:
        """Return the nodes elected after this one for which a target has voted, or that it has followed."""
        newer = [ballot.node for ballot in of_answer(answer) if ballot > self._metadata.ballot]
        return [name for name in newer if name != self._node]

    @property
    def _others(self) -> list[str]:
        """The other nodes that have votes."""
        return sorted({answer.vote for answer in self.answers.values()} - {"", self._node})

    @property
    def _names(self) -> str:
        return ", ".join(self.missing)

    @property
    def _patient(self) -> bool:
        """Whether it waits without a limit: for ``start_alone``, or an administrator has to say who is to serve."""
        return self._alone is None or (bool(self._contenders) and self._alone != self._quick)

    def _enough(self) -> bool:
        """Whether the peers that answered must know of every write answered while this node was away (R11)."""
        for answer in self.answers.values():
            hears = answer.copy.hears if answer.copy else ""
            if hears or not answer.mirror_id or answer.terms != self._terms:
                return False  # it hears another source, knows nothing, or has other terms
            if answer.agreed and answer.agreed != self._terms:
                return False  # under its old terms fewer copies may have been enough to acknowledge a write
        agreed = self._metadata.agreed
        if self._contenders or self._metadata.former or (agreed and agreed != self._terms):
            return False  # older terms may still be in force somewhere (R14)
        return not decisive_to_serve(self.missing, self._terms)

    def _decide(self, verdict: Verdict, reason: str, level: Literal["info", "warning"] = "info") -> None:
        """``level``: of the event, unless a silent peer or the end of its role makes it a warning anyway."""
        self.verdict, self.reason = verdict, reason
        fields = {"outcome": verdict, "reason": reason, "not_answered": self.missing or None}
        level = "warning" if self.missing or verdict == "follow" else level
        self.actions.append(Event("peers_asked", level, fields))

    def _describe(self) -> None:
        targets = {name: answer for name, answer in self.answers.items() if answer.role == "target"}
        hears = {name: answer.copy.hears for name, answer in targets.items() if answer.copy}
        left = {name: self._left_us(answer) for name, answer in targets.items()} if self._ask.vote else {}
        voters = {*self._voters} if self._ask.vote and not self.missing else {*targets}
        self.reason = waiting_reason(
            Waiting(
                node=self._node,
                silent=[name for name in self.missing if name not in self._contenders],
                patience=None if self._patient else self._alone,
                hearing={name: source for name, source in hears.items() if source and source not in self._contenders},
                withheld=targets.keys() - voters,
                left={name: nodes[0] for name, nodes in left.items() if nodes},
                contenders={name: contender.what for name, contender in self._contenders.items()},
                rivals=self._others,
            )
        )

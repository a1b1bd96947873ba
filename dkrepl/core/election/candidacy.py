"""A node's candidacy: from the first of its promotions that are under way until the last is refused (rule R11).

It stands under a ballot, which its role records (core/target/voter.py, core/election/arbitration.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

import msgspec

from dkrepl.core.actions import Send
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask


class Candidate(Protocol):
    """A role that can stand for election: a target, or a former source that arbitrates."""

    @property
    def stands(self) -> Ballot | None:
        """The ballot under which this node asks for votes, once that is on record."""

    def stand(self, now: float, force: bool = False) -> None:
        """An administrator promotes this node: vote for itself; ``force``: even if it votes for another node."""

    def outbid(self, now: float, seen: Collection[Ballot]) -> None:
        """Go on as a candidate, under a ballot newer than those ``seen``."""

    def stand_down(self) -> None:
        """No promotion is under way any more: ask for no votes, if it only asked because it was promoted."""


class Candidacy:
    """Counts the promotions that are under way; one that has succeeded stays. Times are of the role's clock."""

    def __init__(self, role: Candidate) -> None:
        self._role = role
        self._under_way = 0

    @property
    def ballot(self) -> Ballot | None:
        """The ballot under which this node asks for votes, once that is on record."""
        return self._role.stands

    def begin(self, now: float, force: bool) -> None:
        """One more promotion begins; ``force``: it is to go on even if this node votes for another one."""
        self._under_way += 1
        self._role.stand(now, force)

    def go_on(self, now: float, force: bool) -> None:
        """Stand again, in a promotion that has begun: what kept this node from standing may have passed."""
        self._role.stand(now, force)

    def outbid(self, now: float, seen: Collection[Ballot]) -> None:
        """Go on under a ballot newer than those ``seen``."""
        self._role.outbid(now, seen)

    def refused(self) -> Ballot | None:
        """One promotion was refused. Returns the ballot under which the votes are to be given back, if they are."""
        self._under_way = max(0, self._under_way - 1)
        ballot = self._role.stands
        if self._under_way:
            return None
        self._role.stand_down()
        return ballot if self._role.stands is None else None


def withdrawals(ask: Ask, peers: Iterable[str], ballot: Ballot) -> list[Send]:
    """Return what tells the peers that their votes under ``ballot`` are no longer needed."""
    withdrawn = msgspec.structs.replace(ask, vote="withdrawn", ballot=ballot.number)
    return [Send(peer, withdrawn) for peer in peers]

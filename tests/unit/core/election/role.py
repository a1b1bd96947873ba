"""Beta, a target that stands for election: what it says of itself, and a role that notes what it is told."""

from __future__ import annotations

from collections.abc import Collection

from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Copy

OWN = Answer(
    node="beta",
    mirror="r0",
    mirror_id="m1",
    role="target",
    generation="g3",
    history=[],
    copy=Copy(mode="sync", store_state="Consistent"),
    vote="beta",
)


class Role:
    """A role that records at once what it is told; with ``steadfast`` it asks for votes by itself as well."""

    def __init__(self, steadfast: bool = False) -> None:
        self.stands: Ballot | None = None
        self.told: list[str] = []
        self._steadfast = steadfast

    def stand(self, now: float, force: bool = False) -> None:
        self.told.append("stand, by force" if force else "stand")
        self.stands = self.stands or Ballot(1, "beta")

    def outbid(self, now: float, seen: Collection[Ballot]) -> None:
        self.told.append("outbid")
        self.stands = Ballot(max(seen).number + 1, "beta")

    def stand_down(self) -> None:
        self.told.append("stand down")
        if not self._steadfast:
            self.stands = None

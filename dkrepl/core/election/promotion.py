"""What is lost if a node is promoted: computed only from what it and the peers that answered say of their copies.

    a source answers, or this node hears one                         -> SourceAlive: not possible, even by force
    a peer hears a source                                            -> PeerHearsSource
    a peer was source, and will serve again                          -> SourceReturns
    a peer, or this node, hands the mirror over to another           -> HandingOver
    nodes are silent that may hold what no other node has      (R11) -> NoQuorum
    descriptions differ, or changed since the node followed    (R14) -> DescriptionsDiffer
    a flush of this node's store failed                        (R15) -> StoreFailed
    this copy is Inconsistent                                   (R6) -> Inconsistent
    this node is, or was in its last epoch, asynchronous      (R4) -> Asynchronous
    this node lost power after it was last in sync              (R4) -> PowerLost
    a peer holds a newer generation                             (R7) -> PeerNewer
    a peer holds one that this node lacks, or was found to      (R7) -> SplitBrain
    another node asks for votes, and has some                  (R11) -> RivalPromotion
    a target that answered did not vote for this node,
      or this one could not record that it asks for votes      (R11) -> NoVote
    otherwise: nothing that was acknowledged can be missing              -> safe

Any but the first can be overruled by force, with the token of a dry run.

Safe means that every acknowledged write is here (R11). An acknowledged write is on ``min_copies`` sync nodes (with 1,
on any one node), each of which knows its generation. So it is enough that any ``min_copies`` of them include one that
answers here, and that no node which answers knows a newer generation than this one. A silent node that is declared
*fenced* need not answer: the administrator, or a cluster manager, vouches that it was off, or cut off from its
applications, before it could acknowledge a write without this node. Then this node must also have been InSync until it
lost the source (NotInSync), and no peer may have heard the source for longer (PeerHeardLonger).

Bytes and seconds mean "at least": no node that answers knows what a silent source acknowledged on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from dkrepl.config.description import Description
from dkrepl.core.election.objections import Silent, lineage, living_source, reasons_against, remedy, silent_nodes
from dkrepl.core.election.outlook import Outlook, outlook_of
from dkrepl.core.election.rivals import missing_votes, rivals
from dkrepl.core.election.token import token_of
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What a promotion of ``node`` means. ``token`` goes with ``--force``; it changes with the facts, not with time.

    ``codes`` and ``reasons`` belong together, in this order. ``remedy`` says what would make it safe, if anything can.
    """

    mirror: str
    node: str
    possible: bool
    safe: bool
    codes: tuple[str, ...]
    reasons: tuple[str, ...]
    remedy: str | None
    not_answered: tuple[Silent, ...]
    token: str
    recommended: str | None
    nodes: tuple[Outlook, ...]


def assess(
    description: Description,
    own: Answer,
    peers: Mapping[str, Answer | None],
    fenced: Collection[str] = (),
    candidate: bool = False,
    ballot: Ballot | None = None,
) -> Assessment:
    """Return what a promotion of the node that gives ``own`` means.

    ``peers``: by name, None if one does not answer. ``fenced``: nodes that cannot have acknowledged a write without it.
    ``candidate``: whether it asked for votes, under ``ballot``; a dry run does not.
    """
    answers: dict[str, Answer | None] = {
        node.name: own if node.name == own.node else peers.get(node.name) for node in description.nodes
    }
    there = [answer for answer in answers.values() if answer is not None]
    alive = living_source(own, there)
    silent = silent_nodes(description, own, answers, fenced)
    against = [] if alive else reasons_against(description, own, answers, silent)
    reasons = [alive] if alive else [*against, *rivals(own, answers)]
    if candidate and not alive:
        reasons += missing_votes(description, own, answers, silent, ballot)
    outlooks = tuple(outlook_of(description, name, own, answer, there) for name, answer in answers.items())
    return Assessment(
        mirror=description.name,
        node=own.node,
        possible=alive is None,
        safe=not reasons,
        codes=tuple(reason.code for reason in reasons),
        reasons=tuple(reason.text for reason in reasons),
        remedy=None if alive else remedy(own, reasons, silent),
        not_answered=silent,
        token=token_of(own, there, against, outlooks, fenced),
        recommended=None if alive else _recommended(description, there, outlooks),
        nodes=outlooks,
    )


def _recommended(description: Description, there: list[Answer], outlooks: tuple[Outlook, ...]) -> str:
    """Return the reachable node that loses least; of equal ones the first in the description, on every node."""
    order = [node.name for node in description.nodes]

    def loses(answer: Answer) -> tuple[bool, bool, int, bool, int, bool, bool, bool, float, int]:
        found = next(one for one in outlooks if one.node == answer.node)
        newer = sum(lineage(answer, other) == "newer" for other in there)
        bytes_ = found.lost_bytes
        return (
            bool(answer.store_failed),
            found.store_state == "Inconsistent",
            newer,
            bytes_ is None,
            bytes_ or 0,
            found.mode != "sync",
            bool(answer.copy and answer.copy.power_lost),
            answer.role != "arbitrating",
            -(found.in_sync_as_of or 0.0) if bytes_ != 0 else 0.0,
            order.index(answer.node),
        )

    return min(there, key=loses).node

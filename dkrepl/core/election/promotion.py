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
from xxhash import xxh3_64_hexdigest

from dkrepl.config.description import Description
from dkrepl.core.election.objections import (
    Lineage,
    Silent,
    lineage,
    lived_on,
    living_source,
    reasons_against,
    remedy,
    silent_nodes,
)
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Copy

_NOTHING = Copy()


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One node: what it is, and what would be lost if it were promoted now. Null is: not known."""

    node: str
    mode: str
    reachable: bool
    role: str | None = None  # "source", "target" or "arbitrating", which is a former source that has not decided yet
    state: str | None = None
    store_state: str | None = None
    generation: str | None = None
    lineage: Lineage | None = None  # of its generation, seen from the node that asks
    hears: str | None = None  # the source that it hears
    in_sync_as_of: float | None = None  # Unix seconds, by the clock of the source that it followed
    lost_seconds: float | None = None  # at least
    lost_bytes: int | None = None  # at least
    overwritten_bytes: int | None = None  # of what it holds, later, if the node that asks is promoted


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
    reasons = [alive] if alive else reasons_against(description, own, answers, silent, candidate, ballot)
    outlooks = tuple(_outlook(description, name, own, answer, there) for name, answer in answers.items())
    return Assessment(
        mirror=description.name,
        node=own.node,
        possible=alive is None,
        safe=not reasons,
        codes=tuple(reason.code for reason in reasons),
        reasons=tuple(reason.text for reason in reasons),
        remedy=None if alive else remedy(own, reasons, silent),
        not_answered=silent,
        token=_token(own, answers, outlooks, fenced),
        recommended=None if alive else _recommended(description, there, outlooks),
        nodes=outlooks,
    )


def _outlook(description: Description, name: str, own: Answer, answer: Answer | None, there: list[Answer]) -> Outlook:
    seconds, lost = _loss(description, own, there)
    if answer is None:
        follows = own.copy.follows if own.copy else ""
        return Outlook(
            node=name,
            mode=description.node(name).mode,
            reachable=False,
            overwritten_bytes=lost if lost and name == follows else None,
        )
    copy, overwritten = answer.copy or _NOTHING, None
    if answer is own:
        overwritten = 0
    else:
        overwritten = _overwritten(own, answer)
        seconds, lost = (None, None) if answer.role == "source" else _loss(description, answer, there)
    return Outlook(
        node=name,
        mode=description.node(name).mode,
        reachable=True,
        role=answer.role,
        state=copy.state or None,
        store_state=copy.store_state or None,
        generation=answer.generation,
        lineage=lineage(own, answer),
        hears=copy.hears or None,
        in_sync_as_of=copy.in_sync_as_of if copy.store_state != "Inconsistent" else None,
        lost_seconds=seconds,
        lost_bytes=lost,
        overwritten_bytes=overwritten,
    )


def _loss(description: Description, node: Answer, there: list[Answer]) -> tuple[float | None, int | None]:
    """Return seconds and bytes of acknowledged writes that a copy lacks, according to the nodes that answered."""
    copy = node.copy or _NOTHING
    if copy.store_state == "Inconsistent":
        return None, None
    others = [other for other in there if other is not node]
    ahead = [other for other in others if lineage(node, other) in ("newer", "diverged")]
    if node.role == "arbitrating":
        return (None, None) if ahead else (0.0, 0)
    kept = copy.mode == "sync" and copy.in_sync_when_lost
    if kept and not ahead and not any(lived_on(description, copy, other.copy or _NOTHING) for other in others):
        return 0.0, 0  # R4: what the source acknowledged is here
    if any(not other.copy or not copy.session or other.copy.session != copy.session for other in ahead):
        return None, None  # newer data, of another session: how much cannot be told
    fellows = [other.copy for other in there if other.copy and copy.session and other.copy.session == copy.session]
    lost = copy.missing_bytes
    if lost is None and fellows:
        lost = max(max(fellow.head_bytes, fellow.applied_bytes) for fellow in fellows) - copy.applied_bytes
    heard = [fellow.heard_at for fellow in (*fellows, copy) if fellow.heard_at is not None]
    if lost == 0 and not ahead:
        return 0.0, 0
    if copy.in_sync_as_of is None or not heard:
        return None, lost
    return round(max(max(heard) - copy.in_sync_as_of, 0.0), 3), lost


def _overwritten(own: Answer, other: Answer) -> int | None:
    """Return how many bytes of what a peer holds are not here: they give way if this node is promoted."""
    kin = lineage(own, other)
    mine, theirs = own.copy or _NOTHING, other.copy or _NOTHING
    if mine.session and mine.session == theirs.session:
        return max(theirs.applied_bytes - mine.applied_bytes, 0)
    return 0 if kin == "older" else None


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


def _token(
    own: Answer, answers: Mapping[str, Answer | None], outlooks: tuple[Outlook, ...], fenced: Collection[str]
) -> str:
    """Return 8 hex digits that change with what the figures rest on. A source that is alive goes on, so what follows
    from its writes is left out."""
    facts: list[object] = [own.mirror, own.node, sorted(fenced), own.store_failed, sorted(own.agreed.items())]
    for found in outlooks:
        answer = answers[found.node]
        facts.append((found.node, found.mode, found.reachable))
        if answer is not None:
            copy = answer.copy or _NOTHING
            rival = answer.vote if answer is not own and answer.vote != own.node else ""
            facts.append((answer.role, copy.store_state, copy.hears, rival))
            if answer.role != "source" and not copy.hears:
                facts.append((answer.generation, copy.in_sync_when_lost, copy.session, copy.applied, copy.head_bytes))
                facts.append((copy.missing_bytes, copy.mode, copy.power_lost))
    return xxh3_64_hexdigest(msgspec.json.encode(facts))[:8]

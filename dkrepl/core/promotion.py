"""What is lost if a node is promoted: a pure function of what it and the peers that answered say of their copies.

    a source answers, or this node hears one                         -> not possible, even by force
    a peer hears a source; a peer was source and waits               -> force
    this copy is Inconsistent                                        -> force  (R6)
    this node was not InSync when it last heard of a source          -> force  (R4)
    this node is asynchronous                                        -> force  (R4)
    a peer holds a newer generation, or one that this node lacks     -> force  (R7)
    a peer heard the same source for longer than this node           -> force  (R4)
    this node was source, and a peer does not answer                 -> force  (R7)
    otherwise: nothing that was acknowledged is lost                 -> safe

That holds as far as anybody who answered can know. What a source answered on its own, after all of them had lost it, is
known to nobody here: bytes and seconds mean "at least".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from xxhash import xxh3_64_hexdigest

from dkrepl.core.description import Description
from dkrepl.core.generation import spared
from dkrepl.core.messages import Answer, Copy

Lineage = Literal["same", "older", "newer", "diverged"]
_LIVED_ON = 0.5  # of a peer timeout, that a peer heard the source for longer: more than two heartbeats
_NOTHING = Copy()


class Outlook(msgspec.Struct, frozen=True):
    """One node: what it is, and what would be lost if it were promoted now. Null is: not known."""

    node: str
    mode: str
    reachable: bool
    role: str | None = None  # "source", "target" or "asking", which is a former source that has not decided yet
    state: str | None = None
    store_state: str | None = None
    generation: str | None = None
    lineage: Lineage | None = None  # of its generation, seen from the node that asks
    hears: str | None = None  # the source that it hears
    in_sync_as_of: float | None = None  # Unix seconds, by the clock of the source that it followed
    lost_seconds: float | None = None  # at least
    lost_bytes: int | None = None  # at least
    overwritten_bytes: int | None = None  # of what it holds, later, if the node that asks is promoted


class Assessment(msgspec.Struct, frozen=True):
    """What a promotion of ``node`` means. ``token`` goes with ``--force``; it changes with the facts, not with time."""

    mirror: str
    node: str
    possible: bool
    safe: bool
    reasons: tuple[str, ...]
    token: str
    recommended: str | None
    nodes: tuple[Outlook, ...]


def assess(description: Description, own: Answer, peers: Mapping[str, Answer | None]) -> Assessment:
    """Return what a promotion of the node that gives ``own`` means; ``peers``: by name, None if one does not answer."""
    answers: dict[str, Answer | None] = {
        node.name: own if node.name == own.node else peers.get(node.name) for node in description.nodes
    }
    there = [answer for answer in answers.values() if answer is not None]
    alive = _living_source(own, there)
    reasons = [alive] if alive else _reasons(description, own, answers)
    outlooks = tuple(_outlook(description, name, own, answer, there) for name, answer in answers.items())
    return Assessment(
        description.name,
        own.node,
        alive is None,
        not reasons,
        tuple(reasons),
        _token(own, answers, outlooks),
        None if alive else _recommended(own, there, outlooks) if reasons else own.node,
        outlooks,
    )


def lineage(own: Answer, other: Answer) -> Lineage:
    """Return how the data of ``other``, which answered ``own``, is related to ours, from the generations of both.

    A generation under which nothing was answered without us is as good as the same.
    """
    if own.generation == other.generation:
        return "same"
    if own.generation and other.generation and spared(other.base, other.generation):
        return "same"
    if not own.generation or own.generation in other.history:
        return "newer"
    if not other.generation or other.generation in own.history:
        return "older"
    return "diverged"


def _living_source(own: Answer, there: list[Answer]) -> str | None:
    if own.copy and own.copy.hears:
        return f"{own.copy.hears} is alive and source of {own.mirror}; demote it first, or stop it"
    for other in there:
        if other.role == "source":
            return f"{other.node} is alive and source of {own.mirror}; demote it first, or stop it"
    return None


def _reasons(description: Description, own: Answer, answers: Mapping[str, Answer | None]) -> list[str]:
    """Return why data may be lost, a sentence each."""
    me, copy = own.node, own.copy or _NOTHING
    reasons = []
    if own.role == "asking":
        missing = [name for name, answer in answers.items() if answer is None]
        if missing:
            reasons.append(f"{', '.join(missing)} may have been promoted while this node was away, and does not answer")
    elif copy.store_state == "Inconsistent":
        reasons.append(f"the copy on {me} is in the middle of a resync and holds parts of two states")
    elif not copy.in_sync_when_lost:
        reasons.append(
            f"{me} was not InSync when it last heard of a source, so writes that the source has answered may be missing"
        )
    elif copy.mode == "async":
        reasons.append(f"{me} is asynchronous, so the last writes that the source has answered may be missing")
    for other in answers.values():
        if other is None or other is own:
            continue
        theirs = other.copy or _NOTHING
        kin = lineage(own, other)
        if theirs.hears:
            reasons.append(f"{other.node} hears {theirs.hears}, so that source is alive, and serves applications")
        if kin == "newer":
            reasons.append(f"{other.node} holds newer data (generation {other.generation})")
        elif kin == "diverged":
            reasons.append(f"{other.node} holds writes that {me} lacks (generation {other.generation}): split-brain")
        elif other.role == "asking" and own.role != "asking":
            reasons.append(f"{other.node} was source, and will serve again once its peers have answered")
        elif _lived_on(description, copy, theirs):
            reasons.append(f"{other.node} heard the source for longer than {me}, which may lack what was answered then")
    return reasons


def _lived_on(description: Description, copy: Copy, theirs: Copy) -> bool:
    """Whether a peer heard the source after we had lost it: it went on without us."""
    if not copy.session or copy.session != theirs.session or copy.heard_at is None or theirs.heard_at is None:
        return False
    return theirs.heard_at - copy.heard_at > _LIVED_ON * description.peer_timeout


def _outlook(description: Description, name: str, own: Answer, answer: Answer | None, there: list[Answer]) -> Outlook:
    seconds, lost = _loss(description, own, there)
    if answer is None:
        follows = own.copy.follows if own.copy else ""
        return Outlook(
            name, description.node(name).mode, False, overwritten_bytes=lost if lost and name == follows else None
        )
    copy, overwritten = answer.copy or _NOTHING, None
    if answer is own:
        overwritten = 0
    else:
        overwritten = _overwritten(own, answer)
        seconds, lost = (None, None) if answer.role == "source" else _loss(description, answer, there)
    return Outlook(
        name,
        description.node(name).mode,
        True,
        answer.role,
        copy.state or None,
        copy.store_state or None,
        answer.generation,
        lineage(own, answer),
        copy.hears or None,
        copy.in_sync_as_of if copy.store_state != "Inconsistent" else None,
        seconds,
        lost,
        overwritten,
    )


def _loss(description: Description, node: Answer, there: list[Answer]) -> tuple[float | None, int | None]:
    """Return seconds and bytes of answered writes that a copy lacks, as far as anybody who answered knows."""
    copy = node.copy or _NOTHING
    if copy.store_state == "Inconsistent":
        return None, None
    others = [other for other in there if other is not node]
    ahead = [other for other in others if lineage(node, other) in ("newer", "diverged")]
    if node.role == "asking":
        return (None, None) if ahead else (0.0, 0)
    kept = copy.mode == "sync" and copy.in_sync_when_lost
    if kept and not ahead and not any(_lived_on(description, copy, other.copy or _NOTHING) for other in others):
        return 0.0, 0  # R4: what the source answered is here
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


def _recommended(own: Answer, there: list[Answer], outlooks: tuple[Outlook, ...]) -> str:
    """Return the reachable node that loses least; this one, if no other loses less."""

    def loses(answer: Answer) -> tuple[bool, int, bool, int, bool, float, bool]:
        found = next(one for one in outlooks if one.node == answer.node)
        newer = sum(lineage(answer, other) == "newer" for other in there)
        bytes_ = found.lost_bytes
        return (
            found.store_state == "Inconsistent",
            newer,
            bytes_ is None,
            bytes_ or 0,
            found.mode != "sync",
            -(found.in_sync_as_of or 0.0),
            answer is not own,
        )

    return min(there, key=loses).node


def _token(own: Answer, answers: Mapping[str, Answer | None], outlooks: tuple[Outlook, ...]) -> str:
    """Return 8 hex digits that change with what the figures rest on. A source that is alive goes on, so what follows
    from its writes is left out."""
    facts: list[object] = [own.mirror, own.node]
    for found in outlooks:
        answer = answers[found.node]
        facts.append((found.node, found.mode, found.reachable))
        if answer is not None:
            copy = answer.copy or _NOTHING
            facts.append((answer.role, copy.store_state, copy.hears))
            if answer.role != "source" and not copy.hears:
                facts.append((answer.generation, copy.in_sync_when_lost, copy.session, copy.applied, copy.head_bytes))
                facts.append((copy.missing_bytes, copy.mode))
    return xxh3_64_hexdigest(msgspec.json.encode(facts))[:8]

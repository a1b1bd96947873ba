"""Why a promotion may lose acknowledged writes: each reason with a stable code (R4, R6, R7, R11, R14, R15).

The table of codes is in core/election/promotion.py, which assesses a promotion as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import differences, required, sync_nodes
from dkrepl.config.units import format_time
from dkrepl.core.election import quorum
from dkrepl.core.lineage.generation import spared
from dkrepl.core.protocol.messages import Answer, Copy

Lineage = Literal["same", "older", "newer", "diverged"]
_LIVED_ON = 0.5  # of a peer timeout: a peer that heard the source for so much longer got more than two heartbeats more
_NOTHING = Copy()


class Reason(NamedTuple):
    """Why an acknowledged write may be missing; ``code`` is stable."""

    code: str
    text: str


class Silent(msgspec.Struct, frozen=True):
    """A node that did not answer. ``decides``: whether a safe promotion needs its answer, or its fencing.

    ``alone_since``: it may have acknowledged writes without this node since then (Unix seconds by the source's clock);
    null: at any time.
    """

    node: str
    decides: bool
    fenced: bool
    alone_since: float | None


def lineage(own: Answer, other: Answer) -> Lineage:
    """Return how the data of ``other``, which answered ``own``, is related to ours, from the generations of both.

    A generation under which nothing was acknowledged without us is as good as the same.
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


def living_source(own: Answer, there: list[Answer]) -> Reason | None:
    """Return why no promotion is possible at all: a source is alive."""
    alive = own.copy.hears if own.copy and own.copy.hears else None
    for other in there:
        if other.role == "source":
            alive = alive or other.node
    if alive is None:
        return None
    return Reason("SourceAlive", f"{alive} is alive and source of {own.mirror}; demote it first, or stop it")


def silent_nodes(
    description: Description, own: Answer, answers: Mapping[str, Answer | None], fenced: Collection[str]
) -> tuple[Silent, ...]:
    """Return the nodes that did not answer, or that know nothing, which counts as silence (R11)."""
    copy = own.copy or _NOTHING
    # A newly initialised node knows of no generation, even if its predecessor of the same name did.
    silent = [name for name, answer in answers.items() if answer is None or (own.mirror_id and not answer.mirror_id)]
    decisive: set[str] = set()
    # Also by older terms, as long as writes may have been acknowledged under those alone (R14).
    for terms in (required(description), *own.former):
        gone = [name for name in sorted(sync_nodes(terms)) if name not in answers]
        silent += [name for name in gone if name not in silent]
        unfenced = [name for name in silent if name not in fenced]
        if own.role == "arbitrating":
            decisive.update(quorum.decisive_to_serve(unfenced, terms))
        else:
            decisive.update(quorum.decisive(unfenced, terms))
    since = copy.heard_at if copy.in_sync_when_lost else copy.in_sync_as_of
    return tuple(
        Silent(name, name in decisive, name in fenced, since if name == copy.follows else None) for name in silent
    )


def reasons_against(
    description: Description, own: Answer, answers: Mapping[str, Answer | None], silent: tuple[Silent, ...]
) -> list[Reason]:
    """Return all the reasons why an acknowledged write may be missing, a sentence each; none of them names a time."""
    me = own.node
    reasons = _of_silence(description, own, answers, silent)
    if own.next_source:
        reasons.append(
            Reason("HandingOver", f"{me} is handing the mirror over to {own.next_source}, which may be source now")
        )
    if own.store_failed:
        text = f"a flush of the store of {me} failed, so writes before it may be missing ({own.store_failed})"
        reasons.append(Reason("StoreFailed", text))
    if own.role != "arbitrating":
        reasons += _of_copy(description, own, silent)
    terms = required(description)
    if own.agreed and own.agreed != terms:
        changed = ", ".join(map(str, differences(terms, own.agreed)))
        text = f"the description of {me} has changed since it last followed a source: {changed}"
        reasons.append(Reason("DescriptionsDiffer", text))
    for name in own.split_brain:
        if (other := answers.get(name)) is None or lineage(own, other) == "diverged":
            text = f"{me} and {name} each hold writes that the other lacks: a split-brain that is not resolved"
            reasons.append(Reason("SplitBrain", text))
    for peer in answers.values():
        if peer is not None and peer is not own:
            reasons += _of_peer(description, own, peer, silent)
    return reasons


def _of_silence(
    description: Description, own: Answer, answers: Mapping[str, Answer | None], silent: tuple[Silent, ...]
) -> list[Reason]:
    """R11: whether silent nodes may hold an acknowledged write that no other node has."""
    decisive = [one for one in silent if one.decides]
    if not decisive:
        return []
    names = ", ".join(one.node for one in decisive)
    blank = [one.node for one in decisive if answers.get(one.node) is not None]
    what = f"{names} did not answer" + (f" ({', '.join(blank)}: newly initialised, holds nothing)" if blank else "")
    if own.role == "arbitrating":
        text = f"{what}, and may have been promoted while this node was away"
    else:
        least = description.min_copies
        text = f"{what}, and with min_copies = {least} may hold acknowledged writes that no other node has"
    return [Reason("NoQuorum", text)]


def _of_copy(description: Description, own: Answer, silent: tuple[Silent, ...]) -> list[Reason]:
    me, copy = own.node, own.copy or _NOTHING
    reasons = []
    if copy.store_state == "Inconsistent":
        text = f"the copy on {me} is part old, part new: it is in the middle of a resync, or its store failed"
        reasons.append(Reason("Inconsistent", text))
    if copy.mode == "async" or copy.last_mode == "async":
        text = f"{me} is asynchronous, so the last writes that the source acknowledged may be missing"
        reasons.append(Reason("Asynchronous", text))
    if copy.power_lost:
        text = f"{me} lost power after it was last InSync, and with it the writes that it had not flushed"
        reasons.append(Reason("PowerLost", text))
    if not own.mirror_id:
        text = f"{me} has never followed a source, so it holds nothing of the mirror's data"
        reasons.append(Reason("NotInSync", text))
    elif _by_word(description, own, silent) and not copy.in_sync_when_lost:
        text = f"{me} was not InSync when it last heard from a source, so acknowledged writes may be missing"
        reasons.append(Reason("NotInSync", text))
    return reasons


def _by_word(description: Description, own: Answer, silent: tuple[Silent, ...]) -> bool:
    """Whether the promotion depends on nodes declared fenced; then what this node knows must be complete as well."""
    unheard = [one.node for one in silent]
    return bool(quorum.decisive(unheard, required(description)))


def _of_peer(description: Description, own: Answer, peer: Answer, silent: tuple[Silent, ...]) -> list[Reason]:
    me, copy, theirs = own.node, own.copy or _NOTHING, peer.copy or _NOTHING
    reasons = []
    if theirs.hears:
        text = f"{peer.node} hears {theirs.hears}, so that source is alive, and may serve applications"
        reasons.append(Reason("PeerHearsSource", text))
    terms = required(description)
    if peer.terms and peer.terms != terms:
        changed = ", ".join(map(str, differences(terms, peer.terms)))
        reasons.append(Reason("DescriptionsDiffer", f"{peer.node} has another description: {changed}"))
    if peer.agreed and peer.agreed not in (terms, peer.terms):
        changed = ", ".join(map(str, differences(terms, peer.agreed)))
        text = f"{peer.node} last served or followed under another description: {changed}"
        reasons.append(Reason("DescriptionsDiffer", text))
    if peer.next_source and peer.next_source != me:
        text = f"{peer.node} is handing the mirror over to {peer.next_source}, which may be source now"
        reasons.append(Reason("HandingOver", text))
    kin = lineage(own, peer)
    if kin == "newer":
        reasons.append(Reason("PeerNewer", f"{peer.node} holds newer data (generation {peer.generation})"))
    if kin == "diverged":
        text = f"{peer.node} holds writes that {me} lacks (generation {peer.generation}): split-brain"
        reasons.append(Reason("SplitBrain", text))
    if peer.role == "arbitrating" and own.role != "arbitrating":
        text = f"{peer.node} was source, and will serve again once its peers have answered"
        reasons.append(Reason("SourceReturns", text))
    if _by_word(description, own, silent) and lived_on(description, copy, theirs):
        text = f"{peer.node} heard the source for longer than {me}, which may lack writes acknowledged since"
        reasons.append(Reason("PeerHeardLonger", text))
    return reasons


def remedy(own: Answer, reasons: list[Reason], silent: tuple[Silent, ...]) -> str | None:
    """Return what would make the promotion safe; None unless silent nodes are the only reason against it."""
    decisive = [one for one in silent if one.decides]
    if not decisive or {reason.code for reason in reasons} != {"NoQuorum"}:
        return None
    parts = []
    for one in decisive:
        when = "before it could acknowledge a write without this node"
        if one.alone_since is not None:
            since = format_time(one.alone_since)
            when = f"by {since}; it may have acknowledged writes without {own.node} since then"
        fence = f"declare it fenced (--fenced {one.node}) if it was off {when}"
        parts.append(f"{one.node}: start or reconnect it, or {fence}")
    return "; ".join(parts)


def lived_on(description: Description, copy: Copy, theirs: Copy) -> bool:
    """Whether a peer heard the source after we had lost it: it went on without us."""
    if not copy.session or copy.session != theirs.session or copy.heard_at is None or theirs.heard_at is None:
        return False
    return theirs.heard_at - copy.heard_at > _LIVED_ON * description.peer_timeout

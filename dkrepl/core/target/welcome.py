"""Whether a target may take a Welcome: why not, in the order in which it is looked at."""

from __future__ import annotations

from typing import NamedTuple

from dkrepl.config.terms import Terms, disagreement
from dkrepl.core.election.vote import newest
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Welcome


class Objection(NamedTuple):
    """Why a target does not follow: a code, if there is one for status, and a sentence."""

    code: str
    text: str


def older_source(metadata: NodeMetadata, peer: str, welcome: Welcome) -> Objection | None:
    """R11: return why ``peer``, which was elected before a node that this one knows of, is not followed.

    The node that was elected since relies on its voters: if they went back to the old source, both could acknowledge
    writes.
    """
    if welcome.ballot >= newest(metadata) or metadata.yields_to == peer:
        return None
    return Objection("Elected", _elected_since(metadata, peer, welcome))


def objection(metadata: NodeMetadata, terms: Terms, peer: str, welcome: Welcome) -> Objection | None:
    """Return why the copy of ``peer`` cannot be followed, None if it can. ``terms``: of this node's description."""
    if not PROTOCOL_MIN <= welcome.protocol <= PROTOCOL_MAX:
        text = f"{peer} chose protocol {welcome.protocol}, which this node does not speak; upgrade the older of the two"
        return Objection("", text)
    if metadata.mirror_id and metadata.mirror_id != welcome.mirror_id:
        return Objection("", f"{peer} offers another mirror ({welcome.mirror_id}); check the description")
    text_of = disagreement(terms, welcome.terms, peer, metadata.mirror)
    return None if text_of is None else Objection("", text_of)


def _elected_since(metadata: NodeMetadata, peer: str, welcome: Welcome) -> str:
    """Return why, and what to do so that the mirror serves on, with what is to be kept.

    What this node holds is part of the source's data, or the source would not have let it in. To demote that source is
    advised only where it holds nothing more: else only it could be promoted again without a loss.
    """
    here = metadata.node
    elected = newest(metadata).node
    followed = metadata.follows or elected  # after a switchover another node serves under the same ballot
    keep = f"run dkrepl resolve --keep {peer} on {here}"
    if peer == elected or (peer == followed and not metadata.promised):
        return (
            f"{here} knows of a newer election of {peer} than {peer} itself; it asks {peer} about that, but if "
            f"{peer} was restored or initialised anew, {keep}"
        )
    if metadata.promised:
        return (
            f"{here} has voted for {elected} since it last followed {peer}, and {elected} may be source: start or "
            f"reconnect {elected}; if it is off for good, {keep}"
        )
    if followed != here:
        return (
            f"{here} has followed {followed}, which was elected after {peer}, and may be source: start or reconnect "
            f"{followed}; if it is off for good, or what {peer} has is to be kept, {keep}"
        )
    if welcome.generation in (metadata.generation, *metadata.history) and not metadata.forced:
        return (
            f"{here} was elected after {peer}, which holds nothing that {here} lacks: demote {peer} and promote "
            f"{here}; or, if {peer} is to stay source, {keep}"
        )
    return f"{here} was elected after {peer}, which may hold writes that {here} lacks; to keep them, {keep}"

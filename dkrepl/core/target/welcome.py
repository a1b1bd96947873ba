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

    The node that was elected since relies on its voters: if they went back to the old source, both could answer writes.
    """
    if welcome.ballot >= newest(metadata) or metadata.yields_to == peer:
        return None
    return Objection("Elected", _elected_since(metadata, peer))


def objection(metadata: NodeMetadata, terms: Terms, peer: str, welcome: Welcome) -> Objection | None:
    """Return why the copy of ``peer`` cannot be followed, None if it can. ``terms``: of this node's description."""
    if not PROTOCOL_MIN <= welcome.protocol <= PROTOCOL_MAX:
        text = f"{peer} chose protocol {welcome.protocol}, which this node does not speak; upgrade it"
        return Objection("", text)
    if metadata.mirror_id and metadata.mirror_id != welcome.mirror_id:
        return Objection("", f"{peer} offers another mirror ({welcome.mirror_id}); check the description")
    text_of = disagreement(terms, welcome.terms, peer, metadata.mirror)
    return None if text_of is None else Objection("", text_of)


def _elected_since(metadata: NodeMetadata, peer: str) -> str:
    here = metadata.node
    elected = newest(metadata).node
    if elected == peer:
        return (
            f"{here} knows of a newer election of {peer} than {peer} itself; it asks {peer} about that, but if "
            f"{peer} was restored or initialised anew, run dkrepl resolve --keep {peer} on {here}"
        )
    if metadata.promised:
        why = f"{here} has voted for {elected} since it last followed {peer}, and {elected} may be source"
        when = f"if {elected} is off for good"
    else:
        elected = metadata.follows or elected
        followed = "was elected" if elected == here else f"has followed {elected}, which was elected"
        why = f"{here} {followed} after {peer}"
        when = f"demote {peer}, or, if what {peer} has is to be kept"
    return f"{why}; {when}, run dkrepl resolve --keep {peer} on {here}"

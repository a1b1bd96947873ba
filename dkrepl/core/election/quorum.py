"""Whether the nodes that are silent can hold an acknowledged write that none of the others has (rules R11 and R14).

A write is acknowledged when W = ``min_copies`` of the N sync nodes have it: the source, and the sync targets that are
in sync. So at most W - 1 of the N may be silent: any W of them then include one that answers, and that one knows. The
copy of an asynchronous node that was made source does not count, for the others need not know of it. Only where one
copy is enough it does (it could never serve alone otherwise), so there no node at all may be silent.

When a description changes, the nodes that still have the old one could promote a node by the old rules. Until W of the
old nodes have recorded the new description, no write is acknowledged that does not satisfy the old rules as well; any
N - W + 1 of the old nodes then include one that knows of the change. This is the joint step of a change of membership,
as in Ongaro, "Consensus: Bridging Theory and Practice", section 4.3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import min_copies, required, sync_nodes
from dkrepl.core.lineage.metadata import NodeMetadata


def decisive(silent: Collection[str], terms: Mapping[str, str]) -> list[str]:
    """Return the ``silent`` nodes that together may hold an acknowledged write that no other node has, if they may.

    Where one copy is enough, any of them may have been made source, and have acknowledged writes alone.
    """
    least = min_copies(terms)
    counted = [name for name in silent if least == 1 or name in sync_nodes(terms)]
    return counted if len(counted) >= least else []


def decisive_to_serve(silent: Collection[str], terms: Mapping[str, str]) -> list[str]:
    """Return the ``silent`` nodes without whose answers a former source may not serve; none if it may.

    Any of them, an asynchronous one as well, may have been promoted by force and have acknowledged writes with the
    other silent ones.
    """
    return list(silent) if decisive(silent, terms) else []


def begun(metadata: NodeMetadata, description: Description) -> NodeMetadata:
    """Return the record of a node that is source under ``description`` from now on.

    Terms under which it served or followed before stay in ``former`` until enough nodes know the new ones.
    """
    now = required(description)
    if metadata.agreed == now:
        return metadata
    former = metadata.former
    if metadata.agreed and _electorate(metadata.agreed) != _electorate(now):
        former = (*(terms for terms in former if terms != metadata.agreed), metadata.agreed)
    return msgspec.structs.replace(metadata, agreed=now, former=former)


def still_former(metadata: NodeMetadata, knowing: Iterable[str]) -> tuple[dict[str, str], ...]:
    """Return the former terms that must still be satisfied.

    ``knowing``: the nodes that have recorded the present terms, or are declared fenced.
    """
    known = {*knowing, metadata.node}
    return tuple(terms for terms in metadata.former if not satisfied(terms, known))


def satisfied(terms: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether so many of ``names`` are sync nodes of ``terms`` that the others could promote no one by these terms.

    A source that is no sync node of theirs does not count: the others need not know that it was source.
    """
    sync = sync_nodes(terms)
    return len(sync.intersection(names)) >= min(min_copies(terms), len(sync))


def _electorate(terms: Mapping[str, str]) -> tuple[frozenset[str], int]:
    return sync_nodes(terms), min_copies(terms)

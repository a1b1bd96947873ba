"""What a daemon does next: whether it asks its peers first, in which role it runs, and what is recorded before that.

Decisions only: ``daemon/main.py`` carries them out, and so does the simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from dkrepl.core.election.arbitration import Verdict
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import as_follower

Becomes = Callable[[NodeMetadata], NodeMetadata]


class Overruled(NamedTuple):
    """``codes`` of the reasons against a promotion, which an administrator overruled at Unix time ``at``."""

    codes: tuple[str, ...]
    at: float


class Step(NamedTuple):
    """What follows the end of a runtime.

    ``serves``: the daemon goes on, in the role that its record says; otherwise it ends. ``record``: to be made durable
    before that; None: the record stays as it is. ``abandons``: the device that a predecessor left is given up.
    """

    serves: bool
    record: NodeMetadata | None = None
    abandons: bool = False


_ENDS = Step(serves=False)


def asks_first(record: NodeMetadata) -> bool:
    """Whether a daemon that starts has to ask its peers before it serves: one may have been promoted (R7)."""
    return record.role == "source"


def after_arbitration(
    record: NodeMetadata,
    verdict: Verdict | None,
    becomes: Becomes | None,
    overruled: Overruled | None,
    with_outcome: Becomes,
) -> Step:
    """Return what follows when a node that was source has asked its peers.

    ``verdict``: of the arbitration; ``becomes``: the change of role that an administrator ordered meanwhile;
    ``overruled``: what stood against its promotion, if it serves because of a promotion by force; ``with_outcome``:
    gives the record with what it serves under.
    """
    if becomes is not None:
        return Step(serves=True, record=becomes(record), abandons=True)
    if verdict is None:
        return _ENDS
    if verdict == "follow":
        return Step(serves=True, record=as_follower(record), abandons=True)
    found, record = record, with_outcome(record)
    if overruled is None or not overruled.codes:
        return Step(serves=True, record=record if record != found else None)
    # R15: recorded durably before it serves, together with what was overruled earlier and not cleared.
    codes = tuple(dict.fromkeys((*record.forced, *overruled.codes)))
    return Step(serves=True, record=msgspec.structs.replace(record, forced=codes, forced_at=overruled.at))


def after_serving(record: NodeMetadata, becomes: Becomes | None) -> Step:
    """Return what follows when a source or a target has ended, ``becomes``: because its role is to change."""
    return _ENDS if becomes is None else Step(serves=True, record=becomes(record))


def served_with(record: NodeMetadata, first: bool) -> NodeMetadata:
    """Return the record that a source or a target begins with; ``first``: it is the first one of this daemon.

    A handover ends with the daemon: after a restart another node may have been promoted instead of the heir (R7).
    """
    return msgspec.structs.replace(record, heir="", heir_epoch=0) if first else record

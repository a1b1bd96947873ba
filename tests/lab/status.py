"""What a status says: of a source, of a target, of a node that asks its peers before it serves.

No answer (None) is a status too: of a node in no state that anybody waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dkrepl.api.requests import Request
from dkrepl.api.requests import Status as StatusRequest
from dkrepl.api.status import LastResync, SourceStatus, Status, TargetAtSource, TargetStatus, from_json
from dkrepl.errors import DkreplError


def status_by(ask: Callable[[Request], Any]) -> Status | None:
    """Return the status of a node that is asked for it, None if it does not answer."""
    try:
        return from_json(ask(StatusRequest()))
    except DkreplError:
        return None


def source_status(status: Status | None) -> SourceStatus:
    """Return a status that has to be a source's."""
    assert isinstance(status, SourceStatus), f"not the status of a source: {status}"
    return status


def target_of(status: SourceStatus, name: str) -> TargetAtSource:
    """Return what a source shows of one target."""
    return next(target for target in status.targets if target.name == name)


def partial_resync(target: TargetAtSource) -> LastResync:
    """Return the last resync of a target, which must have been partial: the intent log spared the rest."""
    last = target.last_resync
    assert last is not None, f"{target.name} was never resynced"
    assert last.kind == "partial", f"{target.name} was copied in full: {last}"
    return last


def serves(status: Status | None) -> bool:
    """Whether the node is source, and serves its device."""
    return isinstance(status, SourceStatus) and status.state == "Serving"


def misses_source(status: Status | None) -> bool:
    """Whether the node is a target that hears no source."""
    return isinstance(status, TargetStatus) and status.state == "Disconnected"


def follows(status: Status | None, source: str) -> bool:
    """Whether the node is a target, in sync with this source."""
    return isinstance(status, TargetStatus) and (status.state, status.source) == ("InSync", source)


def in_sync(status: Status | None, *targets: str) -> bool:
    """Whether a source has these targets in sync; all of them, if none is named."""
    return serves(status) and all(target.state == "InSync" for target in _chosen(status, targets))


def settled(status: Status | None, *targets: str) -> bool:
    """Whether they are in sync, nothing is on its way to them, and no block of theirs is dirty."""
    return in_sync(status, *targets) and not any(
        target.window.writes or target.dirty_blocks for target in _chosen(status, targets)
    )


def _chosen(status: Status | None, targets: tuple[str, ...]) -> list[TargetAtSource]:
    shown = status.targets if isinstance(status, SourceStatus) else []
    return [target for target in shown if not targets or target.name in targets]

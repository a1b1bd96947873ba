"""The state of a target."""

from __future__ import annotations

import msgspec

from dkrepl.api import status as shown
from dkrepl.api.status import LastHeard, SavedBlocks, SplitBrain, TargetCounters, TargetStatus
from dkrepl.core.target.target import Target
from dkrepl.daemon.control.snapshot import warnings
from dkrepl.daemon.control.snapshot.figures import resync_of, rounded
from dkrepl.daemon.target.runtime import TargetRuntime


def of_target(runtime: TargetRuntime) -> TargetStatus:
    """Return the state of a target; to be called in the loop."""
    target, description = runtime.target, runtime.here.description
    heard = target.last_heard.shown(target.following.applied)
    turned_away = dict(runtime.here.access.refused)
    return TargetStatus(
        mirror=description.name,
        node=runtime.here.node.name,
        mode=runtime.here.node.mode,
        state=target.state,
        reason=target.following.reason,
        source=target.source,
        store_state=target.metadata.store_state,
        store_stalled=rounded(runtime.stall.worker_seconds(runtime.here.outside.clock.monotonic()) or None),
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=target.metadata.generation,
        session=f"{target.following.session:016x}",
        applied_seq=target.following.applied,
        durable_seq=target.progress.durable_seq,
        last_heard=None if heard is None else msgspec.convert(heard, LastHeard),
        resync=_resync(target, description.size) if target.state == "Resyncing" else None,
        split_brain=_split_brain(runtime),
        diverged=[msgspec.convert(kept.shown(), SavedBlocks) for kept in runtime.diverged.found],
        warnings=[
            *([target.record.error] if target.record.error else []),
            *warnings.verdicts(target.metadata),
            *warnings.differing_descriptions(
                name for name in (target.source,) if name and target.following.source.advisory_differs
            ),
            *warnings.own_store_stalled(runtime),
            *warnings.source_store_stalled(target, runtime.here.outside.clock.monotonic()),
            *warnings.saved_blocks(runtime.diverged.found),
            *runtime.here.access.warnings,
        ],
        counters=TargetCounters(
            applied_bytes=runtime.target.stream.applied_bytes,
            resync_bytes=runtime.target.stream.resync_bytes,
            messages_refused=target.following.messages_refused,
            frames_refused=runtime.frames_refused + runtime.control_port.frames_refused,
            peers_refused=sum(turned_away.values()),
            peers_refused_for=turned_away,
        ),
    )


def _resync(target: Target, size: int) -> shown.Resync | None:
    """What the source tells of the resync, of which the target knows only how much is still dirty."""
    progress = target.following.source.resync
    if progress is None:
        return None
    done = max(progress.total_bytes - progress.dirty_bytes, 0)
    percent = 100.0 * done / progress.total_bytes if progress.total_bytes else 100.0
    eta = progress.dirty_bytes / progress.rate if progress.rate > 0 else None
    kind = "full" if progress.total_bytes >= size else "partial"
    return resync_of(
        kind=kind,
        percent=min(percent, 100.0),
        done=done,
        total=progress.total_bytes,
        rate=progress.rate,
        eta=eta,
    )


def _split_brain(runtime: TargetRuntime) -> SplitBrain | None:
    target = runtime.target
    if target.following.source.refusal != "SplitBrain" or target.state != "Refused":
        return None
    own = target.peer_bitmaps.bitmaps[target.source].count() if target.source in target.peer_bitmaps.bitmaps else 0
    bytes_here = min(own * runtime.here.description.block, runtime.here.description.size)
    return SplitBrain(
        peer=target.source or "",
        since=target.metadata.generation_at or None,
        here_bytes=bytes_here,
        there_bytes=None,
    )

"""What ``dkrepl status`` shows: put together from the core's state, in the loop, so that it is of one moment (R10)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dkrepl.api import status as shown
from dkrepl.api.status import (
    ArbitratingStatus,
    ExpectedTarget,
    KeptBlocks,
    LastHeard,
    LastResync,
    Quorum,
    Refusals,
    SourceCounters,
    SourceStatus,
    SplitBrain,
    TargetAtSource,
    TargetCounters,
    TargetStatus,
    Window,
)
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.source.lag import lag_of
from dkrepl.core.source.resync import Resync
from dkrepl.core.source.split_brain import OtherSource
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.target.target import Target
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime


def of_source(runtime: SourceRuntime) -> SourceStatus:
    """Return the state of a source; to be called in the loop."""
    source, description = runtime.source, runtime.description
    counters = runtime.requests.counters
    device = runtime.device
    turned_away = dict(runtime.access.refused)
    return SourceStatus(
        mirror=description.name,
        node=runtime.node.name,
        state=runtime.state,
        device=str(device.link),
        loop=str(device.loop.path) if device.loop else None,
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=source.generation,
        session=f"{runtime.session:016x}",
        seq=source.stream.log.seq,
        store_stalled=_rounded(runtime.stall.worker_seconds(runtime.outside.clock.monotonic()) or None),
        active_extents=len(source.activity_log.active),
        quorum=Quorum(confirmable=source.quorum.confirmable, min=source.quorum.least),
        warnings=[
            *(why for why in (runtime.requests.store_error, source.record.error, source.quorum.warning) if why),
            *(why for why in (source.awaited.warning,) if why),
            *_verdicts(source.metadata),
            *_differing(view.name for view in source.views.values() if view.advisory_differs),
            *_own_standing_still(runtime),
            *_standing_still(source.views.values(), runtime.outside.clock.monotonic()),
            *(rival.text for rival in source.other_sources.values()),
            *runtime.access.warnings,
        ],
        split_brain=next((_rival(one) for one in source.other_sources.values() if one.kind == "SplitBrain"), None),
        targets=[_target(runtime, view) for view in source.views.values()],
        counters=SourceCounters(
            writes=counters.writes,
            written_bytes=counters.written_bytes,
            reads=counters.reads,
            read_bytes=counters.read_bytes,
            flushes=counters.flushes,
            discards=counters.discards,
            frames_refused=runtime.frames_refused,
            peers_refused=sum(turned_away.values()),
            peers_refused_for=turned_away,
        ),
    )


def _verdicts(metadata: NodeMetadata) -> list[str]:
    """The verdicts on this copy, which outlive restarts (R15)."""
    found = []
    if metadata.store_failed:
        found.append(
            f"a flush of the store failed ({metadata.store_failed}): nothing is copied to the targets, and flushes "
            f"fail, until dkrepl clear {metadata.mirror} store-failed, or a target is promoted instead"
        )
    if metadata.forced:
        found.append(
            f"this node was promoted by force, against {', '.join(metadata.forced)}; dkrepl clear {metadata.mirror} "
            "forced-promotion ends this warning"
        )
    if metadata.power_lost:
        found.append("this node lost power after it was last InSync, and with it the writes that it had not flushed")
    split = [name for name, record in metadata.peers.items() if record.split_brain]
    if split:
        found.append(f"split-brain with {', '.join(split)}, not resolved yet: see dkrepl resolve")
    return found


def _differing(names: Iterable[str]) -> list[str]:
    found = ", ".join(names)
    return [f"the description of {found} differs: dkrepl config diff"] if found else []


def _own_standing_still(runtime: SourceRuntime | TargetRuntime) -> list[str]:
    seconds = runtime.stall.worker_seconds(runtime.outside.clock.monotonic())
    return [] if not seconds else [f"the store of this node has stood still for {seconds:.0f} s: check its disk"]


def _standing_still(views: Iterable[TargetView], now: float) -> list[str]:
    found = ((view.name, view.stall.seconds(now)) for view in views)
    return [
        f"the store of {name} has stood still for {seconds:.0f} s: check its disk"
        for name, seconds in found
        if seconds is not None
    ]


def _rival(rival: OtherSource) -> SplitBrain:
    return SplitBrain(
        peer=rival.node, since=rival.since or None, here_bytes=rival.here_bytes, there_bytes=rival.there_bytes
    )


def of_arbitration(runtime: ArbitrationRuntime) -> ArbitratingStatus:
    """Return the state of a node that asks its peers before it serves; to be called in the loop."""
    description = runtime.description
    turned_away = dict(runtime.access.refused)
    return ArbitratingStatus(
        mirror=description.name,
        node=runtime.node.name,
        reason=runtime.arbitration.reason,
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=runtime.metadata.generation,
        warnings=[runtime.arbitration.reason, *runtime.access.warnings],
        counters=Refusals(
            frames_refused=runtime.door.frames_refused,
            peers_refused=sum(turned_away.values()),
            peers_refused_for=turned_away,
        ),
        targets=[
            ExpectedTarget(
                name=peer.name,
                address=peer.address,
                mode=peer.mode,
                on_full=peer.on_full,
                state="Disconnected",
                reason="the source has not begun to serve",
            )
            for peer in description.peers(runtime.node.name)
        ],
    )


def of_target(runtime: TargetRuntime) -> TargetStatus:
    """Return the state of a target; to be called in the loop."""
    target, description = runtime.target, runtime.description
    heard = target.last_heard.shown(target.applied)
    turned_away = dict(runtime.access.refused)
    return TargetStatus(
        mirror=description.name,
        node=runtime.node.name,
        mode=runtime.node.mode,
        state=target.state,
        reason=target.reason,
        source=target.source,
        store_state=target.metadata.store_state,
        store_stalled=_rounded(runtime.stall.worker_seconds(runtime.outside.clock.monotonic()) or None),
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=target.metadata.generation,
        session=f"{target.session:016x}",
        applied_seq=target.applied,
        durable_seq=runtime.durable_seq,
        last_heard=None if heard is None else msgspec.convert(heard, LastHeard),
        resync=_resync_of_target(target, description.size) if target.state == "Resyncing" else None,
        split_brain=_split_brain(runtime),
        diverged=[msgspec.convert(kept.shown(), KeptBlocks) for kept in runtime.diverged.found],
        warnings=[
            *([target.record.error] if target.record.error else []),
            *_verdicts(target.metadata),
            *_differing(name for name in (target.source,) if name and target.source_view.advisory_differs),
            *_own_standing_still(runtime),
            *_source_standing_still(target, runtime.outside.clock.monotonic()),
            *_warnings(runtime),
            *runtime.access.warnings,
        ],
        counters=TargetCounters(
            applied_bytes=runtime.applied_bytes,
            resync_bytes=runtime.resync_bytes,
            frames_refused=runtime.frames_refused + runtime.door.frames_refused,
            peers_refused=sum(turned_away.values()),
            peers_refused_for=turned_away,
        ),
    )


def _resync_of_target(target: Target, size: int) -> shown.Resync | None:
    """What the source tells of the resync, of which the target knows only how much is still dirty."""
    progress = target.source_view.resync
    if progress is None:
        return None
    done = max(progress.total_bytes - progress.dirty_bytes, 0)
    percent = 100.0 * done / progress.total_bytes if progress.total_bytes else 100.0
    eta = progress.dirty_bytes / progress.rate if progress.rate > 0 else None
    kind = "full" if progress.total_bytes >= size else "partial"
    return _progress(kind, min(percent, 100.0), done, progress.total_bytes, progress.rate, eta)


def _split_brain(runtime: TargetRuntime) -> SplitBrain | None:
    target = runtime.target
    if target.source_view.refusal != "SplitBrain" or target.state != "Refused":
        return None
    own = target.peer_bitmaps.bitmaps[target.source].count() if target.source in target.peer_bitmaps.bitmaps else 0
    bytes_here = min(own * runtime.description.block, runtime.description.size)
    return SplitBrain(
        peer=target.source or "",
        since=target.metadata.generation_at or None,
        here_bytes=bytes_here,
        there_bytes=None,
    )


def _source_standing_still(target: Target, now: float) -> list[str]:
    seconds = target.source_view.stall.seconds(now)
    return [] if seconds is None else [f"the store of {target.source}, the source, has stood still for {seconds:.0f} s"]


def _warnings(runtime: TargetRuntime) -> list[str]:
    settled = [kept for kept in runtime.diverged.found if kept.settled]
    if not settled:
        return []
    total = sum(kept.length for kept in settled)
    return [f"{total} bytes that only this node had were replaced and are saved aside: dkrepl diverged list"]


def _target(runtime: SourceRuntime, view: TargetView) -> TargetAtSource:
    source, now = runtime.source, runtime.outside.clock.monotonic()
    log, block = source.stream.log, source.description.block
    dirty = view.bitmap.count()
    dirty_bytes = min(dirty * block, source.description.size)
    lag_seconds, lag_bytes = lag_of(view, log, source.lag, dirty_bytes, now)
    return TargetAtSource(
        name=view.name,
        address=source.description.node(view.name).address,
        mode=view.mode,
        on_full=view.on_full,
        state=view.state,
        reason=view.reason,
        paused=view.state == "Paused",
        window=Window(
            writes=log.seq - view.applied if view.in_stream else 0,
            writes_limit=view.settings.limit,
            bytes=log.bytes_between(view.applied, log.seq) if view.in_stream else 0,
            bytes_limit=view.settings.window,
        ),
        lag_seconds=None if lag_seconds is None else round(lag_seconds, 3),
        lag_bytes=lag_bytes,
        dirty_blocks=dirty,
        dirty_bytes=dirty_bytes,
        resync=_resync(view.resync, block, now) if view.resync else None,
        last_resync=None if view.last_resync is None else msgspec.convert(view.last_resync, LastResync),
        resent_bytes=view.resent_bytes,
        store_stalled=_rounded(view.stall.seconds(now)),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _resync(resync: Resync, block: int, now: float) -> shown.Resync:
    eta = resync.eta(now)
    return _progress(resync.kind, resync.percent(), resync.done * block, resync.total * block, resync.rate(now), eta)


def _progress(kind: str, percent: float, done: int, total: int, rate: float, eta: float | None) -> shown.Resync:
    return shown.Resync(
        kind=kind,
        percent=round(percent, 2),
        done_bytes=done,
        total_bytes=total,
        rate_bytes_per_second=round(rate),
        eta_seconds=None if eta is None else round(eta, 1),
    )

"""The state of a source."""

from __future__ import annotations

import msgspec

from dkrepl.api import status as shown
from dkrepl.api.status import LastResync, Quorum, SourceCounters, SourceStatus, SplitBrain, TargetAtSource, Window
from dkrepl.core.source.lag import lag_of
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.split_brain import OtherSource
from dkrepl.core.source.target_view import TargetView
from dkrepl.daemon.control.snapshot import warnings
from dkrepl.daemon.control.snapshot.figures import resync_of, rounded
from dkrepl.daemon.source.runtime import SourceRuntime


def of_source(runtime: SourceRuntime) -> SourceStatus:
    """Return the state of a source; to be called in the loop."""
    source, description = runtime.source, runtime.here.description
    counters = runtime.requests.counters
    device = runtime.device
    turned_away = dict(runtime.here.access.refused)
    return SourceStatus(
        mirror=description.name,
        node=runtime.here.node.name,
        state=runtime.state,
        device=str(device.link),
        loop=str(device.loop.path) if device.loop else None,
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=source.generation,
        session=f"{runtime.session:016x}",
        seq=source.stream.log.seq,
        store_stalled=rounded(runtime.stall.worker_seconds(runtime.here.outside.clock.monotonic()) or None),
        active_extents=len(source.activity_log.active),
        quorum=Quorum(available=source.quorum.available, min=source.quorum.least),
        warnings=[
            *(why for why in (runtime.requests.store_error, source.record.error, source.quorum.warning) if why),
            *(why for why in (source.awaited.warning,) if why),
            *warnings.verdicts(source.metadata),
            *warnings.differing_descriptions(view.name for view in source.views.values() if view.advisory_differs),
            *warnings.own_store_stalled(runtime),
            *warnings.stores_stalled(source.views.values(), runtime.here.outside.clock.monotonic()),
            *(other.text for other in source.other_sources.values()),
            *runtime.here.access.warnings,
        ],
        split_brain=next(
            (_split_brain(one) for one in source.other_sources.values() if one.kind == "SplitBrain"), None
        ),
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


def _target(runtime: SourceRuntime, view: TargetView) -> TargetAtSource:
    source, now = runtime.source, runtime.here.outside.clock.monotonic()
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
        store_stalled=rounded(view.stall.seconds(now)),
    )


def _resync(resync: Resync, block: int, now: float) -> shown.Resync:
    eta = resync.eta(now)
    return resync_of(
        kind=resync.kind,
        percent=resync.percent(),
        done=resync.done * block,
        total=resync.total * block,
        rate=resync.rate(now),
        eta=eta,
    )


def _split_brain(other: OtherSource) -> SplitBrain:
    return SplitBrain(
        peer=other.node, since=other.since or None, here_bytes=other.here_bytes, there_bytes=other.there_bytes
    )

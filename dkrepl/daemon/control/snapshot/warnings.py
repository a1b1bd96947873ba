"""What needs attention: the sentences that status shows, and what each is said of."""

from __future__ import annotations

from collections.abc import Iterable

from dkrepl.config.units import format_size
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.target.target import Target
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.io.store.diverged import Saved


def verdicts(metadata: NodeMetadata) -> list[str]:
    """Return the verdicts on this copy, which outlive restarts (R15)."""
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
        found.append(
            f"split-brain with {', '.join(split)}, not resolved yet: run dkrepl resolve on the node that is to give way"
        )
    return found


def differing_descriptions(names: Iterable[str]) -> list[str]:
    """Return a warning of the nodes whose description differs in what need not be equal, if there are any."""
    found = ", ".join(names)
    return [f"the description of {found} differs: dkrepl config diff"] if found else []


def own_store_stalled(runtime: SourceRuntime | TargetRuntime) -> list[str]:
    """Return a warning if the store of this node does not answer."""
    seconds = runtime.stall.worker_seconds(runtime.here.outside.clock.monotonic())
    return [] if not seconds else [f"the store of this node has been stalled for {seconds:.0f} s: check its disk"]


def stores_stalled(views: Iterable[TargetView], now: float) -> list[str]:
    """Return a warning for each target whose store does not answer."""
    found = ((view.name, view.stall.seconds(now)) for view in views)
    return [
        f"the store of {name} has been stalled for {seconds:.0f} s: check its disk"
        for name, seconds in found
        if seconds is not None
    ]


def source_store_stalled(target: Target, now: float) -> list[str]:
    """Return a warning if the store of the source does not answer."""
    seconds = target.following.source.stall.seconds(now)
    return (
        [] if seconds is None else [f"the store of {target.source}, the source, has been stalled for {seconds:.0f} s"]
    )


def saved_blocks(diverged: Iterable[Saved]) -> list[str]:
    """Return a warning if blocks that only this node had were replaced."""
    settled = [kept for kept in diverged if kept.settled]
    if not settled:
        return []
    total = sum(kept.length for kept in settled)
    return [f"{format_size(total)} that only this node had were replaced, and are saved: see dkrepl diverged list"]

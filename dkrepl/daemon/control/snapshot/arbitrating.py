"""The state of a node that asks its peers before it serves."""

from __future__ import annotations

from dkrepl.api.status import ArbitratingStatus, ExpectedTarget, Refusals
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime


def of_arbitration(runtime: ArbitrationRuntime) -> ArbitratingStatus:
    """Return the state of a node that asks its peers before it serves; to be called in the loop."""
    description = runtime.here.description
    turned_away = dict(runtime.here.access.refused)
    return ArbitratingStatus(
        mirror=description.name,
        node=runtime.here.node.name,
        reason=runtime.arbitration.reason,
        size=description.size,
        block=description.block,
        extent=description.extent,
        generation=runtime.metadata.generation,
        warnings=[runtime.arbitration.reason, *runtime.here.access.warnings],
        counters=Refusals(
            frames_refused=runtime.control_port.frames_refused,
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
            for peer in description.peers(runtime.here.node.name)
        ],
    )

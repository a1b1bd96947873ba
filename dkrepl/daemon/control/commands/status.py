"""``status``: the state of the mirror as this node sees it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dkrepl.api.lines import Line
from dkrepl.api.status import Status
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply
from dkrepl.daemon.control.snapshot.arbitrating import of_arbitration
from dkrepl.daemon.control.snapshot.source import of_source
from dkrepl.daemon.control.snapshot.target import of_target
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source.runtime import SourceRuntime


def carry_out(desk: Desk, reply: Reply) -> None:
    """Answer with the state of one moment (R10), and with figures of the host, for which a file system is asked."""
    found, outside = _state(desk), desk.runtime.here.outside

    def with_figures() -> Iterator[Line]:
        process, host = outside.figures()
        yield Line(ok=msgspec.structs.replace(found, process=process, host=host))

    reply.finish(with_figures)


def _state(desk: Desk) -> Status:
    runtime = desk.runtime
    if isinstance(runtime, ArbitrationRuntime):
        return of_arbitration(runtime)
    return of_source(runtime) if isinstance(runtime, SourceRuntime) else of_target(runtime)

"""``promote``: make this node the source; what may lose data needs the token of a dry run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from dkrepl.api.answers import RoleChange
from dkrepl.api.requests import Promote
from dkrepl.core.election import vote
from dkrepl.core.election.promotion import Assessment
from dkrepl.core.node import Promotion
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply, answering
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.errors import DkreplError, Refused, UsageError

_TOKEN = re.compile(r"[0-9a-f]{8}", re.ASCII)


def carry_out(desk: Desk, request: Promote, reply: Reply) -> None:
    """Ask the peers, for their votes too unless it is a dry run; then change the role, or say what stands against it.

    It is refused unless this node may be promoted now (R4, R6, R7, R11).
    """
    runtime, token = desk.runtime, request.force
    if isinstance(runtime, SourceRuntime):
        raise Refused(f"{desk.node} is already the source of {desk.mirror}")
    fenced = desk.other_nodes(request.fenced)

    if request.dry_run:
        runtime.promotions.look_around(_Later(desk, reply, lambda: None), fenced, reply.done)
        return
    if token and not _TOKEN.fullmatch(token):
        raise UsageError(f"--force takes the token that `dkrepl promote {desk.mirror} --dry-run` prints on {desk.node}")
    until = runtime.here.outside.clock.boot() + vote.SECONDS - vote.MARGIN

    def stood(found: Assessment, ballot: Ballot | None) -> None:
        _check(found, token)
        if not reply.open:
            raise Refused("the client that asked for the promotion is gone")
        _elected(desk, runtime, reply, found.codes, ballot, until)

    later = _Later(desk, reply, runtime.promotions.stand_down)
    later.attempt(lambda: runtime.promotions.stand(later, fenced, bool(token), stood))


class _Later:
    """Calls something later, even if nobody waits for it any more; ``undo`` what was begun if it fails."""

    def __init__(self, desk: Desk, reply: Reply, undo: Callable[[], None]) -> None:
        self._desk = desk
        self._reply = reply
        self._undo = undo

    def __call__(self, seconds: float, work: Callable[[], None]) -> None:
        def due() -> None:
            with answering(self._reply):
                self.attempt(work)

        self._desk.loop.later(seconds, due)

    def attempt(self, work: Callable[[], None]) -> None:
        """Call it now. Raises what it raises."""
        try:
            work()
        except DkreplError:
            with contextlib.suppress(DkreplError):
                self._undo()
            raise


def _check(found: Assessment, token: str | None) -> None:
    mirror, name = found.mirror, found.node
    if not found.possible:
        raise Refused(found.reasons[0])
    if token and token != found.token:
        raise Refused(
            f"the situation of mirror {mirror} has changed since that dry run; look at it again with "
            f"`dkrepl promote {mirror} --dry-run`"
        )
    if not found.safe and not token:
        other = f"; {found.recommended} would lose less" if found.recommended not in (None, name) else ""
        remedy = f" (to make it safe: {found.remedy})" if found.remedy else ""
        raise Refused(
            f"{'; '.join(found.reasons)}{other}{remedy}: `dkrepl promote {mirror} --dry-run` shows what would be lost, "
            "and prints the token that --force needs"
        )


def _elected(
    desk: Desk,
    runtime: TargetRuntime | ArbitrationRuntime,
    reply: Reply,
    codes: tuple[str, ...],
    ballot: Ballot | None,
    until: float,
) -> None:
    """This node may be source; ``codes``: what is overruled; ``until``: when it must give up, by the clock of the boot.

    ``ballot``: under which it was elected; None: that it asks for votes could not be recorded, and was overruled.
    """
    outside = runtime.here.outside
    if isinstance(runtime, ArbitrationRuntime):
        if not runtime.promote(codes, outside.clock.wall(), ballot):
            raise Refused(f"{runtime.arbitration.reason}, so this node follows it as a target now; see dkrepl status")
        reply.done(RoleChange(desk.mirror, desk.node, "source"))
        return
    change = Promotion(
        ballot=ballot,
        until=until,
        overruled=codes,
        at=outside.clock.wall(),
        mirror_id=outside.randomness.mirror_id(),
    )
    desk.change_role(reply, change)

"""Whether this node may be promoted: asks the peers; what may lose data needs the token of a dry run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from dkrepl.core.election import vote
from dkrepl.core.election.promotion import Assessment
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.peers.peer_poll import InLoop, look_around, stand, stand_down
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.errors import DkreplError, Refused, UsageError

_TOKEN = re.compile(r"[0-9a-f]{8}", re.ASCII)


def dry_run(
    runtime: TargetRuntime | ArbitrationRuntime, in_loop: InLoop, fenced: Collection[str] = ()
) -> dict[str, Any]:
    """Return what a promotion of this node means, as JSON has it."""
    found: dict[str, Any] = msgspec.to_builtins(look_around(runtime, in_loop, fenced))
    return found


class Elected(NamedTuple):
    """This node may be source. ``codes``: what is overruled; ``until``: when it must give up, by the clock of the boot.

    ``ballot``: under which it was elected; None: that it asks for votes could not be recorded, and was overruled.
    """

    codes: tuple[str, ...]
    until: float
    ballot: Ballot | None


def elect(
    runtime: TargetRuntime | ArbitrationRuntime, token: object, in_loop: InLoop, fenced: Collection[str] = ()
) -> Elected:
    """Raise ``Refused`` unless this node may be promoted now (R4, R6, R7, R11); it has its peers' votes then.

    ``token`` is that of a dry run, or None; ``fenced`` as in ``look_around``.
    """
    mirror, name = runtime.description.name, runtime.node.name
    if token and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise UsageError(f"--force takes the token that `dkrepl promote {mirror} --dry-run` prints on {name}")
    until = runtime.outside.clock.boot() + vote.SECONDS - vote.MARGIN
    try:
        found, ballot = stand(runtime, in_loop, fenced, bool(token))
        _check(found, token)
    except DkreplError:
        with contextlib.suppress(DkreplError):
            stand_down(runtime, in_loop)
        raise
    return Elected(found.codes, until, ballot)


def _check(found: Assessment, token: object) -> None:
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

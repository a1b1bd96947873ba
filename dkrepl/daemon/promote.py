"""Whether this node may be promoted: asks the peers; what may lose data needs the token of a dry run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from dkrepl.core.errors import Refused, UsageError
from dkrepl.daemon.enquiry_runtime import EnquiryRuntime
from dkrepl.daemon.peer_poll import look_around
from dkrepl.daemon.target_runtime import TargetRuntime

InLoop = Callable[[Callable[[], Any]], Any]
_TOKEN = re.compile(r"[0-9a-f]{8}", re.ASCII)


def dry_run(runtime: TargetRuntime | EnquiryRuntime, in_loop: InLoop) -> dict[str, Any]:
    """Return what a promotion of this node means, as JSON has it."""
    found: dict[str, Any] = msgspec.to_builtins(look_around(runtime, in_loop))
    return found


def check(runtime: TargetRuntime | EnquiryRuntime, token: object, in_loop: InLoop) -> None:
    """Raise ``Refused`` unless this node may be promoted now; ``token`` is that of a dry run, or None (R4, R6, R7)."""
    mirror, name = runtime.description.name, runtime.node.name
    if token and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise UsageError(f"--force takes the token that `dkrepl promote {mirror} --dry-run` prints on {name}")
    found = look_around(runtime, in_loop)
    if not found.possible:
        raise Refused(found.reasons[0])
    if token and token != found.token:
        raise Refused(
            f"the situation of mirror {mirror} has changed since that dry run; look at it again with "
            f"`dkrepl promote {mirror} --dry-run`"
        )
    if not found.safe and not token:
        other = f"; {found.recommended} would lose less" if found.recommended not in (None, name) else ""
        raise Refused(
            f"{'; '.join(found.reasons)}{other}: `dkrepl promote {mirror} --dry-run` shows what would be lost, and "
            "prints the token with which --force goes on all the same"
        )

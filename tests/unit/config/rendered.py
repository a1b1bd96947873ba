"""A description written back as an administrator could have written it, every key of it."""

from __future__ import annotations

from typing import Any

import msgspec
import tomli_w

from dkrepl.config.description import Description
from dkrepl.config.units import exact_size


def render(description: Description) -> str:
    """Return the text of a file from which ``parse`` makes an equal description."""
    keys: dict[str, Any] = msgspec.to_builtins(description)
    for key in ("size", "block", "extent", "window"):
        keys[key] = exact_size(keys[key])
    if keys["resync_rate"]:
        keys["resync_rate"] = exact_size(keys["resync_rate"]) + "/s"
    if keys["start_alone"] is None:
        keys["start_alone"] = "never"
    keys["node"] = [{key: value for key, value in node.items() if value != ""} for node in keys.pop("nodes")]
    return tomli_w.dumps(keys)

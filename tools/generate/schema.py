"""JSON Schema of requests, answers and status."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from dkrepl.api import answers as answer
from dkrepl.api import requests as request
from dkrepl.api import status as shown
from tools.generate.control_socket import answer_kinds

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def requests() -> str:
    """Return the schema of a request."""
    return _text("A request to the daemon of a mirror", request.KINDS)


def answers() -> str:
    """Return the schema of what is answered to all requests but ``status`` and ``events``."""
    return _text("An answer of the daemon of a mirror, or progress", (*answer_kinds(), answer.VerifyProgress))


def status() -> str:
    """Return the schema of what is answered to ``status``."""
    kinds = (shown.SourceStatus, shown.TargetStatus, shown.ArbitratingStatus)
    return _text(f"The status of a mirror, version {shown.SCHEMA}", kinds)


def _text(title: str, kinds: Iterable[Any]) -> str:
    found, definitions = msgspec.json.schema_components(list(kinds))
    whole = {"$schema": _DIALECT, "title": title, "anyOf": list(found), "$defs": definitions}
    return json.dumps(whole, indent=2) + "\n"

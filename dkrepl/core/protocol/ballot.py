"""A ballot: under which a node is elected source (rule R11). ``core/election/vote.py`` says how."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Ballot(msgspec.Struct, frozen=True, order=True):
    """``node`` asked for votes under it; the source of a new mirror serves under number 0, which names nobody.

    Ballots are ordered by number, then by name. A node never asks for votes under the same one twice.
    """

    number: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    node: Annotated[str, msgspec.Meta(max_length=64)] = ""

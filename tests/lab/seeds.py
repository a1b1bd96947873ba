"""The seed of a random test: another one each time, or the one that is to be seen again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable


def seed_for(test: str, say: Callable[[str], None]) -> int:
    """Return the seed in the environment's ``SEED``, or a new one; say how to run ``test`` with it again.

    ``test`` is the node id of pytest, as ``request.node.nodeid``.
    """
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 31)
    say(f"again: SEED={seed} .venv/bin/python -m pytest '{test}'")
    return seed

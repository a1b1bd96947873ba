"""Which faults a seed has, and when: drawn before the run, so that each has a number by which it can be left out.

Every seed has faults of some kinds only. A kind that undoes what another does, or hides it, is so left out of half of
the seeds: "swarm testing" (Groce and others, ISSTA 2012).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_OF_ALL_KINDS = 0.2  # share of the seeds that have every kind
_KIND = 0.4  # probability of each kind in the others
_OFTEN = 0.7  # and of one that the seed is about


@dataclass(frozen=True)
class Fault:
    """``at`` is in seconds after the start."""

    number: int
    at: float
    kind: str


def draw(
    rng: random.Random, weights: Mapping[str, float], calm: float, seconds: float, often: Collection[str] = ()
) -> list[Fault]:
    """Return the faults of a run of ``seconds``, ``calm`` seconds apart in the mean; ``weights`` are of all kinds.

    Those in ``often`` are what the seed is about.
    """
    kinds = list(weights)
    if rng.random() >= _OF_ALL_KINDS:
        kinds = [kind for kind in kinds if rng.random() < (_OFTEN if kind in often else _KIND)] or [rng.choice(kinds)]
    faults: list[Fault] = []
    at = rng.random() * 2.0
    while at < seconds:
        kind = rng.choices(kinds, [weights[kind] for kind in kinds])[0]
        faults.append(Fault(len(faults) + 1, at, kind))
        at += rng.expovariate(1.0 / calm)
    return faults

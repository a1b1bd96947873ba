"""What the project promises of its speed, as ratios on the same machine in the same run."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.measure import Measured


@dataclass(frozen=True)
class Floor:
    """``contender`` reaches at least ``ratio`` of what ``reference`` does in ``job``."""

    contender: str
    reference: str
    job: str
    ratio: float

    def reached(self, measured: Measured) -> float | None:
        """The ratio of the medians, None where one of them was not measured."""
        ours, theirs = measured.median(self.contender, self.job), measured.median(self.reference, self.job)
        return ours / theirs if ours is not None and theirs else None


FLOORS = (
    Floor("async1", "passthrough", "write_4k_qd1", 0.75),
    Floor("async1", "passthrough", "write_4k_qd32", 0.4),
    Floor("sync1", "quorum1", "write_4k_qd1", 0.5),
    Floor("sync1", "quorum1", "write_4k_qd32", 1.4),
    Floor("sync1", "quorum1", "write_1m_qd8", 0.8),
)
#: Resident memory of the source with three targets and a 1 TiB sparse volume, MiB: at most.
RSS_LIMIT_MIB = 120

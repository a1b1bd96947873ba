"""How fast a resync may copy: ``resync_rate``, as a token bucket."""

from __future__ import annotations


class RateLimit:
    """A token bucket: ``rate`` bytes a second (0: no limit), half a second's worth of burst.

    By hand, because the libraries for it look at a clock of their own; the core is told the time.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._tokens = 0.0
        self._at: float | None = None

    def delay(self, now: float) -> float:
        """Seconds until more may be sent; 0 now."""
        if not self.rate:
            return 0.0
        burst = max(self.rate / 2, 1.0)
        if self._at is None:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        return 0.0 if self._tokens > 0 else -self._tokens / self.rate + 1e-3

    def spend(self, size: int) -> None:
        """Count ``size`` bytes as sent; may go into debt, which the next delay pays."""
        if self.rate:
            self._tokens -= size

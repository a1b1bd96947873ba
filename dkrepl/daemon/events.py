"""What the daemon tells the administrator: to the journal (or terminal) as it happens, and kept for ``dkrepl events``.

Event names are stable; their list is in docs/reference/events.md.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import structlog

from dkrepl.config.limits import DEFAULT, Limits


def set_up_logging() -> None:
    """Send events as JSON lines to standard output (journald), or readable to a terminal."""
    terminal = sys.stdout.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )


class EventLog:
    """The newest events of a daemon. May be read from any thread."""

    def __init__(self, mirror: str, node: str, *, limits: Limits = DEFAULT) -> None:
        self._log = structlog.get_logger().bind(mirror=mirror, node=node)
        self._bound = {"mirror": mirror, "node": node}
        self._kept: deque[dict[str, Any]] = deque(maxlen=limits.events_kept)
        self._more = threading.Condition()
        self._count = 0

    def report(self, name: str, level: str = "info", fields: Mapping[str, Any] | None = None) -> None:
        """Record the event ``name`` at ``level`` (info, warning, error)."""
        shown = {key: value for key, value in (fields or {}).items() if value is not None}
        event = {"time": time.time(), "level": level, "event": name, **self._bound, **shown}
        with self._more:
            self._kept.append(event)
            self._count += 1
            self._more.notify_all()
        cast(Any, getattr(self._log, level))(name, **shown)

    def since(self, moment: float | None) -> tuple[list[dict[str, Any]], int]:
        """Return the events after ``moment`` (Unix seconds; None: all kept), and where ``wait`` goes on."""
        with self._more:
            return [e for e in self._kept if moment is None or e["time"] > moment], self._count

    def wait(self, position: int, timeout: float) -> tuple[list[dict[str, Any]], int]:
        """Wait up to ``timeout`` seconds for events after ``position``; return them and the new position."""
        with self._more:
            self._more.wait_for(lambda: self._count > position, timeout)
            new = self._count - position
            return (list(self._kept)[-new:] if new else []), self._count

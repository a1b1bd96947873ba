"""Where a command leaves its answer: it runs in the loop, and the client's thread takes the lines from here."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Protocol

from dkrepl.api.failure import Failure
from dkrepl.api.lines import Line
from dkrepl.errors import DkreplError, LocalProtocolError

Rest = Callable[[], Iterator[Line]]


class Reply(Protocol):
    """The answer to one request. What is said after ``done``, ``fail`` or ``finish`` is dropped."""

    @property
    def open(self) -> bool:
        """Whether the client still waits for the answer; a long command that finds it closed stops."""

    def progress(self, body: object) -> None:
        """Tell the client how far the command is."""

    def done(self, body: object) -> None:
        """The command is done; ``body`` is the answer, which nobody changes afterwards."""

    def fail(self, error: DkreplError) -> None:
        """The command is not done, and never will be."""

    def finish(self, rest: Rest) -> None:
        """The client's thread does the rest: ``rest()`` may block, and touches nothing that the loop changes."""


class QueuedReply:
    """A reply to a client at the control socket."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[Line | Rest] = queue.SimpleQueue()
        self.open = True

    def progress(self, body: object) -> None:
        """Tell the client how far the command is."""
        if self.open:
            self._lines.put(Line(progress=body))

    def done(self, body: object) -> None:
        """Give the answer."""
        self._end(Line(ok=body))

    def fail(self, error: DkreplError) -> None:
        """Give the error instead."""
        self._end(Line(error=Failure.of(error)))

    def finish(self, rest: Rest) -> None:
        """Leave the rest to the client's thread."""
        self._end(rest)

    def take(self, seconds: float) -> Line | Rest | None:
        """In the client's thread: return what comes next, None if nothing has come after ``seconds``."""
        with contextlib.suppress(queue.Empty):
            return self._lines.get(timeout=seconds)
        return None

    def close(self) -> None:
        """In the client's thread: nobody waits for the answer any more."""
        self.open = False

    def _end(self, last: Line | Rest) -> None:
        if self.open:
            self.open = False
            self._lines.put(last)


@contextlib.contextmanager
def answering(reply: Reply) -> Iterator[None]:
    """What goes wrong meanwhile is the answer; only what leaves the state of the daemon unknown ends it, too."""
    try:
        yield
    except LocalProtocolError as error:
        reply.fail(error)
        raise
    except DkreplError as error:
        reply.fail(error)
    except Exception as error:
        reply.fail(_unexpected(error))


def _unexpected(error: Exception) -> DkreplError:
    try:
        raise DkreplError(f"unexpected: {error!r}") from error
    except DkreplError as wrapped:
        return wrapped

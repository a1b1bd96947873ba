"""Takes requests from the threads of clients to the loop, where the commands are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from dkrepl.api import requests
from dkrepl.api.requests import AnyRequest
from dkrepl.daemon.control.commands import (
    adopt,
    clear,
    demote,
    descriptions,
    events,
    intent,
    pause,
    promote,
    reload,
    resolve,
    resume,
    resync,
    status,
    switchover,
    verify,
)
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply, answering
from dkrepl.daemon.events import EventLog
from dkrepl.errors import DaemonNotRunning, TimedOut


class Dispatcher:
    """``log``: what happened, for those who ask for it."""

    def __init__(self, desk: Desk, log: EventLog) -> None:
        self._desk = desk
        self._log = log

    def begin(self, request: AnyRequest, reply: Reply) -> Callable[[], None]:
        """From a client's thread: have the request carried out in the loop.

        Returns what is to be called now and then while the answer is waited for: it raises ``TimedOut`` if the loop
        stands still, ``DaemonNotRunning`` if it has ended.
        """
        if isinstance(request, requests.Events):  # they are told even if the loop stands still
            reply.finish(lambda: events.lines(self._log, request))
        else:
            self._desk.loop.post(lambda: carry_out(self._desk, request, reply))
        return _LoopWatch(self._desk)


class _LoopWatch:
    """Whether the loop goes round."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._clock = desk.runtime.here.outside.clock
        self._moved, self._since = desk.loop.moved, self._clock.monotonic()

    def __call__(self) -> None:
        loop, now = self._desk.loop, self._clock.monotonic()
        if loop.ended:
            raise DaemonNotRunning(
                f"the daemon of mirror {self._desk.mirror} stops or changes its role; ask again in a moment"
            )
        if loop.moved != self._moved:
            self._moved, self._since = loop.moved, now
        seconds = self._desk.limits.command_seconds
        if now - self._since >= seconds:
            raise TimedOut(f"the daemon's loop did not answer within {seconds:g} s; {self._why()}")

    def _why(self) -> str:
        stall = getattr(self._desk.runtime, "stall", None)
        seconds = stall.loop_seconds if stall is not None else 0.0
        return f"it has waited for its store for {seconds:.0f} s" if seconds else "its store may be stuck"


def carry_out(desk: Desk, request: AnyRequest, reply: Reply) -> None:
    """In the loop: begin to carry out a request."""
    with answering(reply):
        _begin(desk, request, reply)


def _begin(desk: Desk, request: AnyRequest, reply: Reply) -> None:
    match request:
        case requests.Status():
            status.carry_out(desk, reply)
        case requests.Pause():
            pause.carry_out(desk, request, reply)
        case requests.Resume():
            resume.carry_out(desk, request, reply)
        case requests.Resync():
            resync.carry_out(desk, request, reply)
        case requests.Verify():
            verify.carry_out(desk, request, reply)
        case requests.Intent():
            intent.carry_out(desk, request, reply)
        case requests.Promote():
            promote.carry_out(desk, request, reply)
        case requests.Demote():
            demote.carry_out(desk, reply)
        case requests.Switchover():
            switchover.carry_out(desk, request, reply)
        case requests.Resolve():
            resolve.carry_out(desk, request, reply)
        case requests.Reload():
            reload.carry_out(desk, reply)
        case requests.Clear():
            clear.carry_out(desk, request, reply)
        case requests.Adopt():
            adopt.carry_out(desk, request, reply)
        case requests.Descriptions():
            descriptions.carry_out(desk, reply)
        case requests.Events():
            raise AssertionError("events are told by the client's thread")
        case _:
            assert_never(request)

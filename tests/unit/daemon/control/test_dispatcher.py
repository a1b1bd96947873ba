"""Requests on their way from a client's thread to the loop: what is said if the loop stands still, ends, or fails."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dkrepl.api import requests
from dkrepl.api.failure import Failure
from dkrepl.api.lines import Line
from dkrepl.config.limits import DEFAULT
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.dispatcher import Dispatcher, carry_out
from dkrepl.daemon.control.reply import QueuedReply
from dkrepl.daemon.events import EventLog
from dkrepl.errors import (
    DaemonNotRunning,
    DkreplError,
    LocalProtocolError,
    StateDirectoryError,
    StoreError,
    TimedOut,
)


class FakeLoop:
    """A loop whose rounds and times the test makes."""

    def __init__(self) -> None:
        self.moved = 0
        self.ended = False
        self.posted: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def post(self, work: Callable[[], None]) -> None:
        self.posted.append(work)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.timers.append((seconds, work))


class Scene:
    """A daemon of which only what commands touch is there."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = FakeLoop()
        self.log = EventLog("r0", "alpha")
        self.runtime = SimpleNamespace(
            here=SimpleNamespace(
                limits=DEFAULT,
                description=SimpleNamespace(name="r0"),
                node=SimpleNamespace(name="alpha"),
                outside=SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: self.now)),
            ),
            stall=SimpleNamespace(loop_seconds=0.0),
            when_committed=lambda number, then: self.commits.append((number, then)),
        )
        self.commits: list[tuple[int, Callable[[DkreplError | None], None]]] = []
        runtime: Any = self.runtime
        loop: Any = self.loop
        self.desk = Desk(runtime, loop, self.log, lambda change: True, lambda: None)
        self.dispatcher = Dispatcher(self.desk, self.log)
        self.reply = QueuedReply()

    @property
    def said(self) -> Line | None:
        found = self.reply.take(0.0)
        assert found is None or isinstance(found, Line)
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_loop_that_stands_still_is_said_so_after_8_seconds(scene: Scene) -> None:
    watch = scene.dispatcher.begin(requests.Demote(), scene.reply)
    scene.now = 7.9
    watch()
    scene.now = 8.0
    with pytest.raises(TimedOut, match=r"did not answer within 8 s; its store may be stuck"):
        watch()
    scene.runtime.stall.loop_seconds = 12.0
    with pytest.raises(TimedOut, match=r"it has waited for its store for 12 s"):
        watch()


def test_a_loop_that_goes_round_may_take_its_time(scene: Scene) -> None:
    watch = scene.dispatcher.begin(requests.Demote(), scene.reply)
    for scene.loop.moved in range(1, 5):
        scene.now += 7.0
        watch()


def test_a_loop_that_has_ended_answers_nothing_any_more(scene: Scene) -> None:
    watch = scene.dispatcher.begin(requests.Demote(), scene.reply)
    scene.loop.ended = True
    with pytest.raises(DaemonNotRunning, match="stops or changes its role; ask again"):
        watch()


def test_events_are_told_without_the_loop(scene: Scene) -> None:
    scene.log.report("store_stalled", "warning")
    scene.dispatcher.begin(requests.Events(), scene.reply)
    assert scene.loop.posted == []
    rest = scene.reply.take(0.0)
    assert callable(rest)
    first, last = rest()
    assert (first.progress["event"], last) == ("store_stalled", Line(ok={}))


def test_what_a_command_raises_is_the_answer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(what: str) -> None:
        raise StoreError("the store is gone")

    monkeypatch.setattr(scene.desk, "source", broken)
    carry_out(scene.desk, requests.Pause(), scene.reply)
    assert scene.said == Line(error=Failure(StoreError.exit_code, "StoreError", "the store is gone"))


@pytest.mark.parametrize(("raised", "ends"), [(ZeroDivisionError("a bug"), False), (LocalProtocolError("a bug"), True)])
def test_a_bug_is_an_answer_and_ends_the_daemon_only_if_its_state_is_unknown(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, raised: Exception, ends: bool
) -> None:
    def broken(what: str) -> None:
        raise raised

    monkeypatch.setattr(scene.desk, "source", broken)
    if ends:
        with pytest.raises(LocalProtocolError):
            carry_out(scene.desk, requests.Pause(), scene.reply)
    else:
        carry_out(scene.desk, requests.Pause(), scene.reply)
    line = scene.said
    assert line is not None
    assert "a bug" in cast(Failure, line.error).message


def recording(scene: Scene, monkeypatch: pytest.MonkeyPatch, commit: int | None = 7) -> list[str]:
    """Have a command wait for a commit; return what it does then."""
    done: list[str] = []
    monkeypatch.setattr(scene.desk, "source", lambda what: scene.runtime)
    scene.desk.when_recorded(scene.reply, commit, lambda: done.append("then"))
    return done


def test_a_command_that_records_something_waits_for_its_own_commit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recording(scene, monkeypatch)
    [(number, ended)] = scene.commits
    assert (number, done) == (7, [])
    ended(None)
    assert done == ["then"]


def test_a_command_that_records_nothing_waits_for_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recording(scene, monkeypatch, None) == ["then"]


@pytest.mark.parametrize("failed", [StateDirectoryError, StoreError])
def test_a_commit_that_fails_is_an_error_of_the_disk_that_failed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, failed: type[DkreplError]
) -> None:
    done = recording(scene, monkeypatch)
    scene.commits[0][1](failed("no space"))
    line = scene.said
    assert line is not None
    error = cast(Failure, line.error)
    assert error.message == "it is done, but could not be recorded: no space"
    assert error.code == failed.exit_code
    assert done == []


def test_a_commit_that_takes_8_seconds_is_an_error_and_what_follows_is_not_done(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recording(scene, monkeypatch)
    [(seconds, late)] = scene.loop.timers
    late()
    line = scene.said
    assert line is not None
    assert seconds == 8.0
    assert "was not recorded durably within 8 s" in cast(Failure, line.error).message
    scene.commits[0][1](None)
    assert (done, scene.said) == ([], None)

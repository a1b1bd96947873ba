"""The loop of a daemon: work handed in by threads is done in it, and nothing is written once it is closed."""

from __future__ import annotations

import functools
import os
import threading
import time
from pathlib import Path

from dkrepl.config.limits import Limits
from dkrepl.daemon.reactor import Reactor


def _nothing() -> None:
    return


def test_what_threads_post_is_done_in_the_loop_in_order() -> None:
    reactor = Reactor()
    done: list[int] = []
    loop = threading.current_thread()

    def work(number: int) -> None:
        assert threading.current_thread() is loop
        done.append(number)
        reactor.stopping = number == 99

    def post() -> None:
        for number in range(100):
            reactor.post(functools.partial(work, number))

    poster = threading.Thread(target=post)
    poster.start()
    reactor.run(_nothing, _nothing)
    poster.join()
    reactor.close()
    assert done == list(range(100))
    assert reactor.ended


def test_a_readable_descriptor_is_handled_until_it_is_ignored() -> None:
    reactor = Reactor()
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def read() -> None:
        seen.append(os.read(reader, 1))
        if len(seen) == 2:
            reactor.ignore(reader)
            reactor.ignore(reader)
            reactor.stopping = True

    reactor.watch(reader, read)
    os.write(writer, b"abc")
    reactor.run(_nothing, _nothing)
    reactor.close()
    os.close(reader)
    os.close(writer)
    assert seen == [b"a", b"b"]


def test_after_the_closing_nothing_is_written_to_a_file_that_got_the_descriptor(tmp_path: Path) -> None:
    reactor = Reactor()
    reactor.stopping = True
    reactor.run(_nothing, _nothing)
    reactor.close()
    files = [os.open(tmp_path / str(i), os.O_RDWR | os.O_CREAT) for i in range(10)]
    try:
        reactor.post(_nothing)
        assert all(os.fstat(fd).st_size == 0 for fd in files)
    finally:
        for fd in files:
            os.close(fd)


def test_timers_are_called_in_the_order_of_their_times() -> None:
    reactor = Reactor()
    done: list[str] = []

    def last() -> None:
        done.append("late")
        reactor.stopping = True

    reactor.later(0.03, last)
    reactor.later(0.0, lambda: done.append("at once"))
    reactor.later(0.01, lambda: done.append("early"))
    reactor.run(_nothing, _nothing)
    reactor.close()
    assert done == ["at once", "early", "late"]


def test_a_loop_that_has_nothing_to_do_ticks() -> None:
    reactor = Reactor(limits=Limits(tick_seconds=0.001))
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        reactor.stopping = ticks == 3

    reactor.run(_nothing, tick)
    reactor.close()
    assert ticks == 3


def test_no_timer_is_called_before_its_time() -> None:
    reactor = Reactor()
    called: list[float] = []

    def call() -> None:
        called.append(time.monotonic())
        reactor.stopping = True

    due = time.monotonic() + 0.03
    reactor.later(0.03, call)
    reactor.run(_nothing, _nothing)
    reactor.close()
    assert called[0] >= due


def test_a_timer_may_set_another() -> None:
    reactor = Reactor()
    left = 3

    def again() -> None:
        nonlocal left
        left -= 1
        reactor.later(0.001, again)
        reactor.stopping = left == 0

    reactor.later(0.001, again)
    reactor.run(_nothing, _nothing)
    reactor.close()
    assert left == 0

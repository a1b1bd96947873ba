"""When a target says Hello, and what it says (R7)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.protocol.messages import Hello, Refuse
from dkrepl.core.target.hello import HelloTimer
from tests.unit.core.target.beta import Beta

STEP = 0.01


def pauses(timer: HelloTimer, count: int, *, now: float = 100.0, waiting: bool = False) -> list[float]:
    """Return the pauses after the next ``count`` Hellos, in seconds; the first is said at ``now``."""
    found = []
    for _ in range(count):
        timer.said(now, waiting)
        began = now
        while not timer.due(now):
            now += STEP
        found.append(round(now - began, 1))
    return found


def test_hellos_become_rarer_while_nobody_answers() -> None:
    assert pauses(HelloTimer(DEFAULT), 7) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_hellos_stay_frequent_while_the_source_may_be_restarting() -> None:
    timer = HelloTimer(DEFAULT)
    timer.left(100.0)
    assert pauses(timer, 5) == [0.1, 0.2, 0.2, 0.2, 0.2]


def test_one_that_is_paused_or_refused_is_in_no_hurry() -> None:
    assert pauses(HelloTimer(DEFAULT), 2, waiting=True) == [DEFAULT.ask_again_seconds] * 2


def test_a_hello_is_said_once_when_it_is_due() -> None:
    beta = Beta()
    beta.let_pass(0.0)
    beta.let_pass(0.0)
    assert len(beta.sent(Hello)) == 1


def gives_way() -> Beta:
    """Return beta, which was refused and has said Hello, and then is told to give way to alpha."""
    beta = Beta()
    beta.say(Refuse("Diverged", "beta has what alpha lacks", "alpha"))
    beta.let_pass(DEFAULT.ask_again_seconds)
    beta.done.clear()
    beta.core.joining.yield_to("alpha", "discard")
    beta.perform()
    beta.let_pass(0.0)
    return beta


def test_that_it_gives_way_is_said_at_once() -> None:
    assert [hello.yields for hello in gives_way().sent(Hello)] == ["discard"]


def test_that_it_gives_way_is_said_to_that_node_alone() -> None:
    assert [hello.yields for hello in gives_way().sent(Hello, "gamma")] == [""]

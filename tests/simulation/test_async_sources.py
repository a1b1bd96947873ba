"""Stories of asynchronous nodes that are made source, and of which the others need not know (R11)."""

from __future__ import annotations

import pytest

from tests.simulation.elections import answering, sources
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, telling

each = pytest.mark.parametrize("seed", SEEDS)


@each
def test_the_copy_of_an_asynchronous_source_does_not_count(seed: int) -> None:
    """beta hands over to the async alpha while gamma is cut off. gamma need not know of it, so alpha and beta together
    answer nothing, and gamma may be promoted."""
    with telling(seed, nodes=3, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.switch_over("alpha", "beta")
        story.until(story.in_sync, "all follow beta")
        story.cut("gamma", "alpha", "beta")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "switchover", to="alpha")
        story.until(lambda: story.is_source("alpha"), "alpha is source")
        story.until(lambda: story.process("alpha").runtime.source.views["beta"].state == "InSync", "beta follows alpha")
        assert answering(story, "alpha") == []
        assert story.command("gamma", "promote", dry_run=True)["safe"]


@each
def test_of_two_pairs_of_nodes_the_one_with_an_asynchronous_source_answers_nothing(seed: int) -> None:
    """The same with four nodes: gamma and delta elect gamma, which answers writes."""
    with telling(seed, nodes=4, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.switch_over("alpha", "beta")
        story.until(story.in_sync, "all follow beta")
        story.cut("gamma", "alpha", "beta")
        story.cut("delta", "alpha", "beta")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "switchover", to="alpha")
        story.until(lambda: story.is_source("alpha"), "alpha is source")
        story.until(lambda: story.process("alpha").runtime.source.views["beta"].state == "InSync", "beta follows")
        story.command("gamma", "promote")
        story.run(8.0)
        assert answering(story, "alpha", "gamma") == ["gamma"], f"seed {seed}"


@each
@pytest.mark.parametrize("how", ["restart", "wait"])
def test_an_async_heir_that_has_taken_over_makes_no_promotion_safe(seed: int, how: str) -> None:
    """min_copies = 1: alpha hands over to the async gamma, which is cut off and answers writes. alpha's daemon is
    restarted, or a minute passes, so it names no next source any more; gamma has to be reckoned with all the same."""
    with telling(seed, nodes=3, modes={"gamma": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="gamma")
        story.until(lambda: story.is_source("gamma"), "gamma is source")
        story.cut("gamma", "alpha", "beta")
        story.cluster.official = "gamma"
        if how == "restart":
            story.restart("alpha")
            story.run(5.0)
        else:
            story.run(62.0)
        assert answering(story, "gamma") == ["gamma"]
        looked = story.command("beta", "promote", dry_run=True)
        assert not looked["safe"], f"seed {seed}"
        story.ask_for("beta", "promote")
        story.run(4.0)
        assert sources(story) == ["gamma"], f"seed {seed}: {answering(story, 'gamma', 'beta')}"


@each
def test_a_former_source_is_not_promoted_unforced_beside_its_async_heir(seed: int) -> None:
    """Two nodes, min_copies = 1. alpha hands over to the async beta; the link fails; alpha's daemon is restarted."""
    with telling(seed, nodes=2, modes={"beta": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="beta")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("alpha", "beta")
        story.restart("alpha")
        story.run(5.0)
        story.ask_for("alpha", "promote")  # without force
        story.run(4.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}"


@each
def test_a_promotion_with_the_old_source_fenced_is_not_safe_beside_its_async_heir(seed: int) -> None:
    """min_copies = 1. alpha hands over to the async gamma and then dies; it is declared fenced, rightly. gamma is cut
    off, serves, and has to be reckoned with."""
    with telling(seed, nodes=3, modes={"gamma": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="gamma")
        story.until(lambda: story.is_source("gamma"), "gamma is source")
        story.cut("gamma", "alpha", "beta")
        story.crash("power", "alpha")
        story.cluster.official = "gamma"
        story.run(2 * PEER_TIMEOUT)
        assert answering(story, "gamma") == ["gamma"]
        looked = story.command("beta", "promote", dry_run=True, fenced=["alpha"])
        assert not looked["safe"], f"seed {seed}"

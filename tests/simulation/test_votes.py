"""Stories of two nodes that want to be source at once: of those that nobody forces, at most one answers writes (R11).

Four nodes with two copies of each write are the hard case: two pairs of them could serve side by side.
"""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.election import vote
from dkrepl.errors import DkreplError
from tests.simulation.commands import give
from tests.simulation.elections import (
    alpha_hands_over,
    alpha_is_cut_off,
    alpha_is_killed,
    answering,
    beta_is_promoted,
    elected,
    only_beta_answers,
    sources,
)
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, telling

each = pytest.mark.parametrize("seed", SEEDS)


def demoted(story: Story) -> None:
    """alpha is a target, and nobody is source."""
    story.quiet()
    story.command("alpha", "demote")
    story.run(PEER_TIMEOUT + 1)
    assert sources(story) == []


def _voted_for_beta(story: Story, name: str) -> bool:
    return any(ballot.node == "beta" for ballot in story.machine(name).disk.durable_metadata().promised)


@each
@pytest.mark.parametrize("apart", [0.0, 0.05, 0.5, 2.0])
def test_of_two_nodes_that_are_promoted_at_once_at_most_one_is_source(seed: int, apart: float) -> None:
    with telling(seed, nodes=4, min_copies=2) as story:
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        give(story.process("beta"), "promote", {})
        story.run(apart)
        give(story.process("gamma"), "promote", {})
        story.run(2.0)
        assert not (story.is_source("beta") and story.is_source("gamma")), f"seed {seed}: both are source"
        story.run(vote.SECONDS)
        next_source = "beta" if story.is_source("beta") else "gamma"
        if not story.is_source(next_source):
            story.promote(next_source)  # neither was; nothing keeps one of them from it now
        story.start("alpha")
        story.until(story.in_sync, "all follow the one that is source")
        story.equal()


@each
def test_an_old_source_that_returns_while_another_is_promoted_does_not_serve_as_well(seed: int) -> None:
    """Each has the word of two others, and they of each other none."""
    with telling(seed, nodes=4, min_copies=2) as story:
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.cut("alpha", "beta")
        story.start("alpha")
        story.run(0.02 * seed)  # it asks gamma and delta
        give(story.process("beta"), "promote", {})
        story.run(10.0)
        assert len(sources(story)) == 1, f"seed {seed}: {sources(story)} are source"


@each
def test_a_voter_does_not_go_back_to_the_source_that_it_left(seed: int) -> None:
    """alpha is cut off, and lives. beta is elected by gamma and delta; then delta loses both, and sees alpha again."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        story.join("alpha", "delta")
        story.run(5.0)
        assert answering(story, "alpha", "beta") == ["beta"]


@each
def test_what_is_refused_does_not_give_back_the_votes_of_a_promotion_under_way(seed: int) -> None:
    with telling(seed, nodes=4, min_copies=2) as story:
        demoted(story)
        story.cut("beta", "gamma")
        give(story.process("beta"), "promote", {})
        story.run(0.01)
        give(story.process("beta"), "promote", {"force": "deadbeef"})
        story.run(1.15)
        give(story.process("gamma"), "promote", {})
        story.run(6.0)
        assert len(sources(story)) <= 1, f"seed {seed}: {sources(story)} are source"


@each
def test_an_answer_to_an_earlier_question_is_no_vote(seed: int) -> None:
    """What is sent to beta is late: at its second promotion the votes of its first arrive, which it has given back."""
    with telling(seed, nodes=4, min_copies=2) as story:
        demoted(story)
        answers: list[Any] = []
        for other in ("alpha", "gamma", "delta"):
            story.cluster.switch.wires("beta", other).cut |= {(other, "beta")}
        give(story.process("beta"), "promote", {}, answers.append)
        story.until(lambda: len(answers) == 1, "beta is refused")
        story.run(0.05)
        give(story.process("gamma"), "promote", {}, answers.append)
        story.until(lambda: len(answers) == 2, "gamma is promoted")
        assert not isinstance(answers[1], DkreplError), f"seed {seed}: {answers[1]}"
        give(story.process("beta"), "promote", {}, answers.append)
        story.run(0.01)
        story.join("beta", "alpha", "gamma", "delta")
        story.run(6.0)
        assert sources(story) == ["gamma"], f"seed {seed}"


@each
@pytest.mark.parametrize("how", ["suspended", "stopped"])
def test_a_former_source_that_stood_still_does_not_serve_by_the_votes_of_then(seed: int, how: str) -> None:
    with telling(seed, nodes=4, min_copies=2) as story:
        alpha_is_killed(story)
        story.cut("alpha", "beta")
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        voted = lambda: "alpha" in [answer.vote for answer in arbitration.answers.values()]  # noqa: E731
        story.until(voted, "alpha has votes")
        if how == "stopped":
            story.machine("alpha").stuck = True
        else:
            story.machine("alpha").suspend()
        story.run(vote.SECONDS + 2)
        story.promote("beta")
        story.until(lambda: story.in_sync(but="alpha"), "gamma and delta follow beta")
        story.write_a_little(b"B")
        story.machine("alpha").stuck = False
        story.machine("alpha").resume(True)
        story.run(5.0)
        assert sources(story) == ["beta"], f"seed {seed}"


@each
@pytest.mark.parametrize("copies", [1, 2])
def test_a_target_that_cannot_record_its_vote_keeps_no_source_from_serving(seed: int, copies: int) -> None:
    with telling(seed, min_copies=copies) as story:
        story.quiet()
        story.machine("beta").disk_faults["metadata"] = 1.0
        story.stop("alpha")
        story.run(0.5)
        story.start("alpha")
        story.until(lambda: story.is_source("alpha"), "alpha serves")


@each
def test_a_vote_that_cannot_be_recorded_takes_nothing_from_a_copy(seed: int) -> None:
    """beta was InSync to the end, and has no space to record a vote for gamma. Then gamma dies as well."""
    with telling(seed) as story:
        story.quiet()
        story.crash("power", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.machine("beta").disk_faults["metadata"] = 1.0
        story.ask_for("gamma", "promote")
        story.machine("beta").disk_faults.clear()
        story.run(5.0)
        looked = story.command("beta", "promote", dry_run=True, fenced=["alpha"])
        assert looked["safe"], f"seed {seed}: {looked['reasons']}"


@each
@pytest.mark.parametrize("seen", [True, False])
def test_a_source_restarted_within_the_timeout_does_not_serve_beside_one_that_is_promoted(
    seed: int, seen: bool
) -> None:
    """Its device was handed over, so it need not wait for all; but gamma's answer shows its vote for beta."""
    with telling(seed, kept=True, min_copies=2) as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.restart("beta")  # it hears no source, and need not wait until that counts as lost
        story.run(0.9)
        if not seen:
            story.cut("alpha", "beta")
        story.start("alpha")
        story.run(0.02)
        give(story.process("beta"), "promote", {})
        story.run(3.0)
        assert len(sources(story)) <= 1, f"seed {seed}: {sources(story)} are source"


@each
def test_a_vote_of_long_ago_does_not_slow_a_switchover(seed: int) -> None:
    with telling(seed, min_copies=2) as story:
        demoted(story)
        give(story.process("beta"), "promote", {})
        story.until(lambda: _voted_for_beta(story, "gamma"), "gamma has voted")
        story.crash("kill", "beta")
        story.run(vote.SECONDS + 1)
        story.promote("gamma")
        story.start("beta")
        story.until(story.in_sync, "all follow gamma")
        story.run(1.0)
        story.command("gamma", "switchover", to="alpha")
        began = story.world.now
        story.until(lambda: story.is_source("alpha") and story.follows("gamma"), "gamma follows alpha")
        assert story.world.now - began < vote.SECONDS / 2


@each
def test_a_target_whose_vote_is_of_no_use_any_more_follows_the_source_there_is(seed: int) -> None:
    """alpha asked for votes while they would have been enough, and then is cut off from most of its peers."""
    with telling(seed, nodes=4, min_copies=2) as story:
        story.quiet()
        story.crash("kill", "beta")
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        for name in ("gamma", "delta"):
            story.machine(name).disk_faults["metadata"] = 1.0
        story.start("alpha")
        story.run(1.5)
        story.cut("alpha", "beta", "gamma")
        story.run(7.0)
        for name in ("gamma", "delta"):
            story.machine(name).disk_faults.clear()
        story.start("beta")
        story.run(8.0)
        assert sources(story) == [], f"seed {seed}: the story went another way"
        story.promote("beta", force=True)
        story.until(lambda: story.follows("delta"), "delta follows beta")


@each
def test_a_generation_of_the_old_source_does_not_free_a_voter(seed: int) -> None:
    """delta was away, so it learns the old source's generation only from beta, which has written nothing yet."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.crash("kill", "delta")
        story.run(PEER_TIMEOUT + 1)
        story.write_a_little(b"A")
        story.quiet()
        story.cut("alpha", "beta", "gamma", "delta")
        story.start("delta")
        story.run(2 * PEER_TIMEOUT)
        beta_is_promoted(story)
        story.cut("gamma", "beta")
        story.until(lambda: story.follows("delta"), "delta follows beta")
        story.cut("delta", "beta", "gamma")
        story.join("gamma", "beta")
        story.run(vote.SECONDS + 2)
        only_beta_answers(story)


@each
def test_a_refused_promotion_of_another_node_does_not_free_a_voter(seed: int) -> None:
    """delta voted for beta; then gamma, which follows beta, is promoted in vain, and asks delta for its vote."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        beta_is_promoted(story)
        story.cut("delta", "beta")
        story.until(lambda: story.follows("gamma"), "gamma follows beta")
        story.run(vote.SECONDS + 2)
        assert isinstance(story.ask_for("gamma", "promote"), DkreplError)
        story.run(1.0)
        story.cut("delta", "gamma")
        story.run(vote.SECONDS + 4)
        only_beta_answers(story)


@each
def test_an_heir_that_has_voted_does_not_take_over_when_its_vote_has_ended(seed: int) -> None:
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_hands_over(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        story.join("alpha", "delta")
        story.run(8.0)
        assert sources(story) == ["beta"], f"seed {seed}: {answering(story, *sources(story))}"


@each
def test_a_voter_outlives_the_removal_of_the_node_that_it_voted_for(seed: int) -> None:
    with telling(seed, nodes=4, min_copies=2) as story:
        demoted(story)
        story.cut("beta", "alpha", "gamma")
        give(story.process("beta"), "promote", {})
        story.until(lambda: _voted_for_beta(story, "delta"), "delta has voted")
        story.crash("kill", "beta")
        without = story.nodes("alpha", "gamma", "delta")
        story.describe(without, "alpha", "gamma", "delta")
        story.restart("alpha", "gamma", "delta")
        story.run(vote.SECONDS + 4)
        story.promote("gamma", force=True)
        story.until(lambda: story.in_sync(but="beta"), "all follow gamma")


@each
def test_resolve_of_before_does_not_undo_a_vote(seed: int) -> None:
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        story.command("delta", "resolve", keep="alpha")
        story.run(1.0)
        elected(story)
        story.run(vote.SECONDS + 2)
        only_beta_answers(story)

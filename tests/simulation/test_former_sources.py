"""Stories of a former source that comes back beside one that was elected: only one of them serves (R11)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.election import vote
from dkrepl.errors import DkreplError
from tests.simulation.commands import give
from tests.simulation.elections import (
    alpha_is_cut_off,
    alpha_is_killed,
    answering,
    beta_is_forced,
    beta_is_promoted,
    elected_and_answering,
    promised,
    sources,
)
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, calm, telling
from tests.simulation.test_mutations import a_former_source_serves_beside_a_later_one_with_older_data

each = pytest.mark.parametrize("seed", SEEDS)


@each
def test_an_elected_source_that_is_restarted_does_not_give_way_to_the_old_one(seed: int) -> None:
    """No command but the one promotion. beta has answered writes, and is restarted when it reaches alpha again."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        elected_and_answering(story)
        story.join("alpha", "beta")
        story.join("delta", "alpha", "beta")
        story.restart("beta")
        story.run(12.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}, {sources(story)}"


@each
def test_an_elected_source_that_returns_after_the_network_has_healed_does_not_give_way_to_the_old_one(
    seed: int,
) -> None:
    """As before; nothing is cut any more when beta comes back from a loss of power."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        elected_and_answering(story)
        story.crash("power", "beta")
        story.run(5.0)
        story.join("alpha", "beta", "gamma", "delta")
        story.join("delta", "beta", "gamma")
        story.run(5.0)
        assert answering(story, "alpha") == []
        story.start("beta")
        story.run(12.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}, {sources(story)}"


@each
@pytest.mark.parametrize("how", ["disk", "cut"])
def test_a_former_source_does_not_serve_beside_one_that_was_elected_before(seed: int, how: str) -> None:
    """beta was elected by gamma and delta, has answered nothing yet, and is cut off. alpha returns, and has gamma's
    vote; delta's is late, or cannot be recorded. Two votes are not enough, for gamma has voted for beta before."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_killed(story)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("beta", "alpha", "gamma", "delta")
        story.run(vote.SECONDS + 2)
        if how == "disk":
            story.machine("delta").disk_faults["metadata"] = 1.0
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        if how == "cut":
            story.until(lambda: bool(arbitration.vote), "alpha asks for votes")
            assert sorted(arbitration.answers) == ["delta", "gamma"]
            story.cut("alpha", "delta")
        story.run(6.0)
        assert sources(story) == ["beta"]
        assert "has voted for beta" in arbitration.reason
        story.machine("delta").disk_faults.clear()
        story.cut("delta", "alpha", "gamma")
        story.join("beta", "delta")
        story.run(8.0)
        assert answering(story, "beta") == ["beta"]
        assert sources(story) == ["beta"]


@each
def test_a_former_source_declared_fenced_does_not_serve_beside_the_promoted_one(seed: int) -> None:
    """N = 2, W = 1. alpha is killed, and beta promoted with --fenced alpha, rightly. alpha is started again while beta
    changes its role; beta's last answer as a target names its vote for itself."""
    with telling(seed, nodes=2, min_copies=1) as story:
        alpha_is_killed(story)
        story.start("alpha")
        story.cut("alpha", "beta")
        story.run(0.3)
        # alpha asks; its first answer comes, and it is read only when beta has stood
        story.crash("kill", "alpha")
        answers: list[Any] = []
        process = story.process("beta")
        give(process, "promote", {"fenced": ["alpha"]}, answers.append)
        story.run(1.0)
        story.join("alpha", "beta")
        story.start("alpha")
        story.until(lambda: bool(answers), "an answer")
        assert not isinstance(answers[0], DkreplError), answers[0]
        story.run(12.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_a_former_source_declared_fenced_does_not_serve_by_an_answer_of_before_the_promotion(seed: int) -> None:
    """N = 3, W = 1. alpha is restarted and has beta's answer, gamma's is missing. alpha is cut off; beta is promoted
    (alpha declared fenced, rightly, for it serves nobody), with gamma's vote. alpha reaches gamma, whose answer names
    the vote for beta."""
    with telling(seed, nodes=3, min_copies=1) as story:
        alpha_is_killed(story)
        story.cut("alpha", "gamma")
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        story.until(lambda: "beta" in arbitration.answers, "beta has answered")
        story.cut("alpha", "beta")
        answers: list[Any] = []
        give(story.process("beta"), "promote", {"fenced": ["alpha"]}, answers.append)
        story.until(lambda: bool(answers), "an answer")
        assert not isinstance(answers[0], DkreplError), answers[0]
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.join("alpha", "gamma")
        story.run(6.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_a_former_source_declared_fenced_does_not_serve_by_the_vote_of_a_node_that_was_off(seed: int) -> None:
    """N = 4, W = 2. alpha dies, gamma is off; beta is promoted with alpha declared fenced, and delta's vote: two real
    votes, not N - W + 1. Then alpha and gamma come back, and delta's daemon is restarted; alpha serves with gamma's
    vote while beta serves with delta."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_killed(story, "gamma")
        beta_is_promoted(story, fenced=["alpha"])
        story.until(lambda: story.follows("delta"), "delta follows beta")
        story.run(vote.SECONDS + 2)
        story.cut("beta", "alpha", "gamma", "delta")
        story.run(2 * PEER_TIMEOUT)
        story.start("alpha", "gamma")
        arbitration = story.process("alpha").runtime.arbitration
        story.until(lambda: bool(arbitration.vote), "alpha asks for votes")
        assert sorted(arbitration.answers) == ["delta", "gamma"]
        story.cut("alpha", "delta")
        story.join("beta", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_a_source_by_force_is_followed_by_the_old_one_that_was_restarted_before(seed: int) -> None:
    """N = 3, W = 2. While beta is off, alpha's daemon is restarted twice: each time it is elected by gamma, under
    (1, alpha), (2, alpha). alpha and gamma are lost; beta is started, and promoted by force: under (1, beta). When
    alpha and gamma come back, they should follow it, as docs/how-to/fail-over.md says."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "beta")
        story.run(2 * PEER_TIMEOUT)
        for _ in range(2):
            story.restart("alpha")
            story.until(lambda: story.is_source("alpha"), "alpha is source again")
            story.until(lambda: story.follows("gamma"), "gamma follows")
            story.run(vote.SECONDS + 2)
        story.crash("power", "alpha", "gamma")
        story.start("beta")
        story.run(2 * PEER_TIMEOUT)
        beta_is_forced(story)
        story.cluster.official = "beta"
        story.run(2.0)
        story.start("alpha", "gamma")
        story.run(60.0)
        assert story.in_sync(), f"seed {seed}"


@each
@pytest.mark.parametrize("idle", [False, True])
def test_a_switchover_succeeds_while_an_old_source_still_runs(seed: int, idle: bool) -> None:
    """N = 4, W = 2. beta was elected while alpha was cut off; gamma and delta follow beta. alpha is reachable again and
    still source (nobody has demoted it). beta hands over to gamma, which is to take over."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        beta_is_promoted(story)
        story.until(lambda: story.follows("gamma") and story.follows("delta"), "both follow beta")
        story.run(vote.SECONDS + 2)
        if not idle:
            story.write_a_little(b"B")
        story.join("alpha", "beta", "gamma", "delta")
        story.run(5.0)
        story.command("beta", "switchover", to="gamma")
        story.run(50.0)
        shown = story.command("gamma", "status")
        promoted = None if story.is_source("gamma") else story.ask_for("gamma", "promote")
        assert story.is_source("gamma"), f"{sources(story)}: {shown.get('reason')} | promote: {promoted}"


@each
def test_of_two_former_sources_the_one_that_was_elected_last_serves_again(seed: int) -> None:
    """beta was elected after alpha and wrote nothing; all lose power. Nobody has to say which of the two it is."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_killed(story)
        beta_is_promoted(story)
        story.crash("power", "beta", "gamma")
        story.start("alpha", "beta", "gamma")
        story.until(lambda: story.is_source("beta"), "beta is source again")
        story.until(story.in_sync, "all follow beta")


@each
def test_a_former_source_has_no_vote_for_another(seed: int) -> None:
    """As before, with four nodes; delta and beta are cut off. alpha may be promoted only by force: it has two
    votes, its own and gamma's, and beta could have two as well."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_killed(story)
        beta_is_promoted(story)
        story.crash("kill", "beta", "gamma", "delta")
        story.cut("delta", "alpha", "beta", "gamma")
        story.cut("beta", "gamma")
        story.start("alpha", "beta", "gamma", "delta")
        story.run(vote.SECONDS + 4)
        assert sources(story) == []
        assert isinstance(story.ask_for("alpha", "promote"), DkreplError)


@each
def test_of_two_sources_that_wrote_nothing_the_one_that_was_elected_first_is_to_be_demoted(seed: int) -> None:
    """beta is promoted, safely, while alpha is cut off."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        beta_is_promoted(story)
        story.until(lambda: story.follows("gamma"), "gamma follows beta")
        story.join("alpha", "beta", "gamma")
        story.run(5.0)
        assert "demote this node" in story.process("alpha").runtime.source.other_sources["beta"].text
        assert "demote alpha" in story.process("beta").runtime.source.other_sources["alpha"].text
        story.command("alpha", "demote")
        story.until(story.in_sync, "all follow beta")


@each
def test_a_source_that_was_elected_earlier_is_kept_by_resolve(seed: int) -> None:
    """beta is promoted by force while alpha is cut off, and writes nothing; alpha answers writes. Status says how."""
    with telling(seed, nodes=2, min_copies=1) as story:
        alpha_is_cut_off(story)
        beta_is_forced(story)
        assert answering(story, "alpha") == ["alpha"]
        story.join("alpha", "beta")
        story.run(5.0)
        assert "resolve --keep alpha" in story.process("beta").runtime.source.other_sources["alpha"].text
        assert "resolve --keep" in story.process("alpha").runtime.source.other_sources["beta"].text
        story.command("beta", "demote")
        story.cluster.official = "alpha"
        story.until(lambda: story.process("beta").is_target, "beta is a target")
        story.command("beta", "resolve", keep="alpha")
        story.until(story.in_sync, "beta follows alpha")


def promote_what_is_half_copied(seed: int) -> Story:
    """beta dies in its first resync. Much later alpha and gamma die, and beta is promoted by force; it dies at once.

    Then alpha and beta are started, and either would serve alone after a second. That beta has older data is known to
    alpha, but not to beta: too many generations have begun since. Returns what became of it.
    """
    story = Story(seed, calm(nodes=3, min_copies=1, start_alone=1.0, resync_rate=1000))
    story.start("alpha", "gamma")
    story.until(lambda: story.in_sync(but="beta"), "gamma is in sync")
    story.write_a_little(count=9)
    story.start("beta")
    beta = story.machine("beta").disk
    story.until(lambda: bool(beta.durable_metadata().generation), "blocks are copied to beta")
    story.crash("kill", "beta")
    for letter in (b"B", b"C", b"D", b"E", b"F"):
        story.restart("alpha")
        story.until(lambda: bool(story.cluster.sources) and story.follows("gamma"), "gamma follows alpha again")
        story.write_a_little(letter)
    story.crash("kill", "alpha", "gamma")
    story.start("beta")
    story.run(2 * PEER_TIMEOUT)
    story.promote("beta", force=True)
    story.cluster.official = "beta"
    story.crash("kill", "beta")
    story.start("alpha", "beta")
    story.run(8.0)
    return story


@each
def test_a_former_source_waits_beside_one_that_was_elected_later_though_its_data_is_older(seed: int) -> None:
    """The administrator accepted the loss, and may have meant it: the node that is promoted now is followed."""
    story = promote_what_is_half_copied(seed)
    assert sources(story) == []
    assert "beta was source too" in story.process("alpha").runtime.arbitration.reason
    story.promote("alpha", force=True)
    story.cluster.official = "alpha"
    story.until(lambda: story.follows("beta"), "beta follows alpha")


@each
def test_a_former_source_that_does_not_wait_for_the_later_one_is_noticed(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_former_source_serves_beside_a_later_one_with_older_data(monkeypatch)
    assert sources(promote_what_is_half_copied(seed)) == ["alpha"]

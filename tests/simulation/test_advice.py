"""Stories of an administrator who does word for word what the status of a node says: then the mirror serves again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dkrepl.core.election import vote
from tests.simulation.disk import SECTOR
from tests.simulation.elections import (
    alpha_is_cut_off,
    answering,
    beta_is_forced,
    beta_is_promoted,
    sources,
)
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, telling

each = pytest.mark.parametrize("seed", SEEDS)
_COMMAND = re.compile(r"dkrepl resolve --keep (\w+) on (\w+)|(demote|promote) (alpha|beta|gamma)")


def advice(story: Story, node: str) -> str:
    """What a node that does not serve says of itself."""
    process = story.process(node)
    runtime = process.runtime
    return str(runtime.target.following.reason if process.is_target else runtime.arbitration.reason)


def commands(sentence: str) -> list[list[tuple[str, str, dict[str, Any]]]]:
    """Return the alternatives that a sentence names: for each the commands, in this order, with their nodes."""
    alternatives = []
    for part in re.split(r"; or, ", sentence):
        found = []
        for keep, loser, command, node in _COMMAND.findall(part):
            found.append(("resolve", loser, {"keep": keep}) if keep else (command, node, {}))
        alternatives.append(found)
    if sentence.endswith("or the other way round"):
        [(_, loser, asked)] = alternatives[-1]
        alternatives.append([("resolve", asked["keep"], {"keep": loser})])
    return alternatives


def obey(story: Story, node: str, alternative: int = 0) -> None:
    """Do what a node says."""
    sentence = advice(story, node)
    found = commands(sentence)
    assert found[alternative], f"seed {story.world.seed}: no advice: {sentence}"
    for what, where, arguments in found[alternative]:
        story.command(where, what, **arguments)
        story.run(8.0)


def beta_was_forced_and_returns(story: Story, *, alpha_writes: bool, beta_writes: bool) -> None:
    """beta is promoted by force while it is cut off, and dies; alpha, which was source all the time, meets it again."""
    others = [name for name in story.cluster.machines if name != "beta"]
    story.quiet()
    story.cut("beta", *others)
    story.run(2 * PEER_TIMEOUT)
    beta_is_forced(story)
    if beta_writes:
        assert answering(story, "beta") == ["beta"]
    story.crash("kill", "beta")
    if alpha_writes:
        assert answering(story, "alpha") == ["alpha"]
    story.cluster.official = "alpha"
    story.join("beta", *others)
    story.start("beta")
    story.run(8.0)


def serves_with(story: Story, name: str, first: bytes) -> None:
    """It is the only source, all follow it, and the first block is what was written last on the side that is kept."""
    story.until(story.in_sync, f"all follow {name}: {[advice(story, n) for n in ('alpha', 'beta') if n != name]}")
    assert sources(story) == [name]
    story.equal()
    assert bytes(story.store(name)[:1]) == first


@each
@pytest.mark.parametrize(("nodes", "min_copies"), [(2, 1), (3, 1), (3, 2)])
def test_where_the_older_source_has_written_and_the_newer_has_not_it_is_kept(
    seed: int, nodes: int, min_copies: int
) -> None:
    with telling(seed, nodes=nodes, min_copies=min_copies, on_no_quorum="wait") as story:
        beta_was_forced_and_returns(story, alpha_writes=True, beta_writes=False)
        assert "demote" not in advice(story, "beta")
        obey(story, "beta")
        serves_with(story, "alpha", b"a")
        assert not story.missing("beta")


@each
def test_to_demote_a_source_that_holds_more_leaves_the_mirror_without_one(seed: int) -> None:
    """So that is not what a node advises."""
    with telling(seed, nodes=2, min_copies=1) as story:
        beta_was_forced_and_returns(story, alpha_writes=True, beta_writes=False)
        story.command("alpha", "demote")
        story.run(20.0)
        assert sources(story) == []


@each
def test_where_neither_has_written_after_a_promotion_by_force_the_older_source_is_kept(seed: int) -> None:
    """It may hold what beta did without."""
    with telling(seed, nodes=2, min_copies=1) as story:
        story.write(0, b"Z" * SECTOR)
        beta_was_forced_and_returns(story, alpha_writes=False, beta_writes=False)
        obey(story, "beta")
        serves_with(story, "alpha", b"Z")


@each
@pytest.mark.parametrize("nodes", [2, 3])
def test_where_only_the_newer_source_has_written_the_older_is_demoted(seed: int, nodes: int) -> None:
    with telling(seed, nodes=nodes, min_copies=1) as story:
        beta_was_forced_and_returns(story, alpha_writes=False, beta_writes=True)
        assert commands(advice(story, "beta")) == [[("demote", "alpha", {})]]
        obey(story, "beta")
        serves_with(story, "beta", b"b")
        assert not story.missing("alpha")


@each
@pytest.mark.parametrize(("kept", "first"), [("alpha", b"a"), ("beta", b"b")])
def test_where_both_have_written_either_may_be_kept(seed: int, kept: str, first: bytes) -> None:
    with telling(seed, nodes=2, min_copies=1) as story:
        beta_was_forced_and_returns(story, alpha_writes=True, beta_writes=True)
        obey(story, "beta", ["alpha", "beta"].index(kept))
        serves_with(story, kept, first)


@each
def test_a_target_that_has_followed_the_side_that_gives_way_says_what_to_do_too(seed: int) -> None:
    with telling(seed, nodes=3, min_copies=1) as story:
        beta_was_forced_and_returns(story, alpha_writes=True, beta_writes=True)
        obey(story, "beta", 1)
        assert commands(advice(story, "beta")) == [[("resolve", "gamma", {"keep": "beta"})]]
        obey(story, "beta")
        serves_with(story, "beta", b"b")


def beta_was_elected(story: Story) -> None:
    """beta is promoted, safely, while alpha is cut off, and writes nothing; gamma follows it."""
    alpha_is_cut_off(story)
    beta_is_promoted(story)
    story.until(lambda: story.follows("gamma"), "gamma follows beta")
    story.run(vote.SECONDS + 2)


@each
def test_where_neither_has_written_after_an_election_the_older_source_is_demoted(seed: int) -> None:
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        beta_was_elected(story)
        story.crash("kill", "beta")
        story.join("alpha", "beta", "gamma")
        story.start("beta")
        story.run(8.0)
        assert commands(advice(story, "beta")) == [[("demote", "alpha", {})]]
        obey(story, "beta")
        story.until(story.in_sync, f"all follow beta: {advice(story, 'beta') if not story.is_source('beta') else ''}")
        assert sources(story) == ["beta"]


@each
@pytest.mark.parametrize("kept", ["beta", "alpha"])
def test_a_target_that_was_elected_after_a_source_which_holds_nothing_more_says_both_ways(seed: int, kept: str) -> None:
    """beta was demoted before it saw alpha again."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        beta_was_elected(story)
        story.command("beta", "demote")
        story.until(lambda: story.process("beta").is_target, "beta is a target")
        story.cluster.official = "alpha"
        story.join("alpha", "beta", "gamma")
        story.run(8.0)
        assert "holds nothing that beta lacks" in advice(story, "beta")
        obey(story, "beta", ["beta", "alpha"].index(kept))
        story.cluster.official = kept
        if kept == "alpha":
            obey(story, "gamma")
        story.until(story.in_sync, f"all follow {kept}: {advice(story, 'gamma')}")
        assert sources(story) == [kept]


@each
def test_a_former_source_whose_peers_follow_another_one_is_reconnected_to_that(seed: int) -> None:
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        beta_was_elected(story)
        story.crash("kill", "alpha")
        story.join("alpha", "gamma")
        story.start("alpha")
        story.run(8.0)
        assert "gamma follows beta" in advice(story, "alpha")
        assert advice(story, "alpha").endswith("reconnect beta to this node, which then follows it")
        story.join("alpha", "beta")
        story.until(story.in_sync, "all follow beta")
        assert sources(story) == ["beta"]

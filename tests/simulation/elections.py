"""What the stories of votes have in common."""

from __future__ import annotations

from typing import Any

from dkrepl.core.election import vote
from dkrepl.io.fuse import WRITE
from tests.simulation.disk import SECTOR
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import Story


def sources(story: Story) -> list[str]:
    """The nodes that serve as source."""
    return [name for name in story.cluster.machines if story.is_source(name)]


def alpha_is_killed(story: Story, *others: str) -> None:
    """alpha's daemon dies, and those of others with it; the nodes that live have noticed."""
    story.quiet()
    story.crash("kill", "alpha", *others)
    story.run(2 * PEER_TIMEOUT)


def alpha_is_cut_off(story: Story) -> None:
    """alpha lives, and reaches no other node."""
    story.quiet()
    story.cut("alpha", *(name for name in story.cluster.machines if name != "alpha"))
    story.run(2 * PEER_TIMEOUT)


def alpha_hands_over(story: Story) -> None:
    """alpha has begun to hand the mirror over to delta, which cannot take over: alpha is cut off."""
    story.quiet()
    story.command("alpha", "switchover", to="delta")
    story.until(lambda: not story.cluster.sources, "alpha is no source")
    story.cut("alpha", "beta", "gamma", "delta")
    story.run(PEER_TIMEOUT + 3)
    assert sources(story) == []


def beta_is_promoted(story: Story, **options: Any) -> None:
    """An administrator promotes beta, which serves; applications are to use it from now on."""
    story.command("beta", "promote", **options)
    story.until(lambda: story.is_source("beta"), "beta is source")
    story.cluster.official = "beta"


def beta_is_forced(story: Story) -> None:
    """An administrator promotes beta by force, with the token of a dry run."""
    token = story.command("beta", "promote", dry_run=True)["token"]
    story.machine("beta").forced = True
    story.command("beta", "promote", force=token)
    story.until(lambda: story.is_source("beta"), "beta is source")


def elected(story: Story) -> None:
    """beta is elected by gamma and delta; gamma follows it, and delta is cut off from both."""
    beta_is_promoted(story)
    story.cut("delta", "beta", "gamma")
    story.until(lambda: story.follows("gamma"), "gamma follows beta")


def elected_and_answering(story: Story) -> None:
    """The same, with alpha cut off; the votes have ended, and beta has answered writes."""
    alpha_is_cut_off(story)
    elected(story)
    story.run(vote.SECONDS + 2)
    assert answering(story, "beta") == ["beta"]


def only_beta_answers(story: Story) -> None:
    """delta sees alpha again, which was cut off and lives; no application gets an answer of both."""
    story.join("alpha", "delta")
    story.run(8.0)
    seed, voted = story.world.seed, promised(story, "delta")
    assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: delta has voted for {voted!r}"


def answering(story: Story, *names: str) -> list[str]:
    """Which of these nodes are source and answer a write, each asked by an application of its own."""
    found = []
    for name in names:
        if not story.is_source(name):
            continue
        asked = story.cluster.application.ask(story.process(name), WRITE, 0, SECTOR, name.encode()[:1] * SECTOR)
        story.run(2.0)
        if asked.code == 0:
            found.append(name)
    return found


def record(story: Story, name: str) -> Any:
    return story.machine(name).disk.durable_metadata()


def promised(story: Story, name: str) -> str:
    """For which node this one voted last, if that still binds it."""
    found = record(story, name).promised
    return found[0].node if found else ""


def up(story: Story, client: str, server: str) -> Any:
    """The newest control connection from a client to a server."""
    found = [
        one
        for one in story.cluster.switch.connections
        if one.client.name == client and one.server.name == server and not one.frozen and one.up.open
    ]
    return found[-1]

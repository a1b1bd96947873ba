"""What the stories of votes have in common."""

from __future__ import annotations

from typing import Any

from dkrepl.io.fuse import WRITE
from tests.simulation.disk import SECTOR
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import Story


def sources(story: Story) -> list[str]:
    """The nodes that serve as source."""
    return [name for name in story.cluster.machines if story.is_source(name)]


def elected(story: Story) -> None:
    """beta is elected by gamma and delta; gamma follows it, and delta is cut off from both."""
    story.command("beta", "promote")
    story.until(lambda: story.is_source("beta"), "beta is source")
    story.cut("delta", "beta", "gamma")
    story.cluster.official = "beta"
    story.until(lambda: story.follows("gamma"), "gamma follows beta")


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


def alpha_is_cut_off(story: Story) -> None:
    story.quiet()
    story.cut("alpha", "beta", "gamma", "delta")
    story.run(2 * PEER_TIMEOUT)


def up(story: Story, client: str, server: str) -> Any:
    """The newest control connection from a client to a server."""
    found = [
        one
        for one in story.cluster.switch.connections
        if one.client.name == client and one.server.name == server and not one.frozen and one.up.open
    ]
    return found[-1]

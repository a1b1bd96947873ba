"""What the stories of votes have in common."""

from __future__ import annotations

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

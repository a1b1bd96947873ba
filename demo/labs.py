"""Which containers there are: one lab for the demo, one for the tests.

They have nothing in common, so that both can run at once.
"""

from __future__ import annotations

from dataclasses import dataclass

NODES = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class Lab:
    """Three containers on a network of their own. `subnet` is the first three numbers of an IPv4 /24."""

    name: str
    subnet: str
    nodes: tuple[str, ...] = NODES

    @property
    def label(self) -> str:
        """The label that everything made for this lab carries, and nothing else does."""
        return f"dkrepl.lab={self.name}"

    @property
    def network(self) -> str:
        """The name of its podman network."""
        return f"dkrepl-{self.name}"

    @property
    def image_repository(self) -> str:
        """The image name without its tag; each lab has its own, to be removed without the other's."""
        return f"localhost/dkrepl-{self.name}-node"

    def container(self, node: str) -> str:
        """The name of the container of a node."""
        return f"dkrepl-{self.name}-{node}"

    def address(self, node: str) -> str:
        """The address of a node, as the inventories have it."""
        return f"{self.subnet}.{11 + self.nodes.index(node)}"


LABS = {
    "demo": Lab("demo", "10.213.71"),
    "molecule": Lab("molecule", "10.213.72"),
}

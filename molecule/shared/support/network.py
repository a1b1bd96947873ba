"""Cuts the network between nodes, in one direction or both, by dropping what arrives at one from another."""

from __future__ import annotations

from demo.shell import run
from support.nodes import LAB
from tests.lab.partition import Partition


def _in_network_of(node: str) -> tuple[str, str]:
    """Return how a command of this host runs in the network of a node, which need not have it installed."""
    process = run("podman", "inspect", "--format", "{{.State.Pid}}", LAB.container(node))
    return "nsenter", f"--net=/proc/{process}/ns/net"


CUTS = Partition({node: LAB.address(node) for node in LAB.nodes}, _in_network_of)
deafen, part = CUTS.deafen, CUTS.part


def heal() -> None:
    """Everything passes again, on all nodes that run. (Of one that was started again, everything did.)"""
    running = run("podman", "ps", "--filter", f"label={LAB.label}", "--format", "{{.Names}}").split()
    CUTS.heal([node for node in LAB.nodes if LAB.container(node) in running])

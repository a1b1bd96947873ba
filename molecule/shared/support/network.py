"""Cuts the network between nodes, in one direction or both, by dropping what arrives at one from another."""

from __future__ import annotations

from demo.shell import run
from support.nodes import LAB


def deafen(node: str, *towards: str) -> None:
    """From now on nothing that these nodes send reaches `node`; what it sends still reaches them."""
    for sender in towards:
        _in_network_of(
            node, "iptables", "--wait", "--append", "INPUT", "--source", LAB.address(sender), "--jump", "DROP"
        )


def part(node: str, *others: str) -> None:
    """From now on nothing passes between `node` and these nodes, in either direction."""
    deafen(node, *others)
    for other in others:
        deafen(other, node)


def heal() -> None:
    """Everything passes again, on all nodes that run. (Of one that was started again, everything did.)"""
    running = run("podman", "ps", "--filter", f"label={LAB.label}", "--format", "{{.Names}}").split()
    for node in LAB.nodes:
        if LAB.container(node) in running:
            _in_network_of(node, "iptables", "--wait", "--flush", "INPUT")


def _in_network_of(node: str, *command: str) -> None:
    """Run a command of this host in the network namespace of a node, which need not have it installed."""
    process = run("podman", "inspect", "--format", "{{.State.Pid}}", LAB.container(node))
    run("nsenter", f"--net=/proc/{process}/ns/net", *command)

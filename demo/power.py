"""Cuts the power of nodes of a lab and gives it back, as far as a container can: ``cut``, ``restore``.

All processes of the container die at the same instant, without a signal that they could catch; what is in memory file
systems is gone. The kernel under them lives on: writes that it had taken and not yet stored are not lost. (The
simulator loses those, too.)
"""

from __future__ import annotations

from demo import loops
from demo.labs import Lab
from demo.nodes import wait_booted
from demo.shell import Trouble, run

KILL_SECONDS = 30


def cut(lab: Lab, *nodes: str) -> None:
    """Kill the containers of these nodes at once and detach the loop devices that they leave behind."""
    containers = [lab.container(node) for node in nodes]
    labels = loops.labels_of(containers)
    try:
        run("podman", "kill", "--signal", "KILL", *containers, seconds=KILL_SECONDS)
        run("podman", "wait", *containers, seconds=KILL_SECONDS)
    finally:
        alive = run("podman", "ps", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
        if not set(containers) & set(alive):
            loops.detach(labels)
    if left := set(containers) & set(alive):
        raise Trouble(f"{', '.join(sorted(left))} still ran after SIGKILL: look at 'podman ps'.")


def restore(lab: Lab, *nodes: str) -> None:
    """Start these nodes again, all before any is waited for."""
    for node in nodes:
        run("podman", "start", lab.container(node))
    for node in nodes:
        wait_booted(lab, node)

"""Starts and removes the containers of a lab: ``python -m demo.nodes up|down LAB``, ``logs LAB DIRECTORY``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from demo import image, loops
from demo.labs import LABS, Lab
from demo.shell import Trouble, exit_code_of, run, succeeds
from tests.lab.waiting import looks

BOOT_SECONDS = 60
READY = ("running", "degraded")


def up(lab: Lab) -> None:
    """Bring up what is missing of a lab; nodes that run are left as they are."""
    name = image.ensure(lab)
    if not succeeds("podman", "network", "exists", lab.network):
        run(
            "podman", "network", "create", "--disable-dns", "--subnet", f"{lab.subnet}.0/24",
            "--label", lab.label, lab.network,
        )  # fmt: skip
    for node in lab.nodes:
        start(lab, node, name)
    for node in lab.nodes:
        wait_booted(lab, node)


def start(lab: Lab, node: str, image_name: str) -> None:
    """Start the container of one node, from its image if there is none yet."""
    container = lab.container(node)
    if succeeds("podman", "container", "exists", container):
        run("podman", "start", container)
        return
    run(
        "podman", "run", "--detach", "--name", container, "--hostname", node, "--label", lab.label,
        "--privileged", "--systemd=always", "--network", lab.network, "--ip", lab.address(node),
        # Goes away with the container, and is not on the overlay, which is slower to write through.
        "--volume", "/var/lib/dkrepl",
        "--stop-timeout", "30", image_name,
    )  # fmt: skip


def wait_booted(lab: Lab, node: str) -> None:
    """Wait until systemd in a container has started everything; raise Trouble after BOOT_SECONDS."""
    for _ in looks(BOOT_SECONDS, 0.3):
        state = run("podman", "exec", lab.container(node), "systemctl", "is-system-running", check=False)
        if state in READY:
            return
    raise Trouble(
        f"systemd in {lab.container(node)} is still '{state}' after {BOOT_SECONDS} s:"
        f" look at 'podman logs {lab.container(node)}'."
    )


def release_device(lab: Lab, node: str) -> None:
    """Unmount what a node has mounted from its mirrors and stop its daemons: the kernel lets go of all."""
    run(
        "podman", "exec", lab.container(node), "sh", "-c",
        "findmnt -rno TARGET,SOURCE | awk '$2 ~ \"^/dev/(loop|dkrepl)\" {print $1}' | xargs -r -n1 umount -l;"
        " timeout 20 systemctl stop 'dkrepl@*'",
        check=False,
    )  # fmt: skip


def down(lab: Lab, with_image: bool) -> None:
    """Remove the containers, volumes, network and loop devices of a lab; its image, too, if asked."""
    running = run("podman", "ps", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
    labels = loops.labels_of(running)
    for node in lab.nodes:
        if lab.container(node) in running:
            release_device(lab, node)
    made = run("podman", "ps", "--all", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
    if made:
        run("podman", "rm", "--force", "--volumes", "--time", "15", *made, seconds=120)
    loops.detach(labels)
    if succeeds("podman", "network", "exists", lab.network):
        run("podman", "network", "rm", "--force", lab.network)
    if with_image:
        tags = run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
        for tag in tags:
            if tag.rpartition(":")[0] == lab.image_repository:
                run("podman", "rmi", tag)


def keep_logs(lab: Lab, directory: Path) -> None:
    """Write the journal of every node, and its status if it runs, into a directory."""
    made = run("podman", "ps", "--all", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
    running = run("podman", "ps", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
    if not made:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    commands = {
        "journal": ("journalctl", "--no-pager", "--output=short-iso-precise"),
        "status": ("dkrepl", "status", "--json"),
        "units": ("systemctl", "--no-pager", "--full", "status", "dkrepl@*"),
    }
    for node in lab.nodes:
        container = lab.container(node)
        if container in made and container not in running:
            # To be read with: journalctl --directory
            run("podman", "cp", f"{container}:/var/log/journal", str(directory / f"{node}.journal.d"), check=False)
        if container not in running:
            continue
        for name, command in commands.items():
            text = run("podman", "exec", container, *command, check=False)
            (directory / f"{node}.{name}").write_text(text + "\n")


def main(arguments: list[str]) -> int:
    """Do what the command line asks; print one sentence and return 1 where it cannot be done."""
    match arguments:
        case ["up", name] if name in LABS:
            return exit_code_of(lambda: up(LABS[name]))
        case ["down", name] if name in LABS:
            return exit_code_of(lambda: down(LABS[name], with_image=True))
        case ["logs", name, directory] if name in LABS:
            return exit_code_of(lambda: keep_logs(LABS[name], Path(directory)))
    print(f"usage: python -m demo.nodes up|down {'|'.join(LABS)}; ... logs LAB DIRECTORY", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

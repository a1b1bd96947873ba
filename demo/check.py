"""Says in one sentence what this host lacks. ``python -m demo.check root fuse loop containers demo``."""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from demo.labs import LABS, Lab
from demo.shell import Trouble, exit_code_of, run, succeeds


def root() -> None:
    """Containers, mounts and loop devices are root's."""
    if os.geteuid() != 0:
        raise Trouble("this needs root, for FUSE, loop devices and containers: run it again as root, or with sudo.")


def device(path: str, module: str) -> None:
    """A character device must be there and open; loading its module is tried first."""
    if not Path(path).exists():
        succeeds("modprobe", module)
    if not Path(path).exists() or not stat.S_ISCHR(Path(path).stat().st_mode):
        raise Trouble(
            f"there is no {path}: load the kernel module '{module}' (modprobe {module}), or, in a container,"
            f" start it with --device {path}."
        )
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        raise Trouble(f"{path} cannot be opened ({error.strerror}): this host or container forbids it.") from error


def fuse() -> None:
    """The device is served through FUSE."""
    device("/dev/fuse", "fuse")


def loop() -> None:
    """And it is made a block device by the loop driver."""
    device("/dev/loop-control", "loop")


def containers() -> None:
    """podman must be able to talk to its store with our settings."""
    run("podman", "info", "--format", "{{.Host.OCIRuntime.Name}}", seconds=60)


def lab(wanted: Lab) -> None:
    """The network of a lab must be free, or already its own."""
    if succeeds("podman", "network", "exists", wanted.network):
        return
    subnet = ipaddress.ip_network(f"{wanted.subnet}.0/24")
    for line in run("ip", "-4", "route", "show").splitlines():
        destination = line.split()[0]
        if destination != "default" and ipaddress.ip_network(destination, strict=False).overlaps(subnet):
            raise Trouble(
                f"the network {subnet} that the containers want is in use here ({line.strip()}):"
                " change it in demo/labs.py and in the inventory."
            )


CHECKS: dict[str, Callable[[], None]] = {
    "root": root,
    "fuse": fuse,
    "loop": loop,
    "containers": containers,
    **{name: partial(lab, wanted) for name, wanted in LABS.items()},
}


def main(names: list[str]) -> int:
    """Run the named checks in order and stop at the first that fails."""

    def check() -> None:
        for name in names:
            CHECKS[name]()

    return exit_code_of(check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

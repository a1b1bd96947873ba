"""Builds the image of a node, Debian 12 with systemd, from Debian's packages: no image registry is needed.

mmdebstrap(1) also leaves the machine identity to the first boot of each node.

The file system is cached as one archive under a key of everything that shapes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.labs import Lab
from demo.shell import CACHE, Trouble, run, succeeds

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "e2fsprogs", "xfsprogs", "iproute2", "kmod", "procps",
    "psmisc", "util-linux", "fio",
)  # fmt: skip
# These would act on the kernel of the host, which a privileged container shares.
MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service",
    "systemd-udevd.service", "systemd-timesyncd.service", "getty.target", "apt-daily.timer",
    "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "dev-hugepages.mount", "dev-mqueue.mount",
)  # fmt: skip
# Not unpacked: a node in a container has no reader of these.
DROPPED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# Run by a shell when all packages are there; $1 is the root of the node.
FINISHING = (
    *(f'ln -sf /dev/null "$1/etc/systemd/system/{unit}"' for unit in MASKED),
    'mkdir -p "$1/etc/systemd/journald.conf.d"',
    r"printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitBurst=0\n' "
    '>"$1/etc/systemd/journald.conf.d/dkrepl.conf"',
)
BUILD_SECONDS = 900
DIRECTORY = CACHE / "node-image"


def recipe() -> tuple[str, ...]:
    """Return the options of mmdebstrap(1) that shape the image."""
    return (
        "--variant=minbase",
        # Without usrmerge, which would bring Perl along.
        "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude={path}" for path in DROPPED),
        *(f"--customize-hook={command}" for command in FINISHING),
        SUITE,
    )


def key() -> str:
    """Return a digest of what shapes the image; another digest is another image."""
    return hashlib.sha256(repr(recipe()).encode()).hexdigest()[:12]


def mirror() -> str:
    """Return the URI of a Debian mirror: DKREPL_DEBIAN_MIRROR, or the one that this host's own apt uses."""
    named = os.environ.get("DKREPL_DEBIAN_MIRROR")
    if named:
        return named
    listing = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    for line in listing.splitlines():
        uri, release, component = line.split()
        if release == SUITE and component == "main":
            return uri
    raise Trouble(
        f"apt on this host has no source of Debian {SUITE}: name a mirror in the environment variable"
        " DKREPL_DEBIAN_MIRROR."
    )


@contextmanager
def only_builder() -> Iterator[None]:
    """Keep two runs from building the same image at the same time; the second waits for the first."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with open(DIRECTORY / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def archive() -> Path:
    """Return the archive of the node's file system, building it if it is not cached. Takes about a minute."""
    finished = DIRECTORY / f"{key()}.tar"
    if finished.exists():
        return finished
    partial = DIRECTORY / f"{key()}.partial.tar"
    # Downloads as root, as the rest is done: hosts are built in places that apt's own user cannot use.
    run(
        "mmdebstrap", "--mode=root", "--quiet", '--aptopt=APT::Sandbox::User "root"', *recipe(), str(partial), mirror(),
        seconds=BUILD_SECONDS,
    )  # fmt: skip
    partial.rename(finished)
    for outdated in DIRECTORY.glob("*.tar"):
        if outdated != finished:
            outdated.unlink()
    return finished


def ensure(lab: Lab) -> str:
    """Return the name of the image of a lab, importing or building it if podman does not have it."""
    image = f"{lab.image_repository}:{key()}"
    with only_builder():
        if not succeeds("podman", "image", "exists", image):
            run(
                "podman", "import", "--quiet", "--change", 'CMD ["/sbin/init"]',
                "--change", "STOPSIGNAL=SIGRTMIN+3", str(archive()), image, seconds=300,
            )  # fmt: skip
    return image

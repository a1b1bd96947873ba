"""Builds the image of a node, Debian 12 with systemd, from Debian's packages: no image registry is needed.

The file system is cached as one archive under a key of everything that shapes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
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
DROPPED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/lib/apt/lists",
    "var/cache/apt",
)
# Raise when `trim` leaves something else behind.
TRIM_VERSION = 1
DEBOOTSTRAP_SECONDS = 900
DIRECTORY = CACHE / "node-image"


def key() -> str:
    """Return a digest of what shapes the image; another digest is another image."""
    recipe = repr((TRIM_VERSION, SUITE, PACKAGES, MASKED, DROPPED))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


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
    # Not under the cache: debootstrap refuses places mounted "noexec" or "nodev", as some checkouts are.
    with tempfile.TemporaryDirectory(prefix="dkrepl-image-") as scratch:
        root = Path(scratch) / "root"
        packages = DIRECTORY / "packages"
        packages.mkdir(exist_ok=True)
        run(
            "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--cache-dir={packages}",
            SUITE, str(root), mirror(), seconds=DEBOOTSTRAP_SECONDS,
        )  # fmt: skip
        trim(root)
        partial = finished.with_suffix(".partial")
        run("tar", "-C", str(root), "--numeric-owner", "-cf", str(partial), ".", seconds=300)
        partial.rename(finished)
    for outdated in DIRECTORY.glob("*.tar"):
        if outdated != finished:
            outdated.unlink()
    return finished


def trim(root: Path) -> None:
    """Take out what a node in a container does not want, and leave the machine identity to its first boot."""
    for name in DROPPED:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "etc/machine-id").write_text("")
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    journal = root / "etc/systemd/journald.conf.d/dkrepl.conf"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text("[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitBurst=0\n")


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

"""Builds the archive of wheels that a node installs dkrepl from without any network.

It runs on the controller. The wheels are made for the Python, C library and machine of the node, at the versions
of the lock file. The archive is cached under a key of everything that goes into it; a second run does nothing.

Prints one JSON object: ``archive`` (path), ``release`` (the name by which nodes keep it), ``built`` (bool).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Bump when this file makes something else out of the same sources.
RECIPE = b"1"
# The oldest C library for which wheels are published as manylinux_2_*.
OLDEST_GLIBC_MINOR = 17
STEP_SECONDS = 600
# Archives kept in the cache; older ones are removed when a new one is built.
KEPT_ARCHIVES = 4


class BuildError(Exception):
    """A step failed; the text is one sentence and, after it, what the step said."""


def sources(checkout: Path) -> Iterator[Path]:
    """Yield, in a stable order, the files that make up the package."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        if (checkout / name).exists():
            yield checkout / name
    for path in sorted((checkout / "dkrepl").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def key_of(checkout: Path, platform: str) -> str:
    """Return a digest of all sources and of the platform that the wheels are for."""
    digest = hashlib.sha256(RECIPE + platform.encode())
    for path in sources(checkout):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(checkout)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def run(what: str, command: list[str]) -> None:
    """Run one step; raise BuildError if it fails or takes more than STEP_SECONDS."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what} did not end within {STEP_SECONDS} s: is the package index reachable?") from error
    if done.returncode:
        raise BuildError(f"{what} failed with exit code {done.returncode}:\n{done.stdout[-3000:]}")


def build_own_wheel(checkout: Path, scratch: Path, wheels: Path) -> Path:
    """Build the wheel of dkrepl from a copy, so that no stale build directory gets into it."""
    copy = scratch / "source"
    for path in sources(checkout):
        target = copy / path.relative_to(checkout)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run("building the wheel", [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(copy)])
    (wheel,) = wheels.glob("dkrepl-*.whl")
    return wheel


def collect_wheels(wheel: Path, checkout: Path, wheels: Path, options: argparse.Namespace) -> None:
    """Download what the wheel needs, for the node, and pip itself, which nodes may lack."""
    _, minor = (int(part) for part in options.glibc.split(".")[:2])
    platforms = [f"manylinux_2_{n}_{options.machine}" for n in range(minor, OLDEST_GLIBC_MINOR - 1, -1)]
    platforms += [f"manylinux2014_{options.machine}", f"linux_{options.machine}"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "download",
        "--quiet",
    ]
    command += [
        "--only-binary",
        ":all:",
        "--dest",
        str(wheels),
        "--constraint",
        str(checkout / "requirements.lock"),
    ]
    command += ["--implementation", "cp", "--python-version", options.python]
    for platform in platforms:
        command += ["--platform", platform]
    run("downloading wheels", [*command, str(wheel), "pip"])


def pack(wheels: Path, archive: Path) -> None:
    """Write the wheels into an archive that is the same byte for byte whenever they are."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = 0
        member.mode = 0o644
        return member

    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for wheel in sorted(wheels.glob("*.whl")):
            tar.add(wheel, wheel.name, filter=plain)
    partial.rename(archive)
    newest_first = sorted(archive.parent.glob("dkrepl-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for outdated in newest_first[KEPT_ARCHIVES:]:
        outdated.unlink(missing_ok=True)


def main() -> int:
    """Build or find the archive and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True, help="the directory with pyproject.toml")
    parser.add_argument("--cache", type=Path, required=True, help="where archives are stored")
    parser.add_argument("--python", required=True, help="version of the node's Python, as 3.11")
    parser.add_argument("--glibc", required=True, help="version of the node's C library, as 2.36")
    parser.add_argument("--machine", required=True, help="the node's architecture, as x86_64")
    options = parser.parse_args()

    checkout = options.checkout.resolve()
    if not (checkout / "pyproject.toml").exists():
        print(f"{checkout} holds no pyproject.toml: name a checkout of dkrepl", file=sys.stderr)
        return 1
    key = key_of(checkout, f"{options.python}-{options.glibc}-{options.machine}")
    archive = options.cache.resolve() / f"dkrepl-{key}.tar"
    built = not archive.exists()
    if built:
        try:
            with tempfile.TemporaryDirectory(prefix="dkrepl-wheelhouse-") as name:
                scratch = Path(name)
                wheels = scratch / "wheels"
                wheels.mkdir()
                wheel = build_own_wheel(checkout, scratch, wheels)
                collect_wheels(wheel, checkout, wheels, options)
                pack(wheels, archive)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
    print(json.dumps({"archive": str(archive), "release": key, "built": built}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

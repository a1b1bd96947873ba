"""Commands that tests run: fio on the device, and any other."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path


def run(*command: object, seconds: float = 100) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def mounted(what: Path, point: Path, *options: str) -> Iterator[Path]:
    """Mount a device, or a copy of one, at ``point``, which is made if it is not there."""
    point.mkdir(exist_ok=True)
    run("mount", *options, what, point)
    try:
        yield point
    except BaseException:
        run("umount", "--lazy", point)
        raise
    run("umount", point)


@contextlib.contextmanager
def loop_device(file: Path) -> Iterator[Path]:
    """A block device whose content is that of a file."""
    device = Path(run("losetup", "--find", "--show", file).strip())
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def fio_command(device: Path, *options: str, name: str = "job") -> list[str]:
    """Return a fio command that writes at random places, then reads it all back and compares."""
    return [
        *("fio", f"--name={name}", f"--filename={device}", "--rw=randwrite", "--direct=1", "--ioengine=libaio"),
        *("--iodepth=16", "--randseed=7", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"),
        *options,
    ]


class Fio:
    """fio in the background."""

    def __init__(self, device: Path, *options: str, name: str = "job") -> None:
        self._process = subprocess.Popen(
            fio_command(device, *options, name=name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def finish(self, seconds: float = 100) -> None:
        """Wait for its end; fails if it saw an error or read back something else than it wrote."""
        out, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0, out

    def end(self) -> None:
        """End it, whatever it does."""
        if self.running:
            self._process.kill()
        self._process.communicate(timeout=100)

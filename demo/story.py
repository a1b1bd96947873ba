"""``make demo``: deploys three nodes, replicates a real file system, cuts a target off and back, proves the result."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from demo import nodes
from demo.labs import LABS
from demo.shell import CACHE, ROOT, Trouble, environment, exit_code_of, run
from demo.watch import during, mebibytes, source_status, status_of, until
from tests.lab.status import settled, target_of

LAB = LABS["demo"]
MIRROR = "r0"
DEVICE = f"/dev/dkrepl/{MIRROR}"
STORE = f"/var/lib/dkrepl/{MIRROR}.img"
MOUNT = f"/mnt/{MIRROR}"
SOURCE, CUT = "alpha", "gamma"
DEPLOY_SECONDS = 600
COPY_SECONDS = 180
RESYNC_SECONDS = 120

PLAIN_WIDTH = 140

console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def on(node: str, command: str, seconds: float = 60) -> str:
    """Run a shell command on a node and return what it printed."""
    return run("podman", "exec", LAB.container(node), "bash", "-c", command, seconds=seconds)


@contextmanager
def chapter(title: str) -> Iterator[None]:
    """Announce a part of the story and say how long it took."""
    console.print(f"\n[bold]{title}[/]")
    started = time.monotonic()
    yield
    console.print(f"   [dim]{time.monotonic() - started:.0f} s[/]")


def deploy() -> None:
    """Run the playbook as a user would, show its current task, and keep its output in a file."""
    command = ["ansible-playbook", "-i", "inventory/demo", "ansible/site.yml"]
    console.print(f"   $ {' '.join(command)}")
    log = CACHE / "demo-deploy.log"
    surroundings = environment() | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    surroundings["PATH"] = f"{ROOT}/.venv/bin:{surroundings['PATH']}"
    with open(log, "w") as output, console.status("starting") as spinner:
        work = subprocess.Popen(
            ["timeout", str(DEPLOY_SECONDS), *command],
            cwd=ROOT,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert work.stdout is not None
        recap = False
        for text in work.stdout:
            output.write(text)
            if text.startswith("TASK ["):
                spinner.update(escape(text[6:].rpartition("]")[0]))
            recap = recap or text.startswith("PLAY RECAP")
            if recap and ":" in text:
                console.print(f"   {escape(text.rstrip())}")
        code = work.wait()
    if code:
        tail = "".join(log.read_text().splitlines(keepends=True)[-40:])
        console.print(escape(tail))
        raise Trouble(f"the deployment failed with exit code {code}: all of its output is in {log}.")


def require_source() -> None:
    """The story is told from alpha; a demo that was played with may have another source by now."""
    role = status_of(LAB, SOURCE, MIRROR).role
    if role != "source":
        raise Trouble(f"{SOURCE} is not the source of {MIRROR} any more: begin anew with 'make demo-down demo'.")


def write_tree() -> None:
    """Make an ext4 on the device and copy what a Debian system has under /usr into it."""
    on(SOURCE, f"umount {MOUNT} 2>/dev/null; mkfs.ext4 -q -F {DEVICE} && mkdir -p {MOUNT} && mount {DEVICE} {MOUNT}")
    seconds = during(
        console, LAB, SOURCE, MIRROR, f"copying /usr to {MOUNT} on {SOURCE}",
        f"cp -a /usr {MOUNT}/usr && sync -f {MOUNT}", COPY_SECONDS,
    )  # fmt: skip
    count, size = on(SOURCE, f"find {MOUNT}/usr -type f | wc -l; du -sb {MOUNT}/usr | cut -f1").split()
    console.print(f"   {count} files, {mebibytes(int(size))}, written and flushed in {seconds:.1f} s")
    until(console, LAB, SOURCE, MIRROR, "waiting for gamma to have it all", settled, RESYNC_SECONDS)


def cut_off() -> tuple[int, int]:
    """Take gamma off the network, write, bring it back; return the bytes written meanwhile and those resent."""
    before = target_of(source_status(LAB, SOURCE, MIRROR), CUT).resent_bytes
    written = source_status(LAB, SOURCE, MIRROR).counters.written_bytes
    on(CUT, "ip link set eth0 down")
    console.print(f"   {CUT} is off the network; {SOURCE} goes on writing")
    try:
        during(
            console, LAB, SOURCE, MIRROR, f"writing on {SOURCE}, without {CUT}",
            f"rm -rf {MOUNT}/usr/share && cp -a /usr/lib/python3.11 {MOUNT}/again && sync -f {MOUNT}", COPY_SECONDS,
        )  # fmt: skip
        status = until(
            console, LAB, SOURCE, MIRROR, f"noticing that {CUT} is gone",
            lambda now: target_of(now, CUT).state == "Disconnected", 60,
        )  # fmt: skip
    finally:
        on(CUT, "ip link set eth0 up")
    written = status.counters.written_bytes - written
    dirty = target_of(status, CUT)
    console.print(
        f"   {mebibytes(written)} written meanwhile; the intent log names {dirty.dirty_blocks} blocks,"
        f" {mebibytes(dirty.dirty_bytes)}, that {CUT} lacks"
    )
    console.print(f"   {CUT} is back on the network")
    status = until(console, LAB, SOURCE, MIRROR, f"{CUT} catches up", settled, RESYNC_SECONDS)
    target = target_of(status, CUT)
    last, resent = target.last_resync, target.resent_bytes - before
    took = f"{last.kind} resync: {mebibytes(resent)} resent in {last.seconds:.1f} s" if last else "no resync"
    console.print(f"   {took}")
    return written, resent


def prove() -> None:
    """Hold the file system still for a moment and hash each node's own store, not through dkrepl."""
    on(SOURCE, f"fsfreeze -f {MOUNT}")
    try:
        until(console, LAB, SOURCE, MIRROR, "waiting for a moment without writes", settled, RESYNC_SECONDS)
        hashes = {node: on(node, f"sha256sum < {STORE}", seconds=120).split()[0] for node in LAB.nodes}
    finally:
        on(SOURCE, f"fsfreeze -u {MOUNT}")
    for node, value in hashes.items():
        console.print(f"   sha256 of the store on {node:6} {value}")
    if len(set(hashes.values())) != 1:
        raise Trouble("the copies differ, which must never be: please report it with 'dkrepl verify' of all nodes.")
    console.print("   [green]the three copies are equal[/]")


def tell() -> None:
    """Tell the whole story; raises Trouble where it cannot go on."""
    started = time.monotonic()
    with chapter("Three nodes: systemd containers on a network of their own"), console.status("building the image"):
        nodes.up(LAB)
        console.print(f"   {', '.join(f'{node} {LAB.address(node)}' for node in LAB.nodes)}")
    with chapter("One command deploys the mirror: alpha the source, beta synchronous, gamma asynchronous"):
        deploy()
        require_source()
    with chapter(f"A real ext4 on {DEVICE}"):
        write_tree()
    with chapter(f"{CUT} is cut off, and comes back"):
        written, resent = cut_off()
    with chapter("Proof"):
        prove()
    with chapter("The mirror now"):
        console.print(escape(on(SOURCE, f"dkrepl status {MIRROR}")))
    console.print(
        f"\n[bold]Done[/] in {time.monotonic() - started:.0f} s. {CUT} missed {mebibytes(written)} of writes and was"
        f" sent {mebibytes(resent)} again, of 1 GiB. Everything is left running. Try:\n"
        f"\n   podman exec -it {LAB.container(SOURCE)} dkrepl status --watch"
        f"\n   podman exec -it {LAB.container(SOURCE)} dkrepl verify {MIRROR}"
        f"\n   podman exec -it {LAB.container('beta')} dkrepl events {MIRROR}"
        "\n\nand 'make demo-down' to remove it all."
    )


def main() -> int:
    """Return 0 at the end of the story, 1 with one sentence where it broke off."""
    try:
        return exit_code_of(tell)
    except KeyboardInterrupt:
        print("\nBroken off; 'make demo-down' removes what is there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

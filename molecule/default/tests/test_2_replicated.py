"""What is written on the source's device arrives, whatever happens on the way."""

from __future__ import annotations

import pytest

from support.nodes import BLOCK, DEVICE, EXTENT, MIRROR, TARGETS, UNIT, Node, assert_equal_copies, in_sync, quiet
from tests.lab.status import partial_resync

pytestmark = pytest.mark.usefixtures("settled")


def resent(alpha: Node) -> dict[str, int]:
    """Bytes of data that resync has sent to each target since the source's daemon started."""
    return {name: alpha.target(name).resent_bytes for name in TARGETS}


def wait_state(alpha: Node, name: str, state: str) -> None:
    alpha.wait(f"{name} {state}", lambda: alpha.target(name).state == state)


def wait_writes(alpha: Node, more: int) -> None:
    before = alpha.source().counters.writes
    alpha.wait("some writes", lambda: alpha.source().counters.writes > before + more)


def wait_new_daemon(node: Node, old: str) -> None:
    node.wait("a new daemon", lambda: node.main_pid() not in (old, "0"))


def test_a_file_system_is_equal_on_all_three_nodes(nodes: dict[str, Node], alpha: Node) -> None:
    alpha.sh(f"mkfs.ext4 -q -F {DEVICE} && mkdir -p /mnt/r0 && mount {DEVICE} /mnt/r0")
    alpha.sh("cp -a /usr/lib/python3.11 /mnt/r0/tree && umount /mnt/r0", seconds=120)
    assert_equal_copies(nodes)
    # The copy is a whole file system, not only equal bytes.
    for name in TARGETS:
        nodes[name].sh("cp --sparse=always /var/lib/dkrepl/r0.img /var/tmp/copy.img && e2fsck -fn /var/tmp/copy.img")
        nodes[name].sh("rm /var/tmp/copy.img")


def test_a_target_that_was_away_gets_the_blocks_that_were_written_and_no_others(
    nodes: dict[str, Node], alpha: Node
) -> None:
    for name in TARGETS:
        before = resent(alpha)
        nodes[name].sh(f"systemctl stop {UNIT}")
        wait_state(alpha, name, "Disconnected")
        # Ten blocks, far from each other.
        for index in range(10):
            alpha.sh(
                f"dd if=/dev/urandom of={DEVICE} bs={BLOCK} count=1 seek={index * 100} oflag=direct conv=fsync,nocreat"
            )
        dirty = alpha.target(name).dirty_blocks
        assert 10 <= dirty <= 10 + 1, "only the blocks written may be dirty"
        nodes[name].sh(f"systemctl start {UNIT}")
        in_sync(alpha)
        target = alpha.target(name)
        assert partial_resync(target)
        assert target.resent_bytes - before[name] <= dirty * BLOCK
        assert target.resent_bytes - before[name] >= 9 * BLOCK
    assert_equal_copies(nodes)


def test_a_target_restarted_during_writes_comes_back_by_partial_resync(nodes: dict[str, Node], alpha: Node) -> None:
    quiet(alpha)
    area = 32 * 1024 * 1024
    before = resent(alpha)
    alpha.sh(
        f"fio --name=load --filename={DEVICE} --direct=1 --rw=randwrite --bs=4k --size={area} --time_based --runtime=20"
        " --iodepth=8 --ioengine=libaio --rate=8m --output=/tmp/fio.log >/dev/null 2>&1 &"
    )
    for name in TARGETS:
        old = nodes[name].main_pid()
        nodes[name].sh(f"systemctl restart {UNIT}")
        assert nodes[name].main_pid() != old
        wait_state(alpha, name, "InSync")
        target = alpha.target(name)
        assert partial_resync(target)
        assert 0 < target.resent_bytes - before[name] <= area
    alpha.wait("the end of the load", lambda: not alpha.host.process.filter(comm="fio"), 40)
    assert "err= 0" in alpha.sh("cat /tmp/fio.log"), "the application must not notice"
    assert_equal_copies(nodes)


def kernel_repeats_requests(alpha: Node) -> bool:
    """Whether the kernel gives a killed daemon's unanswered requests to its successor: Linux 6.9 and later."""
    major, minor = alpha.sh("uname -r").split(".")[:2]
    return (int(major), int(minor)) >= (6, 9)


@pytest.mark.parametrize(("how", "times"), [("killed", 3), ("restarted", 1)])
def test_a_source_that_died_under_load_uses_its_intent_log(
    nodes: dict[str, Node], alpha: Node, how: str, times: int
) -> None:
    quiet(alpha)
    area = 16 * 1024 * 1024
    alpha.sh(
        f"fio --name=load --filename={DEVICE} --direct=1 --rw=randwrite --bs=4k --size={area} --time_based --runtime=20"
        " --iodepth=8 --ioengine=libaio --verify=crc32c --verify_backlog=256 --verify_state_save=0"
        " --output=/tmp/fio.log >/dev/null 2>&1 &"
    )
    for _ in range(times):
        old = alpha.main_pid()
        wait_writes(alpha, 500)
        assert alpha.host.process.filter(comm="fio"), "the load must go on, or the test shows nothing"
        alpha.sh(f"kill -KILL {old}" if how == "killed" else f"systemctl restart {UNIT}")
        wait_new_daemon(alpha, old)
        alpha.wait("service", lambda: alpha.shown().state == "Serving")
        if how == "restarted" or kernel_repeats_requests(alpha):
            continue
        break  # the load has got I/O errors, and ended
    alpha.wait("the end of the load", lambda: not alpha.host.process.filter(comm="fio"), 60)
    if how == "restarted" or kernel_repeats_requests(alpha):
        assert "err= 0" in alpha.sh("cat /tmp/fio.log"), "the application must not notice, and read what it wrote"
    in_sync(alpha)
    for name in TARGETS:
        target = alpha.target(name)
        assert partial_resync(target)
        # Rounded up to extents, of which the load touched those of its area.
        assert target.resent_bytes <= area + EXTENT
    assert_equal_copies(nodes)


def test_a_killed_target_comes_back(nodes: dict[str, Node], alpha: Node) -> None:
    for name in TARGETS:
        old = nodes[name].main_pid()
        nodes[name].sh(f"kill -KILL {old}")
        wait_new_daemon(nodes[name], old)
        in_sync(alpha)
    assert_equal_copies(nodes)


def test_verify_agrees(alpha: Node) -> None:
    alpha.sh(f"dkrepl verify {MIRROR}", seconds=120)

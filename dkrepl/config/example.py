"""The description that newcomers begin with."""

from __future__ import annotations

_EXAMPLE = """\
# Mirror r0. Put this file, the same on every node, at /etc/dkrepl/r0.toml. On every node:
#   dkrepl key generate                # first; prints the node's public key. The secret key never leaves the node
#   dkrepl config check r0 && dkrepl init r0 && systemctl enable --now dkrepl@r0
# Sizes are binary: B, KiB, MiB, GiB, TiB. Durations: 500ms, 5s, 10m, 2h, 1d.

name = "r0"             # the file's name without .toml
size = "1GiB"           # of the device, a multiple of 4KiB; every store must be at least as large
source = "alpha"        # the first source; after `dkrepl init` the nodes' metadata decides

# The following keys are optional; the values are the defaults. Keys marked (=) must be equal on all nodes.
# min_copies = 1        # (=) copies that must be able to confirm a write: the source's own (that of an async source
#                       # only if this is 1) and those of sync targets that are InSync. Use 2 with three nodes
# on_no_quorum = "wait" # with fewer copies, writes wait; "error": they fail with an I/O error
# start_alone = "never" # a former source asks its peers whether another node was promoted. "60s": after that time it
#                       # serves although some have not answered
# on_diverged = "keep"  # an old source that has writes which the new one lacks saves them to a file, then follows it;
#                       # "ask": only after `dkrepl resolve`
# peer_timeout = "5s"   # (=) silence after which a peer counts as gone: 1s to 60s
# store_timeout = "30s" # how long the disk of a live node may stand still: 5s to 600s, more than peer_timeout
# async_limit = 256     # most writes sent to one target and not confirmed, at least 3
# window = "64MiB"      # most bytes sent to one target and not confirmed, at least 4MiB
# on_full = "block"     # at these limits, writes wait for an async target; "bitmap": it leaves and is resynced later
# resync_rate = "0"     # most that a resync sends to one target, for example "100MiB/s"; 0: no limit
# block = "64KiB"       # (=) unit of the intent bitmaps: a power of two, 4KiB to 1MiB. Fixed at `dkrepl init`
# extent = "4MiB"       # (=) unit of the activity log: a power of two, 8 blocks to 64MiB. Fixed at `dkrepl init`
# control_port = 7400
# data_port = 7401
# security = "curve"    # "none": no keys, no encryption; anyone who reaches the ports can read and write all data

[[node]]
name = "alpha"                          # its host name
address = "10.0.0.1"                    # where the other nodes reach it
store = "/var/lib/dkrepl/r0.img"        # a file, which `dkrepl init` creates, or a block device
# public_key = "..."                    # what `dkrepl key show` prints on alpha; every node needs one

[[node]]
name = "beta"
address = "10.0.0.2"
store = "/var/lib/dkrepl/r0.img"
mode = "sync"                           # (=) a write completes once beta has it (the default)

[[node]]
name = "gamma"
address = "10.0.0.3"
store = "/var/lib/dkrepl/r0.img"
mode = "async"                          # (=) a write completes before gamma has it
on_full = "bitmap"                      # async_limit, on_full and the ports may differ by node
"""


def render_example() -> str:
    """Return a description file of three nodes with every key explained; it parses as mirror r0."""
    return _EXAMPLE

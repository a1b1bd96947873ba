"""The description that newcomers begin with."""

from __future__ import annotations

_EXAMPLE = """\
# Mirror r0: put this file, the same on every node, at /etc/dkrepl/r0.toml
# First, on every node:  dkrepl key generate    (prints the node's public key; its secret key never leaves it)
# then, on every node:   dkrepl config check r0 && dkrepl init r0 && systemctl enable --now dkrepl@r0
# Sizes are binary: B, KiB, MiB, GiB, TiB.

name = "r0"             # the file's name without .toml
size = "1GiB"           # of the device, a multiple of 4KiB; every store must hold it
source = "alpha"        # the node that is source at first; `dkrepl promote` changes it later

# What follows may be left out; the values are the defaults.
# block = "64KiB"       # unit of the intent log: a power of two from 4KiB to 1MiB
# extent = "4MiB"       # noted durably before its first write: a power of two, 8 blocks to 64MiB
# window = "64MiB"      # most bytes on their way to one target, at least 4MiB
# resync_rate = "0"     # for example "100MiB/s"; 0 is no limit
# peer_timeout = "5s"   # silence after which a peer counts as gone: 1s to 60s
# store_timeout = "30s" # how long the disk of a node that lives may stand still: 5s to 600s, more than peer_timeout
# start_alone = "never" # a former source asks first whether another node was promoted; "60s": it serves after that
#                       # time although some have not answered
# on_diverged = "keep"  # an old source with writes that the new one lacks keeps them in a file, then follows it;
#                       # "ask": it does so only after `dkrepl resolve`
# min_copies = 1        # copies that must be able to confirm a write, the source's own (of an async node only if this
#                       # is 1) and those of sync targets that are InSync; with fewer, writes wait
# on_no_quorum = "wait"   # or "error": they fail
# async_limit = 256     # most writes on their way to one target, greater than 2
# on_full = "block"     # at the limit: "block" writes synchronously until below it,
#                       # "bitmap" never holds up the application and catches up by resync
# control_port = 7400
# data_port = 7401
# security = "curve"    # "none": no keys, no encryption, and whoever reaches the ports can read and write all data

[[node]]
name = "alpha"                          # its host name
address = "10.0.0.1"                    # where the other nodes reach it
store = "/var/lib/dkrepl/r0.img"        # a file (`dkrepl init` makes it) or a block device
# public_key = "..."                    # what `dkrepl key show` prints on alpha: every node needs one

[[node]]
name = "beta"
address = "10.0.0.2"
store = "/var/lib/dkrepl/r0.img"
mode = "sync"                           # a write is complete when beta has it too (the default)

[[node]]
name = "gamma"
address = "10.0.0.3"
store = "/var/lib/dkrepl/r0.img"
mode = "async"                          # a write is complete before gamma has it
on_full = "bitmap"                      # async_limit, on_full and the ports may differ by node
"""


def render_example() -> str:
    """Return a description file of three nodes with every key explained; it parses as mirror r0."""
    return _EXAMPLE

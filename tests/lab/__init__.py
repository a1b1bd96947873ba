"""The words that all tests share: a mirror of nodes, what is done to them, and what applications wrote there.

``Node`` and ``Mirror`` (``node.py``, ``mirror.py``) have three backends: *simulated* in one process on virtual time,
*process* with real daemons on this host, *container* with systemd in containers. The stories in ``tests/scenarios`` are
told to whichever of them there is.

    waiting.py     a state that must come, with a deadline
    status.py      what a status says
    pages.py       pages that say which write they are of; runs on a node, too
    workload.py    a load whose answered writes are known
    partition.py   cuts of the network between nodes
    seeds.py       the seed of a random test
"""

"""A seeded simulator of whole clusters: the code that ships, on virtual time, a faulty network and faulty disks.

    run, test_*      seeds from the command line and in the tests; ``simulate`` runs one of them
    settings         what a seed's cluster is like
    world            virtual time, randomness, the trace
    cluster          machines, network, application; what really happened (``truth``, ``ancestry``)
    machine, disk, files     what a host keeps, with a page cache that may be lost, and how the daemon reaches it
    process, outside     one life of a daemon, and what it has instead of a host: ``loop``, ``device``, ``sockets`` ...
    faults, roles    what goes wrong; who is promoted
    checks, verdicts, probe, copies, counting    the rules

Everything of ``dkrepl.core`` and the runtimes and roles of ``dkrepl.daemon`` are the real ones. Not
simulated: signals and the loop itself (``dkrepl.daemon.main``), the control socket, ZeroMQ and the kernel themselves.
"""

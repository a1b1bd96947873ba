"""Wires the core to the outside world: one reactor, one process per mirror."""

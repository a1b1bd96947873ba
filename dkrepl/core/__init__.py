"""Pure logic of replication: events in, actions out; no sockets, files, clocks or threads."""

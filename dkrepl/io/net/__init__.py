"""ZeroMQ sockets, and who is let in."""

"""What a node remembers, and whose data descends from whose."""

"""The host: memory, clock."""

"""A node as target: stream to store."""

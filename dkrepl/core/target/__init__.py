"""A node as target."""

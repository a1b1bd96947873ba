"""A node as source."""

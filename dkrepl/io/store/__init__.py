"""The backing store."""

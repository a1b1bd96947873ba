"""Block devices of the kernel."""

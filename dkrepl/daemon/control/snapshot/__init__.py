"""The state of a node at one moment (R10): put together in the loop, from what the core and the runtime know."""

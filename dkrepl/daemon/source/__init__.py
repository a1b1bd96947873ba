"""A node as source: device, store, stream."""

"""Which blocks may differ, and which extents may be written."""

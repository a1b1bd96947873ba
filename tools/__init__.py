"""Programs for those who develop dkrepl."""

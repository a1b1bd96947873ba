"""Who may be source."""

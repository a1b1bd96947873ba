"""Checks of the project's own that no library has; `make lint` runs them."""

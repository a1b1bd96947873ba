"""Tests of ``dkrepl.api``."""

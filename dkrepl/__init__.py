"""Replicates a Linux block device to other nodes without a kernel module."""

__version__ = "0.1.0"

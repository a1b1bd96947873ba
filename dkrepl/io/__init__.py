"""The outside world: FUSE, loop devices, backing stores, metadata files, ZeroMQ, systemd."""

"""Figures of the process and of the host, as status shows them."""

from __future__ import annotations

import os
import time

import psutil

from dkrepl.api.status import Host, Process

_process = psutil.Process()


def of_host(store: str) -> tuple[Process, Host]:
    """Return the figures; ``store``: the path of the node's store. May be called from any thread."""
    with _process.oneshot():
        cpu = _process.cpu_times()
        process = Process(
            pid=_process.pid,
            rss_bytes=_process.memory_info().rss,
            cpu_seconds=round(cpu.user + cpu.system, 2),
            uptime_seconds=round(time.time() - _process.create_time(), 1),
            threads=_process.num_threads(),
            open_files=_process.num_fds(),
        )
    try:
        free: int | None = psutil.disk_usage(os.path.dirname(store)).free
    except OSError:
        free = None
    host = Host(
        load1=round(psutil.getloadavg()[0], 2),
        memory_available_bytes=psutil.virtual_memory().available,
        store_free_bytes=free,
    )
    return process, host

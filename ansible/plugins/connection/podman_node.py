"""Ansible connection to a container of this host's podman.

It exists so that the demo and the tests need no collection: three calls of ``podman exec`` are all there is.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.utils.display import Display

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: podman_node
short_description: Run tasks in a podman container on this host
description:
  - Runs commands with C(podman exec), and moves files through its standard input and output.
  - Used by the demo and the tests of dkrepl; real hosts are reached over ssh.
author: The dkrepl authors
options:
  remote_addr:
    description: Name of the container.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
  containers_conf:
    description: A containers.conf(5) to use where the environment names none in C(CONTAINERS_CONF).
    type: path
    vars:
      - name: podman_node_containers_conf
  command_timeout:
    description: Seconds that one command may take before it is killed and the host counts as unreachable.
    type: int
    default: 900
    vars:
      - name: podman_node_command_timeout
"""

display = Display()


class Connection(ConnectionBase):
    """One container. There is nothing to open or to close: every call is a process of its own."""

    transport = "podman_node"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def _podman_exec(self, arguments: list[str], **redirections: Any) -> subprocess.CompletedProcess[bytes]:
        environment = dict(os.environ)
        configuration = self.get_option("containers_conf")
        if configuration:
            environment.setdefault("CONTAINERS_CONF", configuration)
        container = self.get_option("remote_addr")
        limit = self.get_option("command_timeout")
        command = ["podman", "exec", "--interactive", container, *arguments]
        display.vvv(f"EXEC {shlex.join(command)}", host=container)
        try:
            done = subprocess.run(
                command, env=environment, stderr=subprocess.PIPE, timeout=limit, check=False, **redirections
            )
        except FileNotFoundError as error:
            raise AnsibleConnectionFailure("podman is not installed on this host") from error
        except subprocess.TimeoutExpired as error:
            raise AnsibleConnectionFailure(f"{container}: no end of a command after {limit} s") from error
        # podman's own failures (no such container, not running) are 125; those of the command pass through.
        if done.returncode == 125:
            message = done.stderr.decode(errors="replace").strip()
            raise AnsibleConnectionFailure(f"{container}: {message}")
        return done

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command in the container as root; return its code, output and error output."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = self._podman_exec(["/bin/sh", "-c", cmd], stdout=subprocess.PIPE, input=in_data or b"")
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the controller into the container."""
        super().put_file(in_path, out_path)
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound(f"{in_path} does not exist")
        with open(in_path, "rb") as source:
            done = self._podman_exec(
                ["/bin/sh", "-c", f"cat > {shlex.quote(out_path)}"], stdin=source, stdout=subprocess.DEVNULL
            )
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise AnsibleConnectionFailure(f"cannot write {out_path} in the container: {message}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the container to the controller."""
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as destination:
            done = self._podman_exec(["cat", in_path], stdin=subprocess.DEVNULL, stdout=destination)
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise AnsibleConnectionFailure(f"cannot read {in_path} in the container: {message}")

    def close(self) -> None:
        """Nothing is kept open."""
        self._connected = False

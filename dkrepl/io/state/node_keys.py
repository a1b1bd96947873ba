"""The node's own key pair: where the secret part lies, who may read it, how it is made and replaced.

One pair a node, for all its mirrors. The secret key never leaves the node; it is read from a file and from nowhere
else, so that it is in no list of processes and in no journal. Under systemd the file is handed over as the credential
``dkrepl.secret`` (systemd.exec(5), LoadCredential=), which may as well come from elsewhere, such as encrypted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from dkrepl.config import public_key
from dkrepl.errors import NodeKeyError, Refused
from dkrepl.io.state import durable_file
from dkrepl.io.state.paths import Paths

CURRENT, NEXT = "node.secret", "node.secret.next"
CREDENTIAL = "dkrepl.secret"
_NO_KEY = b"none"  # what the unit hands over where there is no file: systemd's complaint would not say what to do
_LARGEST = 4096  # bytes


@dataclass(frozen=True)
class NodeKeys:
    """A key pair; the secret part is not shown when it is printed."""

    public: bytes
    secret: bytes = field(repr=False)

    @property
    def public_text(self) -> str:
        """The public key as descriptions have it."""
        return public_key.write(self.public)


def load(paths: Paths, environ: Mapping[str, str] = os.environ) -> NodeKeys:
    """Return the node's keys: those that the service manager handed over, else those in the file.

    Raises ``NodeKeyError``.
    """
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", "/nowhere")) / CREDENTIAL
    # In a container whose mounts are private systemd 252 hands over an empty directory (seen).
    if credential.exists() and credential.read_bytes() != _NO_KEY:
        return _read(credential)
    return read(paths)


def read(paths: Paths, name: str = CURRENT) -> NodeKeys:
    """Return the keys in the file ``name``. Raises ``NodeKeyError``."""
    path = paths.keys / name
    if not path.exists():
        raise _missing(path)
    return _read(path)


def generate(paths: Paths, name: str = CURRENT) -> NodeKeys:
    """Make new keys and keep them durably in the file ``name``.

    Raises ``Refused`` if there are some already, ``NodeKeyError`` if they cannot be written.
    """
    public_text, secret_text = zmq.curve_keypair()
    keys = NodeKeys(z85.decode(public_text), z85.decode(secret_text))
    path = paths.keys / name
    try:
        paths.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f".{name}.{os.getpid()}")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(public_key.write(keys.secret) + "\n")
                file.flush()
                os.fsync(fd)
            os.link(part, path)  # unlike a rename, never replaces a key that is there
        finally:
            part.unlink()
        durable_file.sync_directory(paths.keys)
    except FileExistsError:
        raise Refused(f"{path} is there already; `dkrepl key show` prints its public key") from None
    except OSError as error:
        raise NodeKeyError(f"cannot write {path} ({error.strerror}); run it as root") from error
    return keys


def replace(paths: Paths) -> NodeKeys:
    """Make the next keys the present ones; the present ones are gone then. Raises ``NodeKeyError``."""
    keys = read(paths, NEXT)
    try:
        os.replace(paths.keys / NEXT, paths.keys / CURRENT)
        durable_file.sync_directory(paths.keys)
    except OSError as error:
        raise NodeKeyError(f"cannot replace {paths.keys / CURRENT} ({error.strerror}); run it as root") from error
    return keys


def _read(path: Path) -> NodeKeys:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LARGEST).decode("ascii", "replace").strip()
    except OSError as error:
        raise NodeKeyError(f"the secret key {path} cannot be read ({error.strerror}); run it as root") from error
    if stat.S_IMODE(mode) & 0o077:
        raise NodeKeyError(
            f"the secret key {path} is open to others than its owner (mode {stat.S_IMODE(mode):04o}); "
            f"take that away with `chmod 0600 {path}`, and replace the key if somebody may have read it"
        )
    try:
        secret = public_key.read(text)
    except ValueError:
        raise NodeKeyError(
            f"{path} holds no secret key; move it away, run `dkrepl key generate`, and put the public key that it "
            "prints into the descriptions"
        ) from None
    return NodeKeys(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def _missing(path: Path) -> NodeKeyError:
    how = " --next" if path.name == NEXT else ""
    return NodeKeyError(
        f"this node has no secret key {path}; run `dkrepl key generate{how}` as root, and put the public key that it "
        "prints into the descriptions"
    )

"""The control socket of a daemon: every request gets one answer, and no client can hold it up."""

from __future__ import annotations

import contextlib
import json
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dkrepl.api import requests
from dkrepl.api.lines import Line
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.daemon.control.reply import Reply
from dkrepl.daemon.control.server import ControlServer
from dkrepl.errors import DaemonNotRunning, HostError, Refused
from tests.lab.waiting import wait_for

IMPATIENT = Limits(client_silence_seconds=0.1)


class Answers:
    """Carries out requests as the tests want: each kind of request stands for a kind of answer."""

    def __init__(self) -> None:
        self.requests: list[requests.Request] = []
        self.hold = threading.Event()

    def begin(self, request: requests.AnyRequest, reply: Reply) -> Callable[[], None]:
        self.requests.append(request)
        match request:
            case requests.Demote():
                raise Refused("not now: wait until it is in sync")
            case requests.Reload():
                raise ValueError("a bug")
            case requests.Verify():
                reply.progress({"done": 1})
                reply.progress({"done": 2})
                reply.done({"command": "verify"})
            case requests.Resume():
                reply.progress({"waiting": True})
                threading.Thread(target=self._answer_later, args=(reply,), daemon=True).start()
            case requests.Descriptions():
                reply.finish(_without_end)
            case requests.Switchover():
                return self._says_that_no_answer_comes
            case _:
                reply.done({"command": requests.command_of(request)})
        return lambda: None

    def _answer_later(self, reply: Reply) -> None:
        self.hold.wait(20)
        reply.done({"command": "resume"})

    def _says_that_no_answer_comes(self) -> None:
        raise DaemonNotRunning("the daemon changes its role")


def _without_end() -> Iterator[Line]:
    while True:
        yield Line(progress={"text": "x" * 60_000})


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def limits() -> Limits:
    return DEFAULT


@pytest.fixture
def path(answers: Answers, limits: Limits) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run" / "r0.sock"
        server = ControlServer(path, answers.begin, limits=limits)
        server.start()
        try:
            yield path
        finally:
            answers.hold.set()
            server.close()
        assert not path.exists()


def _connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(str(path))
    return client


def _lines(client: socket.socket) -> list[dict[str, Any]]:
    with client, client.makefile("rb") as lines:
        return [json.loads(line) for line in lines]


def _ask(path: Path, request: bytes) -> list[dict[str, Any]]:
    client = _connect(path)
    client.sendall(request)
    client.shutdown(socket.SHUT_WR)
    return _lines(client)


def test_a_request_is_carried_out_with_its_arguments(path: Path, answers: Answers) -> None:
    assert _ask(path, b'{"command": "pause", "targets": ["beta"]}\n') == [{"ok": {"command": "pause"}}]
    assert answers.requests == [requests.Pause(targets=("beta",))]


def test_progress_comes_before_the_answer(path: Path) -> None:
    found = _ask(path, b'{"command": "verify"}\n')
    assert found == [{"progress": {"done": 1}}, {"progress": {"done": 2}}, {"ok": {"command": "verify"}}]


@pytest.mark.parametrize("limits", [IMPATIENT])
def test_a_command_that_works_long_without_progress_gives_signs_of_life(path: Path, answers: Answers) -> None:
    with _connect(path) as client, client.makefile("rb") as lines:
        client.sendall(b'{"command": "resume"}\n')
        assert [json.loads(lines.readline()) for _ in range(3)] == [
            {"progress": {"waiting": True}},
            {"progress": {}},
            {"progress": {}},
        ]
        answers.hold.set()
        *_, last = map(json.loads, lines)
        assert last == {"ok": {"command": "resume"}}


def test_a_command_that_will_never_be_answered_is_an_error(path: Path) -> None:
    [answer] = _ask(path, b'{"command": "switchover", "to": "beta"}\n')
    assert answer["error"]["name"] == "DaemonNotRunning"


def test_an_error_has_its_code_name_and_sentence(path: Path) -> None:
    sentence = "not now: wait until it is in sync"
    error = {"code": Refused.exit_code, "name": "Refused", "message": sentence}
    assert _ask(path, b'{"command": "demote"}\n') == [{"error": error}]


def test_a_bug_is_one_answer_and_not_the_end(path: Path) -> None:
    [answer] = _ask(path, b'{"command": "reload"}\n')
    assert answer["error"]["code"] == 1
    assert "a bug" in answer["error"]["message"]
    assert _ask(path, b'{"command": "status"}\n') == [{"ok": {"command": "status"}}]


@pytest.mark.parametrize(
    "request_",
    [b"", b"{", b"no json\n", b"[]\n", b'"status"\n', b"{}\n", b'{"command": 7}\n', b"\xff\xfe\n", b"\0" * 100 + b"\n"],
)
def test_what_is_no_request_is_a_usage_error(path: Path, answers: Answers, request_: bytes) -> None:
    [answer] = _ask(path, request_)
    assert answer["error"]["name"] == "UsageError"
    assert answers.requests == []


def test_an_endless_request_is_cut_off(path: Path, answers: Answers) -> None:
    client = _connect(path)
    try:
        for _ in range(100):
            client.sendall(b"x" * 4096)
    except OSError:
        pass  # it was cut off while we were sending
    try:
        [answer] = _lines(client)
        assert answer["error"]["name"] == "UsageError"
    except ConnectionError:
        pass
    assert answers.requests == []
    assert _ask(path, b'{"command": "status"}\n') == [{"ok": {"command": "status"}}]


def test_deeply_nested_json_does_not_end_the_daemon(path: Path) -> None:
    [answer] = _ask(path, b'{"command":' + b"[" * 50_000 + b"\n")
    assert "error" in answer
    assert _ask(path, b'{"command": "status"}\n') == [{"ok": {"command": "status"}}]


@pytest.mark.parametrize("limits", [IMPATIENT])
def test_a_client_that_says_nothing_is_let_go(path: Path) -> None:
    with _connect(path) as client:
        assert client.recv(100) == b""


@pytest.mark.parametrize("limits", [IMPATIENT])
def test_a_client_that_reads_nothing_is_let_go(path: Path) -> None:
    clients = [_connect(path) for _ in range(32)]
    for client in clients:
        client.sendall(b'{"command": "descriptions"}\n')

    def answered() -> list[dict[str, Any]]:
        with contextlib.suppress(ConnectionError):
            return _ask(path, b'{"command": "status"}\n')
        return []

    done = [{"ok": {"command": "status"}}]
    wait_for(answered, lambda found: found == done, "the daemon has given up on those that took all places")
    for client in clients:
        client.close()


def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(path: Path, answers: Answers) -> None:
    client = _connect(path)
    client.sendall(b'{"command": "resume"}\n')
    client.recv(100)
    client.close()
    assert _ask(path, b'{"command": "status"}\n') == [{"ok": {"command": "status"}}]


def test_there_are_so_many_places_for_clients_and_no_more(path: Path, answers: Answers) -> None:
    clients = [_connect(path) for _ in range(32)]
    for client in clients:
        client.sendall(b'{"command": "resume"}\n')
        assert client.recv(100)
    with _connect(path) as late:
        late.shutdown(socket.SHUT_WR)
        [answer] = _lines(late)
        assert answer["error"]["name"] == "Refused"
    answers.hold.set()
    for client in clients:
        assert _lines(client) == [{"ok": {"command": "resume"}}]


def test_the_socket_is_for_root_and_its_group(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_that_a_dead_daemon_left_is_replaced(path: Path, answers: Answers) -> None:
    other = path.with_name("r1.sock")
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(other))
    left.close()
    server = ControlServer(other, answers.begin)
    server.start()
    try:
        assert _ask(other, b'{"command": "status"}\n') == [{"ok": {"command": "status"}}]
    finally:
        server.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, answers: Answers) -> None:
    (tmp_path / "file").write_text("")
    server = ControlServer(tmp_path / "file" / "r0.sock", answers.begin)
    with pytest.raises(HostError, match=r"cannot listen at .*/file/r0.sock \("):
        server.start()

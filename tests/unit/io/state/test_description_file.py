"""Finding a mirror's description on a host, and the host among its nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.errors import DescriptionError, NotFound, UsageError
from dkrepl.io.state.description_file import list_mirrors, load, load_file, only_mirror, which_node
from dkrepl.io.state.paths import Paths

EXAMPLE = parse(render_example(), "r0", {})


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "r0.toml").write_text(render_example())
    return Paths(etc=tmp_path)


def test_a_mirror_is_loaded_by_its_name(paths: Paths) -> None:
    assert load("r0", paths.etc, {}) == EXAMPLE


def test_a_mirror_that_is_not_there_is_answered_with_those_that_are(paths: Paths) -> None:
    with pytest.raises(NotFound, match=r"no description .*r7\.toml: the mirrors there are r0"):
        load("r7", paths.etc)
    with pytest.raises(NotFound, match="no mirror is described there"):
        load("r7", paths.etc / "missing")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"\xff\xfe", "not UTF-8 text: byte 0 is 0xff"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        (b'name = "r1"', "size is missing"),
    ],
)
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, data: bytes, part: str) -> None:
    (tmp_path / "r1.toml").write_bytes(data)
    with pytest.raises(DescriptionError, match=part):
        load("r1", tmp_path, {})


def test_a_directory_or_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r1.toml").mkdir()
    with pytest.raises(DescriptionError, match="cannot be read: Is a directory"):
        load("r1", tmp_path)
    with pytest.raises(DescriptionError, match=r"<mirror>\.toml"):
        load_file(tmp_path / "r1.conf")
    with pytest.raises(DescriptionError, match="cannot be read"):
        load("r\0", tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_any_bytes_are_a_description_or_a_refusal(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(DescriptionError):
        load("x", tmp_path, {})


@pytest.mark.parametrize(
    ("host", "node"),
    [("alpha", "alpha"), ("ALPHA", "alpha"), ("beta.example.org", "beta"), ("beta.", "beta")],
)
def test_a_host_finds_itself_by_its_short_or_full_name(host: str, node: str) -> None:
    assert which_node(EXAMPLE, None, host).name == node


def test_a_full_name_in_the_description_is_found_from_full_and_short_host_names() -> None:
    text = render_example().replace('"alpha"', '"alpha.one.org"').replace('"beta"', '"alpha.two.org"')
    mirror = parse(text, "r0", {})
    assert which_node(mirror, None, "alpha.two.org").name == "alpha.two.org"
    assert which_node(mirror, None, "gamma").name == "gamma"
    with pytest.raises(NotFound, match="--node"):
        which_node(mirror, None, "alpha")  # which of the two cannot be told


def test_a_host_that_is_no_node_is_answered_with_the_nodes_there_are() -> None:
    with pytest.raises(
        NotFound, match=r'this host \("delta"\): its nodes are alpha, beta, gamma; name one with --node'
    ):
        which_node(EXAMPLE, None, "delta")
    assert which_node(EXAMPLE, "gamma", "delta").name == "gamma"
    with pytest.raises(NotFound, match='no node "epsilon"'):
        which_node(EXAMPLE, "epsilon", "alpha")


def test_the_mirror_may_be_left_out_where_there_is_exactly_one(paths: Paths) -> None:
    assert only_mirror(paths) == "r0"
    (paths.etc / "r1.toml").touch()
    (paths.etc / ".hidden.toml").touch()
    assert list_mirrors(paths) == ["r0", "r1"]
    with pytest.raises(UsageError, match="name one: r0, r1"):
        only_mirror(paths)
    with pytest.raises(NotFound, match="dkrepl config example"):
        only_mirror(Paths(etc=paths.etc / "missing"))

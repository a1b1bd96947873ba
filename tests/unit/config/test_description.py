"""The description file: what is accepted, and the sentence for each mistake."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.config import public_key
from dkrepl.config.description import Description, parse, require_keys, without_keys
from dkrepl.config.example import render_example
from dkrepl.errors import DescriptionError, NotFound
from tests.unit.config.rendered import render

HEAD = 'name = "r0"\nsize = "1GiB"\nsource = "alpha"\n'
ALPHA = '[[node]]\nname = "alpha"\naddress = "10.0.0.1"\nstore = "/srv/r0"\n'
BETA = '[[node]]\nname = "beta"\naddress = "10.0.0.2"\nstore = "/srv/r0"\n'
GOOD = HEAD + ALPHA + BETA


def refusal(text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(DescriptionError) as caught:
        parse(text, "r0", environ or {})
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_what_is_left_out_has_the_documented_default() -> None:
    mirror = parse(GOOD, "r0", {})
    assert (mirror.size, mirror.block, mirror.extent, mirror.window) == (1 << 30, 65536, 4 << 20, 64 << 20)
    assert (mirror.async_limit, mirror.on_full, mirror.resync_rate, mirror.peer_timeout) == (
        256,
        "block",
        0,
        5.0,
    )
    beta = mirror.node("beta")
    assert (beta.mode, beta.control_port, beta.data_port) == ("sync", 7400, 7401)
    assert (beta.async_limit, beta.on_full) == (256, "block")
    assert [node.name for node in mirror.peers("beta")] == ["alpha"]


def test_a_node_overrides_what_the_mirror_says() -> None:
    mirror = parse(
        'async_limit = 100\non_full = "bitmap"\ndata_port = 9000\n'
        + GOOD
        + 'async_limit = 7\non_full = "block"\ndata_port = 9001\n',
        "r0",
        {},
    )
    assert [(n.async_limit, n.on_full, n.data_port) for n in mirror.nodes] == [
        (100, "bitmap", 9000),
        (7, "block", 9001),
    ]


@pytest.mark.parametrize("variable", ["DKREPL_ASYNC_LIMIT", "LKDR_ASYNC_LIMIT"])
def test_the_environment_overrides_the_limit_of_every_node(variable: str) -> None:
    mirror = parse(GOOD + "async_limit = 7\n", "r0", {variable: "32"})
    assert (mirror.async_limit, *[node.async_limit for node in mirror.nodes]) == (32, 32, 32)
    assert parse(GOOD, "r0", {"DKREPL_ASYNC_LIMIT": "9", "LKDR_ASYNC_LIMIT": "32"}).async_limit == 9
    assert parse(GOOD, "r0", {variable: ""}).async_limit == 256


@pytest.mark.parametrize("value", ["2", "0", "-1", "many", "9" * 40])
def test_a_limit_of_the_environment_that_is_too_small_or_no_number_is_refused(value: str) -> None:
    sentence = refusal(GOOD, {"LKDR_ASYNC_LIMIT": value})
    assert "LKDR_ASYNC_LIMIT is " in sentence
    assert "greater than 2" in sentence


def test_a_larger_block_brings_a_larger_extent_when_none_is_given() -> None:
    assert parse('block = "1MiB"\n' + GOOD, "r0", {}).extent == 8 << 20


swap = GOOD.replace
SHARED_ADDRESS = swap("10.0.0.2", "10.0.0.1")

MISTAKES = {
    # not TOML
    "unfinished": ("size = ", "not valid TOML: Invalid value"),
    "endless number": ("a = " + "1" * 5000, "not valid TOML"),
    "deep nesting": ("a = " + "[" * 100000, "not valid TOML"),
    # keys
    "unknown": ("blok = 3\n" + GOOD, 'unknown key "blok": did you mean "block"?'),
    "unknown in node": (GOOD + "stor = 1", 'node "beta": unknown key "stor": did you mean "store"?'),
    "nothing near": ("zzzzz = 1\n" + GOOD, 'unknown key "zzzzz": the keys here are name, size'),
    "value beyond printing": ("a = 0x" + "f" * 6000, 'unknown key "a"'),
    "node's above": ('mode = "sync"\n' + GOOD, 'unknown key "mode": it belongs in a [[node]]'),
    "mirror's in node": (GOOD + 'block = "64KiB"', "it belongs above the first [[node]]"),
    "missing": (swap('size = "1GiB"', ""), 'size is missing: write for example size = "1GiB"'),
    "nameless node": (HEAD + "[[node]]\n" + BETA, "[[node]] 1: name is missing"),
    # values
    "name not file's": (swap('"r0"', '"r1"', 1), 'name is "r1", but it must equal the file'),
    "name": (swap('"r0"', '"R 0"', 1), 'name is "R 0", but it must be a lower-case letter'),
    "unit": (swap("1GiB", "1GB"), 'size is "1GB", but it must be a size', 'write GiB: "1GiB"'),
    "odd size": (swap("1GiB", "4097B"), 'size is "4097B"', "multiple of 4KiB"),
    "no size": (swap('"1GiB"', "0"), "size is 0, but it must be a multiple of 4KiB and not 0"),
    "huge size": (swap('"1GiB"', "0x" + "f" * 6000), "size is a number beyond 64 bits", "2**63 - 1"),
    "block no power": ('block = "48KiB"\n' + GOOD, 'block is "48KiB"', "power of two from 4KiB to 1MiB"),
    "block too large": ('block = "2MiB"\n' + GOOD, 'block is "2MiB"', "from 4KiB to 1MiB"),
    "extent too large": ('extent = "128MiB"\n' + GOOD, 'extent is "128MiB"', "to 64MiB"),
    "limit": ("async_limit = 2\n" + GOOD, "async_limit is 2, but", "greater than 2"),
    "limit no number": ("async_limit = true\n" + GOOD, "async_limit is true, but"),
    "node's limit": (GOOD + "async_limit = 1", 'node "beta": async_limit is 1, but'),
    "window": ('window = "1MiB"\n' + GOOD, 'window is "1MiB", but it must be from 4MiB'),
    "on_full": ('on_full = "drop"\n' + GOOD, 'on_full is "drop", but it must be "block" or "bitmap"'),
    "rate": ('resync_rate = "1Gbit/s"\n' + GOOD, 'resync_rate is "1Gbit/s", but it must be a rate'),
    "timeout": ('peer_timeout = "2m"\n' + GOOD, 'peer_timeout is "2m", but it must be from 1s to 60s'),
    "store timeout": ('store_timeout = "601s"\n' + GOOD, 'store_timeout is "601s", but it must be from 5s to 600s'),
    "store timeout short": ("store_timeout = 5\npeer_timeout = 5\n" + GOOD, "store_timeout is 5s, but it must be more"),
    "timeout nan": ("peer_timeout = nan\n" + GOOD, "peer_timeout is nan, but"),
    "port": ("control_port = 70000\n" + GOOD, "control_port is 70000", "from 1 to 65535"),
    "mode": (GOOD + 'mode = "asynk"', 'node "beta": mode is "asynk", but it must be "sync" or "async"'),
    "relative store": (swap('"/srv/r0"', '"r0"'), 'node "alpha": store is "r0"', "absolute path"),
    "store with dots": (swap("/srv/r0", "/srv/../r0"), 'without ".."'),
    "node name": (swap('"beta"', '"be/ta"'), 'name is "be/ta", but it must be the host name'),
    "address with port": (swap("10.0.0.2", "10.0.0.2:7400"), "without a port"),
    "address no ip": (swap("10.0.0.2", "10.0.0.300"), 'address is "10.0.0.300"'),
    "address of none": (swap("10.0.0.2", "0.0.0.0"), "that the other nodes can connect to"),
    "terminal codes": (GOOD + 'mode = "\\u001b[31m"', 'mode is "\\x1b[31m"'),
    # together
    "extent of few blocks": (
        'block = "1MiB"\nextent = "4MiB"\n' + GOOD,
        "extent is 4MiB",
        "8 blocks, that is 8MiB",
    ),
    "too many blocks": ('block = "4KiB"\n' + swap("1GiB", "1000TiB"), "blocks of 4KiB", "a larger block"),
    "source": (
        swap('"alpha"', '"gamma"', 1),
        'source is "gamma", but it must be one of the nodes: alpha, beta',
    ),
    "one node": (HEAD + ALPHA, "1 [[node]] given", "from 2 to 32"),
    "no node": (HEAD, "there is no [[node]]"),
    "33 nodes": (HEAD + ALPHA * 33, "33 [[node]] given", "from 2 to 32"),
    "node no table": (HEAD + 'node = "alpha"', "begin each node with a line [[node]]"),
    "name twice": (swap("beta", "alpha"), '"alpha" is given twice'),
    "name twice but for case": (swap("beta", "ALPHA"), '"ALPHA" is given twice'),
    "port twice": (
        SHARED_ADDRESS,
        "control_port of node beta is 7400 at address 10.0.0.1, but so is",
        "alpha",
    ),
    "own port twice": ("control_port = 7401\n" + GOOD, "data_port of node alpha is 7401", "control_port"),
    "store twice": (SHARED_ADDRESS + "control_port = 1\ndata_port = 2", "the same store /srv/r0"),
    "store is the device": (swap("/srv/r0", "/dev/dkrepl/r0", 1), "the mirror's own device"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_the_key_the_value_and_what_is_expected(mistake: str) -> None:
    text, *parts = MISTAKES[mistake]
    sentence = refusal(text)
    assert sentence.startswith("r0.toml: ")
    assert [part for part in parts if part not in sentence] == [], sentence


def test_two_nodes_may_share_an_address_with_other_ports_and_stores() -> None:
    text = GOOD.replace("10.0.0.2", "10.0.0.1").replace("/srv/r0", "/srv/a", 1)
    assert len(parse(text + "control_port = 7500\ndata_port = 7501\n", "r0", {}).nodes) == 2


def test_an_unknown_node_is_answered_with_the_nodes_there_are() -> None:
    with pytest.raises(NotFound, match='no node "delta": its nodes are alpha, beta'):
        parse(GOOD, "r0", {}).node("delta")


def test_the_example_is_a_description_and_shows_the_defaults() -> None:
    example = render_example()
    assert parse(example, "r0", {}).node("gamma").mode == "async"
    uncommented = "\n".join(
        line[2:] if line.startswith("# ") and " = " in line and "`" not in line else line
        for line in example.splitlines()
    )
    assert parse(uncommented, "r0", {}) == parse(example, "r0", {})


KIB_POWERS = st.integers(min_value=0, max_value=8)
KEYS = st.sampled_from(["async_limit", "on_full", "control_port", "block", "extent", "size", "window", "resync_rate"])
VALUES = st.sampled_from(
    ['"64KiB"', "3", '"bitmap"', '"4MiB"', "true", "1.5", "[]", "{}", "1979-05-27", "-1", '""', "nan"]
)


@given(st.text())
def test_any_text_is_a_description_or_a_refusal(text: str) -> None:
    with suppress(DescriptionError):
        assert isinstance(parse(text, "r0", {}), Description)


@given(
    st.lists(st.tuples(KEYS, VALUES), max_size=4),
    st.lists(st.tuples(KEYS, VALUES), max_size=4),
    st.text(max_size=6),
)
def test_any_keys_and_values_are_a_description_or_a_refusal(
    above: list[tuple[str, str]], below: list[tuple[str, str]], limit: str
) -> None:
    head = "".join(f"{key} = {value}\n" for key, value in above)
    tail = "".join(f"{key} = {value}\n" for key, value in below)
    try:
        mirror = parse(head + GOOD + tail, "r0", {"DKREPL_ASYNC_LIMIT": limit})
    except DescriptionError:
        return
    assert parse(render(mirror), "r0", {}) == mirror


@given(
    block=KIB_POWERS,
    blocks_per_extent=st.integers(min_value=3, max_value=6),
    sectors=st.integers(min_value=1, max_value=1 << 20),
    limit=st.integers(min_value=3, max_value=1 << 20),
    rate=st.integers(min_value=0, max_value=1 << 40),
    timeout=st.floats(min_value=1, max_value=60),
    store=st.text(alphabet=st.characters(exclude_characters="/"), min_size=1),
)
def test_a_description_written_out_is_read_back_equal(
    block: int, blocks_per_extent: int, sectors: int, limit: int, rate: int, timeout: float, store: str
) -> None:
    text = (
        f"block = {4096 << block}\nextent = {4096 << block << blocks_per_extent}\nasync_limit = {limit}\n"
        f"resync_rate = {rate}\npeer_timeout = {timeout!r}\n" + GOOD.replace('"1GiB"', str(sectors * 4096))
    )
    mirror = parse(text, "r0", {})
    assert parse(render(mirror), "r0", {}) == mirror
    if store.isprintable() and store not in (".", ".."):
        quoted = store.replace("\\", "\\\\").replace('"', '\\"')
        mirror = parse(text.replace("/srv/r0", "/srv/" + quoted), "r0", {})
        assert mirror.nodes[0].store == "/srv/" + store
        assert parse(render(mirror), "r0", {}) == mirror


@pytest.mark.parametrize(("peer_timeout", "store_timeout"), [(1, 30.0), (15, 30.0), (60, 120.0)])
def test_a_store_may_stand_still_for_longer_than_a_peer_may_be_silent(peer_timeout: int, store_timeout: float) -> None:
    assert parse(f"peer_timeout = {peer_timeout}\n" + GOOD, "r0", {}).store_timeout == store_timeout


KEY, OTHER = (public_key.write(bytes((byte,)) * 32) for byte in (1, 250))


def test_a_node_is_known_by_its_key_and_while_it_is_replaced_by_two() -> None:
    mirror = parse(GOOD + f'public_key = "{KEY}"\nnext_public_key = "{OTHER}"\n', "r0", {})
    assert mirror.security == "curve"
    assert mirror.node("beta").public_keys == (KEY, OTHER)
    assert mirror.node("alpha").public_keys == ()


@pytest.mark.parametrize(
    "key", ["", "x", KEY[:-1], KEY + "=", KEY[:-1] + "!", KEY.replace("=", ""), " " + KEY, KEY[:-2] + "R="]
)
def test_what_is_no_key_is_refused_and_where_to_get_one_is_said(key: str) -> None:
    assert "`dkrepl key show` prints" in refusal(GOOD + f'public_key = "{key}"\n')


def test_one_key_for_two_nodes_is_refused() -> None:
    alpha = ALPHA + f'public_key = "{KEY}"\n'
    for beta in (f'public_key = "{KEY}"\n', f'public_key = "{OTHER}"\nnext_public_key = "{KEY}"\n'):
        assert "alpha and beta have the same public key" in refusal(HEAD + alpha + BETA + beta)


def test_a_mirror_with_a_node_that_has_no_key_is_not_run_unless_security_is_given_up() -> None:
    with pytest.raises(DescriptionError) as caught:
        require_keys(parse(GOOD + f'public_key = "{KEY}"\n', "r0", {}))
    assert 'node "alpha" has no public_key' in str(caught.value)
    require_keys(parse('security = "none"\n' + GOOD, "r0", {}))
    assert 'security is "tls"' in refusal('security = "tls"\n' + GOOD)


def test_only_keys_may_differ_between_descriptions_that_are_the_same_without_them() -> None:
    keyed = parse(GOOD + f'public_key = "{KEY}"\n', "r0", {})
    assert keyed != parse(GOOD, "r0", {})
    assert without_keys(keyed) == parse(GOOD, "r0", {})
    assert without_keys(keyed) != without_keys(parse('security = "none"\n' + GOOD, "r0", {}))

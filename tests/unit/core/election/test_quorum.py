"""Which silent nodes decide, and how a change of the description passes from the old terms to the new ones."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from dkrepl.config.description import Description, parse
from dkrepl.config.terms import advisory, differences, digest, required, sync_nodes
from dkrepl.core.election import quorum
from dkrepl.core.lineage.metadata import NodeMetadata

NAMES = ("alpha", "beta", "gamma", "delta")


def mirror(nodes: tuple[str, ...], min_copies: int, asynchronous: tuple[str, ...] = ()) -> Description:
    text = f'name = "r0"\nsize = "1GiB"\nsource = "{nodes[0]}"\nsecurity = "none"\nmin_copies = {min_copies}\n'
    for name in nodes:
        mode = "async" if name in asynchronous else "sync"
        text += f'[[node]]\nname = "{name}"\naddress = "{name}"\nstore = "/s"\nmode = "{mode}"\n'
    return parse(text, "r0", {})


def record(agreed: Description | None = None, node: str = "alpha") -> NodeMetadata:
    terms = required(agreed) if agreed is not None else {}
    return NodeMetadata(
        format=2,
        mirror="r0",
        mirror_id="m1",
        node=node,
        role="source",
        size=1 << 30,
        block=1 << 16,
        extent=1 << 22,
        agreed=terms,
    )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_whatever_copies_a_write_is_on_one_of_the_nodes_that_speak_has_it(count: int) -> None:
    nodes = NAMES[:count]
    for least in range(1, count + 1):
        terms = required(mirror(nodes, least))
        for size in range(count + 1):
            for silent in itertools.combinations(nodes, size):
                holders = (set(one) for one in itertools.combinations(nodes, least))
                hidden = any(one <= set(silent) for one in holders)
                assert bool(quorum.decisive(silent, terms)) == hidden, (nodes, least, silent)


def test_an_asynchronous_node_decides_only_where_one_copy_is_enough() -> None:
    """It may have been made source, and have completed writes alone."""
    assert quorum.decisive(["delta"], required(mirror(NAMES, 1, asynchronous=("delta",)))) == ["delta"]
    two = required(mirror(NAMES, 2, asynchronous=("delta",)))
    assert quorum.decisive(["delta", "gamma"], two) == []
    assert quorum.decisive(["beta", "delta", "gamma"], two) == ["beta", "gamma"]


def test_a_former_source_waits_for_an_asynchronous_node_that_could_have_been_promoted_alone() -> None:
    assert quorum.decisive_to_serve(["delta"], required(mirror(NAMES, 1, asynchronous=("delta",)))) == ["delta"]
    two = required(mirror(NAMES, 2, asynchronous=("delta",)))
    assert quorum.decisive_to_serve(["delta"], two) == []
    assert quorum.decisive_to_serve(["beta", "delta"], two) == []
    assert quorum.decisive_to_serve(["beta", "gamma", "delta"], two) == ["beta", "gamma", "delta"]


def test_the_first_description_has_no_former_one() -> None:
    begun = quorum.begun(record(), mirror(NAMES[:3], 2))
    assert (begun.former, sync_nodes(begun.agreed)) == ((), frozenset(NAMES[:3]))


def test_old_terms_count_until_so_many_old_nodes_know_the_new_ones_that_the_others_can_promote_no_one() -> None:
    old, new = mirror(NAMES[:3], 2), mirror(NAMES, 2)
    begun = quorum.begun(record(old), new)
    assert begun.former == (required(old),)
    assert quorum.still_former(begun, {"delta"}) == (required(old),), "a new node is no node of the old description"
    assert quorum.still_former(begun, {"beta"}) == ()


def test_the_source_alone_ends_old_terms_that_asked_for_one_copy() -> None:
    begun = quorum.begun(record(mirror(NAMES[:3], 1)), mirror(NAMES[:2], 1))
    assert begun.former
    assert quorum.still_former(begun, ()) == ()


def test_two_changes_in_a_row_must_both_be_known() -> None:
    first, second, third = mirror(NAMES[:3], 2), mirror(NAMES[:2], 2), mirror(NAMES[:2], 1)
    begun = quorum.begun(quorum.begun(record(first), second), third)
    assert begun.former == (required(first), required(second))
    assert quorum.still_former(begun, {"gamma"}) == (required(second),)


def test_a_change_that_says_nothing_of_copies_leaves_no_former_terms() -> None:
    old = mirror(NAMES[:3], 2)
    begun = quorum.begun(record(old), msgspec.structs.replace(old, peer_timeout=7.0))
    assert begun.former == ()
    assert begun.agreed["peer_timeout"] == "7s"


def test_the_order_of_nodes_and_what_is_of_one_host_only_are_no_difference_that_matters() -> None:
    one = mirror(NAMES[:3], 2)
    other = msgspec.structs.replace(one, nodes=one.nodes[::-1], window=1 << 23)
    assert digest(required(one)) == digest(required(other))
    assert digest(advisory(one)) != digest(advisory(other))
    [difference] = differences(advisory(one), advisory(other))
    assert (difference.key, difference.here, difference.there) == ("window", str(64 << 20), str(1 << 23))


def test_keys_of_nodes_are_in_neither_set_of_terms() -> None:
    one = mirror(NAMES[:2], 1)
    keyed = tuple(msgspec.structs.replace(node, public_key="k") for node in one.nodes)
    other = msgspec.structs.replace(one, nodes=keyed)
    assert (required(one), advisory(one)) == (required(other), advisory(other))


def test_a_source_that_the_old_description_did_not_count_on_does_not_count_by_its_terms() -> None:
    old, new = mirror(NAMES, 2, asynchronous=("delta",)), mirror(NAMES, 2)
    begun = quorum.begun(record(old, node="delta"), new)
    assert quorum.still_former(begun, {"alpha"}) == (required(old),), "beta and gamma may promote one of themselves"
    assert quorum.still_former(begun, {"alpha", "beta"}) == ()

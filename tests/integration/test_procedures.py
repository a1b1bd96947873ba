"""What docs/how-to tells administrators to do, done while an application writes: nothing that was answered is
missing in the end, and all copies are equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.harness.layout import Layout
from tests.integration.harness.node import MIRROR
from tests.integration.harness.procedures import ALONE, THREE, UNUSED, begin_anew, done, mirror_in_use, take_up, until

pytestmark = pytest.mark.root


@pytest.mark.parametrize("layout", [THREE, ALONE], ids=["min_copies=2", "min_copies=1"])
def test_add_a_target(tmp_path: Path, layout: Layout) -> None:
    with mirror_in_use(tmp_path, layout, ("delta",)) as (mirror, writer):
        mirror.change(layout.adding("delta"))
        mirror.nodes["delta"].initialise()
        mirror.units["delta"].start()
        take_up(mirror, mirror.layout, "alpha", "beta", "gamma")
        assert mirror.seen("delta")["state"] == "InSync"
        assert writer.errors == 0, "the application must see a pause, and no error"


@pytest.mark.parametrize("order", [("gamma", "alpha"), ("alpha", "gamma")], ids=["source-last", "source-first"])
@pytest.mark.parametrize("layout", [THREE, ALONE], ids=["min_copies=2", "min_copies=1"])
def test_remove_a_target_which_is_refused_when_it_comes_back(
    tmp_path: Path, layout: Layout, order: tuple[str, ...]
) -> None:
    with mirror_in_use(tmp_path, layout) as (mirror, writer):
        mirror.units["beta"].stop()
        take_up(mirror, layout.removing("beta"), *order)
        writer.wait_for_more()
        mirror.units["beta"].start()  # with the description that it had
        beta = until(mirror.nodes["beta"], "it is turned away", lambda status: status.get("reason"))
        writer.wait_for_more()
        beta = until(mirror.nodes["beta"], "it stays out", lambda status: status["state"] != "Connecting")
        assert beta["state"] in ("Refused", "Disconnected"), beta
        code, _, said = mirror.nodes["beta"].cli("promote", MIRROR)
        assert code == 5, f"a node that was removed was promoted: {said}"
        assert [one["name"] for one in mirror.source.present_status()["targets"]] == ["gamma"]
        assert writer.errors == 0
        mirror.units["beta"].stop()


def test_remove_a_target_and_add_it_again_with_its_old_copy(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        mirror.units["beta"].stop()
        take_up(mirror, THREE.removing("beta"))
        writer.wait_for_more(200)
        mirror.change(THREE)
        mirror.units["beta"].start()
        take_up(mirror, THREE, "alpha", "gamma")
        assert mirror.seen("beta")["last_resync"]["kind"] == "full", "nobody kept a bitmap for it"
        assert writer.errors == 0


def test_remove_a_target_that_is_lost_for_good(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        mirror.units["beta"].lose()
        writer.wait_for_more()
        take_up(mirror, THREE.removing("beta"))
        assert [one["name"] for one in mirror.source.present_status()["targets"]] == ["gamma"]
        assert writer.errors == 0


@pytest.mark.parametrize("layout", [THREE, ALONE], ids=["min_copies=2", "min_copies=1"])
def test_nodes_that_list_each_other_in_another_order_are_the_same_mirror(tmp_path: Path, layout: Layout) -> None:
    with mirror_in_use(tmp_path, layout) as (mirror, writer):
        # Only gamma reads the new order; then the source dies, and gamma, which was away for a moment, is asked.
        mirror.describe_as("gamma", layout.in_order(("gamma", "beta", "alpha")))
        mirror.units["gamma"].restart()
        mirror.wait_in_sync()
        writer.wait_for_more()
        mirror.units["beta"].stop()
        writer.wait_for_more()
        mirror.units["beta"].start()
        mirror.wait_in_sync()
        assert writer.errors == 0
        mirror.describe_as("alpha", layout.in_order(("beta", "gamma", "alpha")))
        mirror.units["alpha"].restart()
        mirror.wait_in_sync()
        mirror.switch_over("gamma", writer)


def test_a_mode_is_changed_and_changed_back(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        take_up(mirror, THREE.with_mode("gamma", "async"))
        assert mirror.seen("gamma")["mode"] == "async"
        writer.wait_for_more()
        take_up(mirror, THREE)
        assert mirror.seen("gamma")["mode"] == "sync"
        assert writer.errors == 0


@pytest.mark.parametrize("first", ["targets", "source"])
def test_min_copies_is_lowered_and_raised(tmp_path: Path, first: str) -> None:
    order = ("beta", "gamma", "alpha") if first == "targets" else ("alpha", "beta", "gamma")
    with mirror_in_use(tmp_path) as (mirror, writer):
        for count in (1, 2):
            take_up(mirror, mirror.layout.with_min_copies(count), *order)
            writer.wait_for_more()
            assert mirror.source.present_status()["quorum"]["min"] == count
        assert writer.errors == 0


@pytest.mark.parametrize(
    ("who", "keep_store"),
    [("beta", False), ("beta", True), ("alpha", False)],
    ids=["a-target", "a-target-whose-store-holds-something", "the-first-source"],
)
def test_begin_a_node_anew(tmp_path: Path, who: str, keep_store: bool) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        if who == "alpha":
            mirror.switch_over("beta", writer)
        node = mirror.nodes[who]
        mirror.units[who].stop()
        begin_anew(node, keep_store)
        writer.wait_for_more()
        mirror.units[who].start()
        joined = mirror.wait_state(who, "InSync")
        assert joined["last_resync"]["kind"] == "full"


def test_a_full_resync_of_a_target_that_is_away_outlives_a_restart_of_the_source(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        mirror.units["beta"].stop()
        mirror.wait_state("beta", "Disconnected")
        beta = mirror.nodes["beta"]
        # Behind dkrepl's back, where nobody writes: only a full resync can find it.
        with beta.store.open("r+b") as store:
            store.seek(UNUSED)
            store.write(b"\xff" * 4096)
        code, _, said = mirror.source.cli("resync", MIRROR, "--full", "beta")
        assert code == 0, said
        mirror.units["alpha"].kill()
        mirror.wait_source()
        mirror.units["beta"].start()
        assert mirror.wait_state("beta", "InSync")["last_resync"]["kind"] == "full"
        writer.wait_for_more()
        assert writer.errors == 0


def test_pause_and_resume(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        for command, state in (("pause", "Paused"), ("resume", "InSync")):
            code, _, said = mirror.source.cli(command, MIRROR, "gamma")
            assert code == 0, said
            mirror.wait_state("gamma", state)
            mirror.units["alpha"].restart()
            mirror.wait_source()
            mirror.wait_state("gamma", state)
            mirror.wait_state("beta", "InSync")
            writer.wait_for_more()
        assert writer.errors == 0


def test_restart_and_stop_every_node(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        for name in ("gamma", "beta", "alpha"):
            mirror.units[name].restart()
            writer.wait_for_more()
            mirror.wait_in_sync()
        mirror.units["beta"].stop()
        writer.wait_for_more()
        mirror.units["beta"].start()
        mirror.wait_in_sync()
        assert writer.errors == 0
        writer.pause()  # as an application is stopped before its device is taken away
        mirror.units["alpha"].stop()
        assert not mirror.source.device.exists()
        mirror.units["alpha"].start()
        mirror.wait_source()
        writer.resume()
        writer.wait_for_more()
        assert writer.errors == 0


@pytest.mark.parametrize("full", [True, False], ids=["full", "partial"])
def test_resync_a_target(tmp_path: Path, full: bool) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        before = mirror.seen("gamma")["last_resync"]
        done(mirror.source, "resync", MIRROR, *(["--full"] if full else []), "gamma")
        joined = mirror.wait_target(
            "gamma",
            lambda one: one["last_resync"] != before and one["state"] == "InSync",
            "is copied, and in sync again",
        )
        assert joined["last_resync"]["kind"] == ("full" if full else "partial")
        writer.wait_for_more()
        assert writer.errors == 0


def test_switch_over_and_back(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        for name in ("beta", "alpha"):
            mirror.switch_over(name, writer)
            writer.wait_for_more()
            mirror.wait_in_sync()
        assert writer.errors == 0


@pytest.mark.parametrize("promoted", ["beta", "gamma"])
def test_the_source_is_lost_and_comes_back(tmp_path: Path, promoted: str) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        mirror.units["alpha"].lose()
        mirror.fail_over(promoted, writer)
        writer.wait_for_more()
        mirror.units["alpha"].start()
        until(mirror.nodes["alpha"], "it follows", lambda status: status["role"] == "target")
        mirror.wait_in_sync()
        mirror.switch_over("alpha", writer)


def test_the_source_is_lost_and_one_answer_is_not_enough(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path) as (mirror, writer):
        mirror.units["gamma"].stop()
        writer.wait_for_more()
        mirror.units["alpha"].lose()
        mirror.units["beta"].lose()
        mirror.units["gamma"].start()
        gamma = mirror.nodes["gamma"]
        until(gamma, "it hears of no source", lambda status: status["state"] == "Disconnected")
        code, _, said = gamma.cli("promote", MIRROR)
        assert code == 5, f"gamma lacks what alpha and beta answered, and was promoted: {said}"
        mirror.units["beta"].start()
        mirror.fail_over("beta", writer)
        mirror.wait_in_sync("gamma")
        mirror.units["alpha"].start()


def test_the_source_is_lost_in_the_middle_of_a_change_of_the_nodes(tmp_path: Path) -> None:
    with mirror_in_use(tmp_path, spare=("delta",)) as (mirror, writer):
        mirror.change(THREE.adding("delta").with_min_copies(3))
        mirror.nodes["delta"].initialise()
        mirror.units["delta"].start()
        mirror.units["beta"].restart()  # gamma and alpha go on by the old description
        writer.wait_for_more()
        mirror.units["alpha"].lose()
        mirror.units["gamma"].restart()
        mirror.units["alpha"].start()
        mirror.wait_source()
        mirror.wait_in_sync()

"""What follows from a flush of the source's own store that failed (R15)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Commit
from dkrepl.core.protocol.messages import Evict
from tests.unit.core.source.alpha import Alpha
from tests.unit.core.source.started import IN_SYNC


def failed() -> Alpha:
    """Return alpha, whose store has failed a flush; commits are ended by the test."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.write()
    alpha.holds = True
    alpha.core.store_verdict.flush_failed("Input/output error", alpha.now)
    alpha.perform()
    return alpha


def test_nothing_is_copied_any_more_and_what_may_be_lost_is_marked() -> None:
    alpha = failed()
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["SourceStoreError"]
    assert alpha.view("gamma").bitmap.count() == alpha.description.extent // alpha.description.block


def test_the_application_hears_of_it_once_that_is_recorded() -> None:
    alpha = failed()
    assert alpha.core.store_verdict.pending
    alpha.core.commits.committed(alpha.asked_for(Commit)[-1].number, alpha.now)
    assert not alpha.core.store_verdict.pending
    assert alpha.core.metadata.store_failed == "Input/output error"


def test_or_could_not_be_recorded() -> None:
    alpha = failed()
    assert not alpha.core.commits.failed(alpha.asked_for(Commit)[-1].number, "no space left", alpha.now)
    assert not alpha.core.store_verdict.pending
    assert alpha.core.store_verdict.unrecorded


def verdicts(alpha: Alpha) -> list[Commit]:
    """Return the commits that record the verdict, the oldest first."""
    return [one for one in alpha.asked_for(Commit) if one.metadata is not None and one.metadata.store_failed]


def test_a_verdict_is_on_record_only_after_a_commit_that_carries_the_record() -> None:
    alpha = failed()
    alpha.core.commits.failed(verdicts(alpha)[0].number, "no space left", alpha.now)
    alpha.core.record.committed(alpha.core.record.commit("activity"))
    assert alpha.core.store_verdict.unrecorded
    alpha.let_pass(DEFAULT.commit_retry_seconds)
    alpha.core.commits.committed(verdicts(alpha)[1].number, alpha.now)
    assert not alpha.core.store_verdict.unrecorded


def test_it_is_recorded_again_while_the_source_runs() -> None:
    alpha = failed()
    alpha.core.commits.failed(verdicts(alpha)[0].number, "no space left", alpha.now)
    alpha.let_pass(DEFAULT.commit_retry_seconds / 2)
    assert len(verdicts(alpha)) == 1
    alpha.let_pass(DEFAULT.commit_retry_seconds)
    assert alpha.core.store_verdict.pending
    begun = len(verdicts(alpha))
    alpha.let_pass(DEFAULT.commit_retry_seconds)
    assert len(verdicts(alpha)) == begun, "not again while one is on its way"


def test_a_record_without_it_that_failed_may_be_on_the_disk_all_the_same() -> None:
    alpha = Alpha(store_failed="Input/output error")
    alpha.holds = True
    cleared = alpha.core.store_verdict.clear()
    alpha.core.store_verdict.flush_failed("no space left", alpha.now)
    alpha.perform()
    alpha.core.commits.failed(cleared, "the directory could not be flushed", alpha.now)
    assert alpha.core.store_verdict.unrecorded
    alpha.core.commits.committed(alpha.asked_for(Commit)[-1].number, alpha.now)
    assert not alpha.core.store_verdict.unrecorded


def test_an_administrator_may_say_that_the_store_is_sound() -> None:
    alpha = Alpha(store_failed="Input/output error", peers={"beta": IN_SYNC})
    alpha.core.store_verdict.clear()
    alpha.perform()
    assert alpha.core.metadata.store_failed == ""
    assert alpha.enter().state == "Resyncing"


def test_an_administrator_may_say_that_what_a_forced_promotion_lost_is_known() -> None:
    alpha = Alpha(forced=("NotInSync",), forced_at=1700.0)
    alpha.core.clear_forced()
    alpha.perform()
    assert (alpha.core.metadata.forced, alpha.core.metadata.forced_at) == ((), 0.0)

"""What was announced later moves nothing: an honest market passes the audit, every way of knowing it early is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.backtest.planning
import harness.data.listings
import harness.data.outcomes
import harness.data.prices
import harness.data.walked_outcomes
import harness.studies.worlds
from harness.backtest.membership import DELISTED, Membership
from harness.core.recipe import Target
from harness.core.time import EPOCH, NEVER
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS
from harness.data.replay import Replay
from harness.data.universe import Universe
from harness.record.home import Home
from harness.studies.audit import Asked, audit
from harness.studies.checks import Work, facts_check
from harness.studies.children import Places
from harness.studies.pinned import outcomes
from harness.studies.scramble import Ground, Scrambled, scramble
from harness.studies.verdict import Check, Finding
from tests.data.price_samples import day, market
from tests.planted.made_market import (
    DAYS,
    RETURN,
    exported,
    ground_of,
    in_files,
    question,
    question_of_files,
    quotes,
    stock_exchange,
)

pytestmark = pytest.mark.slow

FOREVER = int(np.iinfo(np.int64).max)
FIRST, LATE_SPLIT = "2020-02-15", "2020-02-22"
"""Origins: the 45th day; the 52nd, when delta has split and has not said so."""
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    return exported(stock_exchange(tmp_path_factory.mktemp("exchange") / "archive"))


def at(ground: Ground, moment: str) -> int:
    return next(row for row, one in enumerate(ground.plan.instants) if one.isoformat().startswith(moment))


def scrambled(changes: ChangeFile, moment: str, *kinds: str, **more: Any) -> Scrambled:
    """What scrambling finds around an origin; the raw batches lose what came later."""
    ground = ground_of(changes, question(**more))
    return scramble(ground, at(ground, moment), number=1, kinds=kinds)


def first_of(found: Scrambled, how: str) -> Finding:
    return next(finding for finding in found.findings if finding.how.startswith(how))


def facts_of(ground: Ground) -> Check:
    return list(facts_check(Work(ground, [], 1, Places("", (), ""), Path(), lambda _: None)))[-1]


# ---- honest


@pytest.mark.slow
def test_the_whole_audit_of_a_market_passes(changes: ChangeFile, tmp_path: Path) -> None:
    found = audit(question("total"), changes.folder, Home(tmp_path), Asked(origins=2, workers=1))
    assert {check.name: check.verdict for check in found.checks} == dict.fromkeys(
        ("scramble", "control", "isolation", "outcomes", "facts"), "pass"
    )
    assert set(found.findings["how"]) == {"same day"}


@pytest.mark.slow
@pytest.mark.parametrize("prices", ["price", "total"])
def test_the_whole_audit_of_a_market_passes_at_more_origins(changes: ChangeFile, tmp_path: Path, prices: Any) -> None:
    found = audit(question(prices), changes.folder, Home(tmp_path), Asked(origins=None, workers=1))
    assert found.verdict == "pass", found.findings


def test_the_market_has_everything_that_may_go_wrong(changes: ChangeFile) -> None:
    plan = ground_of(changes, question()).plan
    assert {OUTCOME_STATUS[code] for code in np.unique(plan.outcomes.status)} >= {"matured", "delisted"}
    asked = [set(plan.members.names(origin)) for origin in plan.issued]
    assert [name for name in plan.members.series if all(name in some for some in asked)] == ["alpha", "delta", "fails"]
    assert set.union(*asked) == {"aaron", "alpha", "beta", "bought", "delta", "fails"}


@pytest.mark.parametrize("number", [0, 1])
def test_tables_of_a_dataset_are_altered_and_read_again(tmp_path: Path, number: int) -> None:
    changes = in_files(tmp_path)
    ground = ground_of(changes, question_of_files(tmp_path, "total"))
    found = scramble(ground, at(ground, LATE_SPLIT), number=number, kinds=("raw batches",))
    assert (found.findings, found.refused) == ([], {})
    later = (changes.events.announced > ground.plan.known[found.origin]).sum()
    assert found.touched["raw batches"] > later > 0


# ---- members


def survivors(patch: Patch) -> None:
    honest = Universe.members

    def in_the_end(universe: Universe, when: object, known_at: int) -> frozenset[str]:
        del when
        return honest(universe, day(DAYS), FOREVER) & set(universe.announced_by(known_at))

    patch.setattr(Universe, "members", in_the_end)


def dropped(patch: Patch) -> None:
    honest = harness.backtest.planning.membership

    def without_failures(experiment: Any, changes: ChangeFile, *when: Any) -> Membership:
        members = honest(experiment, changes, *when)
        gone = {changes.ids[code] for code in changes.events.code[changes.events.kind == DELISTED]}
        kept = np.array([name not in gone for name in members.series])
        return replace(members, member=members.member & kept)

    for room in (harness.backtest.planning, harness.studies.worlds):
        patch.setattr(room, "membership", without_failures)


@pytest.mark.parametrize(
    ("plant", "who"), [(survivors, ("beta", "bought")), (dropped, ("bought", "fails"))], ids=["survivors", "dropped"]
)
def test_members_chosen_with_hindsight_are_found(
    changes: ChangeFile, monkeypatch: Patch, plant: Callable[[Patch], None], who: tuple[str, ...]
) -> None:
    plant(monkeypatch)
    kinds = ("removed", "raw batches")
    found = scrambled(changes, FIRST, *kinds)
    for how in kinds:
        one = first_of(found, how)
        assert (one.stage, one.place) == ("members", "harness.backtest.membership")
        assert (one.series_id, one.column, one.expected, one.found) == (who[0], "asked", "False", "True")
    check = outcomes(ground_of(changes, question()).plan, changes)
    assert check.verdict == "fail"
    wrong = [finding for finding in check.findings if finding.how == "member" and finding.expected == "True"]
    assert {finding.series_id for finding in wrong} == set(who)
    assert {(finding.place, finding.column) for finding in wrong} == {("harness.backtest.membership", "asked")}


@pytest.mark.parametrize(
    ("moment", "stage", "place"),
    [(FIRST, "target", "harness.data.replay"), (LATE_SPLIT, "snapshot", "harness.data.replay")],
    ids=["named", "quoted"],
)
def test_a_member_announced_later_that_is_in_the_snapshot_is_found(
    changes: ChangeFile, monkeypatch: Patch, moment: str, stage: str, place: str
) -> None:
    monkeypatch.setattr(Universe, "announced_by", lambda universe, _: universe.ids)
    one = first_of(scrambled(changes, moment, "removed"), "removed")
    assert (one.stage, one.place) == (stage, place)
    assert "aaron" in (one.series_id, one.expected, one.found)


# ---- prices


def early(patch: Patch) -> None:
    """The announced filter is gone: a split counts from its ex-date on."""
    honest = harness.data.prices.adjusted
    patch.setattr(
        harness.data.prices,
        "adjusted",
        lambda raw, ordinals, told, _, prices: honest(raw, ordinals, told, FOREVER, prices),
    )


def hindsight(patch: Patch) -> None:
    """Every event there ever is counts, as in a close that was adjusted today."""
    early(patch)
    patch.setattr(harness.data.prices, "_newest", lambda raw, _: np.full(len(raw), raw.shape[1]))


@pytest.mark.parametrize(
    ("plant", "moment", "who", "prices"),
    [
        (early, LATE_SPLIT, "delta", "price"),
        pytest.param(hindsight, FIRST, "alpha", "price", marks=pytest.mark.slow),
        (hindsight, FIRST, "alpha", "total"),
    ],
    ids=["unannounced split", "hindsight-adjusted close", "hindsight-adjusted total return"],
)
def test_events_known_early_are_found(
    changes: ChangeFile, monkeypatch: Patch, plant: Callable[[Patch], None], moment: str, who: str, prices: str
) -> None:
    plant(monkeypatch)
    kinds = ("removed", "noise", "raw batches")
    found = scrambled(changes, moment, *kinds, prices=prices)
    for how in kinds:
        one = first_of(found, how)
        assert (one.stage, one.place) == ("snapshot", "harness.data.replay")
        assert one.column == "value"
        assert one.series_id == who or how == "noise"  # there, another series may have split as well
        assert float(one.expected) != float(one.found)


def test_rows_made_of_unannounced_splits_are_found_by_the_facts(changes: ChangeFile, monkeypatch: Patch) -> None:
    early(monkeypatch)
    check = facts_of(ground_of(changes, question()))
    wrong = [finding for finding in check.findings if finding.how == "feature row"]
    assert check.verdict == "fail"
    assert {finding.series_id for finding in wrong} == {"delta"}
    assert {finding.place for finding in wrong} == {"harness.backtest.design"}


def test_a_label_made_with_events_announced_after_it_was_out_is_found(changes: ChangeFile, monkeypatch: Patch) -> None:
    class Today(Replay):
        """Adjusts with every event there is."""

        def snapshot(self, target: Target | None = None, *, copy: bool = True) -> Any:
            with monkeypatch.context() as patch:
                early(patch)
                return super().snapshot(target, copy=copy)

    monkeypatch.setattr(harness.data.walked_outcomes, "Replay", Today)
    check = outcomes(ground_of(changes, question()).plan, changes)
    assert check.verdict == "fail"
    one = check.findings[0]
    assert (one.how, one.series_id, one.column, one.place) == (
        "pinned outcome", "delta", "value", "harness.data.outcomes"
    )  # fmt: skip
    assert one.row == f"period {day(45)}, h = 1"
    assert float(one.expected) < -40 < float(one.found)


def test_outcomes_of_a_failure_that_are_left_out_are_found(changes: ChangeFile) -> None:
    plan = ground_of(changes, question()).plan
    gone = plan.outcomes.status == OUTCOME_STATUS.index("delisted")
    status = np.where(gone, OUTCOME_STATUS.index("no_outcome"), plan.outcomes.status).astype(np.int8)
    check = outcomes(replace(plan, outcomes=replace(plan.outcomes, status=status)), changes)
    assert {(one.series_id, one.column, one.expected, one.found) for one in check.findings} == {
        (name, "status", "delisted", "no_outcome") for name in ("bought", "fails")
    }


def test_a_worthless_end_is_a_total_loss_for_both_definitions(changes: ChangeFile) -> None:
    code, last = changes.code_of("bought"), day(59).toordinal() - EPOCH.toordinal()
    final = (changes.code == code) & (changes.period == last)
    assert changes.value[final].tolist() == [44.0]
    lost = replace(changes, value=np.where(final, 0.0, changes.value))
    plan = ground_of(lost, question()).plan
    assert -100.0 in plan.outcomes.value
    assert outcomes(plan, lost).verdict == "pass"


# ---- what came adjusted


def test_a_file_of_adjusted_prices_is_warned_of(tmp_path: Path) -> None:
    raw = {name: [value or 1.0 for value in quotes(name)] for name in ("fine", "scaled")}
    made = {**raw, "scaled": [*(value / 7 for value in raw["scaled"][:50]), *raw["scaled"][50:]]}
    asked = question(target=Target(("fine", "scaled"), RETURN))
    check = facts_of(ground_of(exported(market(tmp_path, made, known_through=DAYS)), asked))
    warned = [(one.series_id, one.found) for one in check.findings if one.how == "warning"]
    assert [name for name, _ in warned] == ["scaled"]
    assert warned[0][1].startswith("looks adjusted with hindsight: off the tick grid")
    assert check.verdict == "pass"


# ---- reading


def test_a_day_of_announcement_read_as_its_beginning_is_found(tmp_path: Path, monkeypatch: Patch) -> None:
    honest = harness.data.listings._instants

    def begun(stamps: Any, stored: Any, zones: Any) -> Any:
        return honest(stamps, stored, zones).dt.offset_by("-1d")

    monkeypatch.setattr(harness.data.listings, "_instants", begun)
    changes = in_files(tmp_path)
    ground = ground_of(changes, question_of_files(tmp_path))
    found = scramble(ground, at(ground, LATE_SPLIT), kinds=("raw batches",))
    one = found.findings[-1]
    assert (one.stage, one.place, one.series_id) == ("announcements", "harness.data.ingest", "shares/delta")
    assert NEVER not in changes.events.announced

"""Price events: kept as announced, and applied as of the instant, in the one place that hands out snapshots."""

from __future__ import annotations

import json
from datetime import date, timedelta
from math import prod
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError, UnknownNameError
from harness.core.recipe import Target
from harness.core.series import LagRule, Series
from harness.core.snapshot import target_panel
from harness.core.time import micros
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import MANIFEST, ChangeFile, manifest_hash
from harness.data.outcomes import OUTCOME_STATUS, outcomes
from harness.data.prefixes import prefix_digests
from harness.data.replay import Replay
from harness.data.walked_outcomes import Windows
from tests.data.price_samples import day, events, market, night

TOTAL = Target(("acme",), Transform("return", 1), prices="total")
PRICE = Target(("acme",), Transform("return", 1))


def exported(archive: Archive) -> ChangeFile:
    return ChangeFile.open(archive.export(archive.path.parent / "changes"))


def seen(archive: Archive, number: int, target: Target = PRICE, name: str = "acme") -> list[float]:
    """Levels in the snapshot of the end of a day."""
    replay = Replay(exported(archive), [name])
    replay.advance(night(number))
    return replay.snapshot(target).history(name).values.tolist()


# ---- splits and dividends, by hand


def test_a_split_divides_the_prices_before_its_ex_date_once_it_is_there(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0)), source="exchange")
    assert seen(archive, 1) == [100.0, 102.0]  # announced, but no price after it is known
    assert seen(archive, 2) == [50.0, 51.0, 52.0]
    assert seen(archive, 3) == [50.0, 51.0, 52.0, 53.0]


def test_a_split_announced_late_shows_as_a_jump_until_then(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0, 54.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 3)), source="exchange")
    assert seen(archive, 2) == [100.0, 102.0, 52.0]
    assert seen(archive, 3) == [50.0, 51.0, 52.0, 53.0]


def test_a_dividend_counts_for_total_return_only(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [80.0, 100.0, 98.0]})
    archive.append_events(events(("acme", "dividend", 2, 2.0, 0)), source="exchange")
    assert seen(archive, 2, PRICE) == [80.0, 100.0, 98.0]
    assert seen(archive, 2, TOTAL) == pytest.approx([80.0 * 0.98, 98.0, 98.0], rel=1e-15)


def test_a_dividend_is_measured_against_the_newest_raw_price_before_it(tmp_path: Path) -> None:
    # a split of 2 on the third day, then 1 paid on 50 although the day before has no quote
    archive = market(tmp_path, {"acme": [100.0, 100.0, 50.0, None, 49.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0), ("acme", "dividend", 4, 1.0, 0)), source="exchange")
    found = seen(archive, 4, TOTAL)
    assert found[3] != found[3]  # no quote
    assert [found[place] for place in (0, 1, 2, 4)] == pytest.approx([49.0, 49.0, 49.0, 49.0], rel=1e-15)


def test_a_split_and_a_dividend_of_one_day_multiply(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 45.0]})
    archive.append_events(events(("acme", "split", 1, 2.0, 0), ("acme", "dividend", 1, 10.0, 0)), source="exchange")
    assert seen(archive, 1, TOTAL) == pytest.approx([45.0, 45.0], rel=1e-15)  # 10 per old share of 100


def test_a_dividend_larger_than_the_price_is_refused_where_it_would_count(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [5.0, 4.0]})
    archive.append_events(events(("acme", "dividend", 1, 6.0, 0)), source="exchange")
    assert seen(archive, 1, PRICE) == [5.0, 4.0]
    with pytest.raises(DataError, match=r"not smaller than the price.*acme: 6 paid, 5 before"):
        seen(archive, 1, TOTAL)


def test_the_archive_itself_answers_with_raw_prices(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0)), source="exchange")
    assert archive.as_of(night(2)).frame()["value"].to_list() == [100.0, 102.0, 52.0]


def test_a_monthly_series_is_after_an_event_from_the_month_it_lies_in(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(Series("acme", "M"))
    values = {date(2020, 1, 31): 100.0, date(2020, 2, 29): 51.0}
    archive.append(
        pl.DataFrame(
            {"series_id": "acme", "period": list(values), "published_at": list(values), "value": list(values.values())}
        ),
        source="exchange",
    )
    archive.append_events(events(("acme", "split", 44, 2.0, 0)), source="exchange")  # 14 February
    replay = Replay(exported(archive), ["acme"])
    replay.advance(night(59))
    assert replay.snapshot(PRICE).history("acme").values.tolist() == [50.0, 51.0]


# ---- against the plain definition


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[float | None], list[tuple[str, str, int, float, int]]]:
    length = draw(st.integers(2, 12))
    prices = draw(
        st.lists(st.one_of(st.none(), st.floats(10.0, 200.0)), min_size=length, max_size=length).filter(
            lambda some: any(value is not None for value in some)
        )
    )
    keys = draw(
        st.lists(st.tuples(st.sampled_from(["split", "dividend"]), st.integers(0, length)), unique=True, max_size=5)
    )
    found = [
        ("acme", kind, ex, draw(st.sampled_from([0.5, 2.0, 3.0])) if kind == "split" else draw(st.floats(0.0, 9.0)),
         draw(st.integers(0, length)))
        for kind, ex in keys
    ]  # fmt: skip
    return prices, found


def plainly(
    prices: list[float | None], found: list[tuple[str, str, int, float, int]], number: int, kind: str
) -> dict[int, float]:
    """The definition, cell by cell."""
    known = {place: value for place, value in enumerate(prices[: number + 1]) if value is not None}
    newest = max(known, default=-1)

    def factor(event: tuple[str, str, int, float, int]) -> float:
        _, what, ex, value, _ = event
        if what == "split":
            return 1.0 / value
        before = [place for place in known if place < ex]
        return 1.0 - value / known[max(before)]

    return {
        place: value
        * prod(
            factor(event)
            for event in found
            if place < event[2] <= newest and event[4] <= number and (kind == "total" or event[1] == "split")
        )
        for place, value in known.items()
    }


History = tuple[list[float | None], list[tuple[str, str, int, float, int]]]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("histories")


def check_adjusted(scratch: Path, made: History, kind: str, *, copy: bool) -> None:
    prices, found = made
    folder = Path(mkdtemp(dir=scratch))
    archive = market(folder, {"acme": prices, "other": [1.0] * len(prices)}, known_through=len(prices) + 1)
    if found:
        archive.append_events(events(*found), source="exchange")
    replay = Replay(exported(archive), ["acme", "other"])
    for number in range(len(prices) + 1):
        replay.advance(night(number))
        snapshot = replay.snapshot(Target(("acme",), prices=kind), copy=copy)  # type: ignore[arg-type]
        mine = snapshot.frame().filter(series_id="acme")
        got = {(period - day(0)).days: value for period, value in mine.select("period", "value").rows()}
        assert got == pytest.approx(plainly(prices, found, number, kind), rel=1e-12)
        assert snapshot.frame().filter(series_id="other")["value"].unique().to_list() == [1.0]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(made=histories(), kind=st.sampled_from(["price", "total"]), copy=st.booleans())
def test_the_replay_agrees_with_the_plain_definition_at_every_instant(
    scratch: Path, made: History, kind: str, copy: bool
) -> None:
    check_adjusted(scratch, made, kind, copy=copy)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(made=histories(), kind=st.sampled_from(["price", "total"]), copy=st.booleans())
def test_the_replay_agrees_with_the_plain_definition_at_length(
    scratch: Path, made: History, kind: str, copy: bool
) -> None:
    check_adjusted(scratch, made, kind, copy=copy)


def test_the_plain_definition_would_notice_an_event_applied_too_early(tmp_path: Path) -> None:
    found = [("acme", "split", 2, 2.0, 3)]
    early = [("acme", "split", 2, 2.0, 0)]
    prices: list[float | None] = [100.0, 102.0, 52.0]
    assert plainly(prices, found, 2, "price") != plainly(prices, early, 2, "price")  # type: ignore[arg-type]


def test_views_are_not_written_to(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0)), source="exchange")
    replay = Replay(exported(archive), ["acme"])
    replay.advance(night(2))
    for _ in range(2):  # a second look finds the raw buffers as they were
        panel = replay.snapshot(PRICE, copy=False).panel("acme")
        assert panel.values[0].tolist() == [50.0, 51.0, 52.0]
        with pytest.raises(ValueError, match="read-only"):
            panel.values[0, 0] = 0.0
    replay.advance(night(3))
    assert replay.snapshot(PRICE, copy=False).panel("acme").values[0].tolist() == [50.0, 51.0, 52.0, 53.0]


# ---- labels (S13)


def label(archive: Archive, target: Target, *numbers: int) -> list[tuple[str, float | None]]:
    asked = np.array([(day(number) - date(1970, 1, 1)).days for number in numbers], dtype=np.int64)
    found = outcomes(exported(archive), target, Windows(asked, asked))
    return [
        (OUTCOME_STATUS[status], None if np.isnan(value) else round(float(value), 9))
        for status, value in zip(found.status[0], found.value[0], strict=True)
    ]


def test_a_label_uses_the_events_known_when_the_outcome_is_published(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 1)), source="exchange")
    assert label(archive, PRICE, 2) == [("matured", round(100 * (52 / 51 - 1), 9))]


def test_a_label_of_a_split_announced_afterwards_is_the_raw_jump(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 3)), source="exchange")
    assert label(archive, PRICE, 2) == [("matured", round(100 * (52 / 102 - 1), 9))]


def test_a_total_return_label_has_the_dividend(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [80.0, 100.0, 99.0]})
    archive.append_events(events(("acme", "dividend", 2, 2.0, 0)), source="exchange")
    assert label(archive, TOTAL, 2) == [("matured", round(100 * (99 / 98 - 1), 9))]
    assert label(archive, PRICE, 2) == [("matured", -1.0)]


def test_a_delisting_value_makes_the_last_label_and_what_follows_is_delisted(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0], "other": [1.0] * 6})
    archive.append_events(events(("acme", "delisting", 2, 20.0, 1)), source="exchange")
    assert label(archive, PRICE, 1, 2, 3, 9) == [
        ("matured", -50.0), ("matured", -60.0), ("delisted", None), ("delisted", None)
    ]  # fmt: skip
    assert seen(archive, 1) == [100.0, 50.0]  # a value agreed on for tomorrow is no price of today
    assert seen(archive, 2) == [100.0, 50.0, 20.0]


def test_a_final_value_of_a_day_that_is_not_over_is_pending(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    archive.append_events(events(("acme", "delisting", 2, 20.0, 1)), source="exchange")
    assert label(archive, PRICE, 2, 3) == [("pending", None), ("delisted", None)]


def test_a_worthless_delisting_is_a_total_loss(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0, None, None]}, known_through=3)
    archive.append_events(events(("acme", "delisting", 2, 0.0, 2)), source="exchange")
    assert label(archive, PRICE, 2) == [("matured", -100.0)]
    logs = Target(("acme",), Transform("log_return", 1))
    assert label(archive, logs, 2) == [("delisted", None)]  # the logarithm of 0 is no number


def test_without_a_value_the_last_return_is_delisted_not_pending(tmp_path: Path) -> None:
    prices: dict[str, list[float | None]] = {"acme": [100.0, 50.0, None, None]}
    plain = market(tmp_path / "plain", prices, known_through=3)
    assert label(plain, PRICE, 2) == [("pending", None)]
    archive = market(tmp_path / "ended", prices, known_through=3)
    archive.append_events(events(("acme", "delisting", 2, None, 2)), source="exchange")
    assert label(archive, PRICE, 1, 2, 3) == [("matured", -50.0), ("delisted", None), ("delisted", None)]


def test_a_value_announced_later_replaces_an_unknown_one(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0, None, None, None]}, known_through=4)
    archive.append_events(events(("acme", "delisting", 2, None, 1)), source="exchange")
    assert label(archive, PRICE, 2) == [("delisted", None)]
    archive.append_events(events(("acme", "delisting", 2, 20.0, 4)), source="court")
    assert label(archive, PRICE, 2) == [("matured", -60.0)]
    assert seen(archive, 3) == [100.0, 50.0]
    assert seen(archive, 4) == [100.0, 50.0, 20.0]


# ---- an external's levels


def test_the_levels_an_external_knew_are_adjusted_as_of_its_issue(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 102.0, 52.0, 53.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0)), source="exchange")
    path = pl.DataFrame(
        {"series_id": "acme", "issued_at": [night(1), night(2)], "period": [day(3), day(3)], "value": [104.0, 52.5]}
    )
    archive.append_forecasts(path, source="bank")
    replay = Replay(exported(archive), ["acme"], sources=["bank"])
    replay.advance(night(3))
    first, second = replay.snapshot(PRICE).issues
    assert first.known.tolist() == [100.0, 102.0]  # in shares of that day, as its path is
    assert second.known.tolist() == [50.0, 51.0, 52.0]


# ---- what the archive takes


def test_the_same_events_a_second_time_change_nothing(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    given = events(("acme", "split", 1, 2.0, 0), ("acme", "split", 1, 2.0, 0))
    assert (archive.append_events(given, source="a").kept, archive.append_events(given, source="b").batch) == (1, 0)
    state = archive.state()
    archive.append_events(given, source="c")
    assert archive.state() == state


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (events(("acme", "split", 1, 3.0, 0)), "contradict"),
        (events(("acme", "split", 1, 2.0, 1)), "contradict"),
        (events(("acme", "delisting", 2, 5.0, 2), ("acme", "delisting", 3, 5.0, 2)), "contradict"),
        (events(("acme", "delisting", 2, 5.0, 1), ("acme", "delisting", 2, None, 2)), "contradict"),
        (events(("acme", "split", 2, None, 0)), "without a value"),
        (events(("acme", "split", 2, 0.0, 0)), "not positive"),
        (events(("acme", "dividend", 2, -1.0, 0)), "negative"),
        (events(("acme", "merger", 2, 1.0, 0)), "unknown word"),
    ],
)
def test_contradictions_and_impossible_events_are_refused_whole(tmp_path: Path, more: pl.DataFrame, said: str) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    archive.append_events(events(("acme", "split", 1, 2.0, 0)), source="a")
    state = archive.state()
    with pytest.raises(DataError, match=said):
        archive.append_events(more, source="b")
    assert archive.state() == state


def test_events_of_a_series_nobody_declared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="acmee"):
        market(tmp_path, {"acme": [1.0]}).append_events(events(("acmee", "split", 1, 2.0, 0)), source="a")


def test_a_date_of_announcement_is_the_end_of_that_day_and_pandas_is_taken(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    frame = events(("acme", "split", 1, 2.0, 0)).with_columns(announced_at=pl.lit(day(0)))
    archive.append_events(frame.to_pandas(), source="a")
    assert exported(archive).events.announced.tolist() == [micros(night(0))]


def test_what_is_announced_later_than_now_is_set_aside(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    far = events(("acme", "split", 1, 2.0, 0)).with_columns(announced_at=pl.lit(night(30_000)))
    report = archive.append_events(far, source="a")
    assert (report.kept, report.set_aside) == (0, 1)


# ---- older archives and folders


def test_an_archive_begun_before_there_were_events_reads_and_takes_them(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    with duckdb.connect(str(archive.path)) as connection:
        connection.execute("DROP TABLE events")
        connection.execute("DROP TABLE members")
    again = Archive.open(archive.path)
    assert seen(again, 1) == [100.0, 50.0]
    assert again.universes() == {}
    again.append_events(events(("acme", "split", 1, 2.0, 0)), source="exchange")
    assert seen(again, 1) == [50.0, 50.0]


def test_a_change_folder_of_the_earlier_form_is_written_again(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 50.0]})
    now = archive.export(tmp_path / "changes")
    manifest = json.loads((now / MANIFEST).read_bytes()) | {"format": 1}
    text = json.dumps(manifest, sort_keys=True).encode()
    older = tmp_path / "older" / manifest_hash(text)
    older.mkdir(parents=True)
    (older / MANIFEST).write_bytes(text)
    assert archive.export(tmp_path / "older").name == now.name
    ChangeFile.open(tmp_path / "older" / now.name)


# ---- keys


def test_an_event_moves_the_identity_from_its_announcement_on(tmp_path: Path) -> None:
    prices: dict[str, list[float | None]] = {"acme": [100.0, 102.0, 52.0, 53.0], "other": [1.0, 1.0, 1.0, 1.0]}
    instants = [micros(night(number)) for number in range(4)]
    plain = exported(market(tmp_path / "plain", prices))
    archive = market(tmp_path / "more", prices)
    archive.append_events(events(("acme", "split", 2, 2.0, 2)), source="exchange")
    split = exported(archive)
    before, after = (prefix_digests(one, ["acme"], [], instants) for one in (plain, split))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False, False]
    assert prefix_digests(plain, ["other"], [], instants) == prefix_digests(split, ["other"], [], instants)


def test_returns_inside_one_snapshot_do_not_jump(tmp_path: Path) -> None:
    archive = market(tmp_path, {"acme": [100.0, 101.0, 50.5, 51.0]})
    archive.append_events(events(("acme", "split", 2, 2.0, 0)), source="exchange")
    replay = Replay(exported(archive), ["acme"])
    replay.advance(night(3))
    returns = target_panel(replay.snapshot(PRICE)).values[0]
    assert returns[1:].tolist() == pytest.approx([1.0, 0.0, 100 * (51 / 50.5 - 1)])


def test_sessions_are_adjusted_from_the_session_after_a_holiday(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(Series("acme", "B", zone="America/New_York", calendar="XNYS", lag=LagRule("calendar_days", n=0)))
    sessions = [date(2020, 7, 1), date(2020, 7, 2), date(2020, 7, 6)]  # the 3rd is a holiday, then a weekend
    frame = pl.DataFrame({"series_id": "acme", "period": sessions, "value": [100.0, 102.0, 52.0]})
    archive.append(frame, source="exchange")
    ex = (date(2020, 7, 3) - day(0)).days
    archive.append_events(
        events(("acme", "split", ex, 2.0, 0), ("acme", "delisting", ex + 4, 10.0, 190)), source="exchange"
    )
    replay = Replay(exported(archive), ["acme"])
    replay.advance(night(ex + 3) + timedelta(hours=4))
    assert replay.snapshot(PRICE).history("acme").values.tolist() == [50.0, 51.0, 52.0]
    replay.advance(night(ex + 20))
    assert replay.snapshot(PRICE).history("acme").values.tolist() == [50.0, 51.0, 52.0, 10.0]

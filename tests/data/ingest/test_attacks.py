"""Ways to bring sealed values back, each refused with a clear message and an entry in the ledger."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import DamagedError, SealedError
from harness.core.series import Series
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import ingest, lacks
from harness.data.ingest.agreement import refuse_foreign
from harness.data.vault.files import FILES
from harness.record.home import Home
from harness.record.ledger import entries
from harness.report.holdout import holdout_line
from tests.data.ingest.sealed_homes import Sealed, before, dataset, made_values, sealed_home

pytestmark = pytest.mark.slow

VALUES = made_values(100)
EARLY, LATE = date(2019, 3, 1), date(2020, 3, 1)


def taken(folder: Path, home: Home) -> None:
    ingest(folder, Archive.open(home.archive), raw_dir=home.raw)


@pytest.fixture
def under_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sealed:
    home = Home(tmp_path / "home")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    return sealed_home(home, tmp_path / "keys", monkeypatch)


def refused(made: Sealed, folder: Path, match: str) -> None:
    """The ingest is refused, the ledger tells of it, and nothing of it is anywhere in the clear."""
    with pytest.raises(SealedError, match=match):
        taken(folder, made.home)
    last = entries(made.home)[-1]
    assert last.kind == "refusal"
    assert str(last.facts["command"]).startswith("ingest")
    assert not any(made.home.raw.iterdir())


def test_a_deleted_archive_is_not_read_in_again(tmp_path: Path, under_seal: Sealed) -> None:
    under_seal.home.archive.unlink()
    folder = dataset(tmp_path, before(VALUES, LATE))
    refused(under_seal, folder, "not the one that was sealed")
    assert lacks(under_seal.archive, load_dataset(folder))  # so a run asks for the ingest, too
    with pytest.raises(SealedError, match="not the one that was sealed"):
        hs.Archive.open(under_seal.home.archive).append(VALUES, source="desk")


def test_a_vault_that_was_deleted_is_missed(tmp_path: Path, under_seal: Sealed) -> None:
    shutil.rmtree(under_seal.home.vault)
    refused(under_seal, dataset(tmp_path, before(VALUES, LATE)), "the vault of a seal is gone: s1")


def test_a_vault_and_an_archive_from_before_the_seal_are_missed(tmp_path: Path, under_seal: Sealed) -> None:
    shutil.rmtree(under_seal.home.vault)
    under_seal.home.archive.unlink()
    refused(under_seal, dataset(tmp_path, before(VALUES, LATE)), "the vault of a seal is gone")


def test_a_vault_that_was_rolled_back_is_noticed(tmp_path: Path, under_seal: Sealed) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(under_seal.home.vault, copy)
    taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)
    shutil.rmtree(under_seal.home.vault)
    shutil.copytree(copy, under_seal.home.vault)
    refused(under_seal, dataset(tmp_path, VALUES), "changed or rolled back")


def test_a_vault_file_that_is_gone_is_noticed(tmp_path: Path, under_seal: Sealed) -> None:
    next((under_seal.vault.folder / FILES).iterdir()).unlink()
    refused(under_seal, dataset(tmp_path, before(VALUES, LATE)), "gone or shortened")


def test_a_ledger_that_is_gone_or_does_not_know_the_seal_is_noticed(tmp_path: Path, under_seal: Sealed) -> None:
    under_seal.home.ledger.unlink()
    with pytest.raises(SealedError, match="the ledger does not know this seal"):
        taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)


def test_an_edited_ledger_stops_every_ingest(tmp_path: Path, under_seal: Sealed) -> None:
    path = under_seal.home.ledger
    path.write_text(path.read_text().replace("2019", "2021"))
    with pytest.raises(DamagedError, match="the ledger is damaged"):
        taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)


def test_an_unfinished_sealing_is_finished_first(tmp_path: Path, under_seal: Sealed) -> None:
    path = under_seal.home.ledger
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    refused(under_seal, dataset(tmp_path, before(VALUES, LATE)), "begun and is not finished")


def test_the_same_file_under_another_dataset_is_refused(tmp_path: Path, under_seal: Sealed) -> None:
    refused(under_seal, dataset(tmp_path, before(VALUES, EARLY), name="other"), "a sealed one under another name")


def test_a_file_that_was_sealed_later_is_recognised_too(tmp_path: Path, under_seal: Sealed) -> None:
    taken(dataset(tmp_path, before(VALUES, LATE)), under_seal.home)
    # of so few values no copy would be recognised: the file itself must be
    few = before(VALUES, LATE).tail(8)
    taken(dataset(tmp_path, pl.concat([before(VALUES, LATE), few]).unique(maintain_order=True)), under_seal.home)
    refused(under_seal, dataset(tmp_path, before(VALUES, LATE), name="other"), "a sealed one under another name")


@pytest.mark.parametrize("placed", ["as published", "all of today"])
def test_a_rescaled_copy_is_refused_however_it_is_dated(tmp_path: Path, under_seal: Sealed, placed: str) -> None:
    values = VALUES.with_columns(value=(pl.col("value") * -2.5 + 1000).round(3))
    if placed == "all of today":
        values = values.unique(["series", "period"], keep="last").with_columns(published=date(2021, 1, 1))
    refused(under_seal, dataset(tmp_path, values, name="other"), "this series repeats a sealed one")
    assert under_seal.archive.series() == [one for one in under_seal.archive.series() if one.id.startswith("made/")]


def test_a_copy_that_comes_in_pieces_is_recognised_when_it_has_become_one(under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive)
    archive.define(Series("own/x", "M", zone="UTC"))
    mine = VALUES.filter((pl.col("series") == "cpi") & (pl.col("published") < EARLY)).unique("period", keep="first")
    mine = mine.sort("period").select(
        pl.lit("own/x").alias("series_id"), "period", pl.col("published").alias("published_at"), "value"
    )
    assert archive.append(mine.head(5), source="desk").uncompared == (
        "own/x not compared with sealed series: 5 values in common"
    )
    with pytest.raises(SealedError, match="own/x says the same as made/cpi in 100%"):
        archive.append(mine.slice(5, 3), source="desk")
    assert entries(under_seal.home)[-1].facts["command"] == "append desk"


def test_a_series_that_was_not_compared_is_entered_and_told_of_until_it_is(
    tmp_path: Path, under_seal: Sealed, capsys: pytest.CaptureFixture[str]
) -> None:
    home, other = under_seal.home, made_values(100, seed=5)
    short = dataset(tmp_path, other.group_by("series", maintain_order=True).head(6), name="other")  # three periods
    assert main(["ingest", str(short), "--home", str(home.root)]) == 0
    said = "other/cpi not compared with sealed series: 3 values in common"
    assert said in capsys.readouterr().out
    assert [one.kind for one in entries(home)][-3:].count("uncompared") == 2
    assert said in holdout_line(home, {"other/cpi": "0" * 32})
    assert holdout_line(home, {"made/cpi": "0" * 32}).count("not compared") == 0
    assert said in holdout_line(home, {"made/cpi": "0" * 32}, inputs=["other/cpi"])
    assert main(["holdout", "status", "--home", str(home.root)]) == 0
    assert f"{said} (too few to tell whether it is a copy" in capsys.readouterr().out
    taken(dataset(tmp_path, other, name="other"), home)
    assert [one.kind for one in entries(home)].count("compared") == 2
    assert holdout_line(home, {"other/cpi": "0" * 32}) == ""
    assert main(["holdout", "status", "--home", str(home.root)]) == 0
    assert "too few" not in capsys.readouterr().out


def test_another_series_is_no_copy(tmp_path: Path, under_seal: Sealed) -> None:
    other = made_values(100, seed=5)
    taken(dataset(tmp_path, other, name="other"), under_seal.home)
    assert under_seal.archive.revisions("other/cpi")["published_at"].max().year == 2020  # type: ignore[union-attr]
    noisy = VALUES.with_columns(
        value=pl.col("value") + pl.Series(np.random.default_rng(1).normal(0, 0.5, VALUES.height))
    )
    taken(dataset(tmp_path, noisy, name="noisy"), under_seal.home)


def test_another_archive_with_a_sealed_series_is_no_way_around(tmp_path: Path, under_seal: Sealed) -> None:
    other = Archive.open(tmp_path / "other.duckdb")
    refuse_foreign(under_seal.home, other, ["own/x"])
    refuse_foreign(under_seal.home, under_seal.archive, ["made/cpi"])
    with pytest.raises(SealedError, match="another archive has a series that is sealed in this home: made/cpi"):
        refuse_foreign(under_seal.home, other, ["own/x", "made/cpi"])


def test_a_set_clock_does_not_lead_around_the_gate(under_seal: Sealed) -> None:
    archive = hs.Archive.open(under_seal.home.archive).at(micros(datetime(2020, 1, 1, tzinfo=UTC)))
    late = VALUES.filter((pl.col("series") == "cpi") & pl.col("published").is_between(EARLY, date(2019, 12, 1)))
    frame = late.select(
        pl.lit("made/cpi").alias("series_id"), "period", pl.col("published").alias("published_at"), "value"
    )
    assert archive.append(frame, source="desk").sealed == frame.height

"""Rows dated later than now enter once they are past, and reading raw input as of then makes the archive of then."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import ingest, lacks
from tests.data.dirt import HEAD, clean, text

THEN = micros(datetime(2015, 6, 1, tzinfo=UTC))
MORE = {"": "", "asserted": '[[source.assert]]\nkind = "published"\nseverity = "set aside"\n'}


@pytest.mark.slow
@pytest.mark.parametrize("asserts", MORE)
def test_rows_of_the_future_enter_when_they_are_past(asserts: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dataset.toml").write_text(HEAD + MORE[asserts])
    (folder / "values.csv").write_text(text(clean()))
    archive, dataset = Archive.open(tmp_path / "archive.duckdb"), load_dataset(folder)
    future = sum(row.released > "2015-06-01" for row in clean())
    then = archive.at(THEN)
    assert ingest(folder, then, raw_dir=tmp_path / "raw").set_aside == future
    assert not lacks(then, dataset)
    assert ingest(folder, then, raw_dir=tmp_path / "raw").already
    assert lacks(archive, dataset)
    assert ingest(folder, archive, raw_dir=tmp_path / "raw").kept == future
    assert ingest(folder, archive, raw_dir=tmp_path / "raw").already
    assert not lacks(archive, dataset)
    again = Archive.open(tmp_path / "again.duckdb")
    for at in archive.batches()["ingested"].to_list():
        ingest(folder, again.at(micros(at)), raw_dir=tmp_path / "raw")
    assert again.state() == archive.state()

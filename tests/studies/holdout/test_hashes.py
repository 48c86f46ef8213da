"""No hash that stands in the clear can be made from a guess of what is sealed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.data.archive import Archive
from harness.data.archive.unsealing import opened
from harness.data.batch import read_batch
from harness.data.declaration import Catalogue
from harness.data.ingest import ingest
from harness.data.vault.files import Vault
from harness.data.vault.keys import needed_key
from tests.studies.holdout.marked import Marked, read_out


def guess(value: float) -> pl.DataFrame:
    """A month of its own, as it may be appended each time it comes out."""
    row = {"series_id": "marked/level", "period": date(2020, 5, 31), "value": value}
    return pl.DataFrame([{**row, "published_at": datetime(2020, 7, 2, tzinfo=UTC)}])


def content_hash(archive: Archive, frame: pl.DataFrame) -> str:
    series = archive.series()
    catalogue = Catalogue({one.id: code for code, one in enumerate(series)}, dict(enumerate(series)))
    return read_batch(frame, catalogue, coverage="rows", publications=None, now=archive.now()).sha256


def plain_hashes(path: Path) -> set[str]:
    """Everything in an archive that looks like a plain SHA-256."""
    texts = (one for one in read_out(path) if isinstance(one, str))
    return {one for one in texts if len(one) == 64 and set(one) <= set("0123456789abcdef")}


def test_a_sealed_value_is_not_found_by_hashing_guesses(bare: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    secret = 123.45
    archive = hs.Archive.open(bare.home.archive)
    archive.append(guess(secret), source="live")
    guesses = {content_hash(archive, guess(number / 100)): number / 100 for number in range(12300, 12400)}
    before, state = plain_hashes(bare.home.archive), archive.state()
    assert [guesses[one] for one in before & guesses.keys()] == [secret]
    done = bare.seal()
    archive = hs.Archive.open(bare.home.archive)
    files = [one.stem for one in bare.folder.rglob("*") if len(one.stem) == 64]
    assert plain_hashes(bare.home.archive) == set()
    assert not before & {*done.seal.raw, *files}
    vault, key = Vault.open(bare.home, done.seal.id), needed_key(bare.keys, f"{done.seal.id}.identity")
    whole = opened(archive, [(done.seal, [(one.kind, vault.read(key, one.name)) for one in vault.files()])])
    assert whole.state() == state
    assert set(whole.batches()["sha256"]) <= before


def test_what_was_there_before_the_seal_is_still_known(bare: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    hs.Archive.open(bare.home.archive).append(guess(123.45), source="live")
    bare.seal()
    archive = hs.Archive.open(bare.home.archive)
    state, files = archive.state(), len(list(bare.home.vault.rglob("*.age")))
    assert archive.append(guess(123.45), source="live").batch == 0
    assert ingest(bare.folder / "datasets" / "marked", archive, raw_dir=bare.home.raw).already
    assert (archive.state(), len(list(bare.home.vault.rglob("*.age")))) == (state, files)
    assert archive.append(guess(123.46), source="live").sealed == 1

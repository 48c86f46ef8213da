"""No hash that stands in the clear can be made from a guess of what is sealed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.data.archive.unsealing import opened
from harness.data.batch import read_batch
from harness.data.dataset import load_dataset
from harness.data.declaration import Catalogue
from harness.data.ingest import ingest, lacks, untold
from harness.data.inputs import read_input
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def archive_of(one: Marked) -> Archive:
    return Archive.open(one.home.archive)


def delivered(one: Marked, value: float) -> Path:
    """The dataset with one unknown value alone in its file."""
    folder = one.folder / "datasets" / "marked"
    rows = [f"{name},2020-05-01,2020-07-02T09:00:00Z,{each}" for name, each in (("level", value), ("other", 1))]
    (folder / "values.csv").write_text("\n".join(["series,period,published_at,value", *rows, ""]))
    return folder


def digits(one: Marked, value: float) -> set[str]:
    """The hashes of what that file holds, in the name of its batch where nothing is sealed."""
    dataset = load_dataset(delivered(one, value))
    tag = read_input(dataset, dataset.sources[0]).tag
    return set(tag.rpartition("[")[2].removesuffix("]").split("-")[1:])


def told(one: Marked) -> str:
    """All that the home says in any file, in its bytes or through its reader."""
    files = one.searched()
    texts = [str(value) for path in files for value in read_out(path) if isinstance(value, str)]
    return "\n".join([*texts, *(path.read_bytes().decode("latin-1") for path in files)])


@pytest.mark.slow
def test_a_dataset_file_with_one_unknown_value_is_not_found_by_names_of_guesses(
    bare: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    guesses = {number / 100: digits(bare, number / 100) for number in range(12340, 12350)}

    def found(one: Marked) -> list[float]:
        said = told(one)
        return [value for value, hashes in guesses.items() if any(each in said for each in hashes)]

    early = bare.copied(tmp_path / "early")
    ingest(delivered(early, 123.45), archive_of(early), raw_dir=early.home.raw)
    assert found(early) == [123.45]
    early.seal()
    assert found(early) == []
    bare.seal()
    ingest(delivered(bare, 123.45), archive_of(bare), raw_dir=bare.home.raw)
    assert found(bare) == []


@pytest.mark.slow
def test_a_file_under_seal_is_recognised_with_the_key_and_without_it_that_is_said(
    bare: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    bare.seal()
    assert not lacks(archive_of(bare), load_dataset(bare.folder / "datasets" / "marked"))
    folder = delivered(bare, 123.45)
    changed = load_dataset(folder)
    assert lacks(archive_of(bare), changed)
    assert not ingest(folder, archive_of(bare), raw_dir=bare.home.raw).already
    assert ingest(folder, archive_of(bare), raw_dir=bare.home.raw).already
    assert not lacks(archive_of(bare), changed)
    assert not untold(archive_of(bare), changed)
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "none"))
    assert untold(archive_of(bare), changed)
    assert not lacks(archive_of(bare), load_dataset(delivered(bare, 123.46)))
    with pytest.raises(SealedError, match="the key that signs the vault of this dataset is not here: marked"):
        ingest(folder, archive_of(bare), raw_dir=bare.home.raw)


@pytest.mark.slow
def test_what_goes_on_without_the_key_says_that_nobody_looked_for_changed_files(
    bare: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    bare.seal()
    said = r"marked: the signing key of its seal is not here \(HARNESS_KEYS\), so nobody looked for changed files"
    with_key = bare.run()  # a warning would be an error here
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "none"))
    with pytest.warns(UserWarning, match=said):
        assert bare.run().id == with_key.id
    with pytest.warns(UserWarning, match=said):
        hs.audit(bare.experiment, home=bare.home.root, origins=2, workers=1)
    with pytest.warns(UserWarning, match=said):
        hs.holdout.plan(bare.experiment, home=bare.home.root)
    asked = [str(bare.experiment), "--home", str(bare.home.root)]
    capsys.readouterr()
    for verb in (["plan"], ["backtest", "--quiet"], ["audit", "--quiet", "--origins", "2"], ["holdout", "plan"]):
        assert main([*verb, *asked]) == 0
        assert len(re.findall(said, capsys.readouterr().out)) == 1, verb

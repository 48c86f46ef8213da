"""A sealing that was interrupted before anything was taken away locks nobody out."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import SealedError, UserError
from harness.experiment.sealing import seal_experiments
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from harness.studies.holdout import seal as sealing
from harness.studies.holdout.abandoning import abandon
from harness.studies.holdout.locking import Lock
from tests.studies.holdout.marked import CUT, Marked

NEW = pl.DataFrame(
    {
        "series_id": ["marked/level"],
        "period": [date(2020, 5, 31)],
        "value": [1.5],
        "published_at": [datetime(2020, 7, 2, tzinfo=UTC)],
    }
)


def interrupted(one: Marked) -> str:
    """Begin to seal and be stopped before the archive is split; the id of what was begun."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "seal_archive", stop)
        with pytest.raises(KeyboardInterrupt):
            one.seal()
    return str(entries(one.home)[-1].facts["seal"])


def kinds(one: Marked) -> list[str]:
    return [entry.kind for entry in entries(one.home)]


@pytest.mark.slow
def test_another_day_can_be_chosen_after_a_sealing_was_interrupted(
    bare: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    first = interrupted(bare)
    with pytest.raises(SealedError, match="--abandon"):
        hs.Archive.open(bare.home.archive).append(NEW, source="in between")
    done = seal_experiments([bare.experiment], "2013-01-01", bare.home, lock=Lock(keys=bare.keys))
    assert done.seal.cut.startswith("2013-01-01")
    assert done.seal.id != first
    assert hs.Archive.open(bare.home.archive).append(NEW, source="later").sealed == 1
    assert kinds(bare) == ["sealing", "refusal", "abandoned", "sealing", "seal", "batch"]
    assert verify_ledger(bare.home).reasons == verify_ledger(bare.home).notes == ()


@pytest.mark.slow
def test_the_same_command_goes_on_when_the_data_grew_in_between(bare: Marked) -> None:
    first = interrupted(bare)
    values = bare.folder / "datasets" / "marked" / "values.csv"
    values.write_text(f"{values.read_text()}level,2020-05-01,2020-07-02T09:00:00Z,1234.5\n")
    done = bare.seal()
    assert done.seal.id == first
    assert done.rows["changes"] == len(bare.marks.numbers) + 1
    assert verify_ledger(bare.home).notes == ()


def test_what_was_begun_can_be_given_up(
    bare: Marked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(bare.keys))
    first = interrupted(bare)
    idle = ["holdout", "seal", "uk_inflation", "--abandon", "--from", "2012-01-01", "--home", str(bare.home.root)]
    assert main(idle) == 2
    assert "nothing is sealed when a sealing is given up: uk_inflation, --from" in capsys.readouterr().err
    assert main(["holdout", "seal", "--abandon", "--home", str(bare.home.root)]) == 0
    assert f"given up: {first}" in capsys.readouterr().out
    assert list(bare.home.vault.iterdir()) == []
    assert hs.Archive.open(bare.home.archive).append(NEW, source="in the clear").sealed == 0
    with pytest.raises(UserError, match="no sealing to give up"):
        abandon(bare.home)


def test_a_sealing_whose_archive_is_split_cannot_be_given_up(bare: Marked) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            bare.seal()
    with pytest.raises(SealedError, match="cannot be given up"):
        abandon(bare.home)
    copy = Path(f"{bare.folder}-moved")
    shutil.move(bare.home.vault, copy)  # who removes the vault by hand is not let in either
    with pytest.raises(SealedError, match="cannot be given up"):
        abandon(bare.home)
    assert "abandoned" not in kinds(bare)


def test_sealing_needs_a_day_and_an_experiment(bare: Marked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holdout", "seal", "--home", str(bare.home.root), "--from", "2012-01-01"]) == 2
    assert "no experiment" in capsys.readouterr().err


def test_a_seal_with_a_folder_of_keys_says_how_later_commands_find_it(
    bare: Marked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["holdout", "seal", str(bare.experiment), "--from", CUT, "--keys", str(bare.keys)]
    assert main([*asked, "--home", str(bare.home.root)]) == 0
    assert f"set HARNESS_KEYS={bare.keys}" in capsys.readouterr().out

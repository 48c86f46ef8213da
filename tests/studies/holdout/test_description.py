"""No edit of what a seal says of itself lifts it, and no removal of all that tells of it either."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.record.files import json_bytes, sealed
from harness.record.ledger_check import verify_ledger
from harness.record.seals import SEAL_FILE
from harness.studies.holdout.status import status
from tests.studies.holdout import made_holdouts as made
from tests.studies.holdout.made_holdouts import CUT_AT, SEAL_ID, Made

LATE = made.values().filter(pl.col("published_at") >= CUT_AT)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    one = made.sealed(tmp_path)
    monkeypatch.setenv("HARNESS_KEYS", str(one.keys))
    return one


def test_an_edited_description_lifts_no_seal(home: Made) -> None:
    file = home.home.vault / SEAL_ID / SEAL_FILE
    was, state = file.read_bytes(), Archive.open(home.home.archive).state()
    for edit in ({"series": [], "datasets": []}, {"cut": "2030-01-01T00:00:00+00:00"}, {"targets": {}}):
        file.write_bytes(json_bytes(sealed({**json.loads(was), **edit})))
        with pytest.raises(SealedError, match="not the one it was sealed with"):
            hs.Archive.open(home.home.archive).append(LATE, source="again")
        assert any("its description is not" in one for one in verify_ledger(home.home).reasons)
        problems = status(home.home, keys=home.keys).problems
        assert any("not the description that was signed" in one for one in problems)
    file.write_bytes(was)
    assert verify_ledger(home.home).reasons == status(home.home, keys=home.keys).problems == ()
    assert Archive.open(home.home.archive).state() == state


def test_an_archive_remembers_its_seal_when_vault_and_ledger_are_gone(home: Made) -> None:
    shutil.rmtree(home.home.vault)
    home.home.ledger.unlink()
    archive = hs.Archive.open(home.home.archive)
    state = archive.state()
    with pytest.raises(SealedError, match="vault and ledger of a seal are gone"):
        archive.append(LATE, source="again")
    assert archive.state() == state
    assert any("its vault is gone" in one for one in status(home.home, keys=home.keys).problems)

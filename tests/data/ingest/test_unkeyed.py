"""Without the key that signs a vault nobody can tell whether a file under seal changed: that is said, not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.core.errors import SealedError
from harness.data.dataset import load_dataset
from harness.data.ingest import lacks, untold
from harness.record.home import Home
from harness.record.ledger import entries
from tests.data.ingest.sealed_homes import Sealed, before, dataset, made_values, sealed_home
from tests.data.ingest.test_gate import EARLY, LATE, VALUES, taken, under_seal

__all__ = ["under_seal"]
NOT_HERE = "the key that signs the vault of this dataset is not here: {}, {}"
FORECASTS = """
[forecasts]
file = "forecasts.csv"
[forecasts.issuers.bank]
series = ["cpi"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
def test_ingest_ends_in_one_message_whether_or_not_a_file_changed(
    *, changed: bool, tmp_path: Path, under_seal: Sealed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = dataset(tmp_path, before(VALUES, LATE))
    asked = ["ingest", str(folder), "--home", str(under_seal.home.root)]
    assert main(asked) == 0
    assert main(asked) == 0
    assert "made: nothing new" in capsys.readouterr().out  # with the key it is told
    place = under_seal.keys / "s1.signing"
    key = place.read_text()
    place.unlink()
    state, told = under_seal.archive.state(), len(entries(under_seal.home))
    if changed:
        dataset(tmp_path, VALUES)
    assert main(asked) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert NOT_HERE.format("made", place) in err
    assert "sealed from 2019-01-01" in err
    assert "fix: name the folder that holds it (HARNESS_KEYS=DIR)" in err
    assert len(err.splitlines()) == 1
    assert [one.kind for one in entries(under_seal.home)[told:]] == ["refusal"]
    assert under_seal.archive.state() == state
    place.write_text(key)
    place.chmod(0o600)
    assert taken(folder, under_seal.home).already is not changed


def with_forecasts(root: Path, *days: str, name: str = "made") -> Path:
    values = VALUES if name == "made" else made_values(100, seed=2)
    folder = dataset(root, before(values, EARLY), name=name, more=FORECASTS)
    lines = [f"bank,cpi,{day},2020-01-31,{number}.5" for number, day in enumerate(days)]
    (folder / "forecasts.csv").write_text("\n".join(["source,series,issued_at,period,value", *lines]) + "\n")
    return folder


@pytest.mark.slow
def test_nor_whether_a_list_of_something_sealed_changed_in_a_dataset_that_is_not_under_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, days = Home(tmp_path / "home"), ("2018-05-01", "2019-02-01")
    taken(dataset(tmp_path, before(VALUES, EARLY)), home)
    made = sealed_home(home, tmp_path / "keys", monkeypatch, sources=("bank",))
    folder = with_forecasts(tmp_path, *days, name="lists")
    assert taken(folder, home).sealed == 1
    assert taken(folder, home).already
    assert (folder / "forecasts.csv").read_bytes() in made.read("raw")  # and not beside the values, in the clear
    assert [one.read_bytes() for one in home.raw.iterdir()] == [(folder / "values.csv").read_bytes()]
    other = dataset(tmp_path, before(made_values(100, seed=3), EARLY), name="other")
    taken(other, home)
    (made.keys / "s1.signing").unlink()
    state = made.archive.state()
    for later in ((), ("2019-07-01",)):
        mine = load_dataset(with_forecasts(tmp_path, *days, *later, name="lists"))
        assert untold(made.archive, mine)
        assert not lacks(made.archive, mine)
        with pytest.raises(SealedError, match=r"the key that signs the vault of this dataset is not here: lists,"):
            taken(folder, home)
    assert made.archive.state() == state
    # what has nothing to do with the seal goes on as ever
    assert not untold(made.archive, load_dataset(other))
    assert not lacks(made.archive, load_dataset(other))
    dataset(tmp_path, before(made_values(100, seed=3), LATE), name="other")
    assert lacks(made.archive, load_dataset(other))
    assert taken(other, home).kept

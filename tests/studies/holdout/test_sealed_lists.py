"""A seal takes along the files of a sealed list of which no batch, or one without rows, tells that they were read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.cli import main
from harness.data.archive import Archive
from harness.data.archive.covered import raw_of
from harness.data.ingest import ingest
from harness.record.home import Home
from harness.record.seals import Seal
from tests.data.ingest.sealed_homes import CUT, before, dataset, made_values
from tests.data.test_listings import FORECASTS, TOML, Desk
from tests.data.test_read_once import EXPERIMENT

DAYS = [f"2020-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]
CLOSES = "".join(
    f"{day},{100 + 0.7 * number * (-1) ** number:.2f},{5 + number * 0.3:.2f}\n" for number, day in enumerate(DAYS)
)
ISSUES = [f"desk,acme,{DAYS[at]},{DAYS[at + 3]},{90 + at}.5\n" for at in range(0, 50, 3)]
HEAD = "source,series,issued_at,period,value\n"
LATER = f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}"
MODEL = '[models.desk]\nkind = "external"\nsource = "desk"\n'
CHANGES = {
    "a row gone": HEAD + "".join(ISSUES[1:]),
    "a row of the future more": f"{HEAD}{''.join(ISSUES)}desk,acme,{LATER},{LATER},77\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("model", [MODEL, ""], ids=["a model of theirs", "no model of theirs"])
@pytest.mark.parametrize("change", CHANGES)
def test_no_file_of_sealed_forecasts_stays_readable_nor_a_hash_of_one(
    change: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "keys"))
    desk = Desk(tmp_path / "home")
    desk.write(toml=TOML + FORECASTS)
    (desk.folder / "closes.csv").write_text("date,ACM,zenith\n" + CLOSES)
    experiment, home = desk.root / "experiments" / "trial.toml", ["--home", str(desk.root)]
    experiment.write_text(EXPERIMENT + model)
    for text in (HEAD + "".join(ISSUES), CHANGES[change]):
        (desk.folder / "forecasts.csv").write_text(text)
        assert main(["ingest", str(desk.folder), *home]) == 0
    plain = set(desk.archive.batches()["sha256"])
    for more in (["--dry-run"], []):
        assert main(["holdout", "seal", "--from", "2020-02-10", str(experiment), *more, *home]) == 0, (
            capsys.readouterr()
        )
    assert list((desk.root / "raw").iterdir()) == []
    assert plain.isdisjoint(desk.archive.batches()["sha256"])
    assert desk.archive.set_aside().height == 0
    assert main(["verify", *home]) == 0


ISSUERS = """
[forecasts]
file = "forecasts.csv"
[forecasts.issuers.{}]
[[forecasts.assert]]
kind = "unique"
severity = "warn"
"""


@pytest.mark.parametrize(("issuer", "sealed"), [("desk", True), ("bank", False)])
def test_a_file_of_another_dataset_is_sealed_with_the_issuer_whom_its_earlier_batch_names(
    issuer: str, sealed: bool, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    folder = dataset(tmp_path, before(made_values(100), CUT.date()), name="free", more=ISSUERS.format(issuer))
    rows = [f"{issuer},cpi,2017-0{month}-15,2017-12-31,{month}.5\n" for month in (3, 6)]
    for given in (rows, rows[1:]):
        (folder / "forecasts.csv").write_text(HEAD + "".join(given))
        ingest(folder, Archive.open(home.archive), raw_dir=home.raw)
    archive = Archive.open(home.archive)
    assert archive.batches()["kept"].to_list()[-1] == 0
    files = {one.name.partition(".")[0] for one in home.raw.iterdir()}
    mine, others = raw_of(archive, Seal("s1", CUT.isoformat(), (), ("made",), sources=("desk",)))
    assert mine | others == files
    assert len(mine) == (2 if sealed else 0)

"""What a sealing does: what leaves and what stays, who can open it, what is refused, what the record tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.cli import main
from harness.core.errors import SealedError, UserError
from harness.core.series import Series
from harness.core.time import instant, micros
from harness.data.archive import Archive
from harness.data.archive.covered import seals_within
from harness.data.archive.unsealing import opened
from harness.data.vault import keys
from harness.data.vault.files import WRAPPED, Vault
from harness.data.vault.packing import PACKED, unpacked
from harness.experiment.load import load_experiment
from harness.experiment.sealing import seal_experiments
from harness.record import registry
from harness.record.ledger import entries, head
from harness.record.ledger_check import verify_ledger
from harness.record.seals import Seal, seals_of
from harness.report.sealing import sealing_text, status_text
from harness.studies.holdout.locking import Lock, custodian_from
from harness.studies.holdout.status import status
from tests.studies.holdout.marked import CUT, DATASET, Marked


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def identity(one: Marked, seal: Seal) -> str:
    return keys.needed_key(one.keys, f"{seal.id}.identity")


def parts(one: Marked, seal: Seal) -> list[tuple[str, bytes]]:
    vault = Vault.open(one.home, seal.id)
    return [(file.kind, vault.read(identity(one, seal), file.name)) for file in vault.files()]


def test_a_seal_takes_out_all_that_came_later_and_opens_again(bare: Marked) -> None:
    before = Archive.open(bare.home.archive)
    state, count = before.state(), before.batches().height
    done = bare.seal()
    archive = Archive.open(bare.home.archive)
    assert archive.state() != state
    assert archive.batches().height == count
    assert archive.known_through() < done.seal.instant  # type: ignore[operator]
    assert seals_within(archive) == {done.seal.id}
    assert opened(archive, [(done.seal, parts(bare, done.seal))]).state() == state
    assert done.seal.datasets == ("marked",)
    assert done.seal.series == ("marked/level", "marked/other")
    assert [one.id for one in seals_of(bare.home)] == [done.seal.id]


def test_raw_files_lie_in_the_vault_as_they_were(bare: Marked) -> None:
    raw = {path.name: path.read_bytes() for path in bare.home.raw.iterdir()}
    done = bare.seal()
    assert list(bare.home.raw.iterdir()) == []
    veil = keys.veiled(keys.needed_key(bare.keys, f"{done.seal.id}.signing"))
    assert set(done.seal.raw) == {veil("raw", name.removesuffix(".csv")) for name in raw}
    kept = {path: piece for path, _, piece in unpacked(c for kind, c in parts(bare, done.seal) if kind == PACKED)}
    assert {path.removeprefix("raw/"): piece for path, piece in kept.items() if path.startswith("raw/")} == raw
    assert main(["verify", "--home", str(bare.home.root)]) == 0


@pytest.mark.slow
def test_the_ledger_tells_of_the_intent_and_of_the_seal(bare: Marked) -> None:
    done = bare.seal()
    kinds = [one.kind for one in entries(bare.home)]
    assert kinds == ["sealing", "seal"]
    facts = entries(bare.home)[-1].facts
    assert (facts["seal"], facts["cut"], facts["recipient"]) == (done.seal.id, done.seal.cut, done.seal.recipient)
    assert facts["manifest"] == Vault.open(bare.home, done.seal.id).manifest_hash
    assert verify_ledger(bare.home).reasons == ()


@pytest.mark.slow
def test_what_is_sealed_is_not_sealed_again_on_any_day(bare: Marked) -> None:
    bare.seal()
    was = content(bare.home.vault)
    for day, said in (
        ("2011-01-01", "peel a sealed period off"),
        (CUT, "is sealed already"),
        ("2014-01-01", "already"),
    ):
        with pytest.raises(SealedError, match=said):
            seal_experiments([bare.experiment], day, bare.home, lock=Lock(keys=bare.keys))
        last = entries(bare.home)[-1]
        assert (last.kind, last.facts["command"]) == ("refusal", f"holdout seal --from {day}")
    assert content(bare.home.vault) == was


@pytest.mark.parametrize(
    ("day", "said"),
    [("2024-01-01", "nothing to seal"), ("1999-01-01", "nothing would be left"), ("new year", "this is no day")],
)
def test_a_day_that_makes_no_sense_is_refused(bare: Marked, day: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        seal_experiments([bare.experiment], day, bare.home, lock=Lock(keys=bare.keys))
    assert not bare.home.ledger.exists()
    assert not bare.home.vault.exists()


@pytest.mark.slow
def test_a_dry_run_tells_and_does_nothing(bare: Marked) -> None:
    was = content(bare.home.root)
    ahead = bare.seal(dry_run=True)
    assert content(bare.home.root) == was
    assert not bare.keys.exists()
    text = sealing_text(ahead)
    assert text.startswith(f"to be sealed: everything published from {CUT}T00:00:00+00:00 on (honour seal)")
    assert f"{len(bare.marks.numbers)} changes" in text
    assert "1 raw" in text
    last = Archive.open(bare.home.archive, read_only=True).changes()
    newest = instant(int(last.published[last.published < micros(ahead.seal.instant)].max()))
    assert f"stays readable: what was published before, the last at {newest.isoformat(timespec='minutes')};" in text
    assert bare.seal().rows == ahead.rows


def test_keys_inside_the_home_are_refused_before_anything_is_done(bare: Marked) -> None:
    inside = Lock(keys=bare.home.root / "keys")
    with pytest.raises(UserError, match="lies in the home folder"):
        seal_experiments([bare.experiment], CUT, bare.home, lock=inside)
    assert not bare.home.ledger.exists()


def test_a_custodian_s_seal_leaves_no_key_that_opens_it(bare: Marked, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    own, _ = keys.custodian_keys(create=True, folder=theirs)
    (tmp_path / "public.json").write_text(json.dumps(keys.public_part(theirs)))
    lock = Lock(custodian_from(tmp_path / "public.json"), keys=bare.keys)
    done = seal_experiments([bare.experiment], CUT, bare.home, lock=lock)
    assert done.seal.told == "custodian seal"
    assert sorted(path.name for path in bare.keys.iterdir()) == [f"{done.seal.id}.signing"]
    vault = Vault.open(bare.home, done.seal.id)
    wrapped = (vault.folder / WRAPPED).read_bytes()
    with pytest.raises(SealedError, match="does not open with this key"):
        keys.decrypt(wrapped, keys.new_identity(), "identity")
    found = keys.decrypt(wrapped, own, "identity").decode()
    assert keys.recipient_of(found) == done.seal.recipient
    assert vault.read(found, vault.files()[0].name)
    assert "opened by a grant of its custodian" in status_text(status(bare.home, keys=bare.keys))


@pytest.mark.slow
def test_a_passphrase_opens_a_seal_without_a_key_file(bare: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.PASSPHRASE, "correct horse battery")
    done = seal_experiments([bare.experiment], CUT, bare.home, lock=Lock(passphrase=True, keys=bare.keys))
    assert sorted(path.name for path in bare.keys.iterdir()) == [f"{done.seal.id}.signing"]
    wrapped = (bare.home.vault / done.seal.id / WRAPPED).read_bytes()
    assert keys.recipient_of(keys.unwrapped_by(wrapped, "correct horse battery")) == done.seal.recipient
    assert "a passphrase" in status_text(status(bare.home, keys=bare.keys))
    for path in bare.searched():
        assert b"correct horse" not in path.read_bytes()


@pytest.mark.parametrize(("text", "said"), [("{}", "no age public key"), ("nonsense", "no custodian's file")])
def test_a_custodian_s_file_is_checked(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "public.json").write_text(text)
    with pytest.raises(UserError, match=said):
        custodian_from(tmp_path / "public.json")


def test_datasets_that_say_so_make_a_public_seal(bare: Marked) -> None:
    toml = bare.folder / "datasets" / "marked" / "dataset.toml"
    toml.write_text(DATASET.replace('licence = "none"', 'licence = "none"\npublic = true'))
    assert bare.seal().seal.told == "public: honour seal"


@pytest.mark.slow
def test_status_finds_a_vault_and_keys_that_are_not_as_they_should_be(bare: Marked) -> None:
    done = bare.seal()
    assert status(bare.home, keys=bare.keys).problems == ()
    assert f"seal {done.seal.id}: sealed from {CUT}" in status_text(status(bare.home, keys=bare.keys))
    other = status(bare.home, keys=bare.folder / "elsewhere").problems
    assert any("without it the seal cannot be opened" in one for one in other)
    vault = Vault.open(bare.home, done.seal.id)
    (vault.folder / "files" / vault.files()[0].name).write_bytes(b"forged")
    problems = status(bare.home, keys=bare.keys).problems
    assert any("is not the file that was listed" in one for one in problems)
    arguments = ["holdout", "status", "--home", str(bare.home.root), "--keys", str(bare.keys)]
    assert main(arguments) == 1


@pytest.mark.slow
def test_the_command_seals(bare: Marked, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--home", str(bare.home.root), "--keys", str(bare.keys)]
    assert main(["holdout", "seal", "--from", CUT, str(bare.experiment), *where]) == 0
    said = capsys.readouterr().out
    assert said.index("to be sealed") < said.index("sealed as")
    assert [said.count(part) for part in ("  series: ", "  rows of the archive: ", "stays readable: ")] == [1, 1, 1]
    assert said.count("stay readable outside the home") == 1
    for one in bare.experiment.parents[1].glob("datasets/*/*.csv"):
        assert str(one.resolve()) in said
    assert f"note the ledger's head elsewhere: {head(bare.home)}" in said
    assert main(["holdout", "status", *where]) == 0
    assert "never opened" in capsys.readouterr().out
    assert main(["holdout", "seal", "--from", "2011-01-01", str(bare.experiment), *where]) == 2
    assert "peel" in capsys.readouterr().err


@pytest.mark.slow
def test_other_series_are_left_alone(bare: Marked) -> None:
    archive = Archive.open(bare.home.archive)
    archive.define(Series("elsewhere/one", "M"))
    rows = {"series_id": ["elsewhere/one"], "period": [date(2015, 1, 31)], "published_at": [date(2015, 2, 10)]}
    archive.append(pl.DataFrame({**rows, "value": [1.5]}), source="elsewhere: one")
    known = archive.known_through("elsewhere/one")
    bare.seal()
    after = Archive.open(bare.home.archive)
    assert after.known_through("elsewhere/one") == known
    assert after.revisions("elsewhere/one")["value"].to_list() == [1.5]


@pytest.mark.slow
def test_runs_that_saw_the_period_leave_and_their_effort_stays(whole: Marked, tmp_path: Path) -> None:
    one = whole.copied(tmp_path / "run")
    (run,) = [path.name for path in one.home.runs.iterdir()]
    fingerprint = registry.effort_from(json.loads((one.home.runs / run / "manifest.json").read_text()))
    assert fingerprint is not None
    mine = [fingerprint.fingerprints["marked/level"]]
    before = registry.counts(one.home, mine)
    assert before.looked == 1
    done = one.seal()
    assert list(one.home.runs.iterdir()) == []
    assert (done.seal.runs, done.seal.targets) == ((run,), {"marked/level": mine[0]})
    assert registry.counts(one.home, mine) == before
    one.home.registry.unlink()
    assert registry.counts(one.home, mine) == before
    assert registry.details(one.home, mine)[0] == [(run, "ridge", "run")]


def test_a_series_that_is_added_to_a_sealed_dataset_is_covered(bare: Marked) -> None:
    seal = bare.seal().seal
    assert seal.covers("marked/new")
    assert not seal.covers("unmarked/new")
    assert not replace(seal, datasets=()).covers("marked/new")


def test_experiments_built_in_python_are_sealed_too(bare: Marked) -> None:
    asked = load_experiment(bare.experiment)
    done = seal_experiments([asked], date(2012, 1, 1), bare.home, lock=Lock(keys=bare.keys))
    assert done.seal.experiments == ("marked",)

"""Records of a holdout with a part of another type are told of in one message, wherever they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.core.errors import DamagedError, UserError
from harness.data.vault.keys import new_signing, signer_of
from harness.data.vault.manifest import MANIFEST, Manifest, VaultFile, read_manifest
from harness.record.chain import Entry, chain_of, written
from harness.record.files import json_bytes, parsed_json, sealed, write_file
from harness.record.home import Home
from harness.record.plans import Expected, HoldoutPlan, read_plan
from harness.record.seals import Seal
from harness.record.verified_holdout import vaults
from harness.studies.holdout.exchange import GRANT, REQUEST, SIGNATURE, read_exchange
from harness.studies.holdout.leaving import read_leaving
from harness.studies.holdout.locking import custodian_from
from harness.studies.holdout.signed_before import CUSTODIAN_FOLDER, signed_for
from tests.record.made_seals import SEAL, sealed_home

Record = dict[str, object]
Read = Callable[[Path, Record], object]
ODD: tuple[object, ...] = (None, 5, [], {}, "x")
SIGNING = new_signing()
EXCHANGED = {
    "plan": "p1", "head": "a" * 64, "once": "age1", "seals": {"s1": {"manifest": "m", "identity": "i"}},
}  # fmt: skip
PLAN = HoldoutPlan(
    id="", name="made", file="", folder=".", experiment={"name": "made"},
    claim={"model": "ar", "metric": "rmse", "horizon": 1, "level": 0.05, "candidates": ["ar"], "if_confirmed": "",
           "if_not": "", "if_undecided": ""},
    kpi=None,
    seals=({"seal": "s1", "cut": SEAL.cut, "manifest": "m", "grade": "honour", "told": "honour seal", "seen": ""},),
    archive={"state": "s"}, code={"hash": "c"}, platform={"cpu": "x"},
    run={"id": "r", "cells": {"ar": ["k"]}, "checksums": {"ar": ["c"]}}, effort={"searched": 0, "looked": 1},
    fingerprints={"cpi": "f"}, origins={"number": 1, "first": SEAL.cut, "last": SEAL.cut, "development": 9},
    expected=(Expected(1, 9, 8, 0, 9.0, "drift", 1.0, 2.0, None, None),), warnings=("few",),
)  # fmt: skip


def planned(folder: Path, record: Record) -> object:
    """A plan that was written again whole: with an id and a digest of its own."""
    from harness.record import plans

    content = {name: value for name, value in record.items() if name not in ("id", "created_at", "digest")}
    given = record.get("id")
    name = plans._identity(content) if given == "made up" else str(given)
    whole = sealed({**record, "id": name if given == "made up" else given})
    write_file(folder / "plans" / f"{name}.json", json_bytes(whole))
    return read_plan(Home(folder), name)


def exchanged(kind: str) -> Read:
    def read(folder: Path, record: Record) -> object:
        write_file(folder / "sent.json", json_bytes(record))
        return read_exchange(folder / "sent.json", kind)

    return read


def listed(folder: Path, record: Record) -> object:
    return read_manifest(json_bytes(record), signer_of(SIGNING))


def as_sealed(read: Callable[[Path], object]) -> Read:
    def reading(folder: Path, record: Record) -> object:
        write_file(folder / "record.json", json_bytes(sealed(record)))
        return read(folder / "record.json")

    return reading


def remembered(folder: Path, record: Record) -> object:
    write_file(folder / CUSTODIAN_FOLDER / "s1.json", json_bytes(sealed(record)))
    entry = Entry(1, "2020-01-01T00:00:00+00:00", "seal", {"seal": "s1"}, "0" * 64, "a" * 64)
    return signed_for(Home(folder), ["s1"], [entry])


def kept(folder: Path, record: Record) -> object:
    write_file(folder / "custodian.json", json_bytes(record))
    return custodian_from(folder / "custodian.json")


GRANTED: Record = {"plan": "p1", "head": "a", "once": "o", "again": False, "at": "2020"}
RECORDS: dict[str, tuple[Record, Read]] = {
    "seal": (parsed_json(json_bytes(asdict(SEAL)), "seal"), as_sealed(Seal.read)),
    "leaving": ({"paths": ["runs/a"], "recount": True}, as_sealed(read_leaving)),
    "plan": (
        {**PLAN.content(), "id": "made up", "created_at": "2020"},
        planned,
    ),
    "custodian's memory": (
        {"seal": "s1", "ledger": "l", "head": "h", "grants": [GRANTED]},
        remembered,
    ),
    "request": (
        {**EXCHANGED, "kind": REQUEST, "content": {"id": "p1"}, "ledger": ["line"]},
        exchanged(REQUEST),
    ),
    "grant": (
        {**EXCHANGED, "kind": GRANT, "content": "d", "again": False, "at": "2020", SIGNATURE: "s"},
        exchanged(GRANT),
    ),
    "vault's list": (
        json.loads(Manifest("s1", (VaultFile("n", "k", "h", 1, {"rows": 2}),), "", "d").text(SIGNING)),
        listed,
    ),
    "custodian's keys": ({"age": "age1", "ed25519": "ab" * 32}, kept),
}


LOOSE = {"kpi", "effective", "smallest", "per_cent", "facts", "experiment", "archive", "code", "platform", "content",
         "ledger"}  # fmt: skip
"""Parts that may be of more than one type, or are held against something else (requests: see test_custodian)."""


def replaced(value: object, odd: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, tuple[object, ...]]]:
    """A value with each of its parts, however deep, in turn replaced by one of another type; and the part's path."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            here = (*path, key)
            for one, at in [(odd, here), *replaced(part, odd, here)]:
                yield ({**value, key: one} if isinstance(value, dict) else [*value[:key], one, *value[key + 1 :]]), at
    else:
        return


def alike(value: object, path: tuple[object, ...], odd: object) -> bool:
    """Whether what stands at a path is of the type of what takes its place."""
    for key in path:
        value = value[key]  # type: ignore[index]
    number = isinstance(value, float) and isinstance(odd, int)
    return number or type(value) is type(odd)


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_with_a_part_of_another_type_is_told_in_one_message(name: str, odd: object, tmp_path: Path) -> None:
    record, read = RECORDS[name]
    if name != "custodian's keys":  # whose specimen is no key
        read(tmp_path / "whole", record)
    for place, (one, path) in enumerate(replaced(record, odd)):
        assert isinstance(one, dict)
        try:
            read(tmp_path / str(place), one)
        except UserError as error:
            assert "delete it and rerun" not in str(error)  # noqa: PT017 - of whichever kind it is
        else:
            assert LOOSE & set(path) or alike(record, path, odd), f"{name} is read with {odd!r} at {path}"


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_entry_with_a_part_of_another_type_breaks_the_ledger(odd: object) -> None:
    facts: Record = {
        "seal": "s1", "plan": "p1", "seals": ["s1"], "seen": SEAL.cut, "exploratory": False, "fingerprints": {"a": "b"},
    }  # fmt: skip
    bare: Record = {"number": 1, "at": SEAL.cut, "kind": "opening", "facts": facts, "previous": "0" * 64, "hash": ""}
    assert not chain_of(written(Entry(**bare))).fault  # type: ignore[arg-type]
    for one, path in replaced(bare, odd):
        assert isinstance(one, dict)
        if path != ("hash",):  # which is made anew
            assert chain_of(written(Entry(**one))).fault or alike(bare, path, odd), path


@pytest.mark.parametrize("path", ["/etc/x", "../x", "", ".", "vault", "runs", "notes/x", "runs/../../x"])
def test_a_list_of_what_leaves_that_names_something_else_removes_nothing(path: str, tmp_path: Path) -> None:
    write_file(tmp_path / "leaving.json", json_bytes(sealed({"paths": ["runs/a", path], "recount": False})))
    with pytest.raises(DamagedError, match="list of what leaves the home"):
        read_leaving(tmp_path / "leaving.json")


@pytest.mark.parametrize("content", [b"{}", b"[", b"5", b"[" * 100_000, b"\xff"])
def test_a_damaged_record_of_a_seal_is_never_to_be_deleted(content: bytes, tmp_path: Path) -> None:
    for name, read in (("seal.json", Seal.read), ("leaving.json", read_leaving)):
        write_file(tmp_path / name, content)
        with pytest.raises(DamagedError, match="from a copy") as told:
            read(tmp_path / name)
        assert "rerun" not in str(told.value)


@pytest.mark.parametrize("text", ["[" * 20_000, '{"manifest": null}', "torn"])
def test_a_list_of_a_vault_that_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    sealed_home(home)
    path = home.vault / SEAL.id / MANIFEST
    assert [one.place for one in vaults(home) if one.problem] == []
    path.write_text(text)
    assert [one.place for one in vaults(home) if one.problem] == [f"vault/{SEAL.id}/{MANIFEST}"]

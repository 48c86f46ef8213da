"""Homes under seal, written by hand: what of a seal everyone may know, its ledger entries, and nothing sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.record.files import json_bytes, sha256_of, write_file
from harness.record.home import Home
from harness.record.ledger import enter
from harness.record.seals import SEAL_FILE, Seal

SEAL = Seal(
    id="s1",
    cut="2019-01-01T00:00:00+00:00",
    series=("uk_macro/cpi",),
    datasets=("uk_macro",),
    targets={"uk_macro/cpi": "f" * 32},
    public=True,
    recipient="age1recipient",
    signer="ab" * 32,
    created_at="2020-01-01T00:00:00+00:00",
)


def facts_of(seal: Seal, manifest: str) -> dict[str, object]:
    """What the ledger tells of a seal."""
    named = ("cut", "series", "targets", "grade", "public", "recipient", "signer")
    return {"seal": seal.id, "manifest": manifest, **{name: getattr(seal, name) for name in named}}


def write_vault(home: Home, seal: Seal = SEAL, *, files: Mapping[str, bytes] | None = None) -> str:
    """The folder of a seal, with a list of files; the hash of that list."""
    folder = home.vault / seal.id
    write_file(folder / SEAL_FILE, json_bytes(seal.record()))
    listed = []
    for name, content in (files or {"000001-rows.age": b"not really encrypted"}).items():
        write_file(folder / "files" / name, content)
        listed.append({"name": name, "sha256": sha256_of(folder / "files" / name), "size": len(content)})
    write_file(
        folder / "manifest.json",
        json_bytes({"manifest": {"seal": seal.id, "files": listed, "previous": ""}, "signature": ""}),
    )
    return sha256_of(folder / "manifest.json")


def sealed_home(home: Home, seal: Seal = SEAL, **changes: object) -> Seal:
    """Put a home under a seal: vault folder and ledger entries."""
    seal = replace(seal, **changes)  # type: ignore[arg-type]
    enter(home, "sealing", {"seal": seal.id, "cut": seal.cut})
    enter(home, "seal", facts_of(seal, write_vault(home, seal)))
    return seal


def lines_of(home: Home) -> list[bytes]:
    """The lines of a ledger."""
    return home.ledger.read_bytes().splitlines(keepends=True)


def rechained(lines: list[bytes], path: Path) -> None:
    """Write lines as a ledger whose chain holds, as one would who covers up an edit."""
    path.unlink()
    place = Home(path.parent / "elsewhere")
    for line in lines:
        told = json.loads(line)
        enter(place, told["kind"], told["facts"])
    place.ledger.replace(path)

"""Homes with a sealed dataset, their keys beside them, and what an opening makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.data.archive import Archive
from harness.data.archive.sealing import seal_archive
from harness.data.archive.store import query
from harness.data.archive.unsealing import opened
from harness.data.ingest.agreement import entered_files
from harness.data.vault.files import Vault
from harness.data.vault.keys import (
    IDENTITY,
    SIGNING,
    new_identity,
    new_signing,
    put_key,
    recipient_of,
    signer_of,
    veiled,
)
from harness.record.home import Home
from harness.record.ledger import enter
from harness.record.seals import Seal

CUT = datetime(2019, 1, 1, tzinfo=UTC)
TOML = """
schema = 1
name = "{name}"
origin = "test"
licence = "none needed"

[defaults]
frequency = "M"
zone = "UTC"
decimals = 2

[series.cpi]
[series.rate]

[[source]]
file = "values.csv"
layout = "long"
columns = {{ series = "series", period = "period", value = "value", published_at = "published" }}
{more}
"""
ASSERTED = """
[[source.assert]]
name = "in range"
kind = "range"
most = {most}
severity = "{severity}"
"""


def month_end(number: int) -> date:
    return date(2012 + number // 12 + (number % 12 == 11), (number + 1) % 12 + 1, 1) - timedelta(days=1)


def made_values(months: int, *, seed: int = 1) -> pl.DataFrame:
    """Two monthly series from 2012 on, each value published twice: after 20 days, and revised after 50."""
    random = np.random.default_rng(seed)
    rows = []
    for name in ("cpi", "rate"):
        levels = np.round(100 + np.cumsum(random.normal(0.2, 1.0, months)), 2)
        for number, level in enumerate(levels.tolist()):
            for days, value in ((20, level), (50, round(level + 0.37, 2))):
                rows.append((name, month_end(number), value, month_end(number) + timedelta(days=days)))
    return pl.DataFrame(rows, schema=["series", "period", "value", "published"], orient="row")


def dataset(root: Path, values: pl.DataFrame, *, name: str = "made", more: str = "") -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(TOML.format(name=name, more=more))
    values.sort("published", maintain_order=True).write_csv(folder / "values.csv")
    return folder


def before(values: pl.DataFrame, end: date) -> pl.DataFrame:
    return values.filter(pl.col("published") < end)


@dataclass(frozen=True)
class Sealed:
    """A home, its archive, its seal and the folder of its keys."""

    home: Home
    keys: Path
    seal: Seal

    @property
    def archive(self) -> Archive:
        return Archive.open(self.home.archive)

    @property
    def vault(self) -> Vault:
        return Vault.open(self.home, self.seal.id)

    def identity(self) -> str:
        return (self.keys / f"{self.seal.id}.{IDENTITY}").read_text().strip()

    def read(self, kind: str) -> list[bytes]:
        return [self.vault.read(self.identity(), one.name) for one in self.vault.files(kind)]

    def opened(self) -> Archive:
        files = entered_files(self.vault, self.archive)
        parts = [(one.kind, self.vault.read(self.identity(), one.name)) for one in files]
        return opened(self.archive, [(self.vault.seal, parts)])


def sealed_home(
    home: Home, keys: Path, monkeypatch: pytest.MonkeyPatch, *, cut: datetime = CUT, seal_id: str = "s1", **more: object
) -> Sealed:
    """Seal the dataset `made` of a home, as the sealing does it step by step."""
    monkeypatch.setenv("HARNESS_KEYS", str(keys))
    identity, signing = new_identity(), new_signing()
    put_key(keys, f"{seal_id}.{IDENTITY}", identity)
    put_key(keys, f"{seal_id}.{SIGNING}", signing)
    enter(home, "sealing", {"seal": seal_id, "cut": cut.isoformat()})
    seal = Seal(
        seal_id,
        cut.isoformat(),
        ("made/cpi", "made/rate"),
        ("made",),
        recipient=recipient_of(identity),
        signer=signer_of(signing),
        created_at=cut.isoformat(),
    )
    seal = replace(seal, **more)  # type: ignore[arg-type]
    vault = Vault.create(home, seal, signing=signing)

    def ready(counts: Mapping[str, int]) -> None:
        raw = sorted(home.raw.iterdir()) if home.raw.is_dir() else []
        for path in raw:
            vault.put("raw", path.read_bytes())
        vault.sign()
        hashes = tuple(veiled(signing)("raw", path.name.partition(".")[0]) for path in raw)
        vault.finish(home, replace(seal, raw=hashes, counts=dict(counts)))

    seal_archive(Archive.open(home.archive), seal, vault.put, ready, veiled(signing))
    for path in sorted(home.raw.iterdir()) if home.raw.is_dir() else []:
        path.unlink()
    enter(home, "seal", {"seal": seal_id, "manifest": vault.manifest_hash, "cut": cut.isoformat()})
    return Sealed(home, keys, vault.seal)


TABLES = (
    "changes", "restatements", "publications", "forecasts_in", "events", "members", "known", "batches", "set_aside",
    "touched", "failures", "cleaning", "assertions", "series",
)  # fmt: skip


def content(archive: Archive) -> dict[str, list[tuple[object, ...]]]:
    """Every row of an archive, but when it was written."""
    with archive.store.reading() as connection:
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found = {name: query(connection, f"SELECT * FROM {name} ORDER BY ALL") for name in TABLES if name in there}
    return {name: frame.drop("ingested", strict=False).rows() for name, frame in found.items() if frame.height}

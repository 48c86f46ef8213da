"""The inner side of the gate: whoever appends to an archive under seal, nothing from a cut on enters it.

What the gate hands over lies before the cut already, so it passes; so does what is put together again in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl

from harness.core.errors import SealedError
from harness.core.series import Series
from harness.core.time import instant, micros
from harness.data.archive.questions import SEALS
from harness.data.archive.store import later_table
from harness.data.declaration import Catalogue
from harness.data.declared_before import declared_before
from harness.data.derive import RULE
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.seals import sealed_from, seals_of

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Cuts:
    """From when on what of an archive is sealed, in microseconds UTC.

    Attributes:
        path: the archive's file; its folder is its home.
        series: code -> cut.
        sources: source of forecasts -> cut.
        universes: universe -> cut.
    """

    path: Path
    series: Mapping[int, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    universes: Mapping[str, int] = field(default_factory=dict)

    def refuse(self, rows: pl.DataFrame, stamp: str) -> None:
        """Refuse rows that are sealed.

        Args:
            rows: code, the column `stamp` (microseconds UTC), and source, universe, availability and vintage where
                there are any.
            stamp: when each became public.

        Raises:
            SealedError: a row is of a cut or later, or is dated by a rule and states a vintage that is; entered in the
                ledger of the archive's home.
        """
        names = (("code", self.series), ("source", self.sources), ("universe", self.universes))
        cuts = [
            pl.col(column).replace_strict(dict(known), default=None, return_dtype=pl.Int64)
            for column, known in names
            if known and column in rows.columns
        ]
        if not cuts or not rows.height:
            return
        late = pl.col(stamp) >= pl.min_horizontal(cuts)
        if "vintage" in rows.columns:
            late |= (pl.col("availability") == RULE) & (pl.col("vintage") >= pl.min_horizontal(cuts))
        found = rows.with_columns(pl.min_horizontal(cuts).alias("cut")).filter(late.fill_null(value=False))
        if found.height:
            cut = instant(int(found["cut"].min())).isoformat()  # type: ignore[arg-type]
            with refusals(Home(self.path.absolute().parent), "append"):
                raise SealedError(
                    "what is sealed does not enter an archive in the clear",
                    value=f"{found.height} row(s) from {cut} on",
                    rule="in a home under seal rows from the cut on go into the vault",
                    fix="append them through hs.Archive, or by harness ingest",
                )

    def capped(self, known: Mapping[int, int]) -> dict[int, int]:
        """How far series are known, by code: those that are sealed until right before their cut."""
        if not self.series:
            return dict(known)
        return {code: min(at, self.series.get(code, at + 1) - 1) for code, at in known.items()}


def refuse_told_ahead(path: Path, series: Iterable[Series]) -> None:
    """Refuse new declarations that tell, of a sealed series, releases or closures past the cut.

    Args:
        path: the archive's file.
        series: the declarations; read only in a home under seal.

    Raises:
        SealedError: there is one; entered in the ledger of the archive's home.
    """
    home = Home(path.absolute().parent)
    seals = seals_of(home) if path.is_file() else ()
    for one in series if seals else ():
        seal = sealed_from(seals, one.id)
        if seal is not None and declared_before(one, micros(seal.instant)) != one:
            with refusals(home, f"define {one.id}"):
                raise SealedError(
                    "what is sealed does not enter an archive in the clear",
                    value=f"{one.id}: releases or closures from {seal.cut} on",
                    rule="in a home under seal a declaration is whole in the vault alone",
                    fix="define it through hs.Archive, or by harness ingest",
                )


def cuts_of(connection: duckdb.DuckDBPyConnection, path: Path, catalogue: Catalogue) -> Cuts:
    """What is sealed of an archive: as it says itself, and as the vault of its home does.

    Args:
        connection: the archive, open.
        path: its file; one that is held in memory has none, and nothing of it is sealed.
        catalogue: its series.

    Raises:
        DamagedError: the description of a seal is damaged or gone.
    """
    if not path.is_file():
        return Cuts(path)
    series, sources, universes = dict[int, int](), dict[str, int](), dict[str, int]()
    for code, cut in later_table(connection, "seals", SEALS).select("code", "cut").rows():
        _earliest(series, code, cut)
    for seal in seals_of(Home(path.absolute().parent)):
        cut = micros(seal.instant)
        for name, code in catalogue.codes.items():
            if seal.covers(name):
                _earliest(series, code, cut)
        for known, named in ((sources, seal.sources), (universes, seal.universes)):
            for one in named:
                _earliest(known, one, cut)
    return Cuts(path, series, sources, universes)


def _earliest(known: dict[Key, int], key: Key, cut: int) -> None:
    known[key] = min(cut, known.get(key, cut))

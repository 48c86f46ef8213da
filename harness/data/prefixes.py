"""The identity of what was known at an instant: hashes of all rows up to it, whatever came later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.identity import canonical
from harness.core.time import NEVER
from harness.data.changes import MANY, PUBLISHED, ChangeFile, Micros
from harness.data.declaration import Declarations, shaped
from harness.record.memory import give_back
from harness.record.platform import threads_for

MEANING = ("frequency", "zone", "calendar", "decimals", "scale", "period_table")
"""What of a declaration says what its numbers mean."""
EVENT_COLUMNS = ("code", "ex", "kind", "value")
CHUNK = 1 << 13
"""Rows hashed at a time, so that they are still in the processor's cache."""
HELD = 1 << 9
"""Chunks after which what was hashed of a very large file is given back."""


def prefix_digests(
    changes: ChangeFile,
    series_ids: Iterable[str],
    sources: Iterable[str],
    instants: Sequence[int],
    *,
    universe: str = "",
) -> list[str]:
    """Identity of what was known of some series, and issued by some sources, at each of several instants.

    Publications, changes, forecasts, price events and memberships up to the instant count; later ones, other
    series, other sources and other universes do not.

    Args:
        changes: the change file.
        series_ids: stored ids.
        sources: sources of external forecasts.
        instants: microseconds UTC, ascending.
        universe: the universe whose memberships count; "" = none.
    """
    ids, issuers = tuple(sorted(set(series_ids))), sorted(set(sources))
    told, known = _known(changes, ids, tuple(instants))
    place = _places(changes, ids)
    parts = [*known[:2], _prefixes(_issued(changes, issuers), place, instants), known[2]]
    parts.append(_prefixes(_joined(changes, universe), place, instants))
    heading = hashlib.sha256(f"[{told}, {json.dumps(issuers)}]".encode())
    digests = []
    for found in zip(*parts, strict=True):
        hasher = heading.copy()
        hasher.update(b"".join(found))
        digests.append(hasher.hexdigest())
    return digests


def _issued(changes: ChangeFile, sources: list[str]) -> dict[str, NDArray[Any]]:
    chosen = changes.forecasts.filter(pl.col("source").is_in(sources))
    numbered = {name: number for number, name in enumerate(sources)}
    return {
        "published": chosen["issued"].to_numpy(),
        "code": chosen["code"].to_numpy(),
        "source": np.array([numbered[name] for name in chosen["source"].to_list()], dtype=np.int32),
        "cutoff": chosen["cutoff"].fill_null(NEVER).to_numpy(),
        "period": chosen["period"].to_numpy(),
        "quantile": chosen["quantile"].fill_null(np.nan).to_numpy(),
        "value": chosen["value"].to_numpy(),
    }


def _joined(changes: ChangeFile, universe: str) -> dict[str, NDArray[Any]]:
    chosen = changes.members.filter(pl.col("universe") == universe)
    named = {"published": "announced", "code": "code", "first": "first", "last": "last"}
    return {name: chosen[column].to_numpy() for name, column in named.items()}


def _places(changes: ChangeFile, ids: tuple[str, ...]) -> Micros:
    """[code] place among some ids; -1 = not among them."""
    place = np.full(len(changes.ids), -1, dtype=np.int64)
    place[changes.codes_of(ids)] = np.arange(len(ids))
    return place


@lru_cache(maxsize=8)
def _known(changes: ChangeFile, ids: tuple[str, ...], instants: tuple[int, ...]) -> tuple[str, list[list[bytes]]]:
    """What models of the same series share: the text of their declarations, and hashes of what was known of them.

    Args:
        changes: the change file.
        ids: stored ids, ascending.
        instants: microseconds UTC, ascending.

    Returns:
        JSON of id, frequency, zone, calendar, decimals, scale and period table of each; and the hashes [instant] of
        changes, publications and price events.
    """
    place = _places(changes, ids)
    tables = (
        _columns(changes, ("published", "code", "period", "value", "vintage", "availability")),
        _columns(changes.publications, PUBLISHED),
        {"published": changes.events.announced, **_columns(changes.events, EVENT_COLUMNS)},
    )
    with ThreadPoolExecutor(threads_for(len(changes.code))) as pool:
        prefixes = pool.map(lambda table: _prefixes(table, place, instants), tables)
        return _declared(changes, ids), list(prefixes)


def _declared(changes: ChangeFile, ids: tuple[str, ...]) -> str:
    series = changes.series
    shapes = dict[str, str]()
    for one, names in shaped(
        series.only(ids) if isinstance(series, Declarations) else {name: series[name] for name in ids}
    ):
        facts = json.dumps([canonical(getattr(one, key)) for key in MEANING])[1:]
        shapes |= dict.fromkeys(names, facts)
    return "[" + ", ".join(f"[{encode_basestring_ascii(name)}, {shapes[name]}" for name in ids) + "]"


def _columns(rows: object, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {name: getattr(rows, name) for name in names}


def _prefixes(columns: dict[str, NDArray[Any]], place: Micros, instants: Sequence[int]) -> list[bytes]:
    """SHA-256 of the chosen rows up to each instant, row by row, so that it does not depend on the other instants.

    Args:
        columns: rows by column, in order of time.
        place: [code] the code that is hashed instead; -1 = rows of it are left out.
        instants: microseconds UTC, ascending.
    """
    published, codes = columns["published"], columns["code"]
    layout = np.dtype(
        [(name, "<i4" if name == "code" else array.dtype.newbyteorder("<")) for name, array in columns.items()]
    )
    everyone = len(place) > 0 and np.array_equal(place, np.arange(len(place)))
    hasher, done, out, room = hashlib.sha256(), 0, [], np.empty(CHUNK, dtype=layout)
    for end in np.searchsorted(published, np.asarray(instants, dtype=np.int64), side="right").tolist():
        for start in range(done, end, CHUNK):
            rows = slice(start, min(start + CHUNK, end))
            chosen = codes[rows] if everyone else place.take(codes[rows].astype(np.int64))
            kept = slice(None) if everyone else np.flatnonzero(chosen >= 0)
            packed = room[: len(chosen[kept])]
            for name, array in columns.items():
                packed[name] = chosen[kept] if name == "code" else array[rows][kept]
            hasher.update(packed.view(np.uint8).data)
            if len(codes) >= MANY and start // CHUNK % HELD == 0:
                give_back(*columns.values())
        done = max(done, end)
        out.append(hasher.copy().digest())
    return out

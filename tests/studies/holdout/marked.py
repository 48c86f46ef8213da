"""A home full of marked values past a cut, and a search for them in every byte and through every reader."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import shutil
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import numpy as np
import polars as pl
import pytest

import harness as hs
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.experiment.sealing import seal_experiments
from harness.record.home import Home
from harness.studies.holdout.locking import Lock
from harness.studies.holdout.seal import Sealing

CUT = "2012-01-01"
SERIES = ("level", "other")
MONTHS = [date(2003 + month // 12, month % 12 + 1, 1) for month in range(12 * 17 + 4)]
"""From 2003 to April 2020: 102 of the values of each series come out past the cut."""
DATASET = """
schema = 1
name = "marked"
title = "Marked values"
description = "Made up."
origin = "made up"
licence = "none"

[defaults]
frequency = "M"
zone = "UTC"
lag = { kind = "calendar_days", n = 40 }
[series.level]
[series.other]

[[source]]
file = "values.csv"
series = ["level", "other"]
layout = "long"
columns = { series = "series", period = "period", value = "value", published_at = "published_at" }
stamp = "first"
zone = "UTC"
assert = [{ kind = "range", least = 0, most = 1900, severity = "warn" }]
"""
EXPERIMENT = """
schema = 1
name = "marked"
question = "What is next?"
datasets = ["marked"]

[target]
series = ["level"]
transform = "level"

[origins]
every = "quarter end"
first = 2010-03-31
warm_up = 2

[horizons]
steps = [1]

[training]
minimum = 12

[features.own]
latest = [1, 2]
[features.other]
series = "other"
latest = [1]

[models.ridge]
kind = "sklearn"
features = ["own", "other"]
params = { estimator = "sklearn.linear_model.Ridge" }
"""


@dataclass(frozen=True)
class Marks:
    """What may not be found: values in the order they came out, per series, and words."""

    values: tuple[tuple[float, ...], ...]
    words: tuple[str, ...]

    @property
    def numbers(self) -> tuple[float, ...]:
        return tuple(value for mine in self.values for value in mine)


@dataclass(frozen=True)
class Marked:
    """A home, the folder around it, and the marks in it."""

    folder: Path
    marks: Marks

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def experiment(self) -> Path:
        return self.folder / "experiments" / "marked.toml"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def run(self) -> hs.Run:
        return hs.backtest(self.experiment, home=self.home.root, workers=1)

    def seal(self, **more: object) -> Sealing:
        return seal_experiments([self.experiment], CUT, self.home, lock=Lock(keys=self.keys), **more)  # type: ignore[arg-type]

    def copied(self, folder: Path) -> Marked:
        shutil.copytree(self.folder, folder)
        return Marked(folder, self.marks)

    def searched(self) -> list[Path]:
        """Everything of the home, the keys and the temporary folder; not the dataset the values came from."""
        places = (self.home.root, self.keys, self.folder / "tmp")
        return [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]


def made(folder: Path, *, run: bool = True) -> Marked:
    """A home with an archive, raw input, and a run with its cells and fits."""
    numbers = Random(19)
    rows, marks, words = [], dict[str, list[float]](), []
    for name in SERIES:
        for month in MONTHS:
            out = month + timedelta(days=62)
            value = round(1000 + 999 * numbers.random(), 7)
            rows.append((name, month, datetime(out.year, out.month, out.day, 9, tzinfo=UTC), value))
            if out.isoformat() >= CUT:
                marks.setdefault(name, []).append(value)
    dataset = folder / "datasets" / "marked"
    dataset.mkdir(parents=True)
    (dataset / "dataset.toml").write_text(DATASET)
    frame = pl.DataFrame(rows, schema=["series", "period", "published_at", "value"], orient="row")
    told = frame.with_columns(pl.col("published_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    told.write_csv(dataset / "values.csv")
    for name in ("experiments", "tmp"):
        (folder / name).mkdir()
    made_home = Marked(folder, Marks(tuple(tuple(mine) for mine in marks.values()), ()))
    made_home.experiment.write_text(EXPERIMENT)
    archive = Archive.open(made_home.home.archive)
    ingest(dataset, archive, raw_dir=made_home.home.raw)
    issued = [row for row in rows if row[0] == "level" and row[2].isoformat() >= "2008"]
    words = [f"scenario-{numbers.randbytes(6).hex()}" for _ in issued]
    archive.append_forecasts(
        pl.DataFrame(
            {
                "source": ["panel"] * len(issued),
                "series_id": ["marked/level"] * len(issued),
                "issued_at": [row[2] for row in issued],
                "period": pl.Series([row[1] for row in issued]).dt.month_end(),
                "value": [row[3] for row in issued],
                "conditioning": words,
            }
        )
    )
    late = tuple(word for word, row in zip(words, issued, strict=True) if row[2].isoformat() >= CUT)
    if run:
        made_home.run()
    return Marked(folder, Marks(made_home.marks.values, late))


PATTERN = 8
"""Bytes of every pattern: one look at each place of a file decides about all of them."""


def patterns(marks: Marks) -> dict[bytes, str]:
    """Bytes in which a mark would show, in any encoding, and which mark it is."""
    found: dict[bytes, str] = {}
    for mine in marks.values:
        for value, following in zip(mine, (*mine[1:], mine[0]), strict=True):
            scaled = round(value * 10**7)
            texts = (f"{value:.7f}", f"{value:.17g}", f"{value:.4f}", f"{value:.3f}0", f"{value:.12e}", str(scaled))
            for one in (
                struct.pack("<d", value),
                struct.pack(">d", value),
                struct.pack("<ff", value, following),
                struct.pack(">ff", value, following),
                struct.pack("<q", scaled),
                struct.pack(">q", scaled),
                *(text.encode()[:PATTERN] for text in texts),
            ):
                found[one] = repr(value)
    for word in marks.words:
        found[word.partition("-")[2].encode()[:PATTERN]] = word
    return found


def marks_in_bytes(paths: Iterable[Path], marks: Marks) -> dict[str, set[str]]:
    """Marks that show in the bytes of files, with the files they show in."""
    wanted = patterns(marks)
    sought = np.sort(np.array([int.from_bytes(one, "little") for one in wanted], dtype=np.uint64))
    found: dict[str, set[str]] = {}
    for path in paths:
        content = path.read_bytes()
        for offset in range(min(PATTERN, len(content) - PATTERN + 1)):
            words = np.frombuffer(content, dtype="<u8", offset=offset, count=(len(content) - offset) // PATTERN)
            place = np.minimum(np.searchsorted(sought, words), len(sought) - 1)
            for hit in np.unique(words[sought[place] == words]).tolist():
                found.setdefault(wanted[int(hit).to_bytes(PATTERN, "little")], set()).add(str(path))
    return found


ENCRYPTED = (b"age-encryption.org/v1", b64encode(b"age-encryption.org/v1"))
"""How an encrypted file begins, or one that is encrypted line by line; it is read by whoever has the key alone."""


def read_out(path: Path) -> Iterator[object]:
    """Every value in a file, through its own reader: of a text of no known form each number and word in it.

    A temporary file that a kill left half written, so that its reader refuses it, is read as such a text.
    """
    try:
        yield from _through_reader(path)
    except (ValueError, OSError, pl.exceptions.PolarsError):
        if not any(part.startswith(".tmp-") for part in path.parts):
            raise
        yield from _words(path.read_bytes())


def _words(content: bytes) -> Iterator[str]:
    yield from re.split(r"[\s,;=:\[\](){}\"']+", content.decode(errors="replace"))


def _through_reader(path: Path) -> Iterator[object]:
    with path.open("rb") as stream:
        head = stream.read(len(ENCRYPTED[1]))
    if head.startswith(ENCRYPTED):
        return
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                for row in connection.execute(f'SELECT * FROM "{name}"').fetchall():
                    yield from row
    elif path.suffix in (".parquet", ".arrow"):
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ipc(path)
        for column in frame.get_columns():
            yield from column.to_list()
    elif path.suffix in (".json", ".jsonl"):
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            yield from leaves(json.loads(line))
    elif path.suffix != ".age":
        content = path.read_bytes()
        yield from _words(gzip.decompress(content) if path.suffix == ".gz" else content)


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


def marks_read_out(paths: Iterable[Path], marks: Marks) -> dict[str, set[str]]:
    """Marks that a reader of the files would see, with the files: numbers to ten digits, and words."""
    numbers = {f"{value:.10g}": repr(value) for value in marks.numbers}
    words, found = set(marks.words), dict[str, set[str]]()
    for path in paths:
        for one in read_out(path):
            seen = one
            if isinstance(one, str) and one[:1].isdigit():
                try:
                    seen = float(one)
                except ValueError:
                    seen = one
            if isinstance(seen, float) and math.isfinite(seen) and f"{seen:.10g}" in numbers:
                found.setdefault(numbers[f"{seen:.10g}"], set()).add(str(path))
            elif isinstance(seen, str) and seen in words:
                found.setdefault(seen, set()).add(str(path))
    return found


class Stopped(BaseException):
    """The process is gone: nothing that follows runs, no tidying either."""


class StoppedAt:
    """Stops right before the n-th step that touches the disk for good; from then on nothing is touched any more."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.number, self.gone, self.steps = number, False, list[tuple[object, ...]]()
        for owner, name in (
            (os, "fsync"),
            (shutil, "rmtree"),
            *((Path, one) for one in ("unlink", "rename", "replace")),
        ):
            patch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, act: Callable[..., object]) -> Callable[..., object]:
        def maybe(*given: object, **more: object) -> object:
            if self.gone:
                return None
            self.steps.append((act.__name__, *map(str, given)))
            if len(self.steps) >= self.number:
                self.gone = True
                raise Stopped
            return act(*given, **more)

        return maybe

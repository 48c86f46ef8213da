"""The registry of effort: what was searched and looked at on a target's source series, over all runs of a home (S29).

It holds nothing that runs and audits do not: when it is lost or damaged, it is made again from them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from harness.core.errors import DamagedError
from harness.record.audits import RECORD
from harness.record.files import read_json, writable
from harness.record.home import Home
from harness.record.runs import MANIFEST
from harness.record.seals import seals_of

if TYPE_CHECKING:
    import duckdb

TABLES = {
    "targets": "fingerprint varchar, series varchar",
    "looks": "fingerprint varchar, look varchar, model varchar, how varchar, source varchar",
    "searches": "fingerprint varchar, study varchar, model varchar, origin varchar, trials integer, source varchar",
}
KEYS = {"targets": ("fingerprint", "series"), "looks": ("fingerprint", "look"), "searches": ("fingerprint", "study")}
"""By table: what is there once. The database is not told: its index is slow to fill and eight times the rows."""
SCHEMAS = {
    name: pl.Schema(
        {column.split()[0]: pl.Int64() if column.endswith("integer") else pl.String() for column in columns.split(", ")}
    )
    for name, columns in TABLES.items()
}
Rows = Mapping[str, set[tuple[object, ...]]]
"""Table -> its rows, columns as in `TABLES`."""
MINE = "from {table} where fingerprint in (select fingerprint from asked)"


@dataclass(frozen=True, slots=True)
class Effort:
    """What one run, or one audit, adds to the effort on its target.

    Attributes:
        fingerprints: source series of the target -> fingerprint of its values.
        looks: (identity of a recipe whose outer scores were computed, its model, how: `run`, `stress 30`, ...).
        searches: (key of a study, model, origin, trials).
    """

    fingerprints: Mapping[str, str]
    looks: Sequence[tuple[str, str, str]] = ()
    searches: Sequence[tuple[str, str, str, int]] = ()

    def record(self) -> dict[str, object]:
        """JSON form, as a manifest keeps it."""
        return {
            "fingerprints": dict(self.fingerprints),
            "looks": [list(one) for one in self.looks],
            "searches": [list(one) for one in self.searches],
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """The effort on a target so far.

    Attributes:
        searched: trials inside training windows.
        looked: distinct recipes whose outer scores were computed.
        looks: how -> number of them.
        series: names under which its source series were met.
    """

    searched: int
    looked: int
    looks: Mapping[str, int] = field(default_factory=dict)
    series: tuple[str, ...] = ()


def note(home: Home, effort: Effort, source: str, *, all_of_run: bool = False) -> None:
    """Add what a run or an audit did; the same again adds nothing.

    Args:
        home: the home folder.
        effort: what was done.
        source: run id.
        all_of_run: whether it is what the record of the run tells, which then need not be read for it.
    """
    with _opened(home, besides=source if all_of_run else "") as registry:
        _insert(registry, [(effort, source)])


def forget(home: Home) -> None:
    """Drop what was counted, where runs came in from elsewhere: it is made again from all of them when next asked."""
    if home.registry.exists():
        with _locked(home):
            home.registry.unlink(missing_ok=True)


def stored_rows(home: Home) -> Rows | None:
    """Every row of the registry by table, as it stands; None = there is no registry.

    Raises:
        DamagedError: it cannot be read.
    """
    import duckdb  # noqa: PLC0415

    if not home.registry.exists():
        return None
    with _locked(home) if _may_write(home) else nullcontext():
        try:
            with duckdb.connect(str(home.registry), read_only=True) as registry:
                return {name: set(registry.execute(f"select * from {name}").fetchall()) for name in TABLES}  # noqa: S608
        except duckdb.Error as error:
            raise DamagedError(
                "the registry cannot be read",
                value=home.registry,
                rule=str(error).splitlines()[0],
                fix="delete it: it is made again from runs, audits and seals",
            ) from error


def derived_rows(home: Home) -> Rows:
    """Every row that runs, audits and seals give, by table; what several of them tell is there once for each."""
    return {name: set(frame.rows()) for name, frame in _frames(_recorded(home)).items()}


def counts(home: Home, fingerprints: Iterable[str]) -> Counts:
    """The effort on the target that these source series make up.

    Args:
        home: the home folder.
        fingerprints: of the source series.
    """
    mine = sorted(set(fingerprints))
    with _asked(home) as registry, _offered(registry, mine):
        looks = _ask(registry, "how, count(distinct look)", "looks", "group by how order by how")
        (looked,) = _ask(registry, "count(distinct look)", "looks")[0]
        names = [name for (name,) in _ask(registry, "distinct series", "targets", "order by series")]
        searches = _ask(registry, "distinct study, trials", "searches")
    told = {str(how): int(str(number)) for how, number in looks}
    searched = sum(int(str(trials)) for _, trials in searches)
    return Counts(searched, int(str(looked)), told, tuple(map(str, names)))


def details(home: Home, fingerprints: Iterable[str]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Behind the counts: looks as (run, model, how), and searches as (run, model, number of searches, trials).

    Args:
        home: the home folder.
        fingerprints: of the source series.
    """
    mine = sorted(set(fingerprints))
    with _asked(home) as registry, _offered(registry, mine):
        looks = _ask(registry, "distinct source, model, how, look", "looks", "order by source, model, how")
        searches = _ask(registry, "distinct source, model, study, trials", "searches", "order by source, model")
    totals: dict[tuple[object, object], tuple[int, int]] = {}
    for source, model, _, trials in searches:
        number, made = totals.get((source, model), (0, 0))
        totals[source, model] = (number + 1, made + int(str(trials)))
    return [look[:3] for look in looks], [(*key, *total) for key, total in totals.items()]


def effort_rows(home: Home) -> Iterator[tuple[str, str, str, str, str, str | None, int | None, str, str]]:
    """All that runs and audits say they did, straight from their records; nothing is written.

    Yields:
        what (looked, searched), source series, its fingerprint, model, how, origin of a search (ISO), its trials,
        identity of the recipe or key of the study, run id. One row per source series of the target.
    """
    for effort, source in _recorded(home):
        for series, mark in effort.fingerprints.items():
            for look, model, how in effort.looks:
                yield "looked", series, mark, model, how, None, None, look, source
            for key, model, origin, trials in effort.searches:
                yield "searched", series, mark, model, "", origin, trials, key, source


@contextmanager
def _offered(registry: duckdb.DuckDBPyConnection, fingerprints: Sequence[str]) -> Iterator[None]:
    """Fingerprints that questions can be limited to, for the length of the block."""
    asked = pl.DataFrame({"fingerprint": fingerprints}, schema={"fingerprint": pl.String()})
    registry.register("asked", asked.to_arrow())
    try:
        yield
    finally:
        registry.unregister("asked")


def _ask(registry: duckdb.DuckDBPyConnection, what: str, table: str, rest: str = "") -> list[tuple[object, ...]]:
    """Rows of a table that tell of the fingerprints on offer."""
    found: list[tuple[object, ...]] = registry.execute(f"select {what} {MINE.format(table=table)} {rest}").fetchall()
    return found


def effort_from(record: Mapping[str, object]) -> Effort | None:
    """The effort a manifest or an audit records; None = it is of a version that did not."""
    saved = record.get("effort")
    if not isinstance(saved, dict):
        return None
    looks = [(str(look), str(model), str(how)) for look, model, how in saved.get("looks", [])]
    searches = [(str(key), str(model), str(at), int(trials)) for key, model, at, trials in saved.get("searches", [])]
    return Effort({str(name): str(value) for name, value in saved.get("fingerprints", {}).items()}, looks, searches)


@contextmanager
def _opened(home: Home, besides: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """The registry for one short transaction; one process at a time, made again when it is missing or damaged.

    Args:
        home: the home folder.
        besides: a run whose effort is noted in any case: its record is not read for it.
    """
    import duckdb  # noqa: PLC0415 - heavy, and only effort needs it

    home.root.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        try:
            registry, fresh = _begun(home)
        except duckdb.Error:
            home.registry.unlink(missing_ok=True)
            registry, fresh = _begun(home)
        try:
            if fresh:
                _insert(registry, _recorded(home, besides))
            yield registry
            registry.execute("commit")
        finally:
            registry.close()


@contextmanager
def _asked(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The registry for a question; where nothing can be written, as it stands, or made of the records in memory."""
    with _opened(home) if _may_write(home) else closing(_unwritten(home)) as registry:
        yield registry


def _unwritten(home: Home) -> duckdb.DuckDBPyConnection:
    import duckdb  # noqa: PLC0415

    with suppress(duckdb.Error):
        if home.registry.exists():
            found = duckdb.connect(str(home.registry), read_only=True)
            try:
                for name in TABLES:
                    found.execute(f"select 1 from {name} limit 0")  # noqa: S608 - our own name
            except duckdb.Error:
                found.close()
                raise
            return found
    registry = _with_tables(duckdb.connect(":memory:"))
    _insert(registry, _recorded(home))
    return registry


def _may_write(home: Home) -> bool:
    files = (one for one in (home.registry, home.registry.with_suffix(".lock")) if one.exists())
    return writable(home.root) and all(os.access(one, os.W_OK) for one in files)


@contextmanager
def _locked(home: Home) -> Iterator[None]:
    """One process at a time."""
    with home.registry.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _begun(home: Home) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """A transaction in which all tables are there, and whether there was none before: they come with what they hold."""
    import duckdb  # noqa: PLC0415

    registry = duckdb.connect(str(home.registry))
    try:
        registry.execute("begin")
        fresh = not registry.execute("select 1 from duckdb_tables() where not internal limit 1").fetchall()
        return _with_tables(registry), fresh
    except BaseException:
        registry.close()
        raise


def _with_tables(registry: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    for name, columns in TABLES.items():
        registry.execute(f"create table if not exists {name} ({columns})")
    return registry


def _recorded(home: Home, besides: str = "") -> Iterator[tuple[Effort, str]]:
    """What runs and audits of this home say they did, those that went into a vault included."""
    with suppress(DamagedError):
        for seal in seals_of(home):
            for told in seal.effort:
                effort = effort_from(told)
                if effort is not None:
                    yield effort, str(told.get("source"))
    for folder, name in ((home.runs, MANIFEST), (home.audits, RECORD)):
        for path in sorted(folder.glob(f"*/{name}")) if folder.is_dir() else ():
            if folder == home.runs and path.parent.name == besides:
                continue
            with suppress(DamagedError):
                effort = effort_from(read_json(path))
                if effort is not None:
                    yield effort, path.parent.name


def _frames(many: Iterable[tuple[Effort, str]]) -> dict[str, pl.DataFrame]:
    """Rows by table, columns as in `TABLES`."""
    parts: dict[str, list[pl.DataFrame]] = {name: [SCHEMAS[name].to_frame()] for name in TABLES}
    for effort, source in many:
        marks = pl.DataFrame({"fingerprint": list(effort.fingerprints.values())}, schema={"fingerprint": pl.String()})
        parts["targets"].append(marks.with_columns(series=pl.Series(list(effort.fingerprints), dtype=pl.String())))
        for name, rows in (("looks", effort.looks), ("searches", effort.searches)):
            inner = pl.Schema(
                {key: kind for key, kind in SCHEMAS[name].items() if key not in ("fingerprint", "source")}
            )
            told = pl.DataFrame([tuple(row) for row in rows], schema=inner, orient="row")
            every = marks.join(told, how="cross", maintain_order="left_right")
            parts[name].append(every.with_columns(source=pl.lit(source, dtype=pl.String())))
    return {name: pl.concat(some) for name, some in parts.items()}


def _insert(registry: duckdb.DuckDBPyConnection, many: Iterable[tuple[Effort, str]]) -> None:
    for name, frame in _frames(many).items():
        if frame.is_empty():
            continue
        key = KEYS[name]
        registry.register("incoming", frame.unique(key, keep="first", maintain_order=True).to_arrow())
        new = f"select * from incoming anti join {name} using ({', '.join(key)})"  # noqa: S608 - fixed names
        registry.execute(f"insert into {name} by name {new}")
        registry.unregister("incoming")

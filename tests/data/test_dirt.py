"""Every kind of dirt is refused, set aside or warned about as declared; counts are exact, nothing mended in silence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import UserError
from harness.data.archive import Archive
from harness.data.archive.engine import connected
from harness.data.ingest import IngestReport, ingest
from tests.data.dirt import DAILY_HEAD, HEAD, KINDS, REFUSED, Dirt, clean, daily, text


def taken_in(root: Path, declaration: str, content: str | bytes) -> tuple[Archive, IngestReport]:
    folder = root / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "dataset.toml").write_text(declaration, encoding="utf-8")
    (folder / "values.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    archive = Archive.open(root / "archive.duckdb")
    return archive, ingest(folder, archive, raw_dir=root / "raw")


def declared(dirt: Dirt, severity: str) -> str:
    head = HEAD.replace("n = 60", f"n = {dirt.lag}") if dirt.monthly else DAILY_HEAD
    return f'{head}[[source.assert]]\nname = "asked"\n{dirt.asserts}\nseverity = "{severity}"\n'


def dirty(dirt: Dirt) -> str:
    return text(dirt.make(clean() if dirt.monthly else daily()), dated=dirt.monthly)


def stated(archive: Archive) -> Counter[tuple[str, str, float]]:
    """Every value the archive was told, whether it changed anything or not."""
    with connected(archive.path, read_only=True) as connection:
        rows = connection.execute(
            "SELECT s.id, c.value FROM (SELECT * FROM changes WHERE availability <> 2 UNION ALL SELECT * FROM "
            "restatements) c JOIN series s USING (code)"
        ).fetchall()
    return Counter(rows)


def in_file(content: str, *, dated: bool) -> Counter[tuple[str, float]]:
    column = 3 if dated else 1
    rows = [line.split(",") for line in content.splitlines()[1:]]
    return Counter((f"mine/{row[0] if dated else 'd'}", float(row[column])) for row in rows if row[column])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_clean_data_pass_what_is_asserted_against_dirt(kind: str, tmp_path: Path) -> None:
    dirt = KINDS[kind]
    rows = clean() if dirt.monthly else daily()
    archive, _ = taken_in(tmp_path, declared(dirt, "refuse"), text(rows, dated=dirt.monthly))
    assert archive.assertions().select("assertion", "verdict", "failed").rows() == [("asked", "passed", 0)]
    assert stated(archive) == in_file(text(rows, dated=dirt.monthly), dated=dirt.monthly)


@pytest.mark.parametrize("kind", KINDS)
def test_dirt_is_refused_and_the_archive_left_untouched(kind: str, tmp_path: Path) -> None:
    dirt = KINDS[kind]
    with pytest.raises(UserError, match="asked"):
        taken_in(tmp_path, declared(dirt, "refuse"), dirty(dirt))
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert not archive.series()
    assert archive.batches().height == archive.assertions().height == 0
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("kind", [kind for kind, dirt in KINDS.items() if dirt.failed is not None])
def test_dirt_is_set_aside_row_by_row_with_its_reason(kind: str, tmp_path: Path) -> None:
    dirt = KINDS[kind]
    archive, report = taken_in(tmp_path, declared(dirt, "set aside"), dirty(dirt))
    verdict = archive.assertions().row(0, named=True)
    assert (verdict["verdict"], verdict["failed"]) == ("failed", dirt.failed)
    failures, aside = archive.failures(), archive.set_aside()
    assert failures.height == aside.height == report.set_aside == dirt.failed
    assert set(failures["after"]) == {""}
    assert all(failures["reason"])
    assert all(line > 1 for line in failures["line"])
    assert archive.batches()["set_aside"].to_list() == [dirt.failed]
    # what is left is what the file says, less exactly those rows
    lines = dirty(dirt).splitlines()
    kept = [line for number, line in enumerate(lines, start=1) if number not in set(failures["line"])]
    assert stated(archive) == in_file("\n".join(kept), dated=dirt.monthly)


@pytest.mark.parametrize("kind", [kind for kind, dirt in KINDS.items() if dirt.failed is None])
def test_what_is_missing_cannot_be_set_aside(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='severity = "set aside": "refuse" or "warn"'):
        taken_in(tmp_path, declared(KINDS[kind], "set aside"), dirty(KINDS[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_dirt_that_only_warns_comes_in_as_it_is(kind: str, tmp_path: Path) -> None:
    dirt = KINDS[kind]
    if dirt.warned == REFUSED:
        with pytest.raises(UserError):
            taken_in(tmp_path, declared(dirt, "warn"), dirty(dirt))
        assert Archive.open(tmp_path / "archive.duckdb").batches().height == 0
        return
    archive, _ = taken_in(tmp_path, declared(dirt, "warn"), dirty(dirt))
    verdict = archive.assertions().row(0, named=True)
    assert (verdict["verdict"], verdict["failed"], archive.failures().height) == ("failed", dirt.warned, dirt.warned)
    known = in_file(dirty(dirt), dated=dirt.monthly)
    if kind == "duplicated rows":
        known = in_file(text(clean()), dated=True)
    assert sum((known - stated(archive)).values()) == (0 if kind == "empty values" else dirt.lost)


def test_bytes_in_another_encoding_are_refused_whatever_is_declared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not written in utf-8"):
        taken_in(tmp_path, HEAD, text(clean()).replace("ok", "Müller", 1).encode("cp1252"))


def test_there_are_twenty_kinds_of_dirt_and_more() -> None:
    assert len(KINDS) >= 20


def test_an_assertion_nobody_can_evaluate_is_unknown_and_may_refuse(tmp_path: Path) -> None:
    asked = DAILY_HEAD + '[[source.assert]]\nkind = "published"\nseverity = "refuse"\n'
    archive, _ = taken_in(tmp_path, asked, text(daily(), dated=False))
    row = archive.assertions().row(0, named=True)
    assert (row["verdict"], row["unknown"], row["failed"]) == ("unknown", row["rows"], 0)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="could not be evaluated"):
        taken_in(tmp_path / "other", asked + 'unknown = "refuse"\n', text(daily(), dated=False))


def test_a_first_value_set_aside_still_counts_as_a_release(tmp_path: Path) -> None:
    dirt = KINDS["decimal shift"]
    archive, _ = taken_in(tmp_path, declared(dirt, "set aside"), dirty(dirt))
    failed = archive.failures().row(0, named=True)
    rows = archive.revisions(failed["series"]).filter(pl.col("period").cast(pl.String) == failed["period"])
    assert rows["release"].to_list() == [2]

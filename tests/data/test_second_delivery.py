"""What a second delivery says is compared with what the archive holds, not with its own file alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.data.archive import Archive
from harness.data.ingest import ingest
from tests.data.dirt import HEAD, Row, clean, month_end, stamp, text
from tests.data.test_dirt import taken_in

pytestmark = pytest.mark.slow

LATER = 60
KINDS = {
    "jump": 'kind = "jump"',
    "revision": 'kind = "revision"',
    "gap": 'kind = "gap"',
    "monotone": 'kind = "monotone"',
    "stuck": 'kind = "stuck"\nmost = 3',
    "unique": 'kind = "unique"',
}


def deliveries() -> tuple[list[Row], list[Row]]:
    rows = clean()
    return [row for row in rows if row.released <= stamp(LATER)], [row for row in rows if row.released > stamp(LATER)]


def dirty(kind: str) -> list[Row]:
    """A second delivery whose fault shows only beside the first."""
    first, second = deliveries()
    newest = max(row.period for row in first)
    if kind == "jump":
        return [replace(row, value=str(1000 * float(row.value))) for row in second]
    if kind == "revision":
        return [Row("b", newest, stamp(LATER + 1), "900.0"), *second[1:]]
    if kind == "gap":
        return [row for row in second if row.period > month_end(LATER + 3).isoformat()]
    if kind == "monotone":
        return [*second, Row("b", "2009-12-31", stamp(LATER + 2), "50.0")]
    old = next(row for row in reversed(first) if row.series == "b" and row.period == newest)
    if kind == "stuck":  # three in the second delivery, the fourth is the last of the first one
        new = {month_end(LATER + ahead).isoformat() for ahead in (1, 2, 3)}
        return [replace(row, value=old.value) if row.series == "b" and row.period in new else row for row in second]
    return [*second, Row("b", old.period, old.released, "51.25")]


def declared(kind: str, severity: str) -> str:
    return f'{HEAD}[[source.assert]]\nname = "asked"\n{KINDS[kind]}\nseverity = "{severity}"\n'


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_shows_only_beside_the_archive_is_refused(kind: str, tmp_path: Path) -> None:
    archive, _ = taken_in(tmp_path, declared(kind, "refuse"), text(deliveries()[0]))
    with pytest.raises(DataError, match=r"asked: .* fail"):
        taken_in(tmp_path, declared(kind, "refuse"), text(dirty(kind)))
    assert archive.batches().height == 1


@pytest.mark.parametrize("kind", KINDS)
def test_deliveries_without_a_fault_pass_piece_by_piece_and_grown(kind: str, tmp_path: Path) -> None:
    first, second = deliveries()
    taken_in(tmp_path, declared(kind, "refuse"), text(first))
    taken_in(tmp_path, declared(kind, "refuse"), text(second))
    archive, report = taken_in(tmp_path, declared(kind, "refuse"), text([*first, *second]))
    assert report.kept == 0
    assert set(archive.assertions()["failed"]) == {0}


def test_the_verdict_is_that_of_one_file_and_the_same_again_from_raw(tmp_path: Path) -> None:
    asked = declared("revision", "warn")
    first, second = deliveries()
    (tmp_path / "whole").mkdir()
    whole, _ = taken_in(tmp_path / "whole", asked, text([*first, *second]))
    said = []
    for name in ("one", "again"):
        (tmp_path / name).mkdir()
        taken_in(tmp_path / name, asked, text(first))
        archive, _ = taken_in(tmp_path / name, asked, text(second))
        said.append(archive.assertions().rows())
    assert said[0] == said[1]
    together = whole.assertions().select("rows", "failed", "unknown").row(0)
    assert tuple(map(sum, zip(*((row[7], row[8], row[9]) for row in said[0]), strict=True))) == together


def test_what_was_set_aside_is_nothing_to_compare_with(tmp_path: Path) -> None:
    asked = declared("jump", "set aside")
    taken_in(tmp_path, asked, text(deliveries()[0]))
    archive, report = taken_in(tmp_path, asked, text([*dirty("jump")[:3], *deliveries()[1][3:]]))
    assert report.set_aside == 3
    assert archive.failures()["batch"].to_list() == [2, 2, 2]


def test_sources_of_one_ingest_are_compared_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    body = HEAD.partition("[[source]]")[2]
    source = f'[[source]]{body}[[source.assert]]\nkind = "jump"\nseverity = "refuse"\n'
    (folder / "dataset.toml").write_text(HEAD.partition("[[source]]")[0] + source + source.replace("values", "more"))
    (folder / "values.csv").write_text(text(deliveries()[0]))
    (folder / "more.csv").write_text(text(dirty("jump")))
    with pytest.raises(DataError, match="jump"):
        ingest(folder, Archive.open(tmp_path / "archive.duckdb"), raw_dir=tmp_path / "raw")

"""A disk without room, a real one: one message, nothing half-written, and the same call works once there is room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import FullDiskError
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.record.files import write_file
from harness.record.folders import write_folder

ROWS = 120_000
LIMITED = """
import resource, sys
from pathlib import Path
from harness.core.errors import FullDiskError
from harness.record.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_file(Path(sys.argv[1]), b"new" * 4096)
except FullDiskError as error:
    print(error)
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def grown(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)


def large() -> pl.DataFrame:
    """Rows that DuckDB cannot make small."""
    months = pl.date_range(date(2000, 1, 31), date(2009, 12, 31), "1mo", eager=True).dt.month_end()
    names = [f"p/{number:04}" for number in range(ROWS // len(months))]
    frame = pl.DataFrame({"series_id": names}).join(pl.DataFrame({"period": months}), how="cross")
    stamps = pl.col("period").cast(pl.Datetime("us", "UTC")) + pl.duration(days=20)
    return frame.with_columns(stamps.alias("published_at"), value=pl.int_range(pl.len()).hash(1) / 2.0**64)


@pytest.mark.slow
def test_a_batch_is_kept_whole_or_not_at_all(small: Path) -> None:
    frame = large()
    archive = Archive.open(small / "archive.duckdb")
    archive.define_many(frame["series_id"].unique().to_list(), like=Series("any", "M"))
    kept, refused = ["first"], list[int]()
    archive.append(frame.head(120), source="first")
    for share in (20, 5, 3, 2, 1):
        before, rows = archive.state(), ROWS // share
        try:
            archive.append(frame.head(rows), source=f"{rows} rows")
        except FullDiskError as error:
            assert "nothing of this one was" in str(error)  # noqa: PT017 - either is right, and told by what it leaves
            assert archive.state() == before
            refused.append(rows)
        else:
            kept.append(f"{rows} rows")
        assert archive.batches()["source"].to_list() == kept
    assert len(kept) > 1
    assert refused
    grown(small)
    archive.append(frame, source="all")
    assert archive.batches()["source"].to_list() == [*kept, "all"]
    assert archive.stated(["p/0000", "p/0700"]).height == 240


@pytest.mark.slow
def test_an_export_without_room_leaves_nothing_behind(small: Path, tmp_path: Path) -> None:
    frame = large()
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define_many(frame["series_id"].unique().to_list(), like=Series("any", "M"))
    for source in ("first", "second"):
        archive.append(
            frame.with_columns(pl.col("published_at").dt.offset_by("1d"), pl.col("value") + 1), source=source
        )
        frame = frame.with_columns(pl.col("published_at").dt.offset_by("5d"), pl.col("value") + 1)
    changes = small / "changes"
    with pytest.raises(FullDiskError, match="no room"):
        archive.export(changes)
    assert list(changes.iterdir()) == []
    grown(small)
    assert len(ChangeFile.open(archive.export(changes)).code) == 2 * ROWS


def test_a_file_or_a_folder_without_room_is_not_there(small: Path) -> None:
    write_file(small / "kept", b"old")
    with pytest.raises(FullDiskError):
        write_file(small / "kept", bytes(8 << 20))
    with pytest.raises(FullDiskError):
        write_folder(small / "cell", {"one": b"small", "two": bytes(8 << 20)})
    assert [one.name for one in small.iterdir()] == ["kept"]
    assert (small / "kept").read_bytes() == b"old"


def test_a_limit_on_file_sizes_is_told_alike(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_file(path, b"old")
    told = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True).stdout
    assert told.startswith("there is no room for what is to be written")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

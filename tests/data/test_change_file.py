"""The change folder: content-addressed, checked before use, and the identity of every prefix of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import fields, replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from harness.core.errors import DamagedError, UnknownNameError
from harness.core.series import Series
from harness.core.time import micros
from harness.data.changes import FILES, MANIFEST, ChangeFile, PublicationRows
from harness.data.prefixes import prefix_digests
from harness.data.saving import save_changes
from tests.data.archive_samples import APR, FEB, JAN, MAR, at, exported, listing, opened, rows


@pytest.fixture
def folder(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 2.0)), source="test")
    return archive.export(tmp_path / "changes")


def test_the_same_state_is_written_once(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    first = archive.export(tmp_path / "changes")
    written = first.stat().st_mtime_ns
    assert archive.export(tmp_path / "changes") == first
    assert first.stat().st_mtime_ns == written
    archive.append(rows((FEB, at(3, 20), 1.0)), source="test")
    second = archive.export(tmp_path / "changes")
    assert second != first
    assert sorted(path.name for path in (tmp_path / "changes").iterdir()) == sorted([first.name, second.name])


@pytest.mark.slow
def test_the_same_content_has_the_same_hash_in_another_place(tmp_path):
    hashes = {exported(with_forecasts(tmp_path / place)).hash for place in ("one", "two", "three", "four")}
    assert len(hashes) == 1


def test_changes_are_sorted_by_publication_then_id_then_period(tmp_path):
    # defined in another order than their names sort
    archive = opened(tmp_path, Series("b", "M"), Series("a", "M"))
    for name in ("b", "a"):
        given = rows((FEB, at(3, 20), 2.0), (JAN, at(3, 20), 1.0), (JAN, at(2, 20), 0.0), series=name)
        archive.append(given, source="test")
    changes = exported(archive)
    found = [(changes.ids[code], value) for code, value in zip(changes.code, changes.value, strict=True)]
    assert found == [("a", 0.0), ("b", 0.0), ("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", 2.0)]
    assert changes.published.tolist() == [micros(at(2, 20))] * 2 + [micros(at(3, 20))] * 4
    assert changes.known_through == {"a": micros(at(3, 20)), "b": micros(at(3, 20))}


def test_arrays_are_mapped_not_copied_and_refuse_to_be_written(folder):
    changes = ChangeFile.open(folder)
    for array in (changes.code, changes.period, changes.published, changes.value, changes.vintage):
        assert not array.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("name", [*FILES.values(), MANIFEST])
def test_one_flipped_byte_is_never_used(folder, name):
    ChangeFile.open(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=r"damaged.*rebuilt"):
        ChangeFile.open(folder)


def test_what_this_process_has_just_written_and_read_is_not_read_again(folder, monkeypatch):
    def read(path):
        raise AssertionError(path.name)

    monkeypatch.setattr("harness.data.changes.sha256_of", read)
    ChangeFile.open(folder)
    # the specimen: a file that is not as it was then
    os.utime(folder / FILES["changes"])
    with pytest.raises(AssertionError, match=FILES["changes"]):
        ChangeFile.open(folder)


@pytest.mark.parametrize("name", [*FILES.values(), MANIFEST])
def test_a_missing_or_shortened_file_is_never_used(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError):
        ChangeFile.open(folder)
    (folder / name).unlink()
    with pytest.raises(DamagedError):
        ChangeFile.open(folder)


def test_a_folder_under_another_name_is_refused(folder):
    other = folder.with_name("0" * 64)
    shutil.copytree(folder, other)
    with pytest.raises(DamagedError, match="named after"):
        ChangeFile.open(other)


def test_a_damaged_folder_is_replaced_once_it_is_deleted(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test")
    folder = archive.export(tmp_path / "changes")
    shutil.rmtree(folder)
    assert archive.export(tmp_path / "changes") == folder
    assert ChangeFile.open(folder).value.tolist() == [1.0]


def test_a_captured_publication_takes_the_place_of_the_one_that_was_missed(tmp_path):
    archive = opened(tmp_path)
    told = listing((at(2, 20), JAN, JAN, True), (at(3, 20), JAN, JAN, False))
    archive.append(rows((JAN, at(2, 20), 1.0)), source="test", coverage="changes", publications=told)
    assert exported(archive).publications_of("cpi").captured.tolist() == [True, False]
    archive.append(rows((JAN, at(3, 20), 2.0)), source="found", coverage="changes")
    assert exported(archive).publications_of("cpi").captured.tolist() == [True, True]


INSTANTS = [micros(at(month, 1)) for month in (1, 3, 4, 5, 6)]


ONCE = rows((JAN, at(2, 10), 1.0), (FEB, at(3, 10), 2.0), (MAR, at(4, 10), 3.0))
REVISED = rows((JAN, at(2, 10), 1.0), (JAN, at(3, 10), 1.5), (FEB, at(3, 11), 2.0), (FEB, at(4, 10), 2.5))
CONFIRMED = rows((JAN, at(2, 10), 1.0), (JAN, at(3, 10), 1.0))
TOGETHER = rows((JAN, at(3, 10), 1.0), (FEB, at(3, 10), 2.0))


def stored_publications(archive):
    """Those of the archive's table, in the order of the change file."""
    with duckdb.connect(str(archive.path), read_only=True) as connection:
        found = connection.execute("SELECT * FROM publications ORDER BY published, code, first, last").fetchnumpy()
    return {field.name: np.asarray(found[field.name]) for field in fields(PublicationRows)}


@pytest.mark.parametrize(
    ("given", "coverage", "once_each"),
    [
        ([ONCE], "rows", True),
        ([REVISED], "rows", True),  # stored in another order than changes are
        ([ONCE.head(2), ONCE.tail(1)], "rows", True),
        ([ONCE.tail(1), ONCE.head(2)], "rows", True),
        ([ONCE], "changes", False),
        ([ONCE], "complete", False),
        ([TOGETHER], "rows", False),
        ([CONFIRMED], "rows", False),
        ([ONCE, CONFIRMED.tail(1)], "rows", False),
        ([ONCE, rows((JAN, at(5, 10), None))], "rows", True),
    ],
)
def test_publications_are_written_only_where_they_say_more_than_changes(tmp_path, given, coverage, once_each):
    archive = opened(tmp_path)
    for one in given:
        archive.append(one, source="s", coverage=coverage)
    changes = exported(archive)
    with pa.memory_map(str(changes.folder / FILES["publications"])) as source:
        names = pa.ipc.open_file(source).schema.names
    assert (names == []) == once_each
    for name, expected in stored_publications(archive).items():
        assert getattr(changes.publications, name).tolist() == expected.tolist(), name
    assert archive.changes().hash == changes.hash  # held in memory
    with pytest.raises(ValueError, match="read-only"):
        changes.publications.captured[:1] = False


def test_changes_altered_in_memory_are_saved_with_their_publications(folder, tmp_path):
    changes = ChangeFile.open(folder)
    for value in (changes.value, changes.value + 1.0):
        saved = ChangeFile.open(save_changes(replace(changes, value=value), tmp_path / "saved"))
        for name in (field.name for field in fields(PublicationRows)):
            assert getattr(saved.publications, name).tolist() == getattr(changes.publications, name).tolist()


def with_forecasts(folder):
    archive = opened(folder, Series("cpi", "M"), Series("rpi", "M"))
    archive.append(rows((JAN, at(2, 20), 1.0), (FEB, at(3, 20), 2.0), (JAN, at(5, 20), 1.1)), source="test")
    forecast = rows((MAR, at(3, 25), 9.0)).rename({"published_at": "issued_at"})
    archive.append_forecasts(forecast, source="bank")
    return archive


def digests(archive, ids=("cpi",), sources=("bank",)):
    return prefix_digests(exported(archive), ids, sources, INSTANTS)


def test_a_prefix_is_known_by_what_was_published_by_then(tmp_path):
    found = digests(with_forecasts(tmp_path))
    # nothing came out in April
    assert found[2] == found[3]
    assert len(set(found)) == 4


def test_a_prefix_does_not_depend_on_the_other_instants_asked(tmp_path):
    changes = exported(with_forecasts(tmp_path))
    together = prefix_digests(changes, ["cpi"], ["bank"], INSTANTS)
    assert [prefix_digests(changes, ["cpi"], ["bank"], [one])[0] for one in INSTANTS] == together


@pytest.mark.slow
def test_later_data_and_other_series_leave_earlier_prefixes_alone(tmp_path):
    archive = with_forecasts(tmp_path)
    before = digests(archive)
    # "a" sorts before the others: their codes in the file move
    archive.define(Series("a", "M"))
    archive.append(rows((JAN, at(2, 1), 1.0), series="a"), source="other")
    archive.append(rows((JAN, at(2, 20), 5.0), series="rpi"), source="other")
    archive.append_forecasts(rows((APR, at(2, 25), 9.0)).rename({"published_at": "issued_at"}), source="other")
    assert digests(archive) == before
    archive.append(rows((APR, at(5, 20), 4.0)), source="later")
    assert digests(archive)[:4] == before[:4]
    assert digests(archive)[4] != before[4]


def test_a_publication_that_changes_nothing_is_part_of_the_prefix(tmp_path):
    archive = with_forecasts(tmp_path)
    before = digests(archive)
    archive.append(rows((JAN, at(4, 20), 1.0)), source="unchanged")
    after = digests(archive)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, True, False, False]


def test_a_revision_made_late_changes_the_prefixes_it_is_in(tmp_path):
    archive = with_forecasts(tmp_path)
    before = digests(archive)
    archive.append(rows((JAN, at(3, 10), 1.7)), source="late")
    after = digests(archive)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, False, False]


def test_a_source_not_asked_for_is_no_part_of_the_prefix(tmp_path):
    archive = with_forecasts(tmp_path)
    assert digests(archive, sources=())[2] != digests(archive)[2]
    with pytest.raises(UnknownNameError):
        digests(archive, ids=("cpu",))


def test_forecasts_are_part_of_the_folder(tmp_path):
    changes = exported(with_forecasts(tmp_path))
    assert changes.forecasts.select("source", "value", "quantile", "backfilled").rows() == [("bank", 9.0, None, False)]
    assert isinstance(changes.forecasts, pl.DataFrame)

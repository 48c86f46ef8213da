"""Files appear whole or not at all, and a damaged record is never used."""

from __future__ import annotations

import ctypes
import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DamagedError, FullDiskError, UserError
from harness.record.files import (
    SEAL,
    bare_digest,
    json_bytes,
    read_json,
    seal_holds,
    sealed,
    sealed_bytes,
    sync_filesystem,
    write_file,
)
from harness.record.folders import write_folder
from harness.record.named import to_write


class SimulatedKill(BaseException):
    """Stands for the process ending here."""


def test_an_interrupted_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_file(path, b"old")

    def killed(descriptor: int) -> None:
        raise SimulatedKill

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(SimulatedKill):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]


def test_an_interrupted_folder_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def killed_at_the_second_file(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise SimulatedKill

    monkeypatch.setattr(os, "fsync", killed_at_the_second_file)
    with pytest.raises(SimulatedKill):
        write_folder(tmp_path / "cell", {"a": b"1", "b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_written_twice_holds_the_newer_files_only(tmp_path: Path) -> None:
    write_folder(tmp_path / "cell", {"a": b"1", "b": b"2"})
    write_folder(tmp_path / "cell", {"a": b"3"})
    assert {item.name: item.read_bytes() for item in (tmp_path / "cell").iterdir()} == {"a": b"3"}


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_json_record_that_is_no_object_is_damaged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(DamagedError, match="unreadable"):
        read_json(path)
    path.write_text(json.dumps({"a": 1}))
    assert read_json(path) == {"a": 1}


def test_a_file_system_is_made_durable_at_once_or_the_error_is_told(tmp_path: Path) -> None:
    sync_filesystem(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_filesystem(tmp_path / "absent")


def test_a_failed_sync_is_an_error_and_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, number: int) -> None:
            self.number = number

        def syncfs(self, handle: int) -> int:
            ctypes.set_errno(self.number)
            return -1

    for number, kind in ((errno.EIO, OSError), (errno.ENOSPC, FullDiskError)):
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, number=number, **__: Library(number))
        with pytest.raises(kind):
            sync_filesystem(tmp_path)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.text(), inner),
        st.dictionaries(st.integers(), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_records_are_written_as_the_plain_encoder_writes_them(value: object) -> None:
    assert json_bytes(value) == (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=3), TREES, max_size=4))
def test_a_sealed_record_is_written_as_its_parts_say(record: dict[str, object]) -> None:
    assert sealed_bytes(record) == json_bytes(sealed(record))


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=3), TREES, min_size=1, max_size=4), TREES)
def test_the_bytes_as_written_tell_the_seal_and_no_others_do(record: dict[str, object], other: object) -> None:
    content = sealed_bytes(record)
    seal = json.loads(content)[SEAL]
    bare = {name: value for name, value in record.items() if name != SEAL}
    assert bare_digest(content, seal) == (seal if bare else "")
    assert seal_holds(json.loads(content), content)
    for changed in (content.replace(b" ", b"  ", 1), content.replace(b"}", b",}", 1), content + b" "):
        assert bare_digest(changed, seal) != seal
    altered = {**json.loads(content), "other": other}
    assert seal_holds(altered, json_bytes(altered)) is seal_holds(altered)


def test_a_record_sealed_twice_is_not_what_was_sealed() -> None:
    content = sealed_bytes({"a": 1, "e": 2})
    seal = json.loads(content)[SEAL]
    twice = content.replace(b' "e"', f' "{SEAL}": "{seal}",\n "e"'.encode())
    assert json.loads(twice)[SEAL] == seal
    assert bare_digest(twice, seal) != seal


def test_the_seal_of_what_was_written_holds_until_it_is_changed() -> None:
    record = json.loads(sealed_bytes({"name": "é", "cells": ["a", "b"], "of": {"x": 1.5, "y": None}}))
    assert seal_holds(record)
    assert not seal_holds({**record, "cells": ["a"]})


def test_a_name_that_is_a_device_or_a_folder_is_not_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link", ".", "/dev/null"):
        with pytest.raises(UserError, match="not the name of a file that can be written"):
            to_write(tmp_path / name)
    (tmp_path / "old").write_bytes(b"old")
    assert [to_write(tmp_path / name).name for name in ("old", "new")] == ["old", "new"]

"""Files that are whole or absent: written under a temporary name, synced, renamed; read back against a checksum."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.core.errors import DamagedError, FullDiskError, UserError
from harness.core.identity import PLAIN


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_filesystem(folder: Path) -> None:
    """Make all that was written to the file system of a folder durable, in one call.

    Raises:
        FullDiskError: there is no room for it.
        OSError: it could not be written.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):  # Linux has it
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with room_for(folder):
            if library.syncfs(handle):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder: it is there, and neither its mode nor its disk forbids it."""
    return os.access(folder, os.W_OK | os.X_OK)


def refuse_unwritable(folder: Path) -> None:
    """Refuse to begin what could not be stored in a home folder that is there.

    Raises:
        UserError: no file can be made in it.
    """
    if folder.is_dir() and not writable(folder):
        raise UserError(
            "nothing can be written in this home folder",
            value=folder,
            rule="what is computed is stored there; what is recorded there can still be read (show, report --out, sql)",
            fix="name another one (--home DIR, HARNESS_HOME=DIR), or work on a copy of it",
        )


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system calls a disk, a quota or a limit on file sizes that leaves no room."""


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Say in one message that there is no room, where a write within the block meets that.

    Raises:
        FullDiskError: the disk, a quota or a limit on file sizes left none.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise FullDiskError(path) from error
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written bit by bit: a reader, or a crash, sees the old content or the new, never a part.

    Args:
        path: its name from the end of the block on; where that fails, what stood there stays.

    Raises:
        FullDiskError: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unused_name(path.parent)
    try:
        with room_for(path), temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part."""
    with whole_file(path) as stream:
        stream.write(content)


def unused_name(folder: Path) -> Path:
    """A temporary name in a folder (not `tempfile`'s: its files cannot be read by anyone else)."""
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(6)}"


RERUN = "delete it and rerun"
KEEP = "bring it back from a copy and never delete it; harness ledger verify tells whether what is there is whole"
"""What to do about a damaged record that nothing can make again: those of seals, plans and grants."""


def read_json(path: Path, *, fix: str = RERUN) -> dict[str, object]:
    """A JSON object the harness wrote.

    Args:
        path: of the file.
        fix: what to do where it is damaged.

    Raises:
        DamagedError: the file is missing or is not a JSON object.
    """
    return parsed_json(read_record(path, fix=fix), path.name, fix=fix)


def read_record(path: Path, *, fix: str = RERUN) -> bytes:
    """The bytes of a file the harness wrote; the rest as `read_json`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedError("unreadable record", value=path.name, rule="a JSON object", fix=fix) from error


def parsed_json(content: bytes, name: str, *, fix: str = RERUN) -> dict[str, object]:
    """A JSON object the harness wrote, from the bytes of the file called so.

    Raises:
        DamagedError: it is not a JSON object.
    """
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise DamagedError("unreadable record", value=name, rule="a JSON object", fix=fix) from error
    if not isinstance(value, dict):
        raise DamagedError("unreadable record", value=name, rule="a JSON object", fix=fix)
    return value


SEAL = "digest"


def sealed(record: Mapping[str, object]) -> dict[str, object]:
    """A record with the digest of its own canonical content, so that no later change of it goes unnoticed."""
    bare = {name: value for name, value in record.items() if name != SEAL}
    return {**bare, SEAL: hashlib.sha256(json_bytes(bare)).hexdigest()}


def spelled(record: Mapping[str, object]) -> dict[str, str]:
    """The texts of the values of a record, as it is to be sealed."""
    return {name: _indented(value, 2) for name, value in record.items() if name != SEAL}


def sealed_bytes(record: Mapping[str, object], before: Mapping[str, str] | None = None) -> bytes:
    """`json_bytes` of the `sealed` record; what it holds is spelled once for both.

    Args:
        record: the record.
        before: values of it that are `spelled` already; those of `record` stand in place of others of their name.
    """
    texts = {**(before or {}), **spelled(record)}
    texts[SEAL] = json.dumps(hashlib.sha256(_object(texts).encode()).hexdigest())
    return _object(texts).encode()


def _object(texts: Mapping[str, str]) -> str:
    """A record from the texts of its values."""
    items = ",\n ".join(f"{json.dumps(name, ensure_ascii=False)}: {texts[name]}" for name in sorted(texts))
    return f"{{\n {items}\n}}\n" if texts else "{}\n"


def seal_holds(record: Mapping[str, object], content: bytes = b"") -> bool | None:
    """Whether a record is what was sealed; None = it carries no seal.

    Args:
        record: the record.
        content: the bytes it was read from, where they are at hand: as they were written they need no spelling anew.
    """
    if SEAL not in record:
        return None
    return bare_digest(content, record[SEAL]) == record[SEAL] or sealed(record)[SEAL] == record[SEAL]


def bare_digest(content: bytes, seal: object) -> str:
    """SHA-256 of the bytes of a sealed record without its seal, a line of its own; "" where there is no such line."""
    line = f"\n {json.dumps(SEAL)}: {json.dumps(seal)}".encode()
    before, found, after = content.partition(line)
    if not found or not after.startswith((b",\n", b"\n}")):
        return ""
    last = after.startswith(b"\n")
    bare = before.removesuffix(b",") + after if last else before + after.removeprefix(b",")
    return hashlib.sha256(bare).hexdigest()


def json_bytes(value: object) -> bytes:
    r"""Canonical, readable JSON text of a record: keys sorted, one space deeper per level.

    >>> json_bytes({"b": [1, {}], "a": None}).decode()
    '{\n "a": null,\n "b": [\n  1,\n  {}\n ]\n}\n'
    """
    return (_indented(value, 1) + "\n").encode()


def _indented(value: object, level: int) -> str:
    """`json.dumps` with an indent of one; what holds no further level, as long lists do, goes by its fast encoder."""
    if not value or not isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    pad = "\n" + " " * level
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict) and set(map(type, value)) != {str}:
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).replace("\n", pad[:-1])
    if set(map(type, inner)) <= PLAIN:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(f",{pad}", ": "))
        return f"{text[0]}{pad}{text[1:-1]}{pad[:-1]}{text[-1]}"
    if isinstance(value, dict):
        items = (f"{json.dumps(key, ensure_ascii=False)}: {_indented(value[key], level + 1)}" for key in sorted(value))
        return f"{{{pad}{f',{pad}'.join(items)}{pad[:-1]}}}"
    return f"[{pad}{f',{pad}'.join(_indented(one, level + 1) for one in value)}{pad[:-1]}]"

"""One file that holds many: a zip of plain entries in a fixed order, each under its hash, the list of them sealed."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from harness.core.errors import DamagedError, UserError
from harness.record.files import json_bytes, seal_holds, sealed, whole_file

LIST = "manifest.json"
MAGIC = "harness archive"
FORMAT = 1
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every entry: the same content gives the same file."""
BROKEN = (OSError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError)


def write_bundle(path: Path, facts: Mapping[str, object], entries: Iterable[tuple[str, bytes]]) -> None:
    """Write a bundle so that it is whole or absent; an older file of that name is replaced at the end.

    Args:
        path: the file.
        facts: what the list says besides the entries.
        entries: names and contents, in order.
    """
    hashes = dict[str, dict[str, object]]()
    with whole_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        for name, content in entries:
            hashes[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            _put(bundle, name, content)
        _put(bundle, LIST, json_bytes(sealed({**facts, "what": MAGIC, "format": FORMAT, "entries": hashes})))


def _put(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.external_attr, entry.create_system = 0o644 << 16, 3
    bundle.writestr(entry, content)


class Bundle:
    """A bundle that is open for reading; every entry is compared with its hash when it is read.

    Attributes:
        facts: what its list says.
        names: its entries.
    """

    def __init__(self, path: Path, opened: zipfile.ZipFile) -> None:
        self._path, self._zip = path, opened
        try:
            listed = [entry.filename for entry in opened.infolist()]
            facts = json.loads(opened.read(LIST)) if LIST in listed else None
        except BROKEN as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(facts, dict) or facts.get("what") != MAGIC:
            raise _foreign(path)
        if seal_holds(facts) is not True:
            raise _damaged(path, "the list of its content is not what was written")
        if facts.get("format") != FORMAT:
            raise DamagedError("this file has another form", value=path, rule=f"format {FORMAT}", fix="export it anew")
        self.facts: Mapping[str, object] = facts
        self._hashes: dict[str, dict[str, object]] = facts["entries"]
        if sorted(listed) != sorted([*self._hashes, LIST]):
            raise _damaged(path, "it holds other entries than its list names")
        for name in self._hashes:
            parts = PurePosixPath(name).parts
            if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
                raise _damaged(path, f"{name!r} is no name of an entry")
        self.names = tuple(self._hashes)

    def read(self, name: str) -> bytes:
        """The content of an entry.

        Raises:
            DamagedError: it is not what was written.
        """
        promised = self._hashes[name]
        try:
            if self._zip.getinfo(name).file_size != promised["bytes"]:
                raise _damaged(self._path, f"{name} has another size")
            content = self._zip.read(name)
        except BROKEN as error:
            raise _damaged(self._path, f"{name}: {error}") from error
        if hashlib.sha256(content).hexdigest() != promised["sha256"]:
            raise _damaged(self._path, f"{name} does not have the promised hash")
        return content

    def below(self, folder: str) -> list[str]:
        """Names of the entries below a folder."""
        return [name for name in self.names if name.startswith(f"{folder}/")]


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a bundle.

    Raises:
        UserError: there is no such file.
        DamagedError: it is damaged, or something else.
    """
    if not path.is_file():
        raise UserError("no such file", value=path, fix="name a file that harness archive export wrote")
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise _foreign(path) from error
    with archive:
        yield Bundle(path, archive)


def _foreign(path: Path) -> DamagedError:
    return DamagedError(
        "this file is no exported archive, or its end is missing",
        value=path,
        rule="a file that harness archive export wrote",
        fix="export it again, or copy it again",
    )


def _damaged(path: Path, why: str) -> DamagedError:
    return DamagedError("the exported archive is damaged", value=path, rule=why, fix="copy or export it again")

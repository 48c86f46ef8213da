"""An object store that workers read: every file under the hash of its content, checked after each download."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.backtest.engines.optional import optional
from harness.core.errors import DamagedError, UserError
from harness.data.changes import FILES, MANIFEST, ChangeFile
from harness.record.files import sha256_of, unused_name
from harness.record.folders import fill_folder


class Store:
    """Files by content under a URL that fsspec understands (file://, s3://, ...); what is there is never replaced."""

    def __init__(self, url: str) -> None:
        """Open a store.

        Args:
            url: a folder; a path without a protocol is one of this machine.

        Raises:
            UserError: fsspec, or what it needs for the protocol, is not installed, nobody knows the protocol, or the
                URL does not say all that it needs.
        """
        self.url = url
        fsspec = optional("fsspec", "store", f"--engine-store {url}")
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, TypeError, OSError) as error:
            raise UserError(
                "the object store cannot be used",
                value=url,
                rule=" ".join(str(error).split())[:200],
                fix="a URL that fsspec knows, with the package of its protocol (s3fs for s3://, gcsfs for gs://)",
            ) from error
        self._files: Any = files
        self._root = str(root).rstrip("/")

    def refuse_unwritable(self) -> None:
        """Refuse a store that takes nothing, before anything is asked of it.

        Raises:
            UserError: not even an empty file can be put there.
        """
        try:
            self.put(b"")
        except UserError:
            raise
        except Exception as error:  # what a protocol's package raises without rights is its own
            raise _unusable("written", self.url, error) from error

    def put(self, content: Path | bytes) -> str:
        """Store a file, or bytes, unless it is there; its SHA-256."""
        name = sha256_of(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        self._put(f"files/{name}", content)
        return name

    def put_changes(self, folder: Path) -> str:
        """Store a change folder unless it is there; its hash. The manifest comes last: with it, the whole is there."""
        for name in (*FILES.values(), MANIFEST):
            self._put(f"changes/{folder.name}/{name}", folder / name)
        return folder.name

    def get(self, name: str, cache: Path) -> Path:
        """A file by its SHA-256, in a folder of this machine that keeps it for the next time.

        Raises:
            UserError: it is not in the store, or the store cannot be read.
            DamagedError: what came is not what was stored.
        """
        place = cache / "files" / name
        if place.is_file() and sha256_of(place) == name:
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = unused_name(place.parent)
        try:
            self._get(f"files/{name}", temporary)
            if sha256_of(temporary) != name:
                raise _damaged(f"{self.url}/files/{name}")
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        return place

    def get_changes(self, name: str, cache: Path) -> Path:
        """A change folder by its hash, with every file checked, in a folder that keeps it for the next time.

        Raises:
            UserError: it is not in the store, or the store cannot be read.
            DamagedError: what came is not what was stored.
        """
        place = cache / "changes" / name
        if _holds(place):
            return place

        def fill(folder: Path) -> None:
            fresh = folder / name  # the name is what its content is held against
            fresh.mkdir()
            for file in (MANIFEST, *FILES.values()):
                self._get(f"changes/{name}/{file}", fresh / file)
            if not _holds(fresh):
                raise _damaged(f"{self.url}/changes/{name}")
            for path in fresh.iterdir():
                path.rename(folder / path.name)
            fresh.rmdir()

        place.parent.mkdir(parents=True, exist_ok=True)
        fill_folder(place, fill)
        return place

    def _put(self, key: str, content: Path | bytes) -> None:
        target, temporary = f"{self._root}/{key}", f"{self._root}/{key}.tmp-{unused_name(Path()).name}"
        try:
            if self._files.exists(target):
                return
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            if isinstance(content, Path):
                self._files.put_file(str(content), temporary)
            else:
                self._files.pipe_file(temporary, content)
            self._files.mv(temporary, target)
        except OSError as error:
            raise _unusable("written", f"{self.url}/{key}", error) from error

    def _get(self, key: str, place: Path) -> None:
        try:
            self._files.get_file(f"{self._root}/{key}", str(place))
        except OSError as error:
            raise _unusable("read", f"{self.url}/{key}", error) from error


def unpacked(archive: Path, folder: Path) -> Path:
    """A folder with the files of a zip archive, made once."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as temporary:
            fresh = Path(temporary) / folder.name
            shutil.unpack_archive(archive, fresh, "zip")
            with _unless_there(folder):
                fresh.replace(folder)
    return folder


@contextmanager
def _unless_there(place: Path) -> Iterator[None]:
    """Another worker of this machine may have been quicker, with the very same content."""
    try:
        yield
    except OSError:
        if not place.is_dir():
            raise


def _holds(folder: Path) -> bool:
    """Whether a change folder is whole and has the content its name promises."""
    try:
        ChangeFile.open(folder)
    except DamagedError:
        return False
    return True


def _damaged(what: str) -> DamagedError:
    return DamagedError(
        "a file of the object store is damaged",
        value=what,
        rule="its checksum does not hold, so it is not used",
        fix="delete it there and run the same command again",
    )


def _unusable(done: str, what: str, error: Exception) -> UserError:
    return UserError(
        f"the object store cannot be {done}",
        value=what,
        rule=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        fix="every worker needs its address and its rights; memory:// is of one process alone",
    )

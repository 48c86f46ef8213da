"""Where cells, fits and searches stand: in plain folders, or in folders in which everything is encrypted."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pyrage

from harness.core.errors import DamagedError
from harness.record.files import sync_filesystem
from harness.record.folders import write_folder


class SealedShelf:
    """A folder in which every file is encrypted with age before it is written, under names that tell nothing.

    Keys of cells are hashes over the data; whoever guesses at the data could try a guess against a plain name.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        """Open a shelf.

        Args:
            folder: where it stands.
            identity: the age identity that reads; what is written is encrypted to its public key.
        """
        self.folder = folder
        self._identity = pyrage.x25519.Identity.from_str(identity)
        self._recipient = self._identity.to_public()
        self._secret = sha256(identity.encode()).digest()

    def __truediv__(self, key: str) -> Path:
        """The folder that belongs to a key."""
        return self.folder / hmac.new(self._secret, key.encode(), sha256).hexdigest()[:32]

    def encrypted(self, content: bytes) -> bytes:
        """Content as it is written."""
        written: bytes = pyrage.encrypt(content, [self._recipient])
        return written

    def decrypted(self, content: bytes, name: str) -> bytes:
        """Content as it was before it was written.

        Raises:
            DamagedError: it is not what was written, or was encrypted to another key.
        """
        try:
            plain: bytes = pyrage.decrypt(content, [self._identity])
        except pyrage.DecryptError as error:
            raise DamagedError("an encrypted file is damaged", value=name, fix="delete it and rerun") from error
        return plain


Shelf = Path | SealedShelf


class Shelves(Protocol):
    """Shelves of what a walk stores and finds again; a home folder has plain ones."""

    @property
    def cells(self) -> Shelf:
        """Of cells by key."""
        ...

    @property
    def fits(self) -> Shelf:
        """Of fits by key."""
        ...

    @property
    def studies(self) -> Shelf:
        """Of searches by key."""
        ...


@dataclass(frozen=True, slots=True)
class SealedShelves:
    """Shelves on which everything is encrypted.

    Attributes:
        cells, fits, studies: one shelf each.
    """

    cells: SealedShelf
    fits: SealedShelf
    studies: SealedShelf


def sealed_shelves(folder: Path, identity: str) -> SealedShelves:
    """Encrypting shelves side by side in one folder.

    Args:
        folder: where they stand.
        identity: the age identity that reads them.
    """
    return SealedShelves(*(SealedShelf(folder / name, identity) for name in ("cells", "fits", "studies")))


def put(shelf: Shelf, key: str, files: Mapping[str, bytes], *, durable: bool = True) -> None:
    """Write the files of a key, all or none; those that are not durable are only after `sync`.

    What says the same already is left alone: another process may be reading it.
    """
    if isinstance(shelf, SealedShelf):
        if _says(shelf, key, files):  # no two encryptions have the same bytes
            if durable:
                sync(shelf)
            return
        files = {name: shelf.encrypted(content) for name, content in files.items()}
    write_folder(shelf / key, files, durable=durable)


def _says(shelf: SealedShelf, key: str, files: Mapping[str, bytes]) -> bool:
    """Whether a folder of encrypted files holds just these."""
    try:
        names = {path.name for path in (shelf / key).iterdir()}
        return names == set(files) and all(get(shelf, key, name) == files[name] for name in files)
    except (OSError, DamagedError):
        return False


def sync(shelf: Shelf) -> None:
    """Make everything on a shelf durable at once."""
    folder = shelf.folder if isinstance(shelf, SealedShelf) else shelf
    if folder.is_dir():
        sync_filesystem(folder)


def get(shelf: Shelf, key: str, name: str) -> bytes:
    """One file of a key.

    Raises:
        OSError: there is none.
        DamagedError: it cannot be decrypted.
    """
    return opened(shelf, (shelf / key / name).read_bytes(), f"{key}/{name}")


def closed(shelf: Shelf, content: bytes) -> bytes:
    """Content of a file as the shelf keeps it."""
    return shelf.encrypted(content) if isinstance(shelf, SealedShelf) else content


def opened(shelf: Shelf, content: bytes, name: str) -> bytes:
    """Content of a file, from how the shelf keeps it.

    Raises:
        DamagedError: it cannot be decrypted.
    """
    return shelf.decrypted(content, name) if isinstance(shelf, SealedShelf) else content


def closed_line(shelf: Shelf, line: bytes) -> bytes:
    """A line of a file that grows line by line, as the shelf keeps it: encrypted by itself, and then text again."""
    if not isinstance(shelf, SealedShelf):
        return line
    return base64.b64encode(shelf.encrypted(line)) + b"\n"


def opened_line(shelf: Shelf, line: bytes, name: str) -> bytes:
    """A whole line, from how the shelf keeps it.

    Raises:
        DamagedError: it cannot be decrypted.
    """
    if not isinstance(shelf, SealedShelf):
        return line
    try:
        return shelf.decrypted(base64.b64decode(line, validate=False), name)
    except binascii.Error as error:
        raise DamagedError("an encrypted line is damaged", value=name, fix="delete it and rerun") from error

"""One vault on disk: immutable encrypted files, each added together with a new signed list of all of them."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from harness.core.errors import DamagedError, SealedError, UserError
from harness.data.vault.keys import decrypt, encrypt
from harness.data.vault.manifest import MANIFEST, Manifest, VaultFile, manifest_hash, read_manifest
from harness.record.files import json_bytes, sha256_of, sync_folder, write_file
from harness.record.home import Home
from harness.record.seals import SEAL_FILE, Seal

FILES, WRAPPED, LOCK = "files", "identity.age", ".lock"
MAKING = ".making-"
"""Begins the name of a vault that is being filled; it is no seal before it has its own name."""
KIND = re.compile(r"[a-z_]+")


class Vault:
    """The vault of one seal; whoever holds the public key can add, only the identity can read.

    Attributes:
        folder: where it lies.
        seal: what everyone may know of it.
    """

    def __init__(self, folder: Path, seal: Seal, signing: str = "") -> None:
        self.folder, self.seal, self._signing = folder, seal, signing
        self._waiting: list[VaultFile] = []

    @classmethod
    def create(cls, home: Home, seal: Seal, *, signing: str) -> Self:
        """Begin a vault under a temporary name; `finish` makes it a seal. One begun earlier is dropped.

        Args:
            home: the home folder.
            seal: id, recipient and signer count; the rest may be filled in by `finish`.
            signing: Ed25519 private key (hex).

        Raises:
            UserError: the home has a seal of this id.
        """
        if (home.vault / seal.id).exists():
            raise UserError("this seal exists", value=seal.id, rule="a vault is never replaced")
        folder = home.vault / f"{MAKING}{seal.id}"
        for left in home.vault.glob(f"{MAKING}*"):
            shutil.rmtree(left)
        (folder / FILES).mkdir(parents=True)
        return cls(folder, seal, signing)

    @classmethod
    def open(cls, home: Home, seal_id: str, *, signing: str = "") -> Self:
        """The vault of a seal; with the private key of its signer, files can be added.

        Raises:
            DamagedError: its description is damaged or gone.
        """
        folder = home.vault / seal_id
        return cls(folder, Seal.read(folder / SEAL_FILE), signing)

    @property
    def manifest_hash(self) -> str:
        """Hash of the signed list as it stands; "" = there is none."""
        path = self.folder / MANIFEST
        return manifest_hash(path.read_bytes()) if path.exists() else ""

    def put(self, kind: str, content: bytes, facts: Mapping[str, int | str] | None = None) -> str:
        """Encrypt and write a file without listing it yet; `sign` lists all that wait. Returns its name.

        Args:
            kind: what it holds, small letters.
            content: in the clear.
            facts: what everyone may know of it: counts.
        """
        if not KIND.fullmatch(kind):
            raise ValueError(kind)
        number = len(self._manifest().files) + len(self._waiting) + 1
        for stray in (self.folder / FILES).glob(f"{number:06d}-*.age"):  # of an addition that was interrupted
            stray.unlink()
        sealed = encrypt(content, self.seal.recipient)
        name = f"{number:06d}-{kind}.age"
        write_file(self.folder / FILES / name, sealed)
        self._waiting.append(VaultFile(name, kind, hashlib.sha256(sealed).hexdigest(), len(sealed), dict(facts or {})))
        return name

    def sign(self) -> str:
        """List the files that wait, in a manifest that takes the place of the old at once. Returns its hash.

        Raises:
            SealedError: the signing key is not that of this vault, or the list was not signed with it.
        """
        text = self._manifest().after(self.manifest_hash, *self._waiting).text(self._signing)
        if not read_manifest(text, self.seal.signer)[1]:
            raise SealedError(
                "this key does not sign for this vault",
                value=self.seal.id,
                rule="its list is signed with one key",
                fix="name the folder of keys that holds it (--keys DIR)",
            )
        write_file(self.folder / MANIFEST, text)
        self._waiting = []
        return manifest_hash(text)

    def add(self, kind: str, content: bytes, facts: Mapping[str, int | str] | None = None) -> str:
        """Add one file; a crash leaves all of the addition or nothing. Returns the hash of the new manifest.

        Raises:
            SealedError: the signing key is not that of this vault, or the list was not signed with it.
        """
        with self.locked():
            self._waiting = []
            self.put(kind, content, facts)
            return self.sign()

    def finish(self, home: Home, seal: Seal) -> None:
        """Write the seal's description and give the vault its own name: from here on the seal is in force."""
        write_file(self.folder / SEAL_FILE, json_bytes(seal.record()))
        sync_folder(self.folder / FILES)
        sync_folder(self.folder)
        self.folder.rename(home.vault / seal.id)
        sync_folder(home.vault)
        self.folder, self.seal = home.vault / seal.id, seal

    def withdraw(self, home: Home) -> None:
        """Undo `finish`, for a seal that was never in force: nothing was taken from the home yet."""
        self.folder.rename(home.vault / f"{MAKING}{self.seal.id}")
        sync_folder(home.vault)

    def files(self, kind: str = "") -> tuple[VaultFile, ...]:
        """The listed files, oldest first; of one kind, or all."""
        return tuple(one for one in self._manifest().files if kind in ("", one.kind))

    def check(self, promised: str | None = None) -> tuple[str, ...]:
        """What is wrong with the vault, one clause each; () = nothing.

        Args:
            promised: hash of the manifest that a ledger noted last; None = nobody noted one.
        """
        try:
            text = (self.folder / MANIFEST).read_bytes()
            manifest, signed = read_manifest(text, self.seal.signer)
        except OSError:
            return (f"{MANIFEST} is gone",)
        except DamagedError as error:
            return (f"{MANIFEST}: {error.what}",)
        found = [] if signed else [f"{MANIFEST} is not signed with the key of this vault"]
        if manifest.seal != self.seal.id:
            found.append(f"{MANIFEST} is that of another vault ({manifest.seal})")
        if manifest.description != self.seal.description:
            found.append(f"{SEAL_FILE} is not the description that was signed")
        if promised is not None and promised != manifest_hash(text):
            found.append(f"{MANIFEST} is not the one the ledger noted last ({promised[:12]})")
        listed = {one.name: one for one in manifest.files}
        there = {path.name for path in (self.folder / FILES).iterdir()} if (self.folder / FILES).is_dir() else set()
        found += [f"{FILES}/{name} is not listed" for name in sorted(there - listed.keys())]
        for name, one in listed.items():
            if name not in there:
                found.append(f"{FILES}/{name} is gone")
            elif sha256_of(self.folder / FILES / name) != one.sha256:
                found.append(f"{FILES}/{name} is not the file that was listed")
        return tuple(found)

    def read(self, identity: str, name: str) -> bytes:
        """A file of the vault in the clear, in memory.

        Args:
            identity: the age identity of this vault.
            name: of a listed file.

        Raises:
            DamagedError: it is not the file that was listed.
            SealedError: the identity is another's.
        """
        listed = next((one for one in self._manifest().files if one.name == name), None)
        path = self.folder / FILES / name
        content = path.read_bytes() if path.is_file() else b""
        if listed is None or hashlib.sha256(content).hexdigest() != listed.sha256:
            raise DamagedError(
                "a file of the vault is not the one that was listed",
                value=f"{self.seal.id}/{FILES}/{name}",
                rule="the signed manifest has the hash of every file",
                fix="bring the vault's folder back from a copy",
            )
        return decrypt(content, identity, f"{self.seal.id}/{FILES}/{name}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the vault against other processes that add to it."""
        with (self.folder / LOCK).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _manifest(self) -> Manifest:
        """The list as it stands.

        Raises:
            SealedError: it was not signed with the key of this vault.
        """
        path = self.folder / MANIFEST
        if not path.exists():
            return Manifest(self.seal.id, description=self.seal.description)
        manifest, signed = read_manifest(path.read_bytes(), self.seal.signer)
        if not signed or manifest.seal != self.seal.id:
            raise SealedError(
                "the list of this vault's files was not signed with its key",
                value=self.seal.id,
                rule="a vault whose list was exchanged is not used",
                fix="bring the vault's folder back from a copy",
            )
        return manifest

"""The list of a vault's files, signed: age says who can read a file, not who wrote it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from harness.core.errors import DamagedError
from harness.data.vault.keys import signature_holds, signed
from harness.record.files import json_bytes
from harness.record.shape import Shape, misshapen

MANIFEST = "manifest.json"
LISTED = {"name": str, "kind": str, "sha256": str, "size": int, "facts": {str: (int, str)}}
SHAPE: Shape = {"seal": str, "previous": str, "description": str, "files": [LISTED]}
"""What the list of a vault's files holds."""


@dataclass(frozen=True, slots=True)
class VaultFile:
    """One file of a vault.

    Attributes:
        name: of the file.
        kind: what it holds.
        sha256: of its encrypted bytes.
        size: of its encrypted bytes.
        facts: counts and the like, readable by everyone.
    """

    name: str
    kind: str
    sha256: str
    size: int
    facts: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a vault holds.

    Attributes:
        seal: id of the seal it belongs to.
        files: in the order they were added.
        previous: hash of the manifest before this one; "" for the first.
        description: hash of what is settled of the seal (`Seal.description`).
    """

    seal: str
    files: tuple[VaultFile, ...] = ()
    previous: str = ""
    description: str = ""

    def after(self, present: str, *added: VaultFile) -> Self:
        """The manifest with more files; `present` is the hash of this one."""
        return replace(self, files=(*self.files, *added), previous=present)

    def text(self, signing: str) -> bytes:
        """The signed manifest as it is written."""
        content = asdict(self)
        return json_bytes({"manifest": content, "signature": signed(signing, _canonical(content))})


def manifest_hash(text: bytes) -> str:
    """Hash of a manifest as it is written, by which a ledger remembers it."""
    return hashlib.sha256(text).hexdigest()


def read_manifest(text: bytes, signer: str) -> tuple[Manifest, bool]:
    """A manifest, and whether the signer of the vault signed it.

    Args:
        text: as it is written.
        signer: Ed25519 public key (hex).

    Raises:
        DamagedError: it is no manifest.
    """
    try:
        told = json.loads(text)
        content, signature = told["manifest"], told["signature"]
        fits = not misshapen(content, SHAPE) and isinstance(signature, str)
        files = tuple(VaultFile(**one) for one in content["files"])
        manifest = Manifest(str(content["seal"]), files, str(content["previous"]), str(content["description"]))
        holds = signature_holds(signer, _canonical(content), str(signature))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged() from error
    if not fits:
        raise _damaged()
    return manifest, holds


def _damaged() -> DamagedError:
    return DamagedError(
        "the list of a vault's files is damaged",
        value=MANIFEST,
        rule="a signed JSON object",
        fix="bring the vault's folder back from a copy",
    )


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

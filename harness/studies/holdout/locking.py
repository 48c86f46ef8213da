"""Who can open a seal: its keys here, its passphrase, or a custodian's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import DamagedError, UserError
from harness.data.vault.files import Vault
from harness.data.vault.keys import (
    IDENTITY,
    SIGNING,
    encrypt,
    get_key,
    needed_key,
    new_identity,
    new_signing,
    put_key,
    recipient_of,
    signer_of,
    wrapped_by,
)
from harness.record.files import read_json
from harness.record.home import Home
from harness.record.seals import Seal


@dataclass(frozen=True, slots=True)
class Lock:
    """Who can open a seal, and whether copies go along.

    Attributes:
        custodian: the custodian's public part (`age` and `ed25519`); {} = nobody but the holder of the key here.
        passphrase: the key is wrapped by a passphrase instead of being kept in a file.
        public: datasets that can be had elsewhere.
        keys: folder of keys; None = the usual one.
        along: whole datasets of what repeats a sealed series are sealed too.

    Raises:
        UserError: both a custodian and a passphrase.
    """

    custodian: Mapping[str, str] | None = None
    passphrase: bool = False
    public: frozenset[str] = frozenset()
    keys: Path | None = None
    along: bool = False

    def __post_init__(self) -> None:
        if self.custodian and self.passphrase:
            raise UserError(
                "a seal opens in one way",
                value="a custodian and a passphrase",
                rule="its identity is kept in a file, wrapped by a passphrase, or encrypted to a custodian's key",
                fix="leave one of them out",
            )


def keyed(bare: Seal, folder: Path, lock: Lock) -> Seal:
    """The seal with its signing key, which stays here in both grades so that later batches can be added."""
    signing = get_key(folder, f"{bare.id}.{SIGNING}") or new_signing()
    put_key(folder, f"{bare.id}.{SIGNING}", signing)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(bare, signer=signer_of(signing), custodian=dict(lock.custodian or {}), created_at=created)


def begin_vault(home: Home, made: Seal, folder: Path, lock: Lock, passphrase: str) -> tuple[Vault, bytes]:
    """An empty vault, and its identity wrapped for the custodian or by the passphrase (b"" = it is kept in a file)."""
    name = f"{made.id}.{IDENTITY}"
    identity, wrapped = get_key(folder, name) or new_identity(), b""
    if lock.custodian:
        wrapped = encrypt(identity.encode(), lock.custodian["age"])
    elif passphrase:
        wrapped = wrapped_by(identity, passphrase)
    else:
        put_key(folder, name, identity)
    made = replace(made, recipient=recipient_of(identity))
    return Vault.create(home, made, signing=needed_key(folder, f"{made.id}.{SIGNING}")), wrapped


def custodian_from(path: Path) -> dict[str, str]:
    """The public part of a custodian's keys.

    Raises:
        UserError: there is no such file, or it is something else.
    """
    if not path.is_file():
        raise UserError(
            "no such file",
            value=path,
            rule="a seal with a custodian needs the public part of that person's keys",
            fix="on the custodian's machine: harness holdout keys --out FILE",
        )
    try:
        told = read_json(path)
    except DamagedError as error:
        raise UserError(
            "this is no custodian's file",
            value=path,
            rule="what harness holdout keys --out FILE wrote on the custodian's machine",
        ) from error
    age, signer = str(told.get("age", "")), str(told.get("ed25519", ""))
    encrypt(b"", age)
    if re.fullmatch("[0-9a-f]{64}", signer) is None:  # of an Ed25519 public key
        raise UserError("this is no Ed25519 public key", value=signer, rule="64 hex digits")
    return {"age": age, "ed25519": signer}

"""The keys of sealed holdouts: made, kept outside the home folder, wrapped for another person or by a passphrase."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.core.errors import SealedError, UserError
from harness.record.files import sync_folder, unused_name
from harness.record.home import Home

KEYS, PASSPHRASE = "HARNESS_KEYS", "HARNESS_PASSPHRASE"
IDENTITY, SIGNING, ONCE = "identity", "signing", "once"
CUSTODIAN = "custodian"
KEYED = "k"
SHORTEST = 12
"""Characters of a passphrase at least."""


def key_folder(home: Home, folder: Path | None = None) -> Path:
    """The folder of keys: `folder`, else the one `HARNESS_KEYS` names, else `~/.config/harness/keys`.

    Raises:
        UserError: it lies in the home folder, so that whoever copies the home would have the keys.
    """
    chosen = folder or Path(os.environ.get(KEYS) or Path.home() / ".config" / "harness" / "keys")
    place = chosen.expanduser().resolve()
    if place.is_relative_to(home.root.resolve()):
        raise UserError(
            "the folder of keys lies in the home folder",
            value=place,
            rule="a key is kept apart from what it opens",
            fix=f"name another folder (--keys DIR, or {KEYS}=DIR)",
        )
    return place


def put_key(folder: Path, name: str, text: str) -> Path:
    """Write a key that only its owner can read (0600, the folder 0700); a key that is there already stays.

    Raises:
        UserError: another key has this name.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    path = folder / name
    if path.exists():
        if get_key(folder, name) == text:
            return path
        raise UserError("another key has this name", value=path, rule="keys are never replaced", fix="move it away")
    temporary = unused_name(folder)
    try:
        with open(temporary, "x", opener=_private, encoding="utf-8") as stream:
            stream.write(f"{text}\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)
    return path


def get_key(folder: Path, name: str) -> str | None:
    """A key as text; None = there is none.

    Raises:
        UserError: others than its owner can read it.
        SealedError: it is no text, or cannot be read.
    """
    path = folder / name
    if not path.exists():
        return None
    open_to = stat.S_IMODE(path.stat().st_mode) & 0o077
    if open_to:
        raise UserError(
            "others can read this key",
            value=f"{path}, mode {stat.S_IMODE(path.stat().st_mode):o}",
            rule="a key is for its owner alone",
            fix=f"chmod 600 {path}",
        )
    try:
        return path.read_text(encoding="utf-8").strip()
    except (UnicodeDecodeError, OSError) as error:
        raise _wrong_key(path) from error


def needed_key(folder: Path, name: str) -> str:
    """A key as text.

    Raises:
        SealedError: there is none.
    """
    found = get_key(folder, name)
    if found is None:
        raise SealedError(
            "the key is not here",
            value=folder / name,
            rule="what is sealed opens with its own key alone",
            fix=f"name the folder that holds it (--keys DIR, or {KEYS}=DIR)",
        )
    return found


def new_identity() -> str:
    """A new age identity (X25519), as text."""
    return str(pyrage.x25519.Identity.generate())


def recipient_of(identity: str) -> str:
    """The age public key of an identity.

    Raises:
        SealedError: the text is no identity.
    """
    try:
        return str(pyrage.x25519.Identity.from_str(identity).to_public())
    except pyrage.IdentityError as error:
        raise _wrong_key() from error


def new_signing() -> str:
    """A new Ed25519 private key, as hex."""
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


def signer_of(signing: str) -> str:
    """The public part of an Ed25519 private key, both as hex."""
    return _private_key(signing).public_key().public_bytes_raw().hex()


def signed(signing: str, content: bytes) -> str:
    """The signature of a content, as hex."""
    return _private_key(signing).sign(content).hex()


def signature_holds(signer: str, content: bytes, signature: str) -> bool:
    """Whether whoever has the private part of `signer` (hex) signed a content."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def keyed_hash(signing: str, words: Sequence[str]) -> str:
    """A hash that only whoever has the signing key can make, so that short contents cannot be guessed from it.

    It begins with `KEYED`, which no plain hash does.
    """
    found = hmac.new(bytes.fromhex(signing), "\n".join(words).encode(), hashlib.sha256)
    return f"{KEYED}{found.hexdigest()}"


def veiled(signing: str) -> Callable[[str, str], str]:
    """What takes the place of plain hashes when a home is sealed: word and hash -> keyed hash; keyed ones stay."""
    return lambda word, plain: plain if plain[:1] in ("", KEYED) else keyed_hash(signing, (word, plain))


def encrypt(content: bytes, recipient: str) -> bytes:
    """Content in the age format, for whoever has the identity of a public key.

    Raises:
        UserError: the text is no age public key.
    """
    try:
        to = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError as error:
        raise UserError("this is no age public key", value=recipient, rule='it begins with "age1"') from error
    return bytes(pyrage.encrypt(content, [to]))


def decrypt(content: bytes, identity: str, name: str) -> bytes:
    """Content as it was before it was encrypted.

    Raises:
        SealedError: it was encrypted to another key, or is not what was written.
    """
    recipient_of(identity)
    try:
        return bytes(pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(identity)]))
    except pyrage.DecryptError as error:
        raise SealedError(
            "a sealed file does not open with this key",
            value=name,
            rule=str(error),
            fix="use the key of this seal, or bring the vault's file back from a copy",
        ) from error


def wrapped_by(identity: str, passphrase: str) -> bytes:
    """An identity encrypted by a passphrase, in the age format."""
    return bytes(pyrage.passphrase.encrypt(identity.encode(), passphrase))


def unwrapped_by(content: bytes, passphrase: str) -> str:
    """The identity that `wrapped_by` encrypted.

    Raises:
        SealedError: the passphrase is another.
    """
    try:
        return bytes(pyrage.passphrase.decrypt(content, passphrase)).decode()
    except pyrage.DecryptError as error:
        raise SealedError("the passphrase does not open the seal", fix="give the one it was sealed with") from error


def passphrase_asked(*, confirm: bool = False) -> str:
    """The passphrase of `HARNESS_PASSPHRASE`, or one that is asked for; it is never written down.

    Args:
        confirm: a new one is chosen: ask for it twice, and for a length.

    Raises:
        UserError: it is too short, given differently the second time, or there is no terminal to ask at.
    """
    given = os.environ.get(PASSPHRASE)
    found = given if given is not None else _typed("Passphrase of the holdout: ")
    if confirm and len(found) < SHORTEST:
        raise UserError(
            "the passphrase is too short",
            value=f"{len(found)} characters",
            rule=f"at least {SHORTEST} characters",
            fix="choose a longer one, for example four or five words",
        )
    if confirm and given is None and _typed("The same once more: ") != found:
        raise UserError("the two passphrases differ", fix="try again")
    return found


def _typed(prompt: str) -> str:
    """What is typed at a terminal without being shown.

    Raises:
        UserError: there is no terminal.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except (EOFError, getpass.GetPassWarning) as error:
        raise UserError(
            "the passphrase cannot be asked for",
            value="there is no terminal",
            rule="a seal with a passphrase opens with it alone",
            fix=f"set {PASSPHRASE} in the environment, or run the command in a terminal",
        ) from error


def custodian_keys(*, create: bool = False, folder: Path) -> tuple[str, str]:
    """The custodian's own keys: an age identity and an Ed25519 private key.

    Args:
        create: make those that are not there.
        folder: of keys, on the custodian's machine.

    Raises:
        SealedError: they are not there, and not to be made.
    """
    made = {IDENTITY: new_identity, SIGNING: new_signing}
    for kind, make in made.items():
        if create and get_key(folder, f"{CUSTODIAN}.{kind}") is None:
            put_key(folder, f"{CUSTODIAN}.{kind}", make())
    return needed_key(folder, f"{CUSTODIAN}.{IDENTITY}"), needed_key(folder, f"{CUSTODIAN}.{SIGNING}")


def public_part(folder: Path) -> dict[str, str]:
    """What others may know of the custodian: `age` and `ed25519` (hex) public keys.

    Raises:
        SealedError: the custodian's keys are not there.
    """
    identity, signing = custodian_keys(folder=folder)
    return {"age": recipient_of(identity), "ed25519": signer_of(signing)}


def _private_key(signing: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing))
    except ValueError as error:
        raise _wrong_key() from error


def _wrong_key(path: Path | None = None) -> SealedError:
    return SealedError(
        "this is no key of a holdout",
        value="" if path is None else path,
        rule="a key file holds what the harness wrote",
        fix="bring the key's file back from a copy",
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

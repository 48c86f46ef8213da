"""The vault: only its key reads it, the format is plain age, and no file or list can be exchanged unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import DamagedError, SealedError, UserError
from harness.data.vault import keys
from harness.data.vault.files import FILES, Vault
from harness.data.vault.manifest import MANIFEST
from harness.record.home import Home
from harness.record.seals import Seal, seals_of
from tests.data import plain_age


class Made:
    """A vault of two files, and its keys."""

    def __init__(self, root: Path, seal_id: str = "s1") -> None:
        self.home, self.identity, self.signing = Home(root), keys.new_identity(), keys.new_signing()
        self.seal = Seal(
            seal_id,
            "2020-01-01T00:00:00+00:00",
            ("x/a",),
            recipient=keys.recipient_of(self.identity),
            signer=keys.signer_of(self.signing),
        )
        vault = Vault.create(self.home, self.seal, signing=self.signing)
        vault.put("changes", b"first", {"rows": 1})
        vault.put("changes", b"second " * 30_000, {"rows": 2})
        vault.sign()
        vault.finish(self.home, self.seal)

    @property
    def vault(self) -> Vault:
        return Vault.open(self.home, self.seal.id, signing=self.signing)

    @property
    def folder(self) -> Path:
        return self.home.vault / self.seal.id


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "home")


def test_a_file_is_read_with_the_identity_alone(made: Made) -> None:
    first = made.vault.files()[0]
    assert made.vault.read(made.identity, first.name) == b"first"
    assert (first.kind, first.facts) == ("changes", {"rows": 1})
    with pytest.raises(SealedError, match="does not open with this key"):
        made.vault.read(keys.new_identity(), first.name)
    with pytest.raises(SealedError, match="no key of a holdout"):
        made.vault.read("nonsense", first.name)
    assert b"second" not in (made.folder / FILES / made.vault.files()[1].name).read_bytes()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_key_file_that_is_no_text_is_told_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    keys.put_key(tmp_path, "s1.identity", "AGE")
    if content is None:
        (tmp_path / "s1.identity").unlink()
        (tmp_path / "s1.identity").mkdir(mode=0o700)
    else:
        (tmp_path / "s1.identity").write_bytes(content)
    with pytest.raises(SealedError, match=r"no key of a holdout: .*s1\.identity"):
        keys.get_key(tmp_path, "s1.identity")


def test_the_files_are_plain_age(made: Made) -> None:
    for file, content in zip(made.vault.files(), (b"first", b"second " * 30_000), strict=True):
        assert plain_age.read((made.folder / FILES / file.name).read_bytes(), made.identity) == content


def test_adding_needs_no_identity_and_moves_the_list_on(made: Made) -> None:
    before = made.vault.manifest_hash
    after = made.vault.add("batch", b"third", {"rows": 3})
    assert after == made.vault.manifest_hash != before
    assert made.vault.check(after) == ()
    assert [one.kind for one in made.vault.files()] == ["changes", "changes", "batch"]
    assert [one.name for one in made.vault.files("batch")] == ["000003-batch.age"]
    assert json.loads((made.folder / MANIFEST).read_bytes())["manifest"]["previous"] == before


def test_an_addition_that_was_interrupted_leaves_no_stray_file(made: Made) -> None:
    made.vault.put("raw", b"third")
    assert made.vault.check() == ("files/000003-raw.age is not listed",)
    made.vault.add("batch", b"third")
    assert made.vault.check() == ()


def test_a_vault_being_filled_is_no_seal_and_is_begun_anew(tmp_path: Path) -> None:
    made = Made(tmp_path)
    other = Seal("s2", made.seal.cut, ("x/b",), recipient=made.seal.recipient, signer=made.seal.signer)
    Vault.create(made.home, other, signing=made.signing).put("changes", b"half")
    assert [one.id for one in seals_of(made.home)] == ["s1"]
    again = Vault.create(made.home, other, signing=made.signing)
    assert list((again.folder / FILES).iterdir()) == []
    with pytest.raises(UserError, match="this seal exists"):
        Vault.create(made.home, made.seal, signing=made.signing)


def forge(made: Made) -> None:
    path = made.folder / FILES / made.vault.files()[0].name
    path.write_bytes(keys.encrypt(b"forged", made.seal.recipient))


def exchange(made: Made) -> None:
    one, other = (made.folder / FILES / file.name for file in made.vault.files())
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def remove(made: Made) -> None:
    (made.folder / FILES / made.vault.files()[1].name).unlink()


def add(made: Made) -> None:
    (made.folder / FILES / "000003-changes.age").write_bytes(keys.encrypt(b"more", made.seal.recipient))


def edit_list(made: Made) -> None:
    told = json.loads((made.folder / MANIFEST).read_bytes())
    told["manifest"]["files"][0]["facts"]["rows"] = 99
    (made.folder / MANIFEST).write_text(json.dumps(told))


def drop_signature(made: Made) -> None:
    told = json.loads((made.folder / MANIFEST).read_bytes())
    (made.folder / MANIFEST).write_text(json.dumps({"manifest": told["manifest"], "signature": ""}))


def sign_anew(made: Made) -> None:
    text = made.vault._manifest().text(keys.new_signing())
    (made.folder / MANIFEST).write_bytes(text)


def no_list(made: Made) -> None:
    (made.folder / MANIFEST).unlink()


def nonsense(made: Made) -> None:
    (made.folder / MANIFEST).write_bytes(b"{}")


def of_another(made: Made) -> None:
    (made.folder / MANIFEST).write_bytes(
        Made(made.home.root.parent / "other", "s9").vault._manifest().text(made.signing)
    )


ATTACKS: dict[Callable[[Made], None], str] = {
    forge: "is not the file that was listed",
    exchange: "is not the file that was listed",
    remove: "is gone",
    add: "is not listed",
    edit_list: "not signed with the key of this vault",
    drop_signature: "not signed with the key of this vault",
    sign_anew: "not signed with the key of this vault",
    no_list: "manifest.json is gone",
    nonsense: "damaged",
    of_another: "is that of another vault",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.__name__)
def test_every_forgery_is_found(made: Made, attack: Callable[[Made], None]) -> None:
    assert made.vault.check(made.vault.manifest_hash) == ()
    attack(made)
    assert any(ATTACKS[attack] in problem for problem in made.vault.check())


def test_an_earlier_list_is_found_by_the_hash_that_was_noted(made: Made) -> None:
    earlier = (made.folder / MANIFEST).read_bytes()
    noted = made.vault.add("batch", b"third")
    (made.folder / MANIFEST).write_bytes(earlier)
    (made.folder / FILES / "000003-batch.age").unlink()
    assert made.vault.check() == ()  # without a note an older vault is as good as any
    assert any("not the one the ledger noted last" in problem for problem in made.vault.check(noted))


def test_a_forged_file_and_an_exchanged_list_are_not_used(made: Made) -> None:
    forge(made)
    with pytest.raises(DamagedError, match="not the one that was listed"):
        made.vault.read(made.identity, made.vault.files()[0].name)
    sign_anew(made)
    with pytest.raises(SealedError, match="was not signed with its key"):
        made.vault.files()
    other = Made(made.home.root.parent / "other", "s9")
    with pytest.raises(SealedError, match="does not sign for this vault"):
        Vault.open(other.home, "s9", signing=made.signing).add("batch", b"x")


def test_keys_are_private_and_lie_outside_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = Home(tmp_path / "home"), tmp_path / "keys"
    monkeypatch.setenv(keys.KEYS, str(folder))
    assert keys.key_folder(home) == folder.resolve()
    path = keys.put_key(folder, "s1.identity", "secret")
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert keys.get_key(folder, "s1.identity") == "secret"
    keys.put_key(folder, "s1.identity", "secret")
    with pytest.raises(UserError, match="never replaced"):
        keys.put_key(folder, "s1.identity", "other")
    path.chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        keys.get_key(folder, "s1.identity")
    with pytest.raises(SealedError, match="the key is not here"):
        keys.needed_key(folder, "s2.identity")
    for inside in (home.root, home.root / "keys"):
        with pytest.raises(UserError, match="lies in the home folder"):
            keys.key_folder(home, inside)
    (tmp_path / "link").symlink_to(home.root, target_is_directory=True)
    with pytest.raises(UserError, match="lies in the home folder"):
        keys.key_folder(home, tmp_path / "link" / "keys")


def test_the_custodian_has_keys_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(SealedError, match="the key is not here"):
        keys.custodian_keys(folder=tmp_path)
    identity, signing = keys.custodian_keys(create=True, folder=tmp_path)
    assert keys.custodian_keys(folder=tmp_path) == (identity, signing)
    assert keys.public_part(tmp_path) == {"age": keys.recipient_of(identity), "ed25519": keys.signer_of(signing)}


def test_without_a_terminal_the_variable_of_the_passphrase_is_named() -> None:
    code = """
from harness.core.errors import UserError
from harness.data.vault.keys import passphrase_asked
try:
    passphrase_asked()
except UserError as error:
    print(error)
"""
    bare = {name: value for name, value in os.environ.items() if name != keys.PASSPHRASE}
    done = subprocess.run(  # without a terminal of its own, and without input
        [sys.executable, "-W", "error", "-c", code],
        env=bare, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("the passphrase cannot be asked for: there is no terminal")
    assert "set HARNESS_PASSPHRASE" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_passphrase_wraps_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = keys.new_identity()
    monkeypatch.setenv(keys.PASSPHRASE, "short")
    with pytest.raises(UserError, match=r"at least 12.*choose a longer one"):
        keys.passphrase_asked(confirm=True)
    monkeypatch.setenv(keys.PASSPHRASE, "correct horse battery")
    wrapped = keys.wrapped_by(identity, keys.passphrase_asked(confirm=True))
    assert keys.unwrapped_by(wrapped, keys.passphrase_asked()) == identity
    with pytest.raises(SealedError, match="the passphrase does not open"):
        keys.unwrapped_by(wrapped, "another passphrase")

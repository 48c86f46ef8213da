"""The vaults of the seals on an archive: what is put into them, and what stands in the clear in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial

import polars as pl

from harness.core.errors import DataError, SealedError, UserError
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.archive.covered import DECLARED, HASHED
from harness.data.archive.received import BATCH, Received
from harness.data.archive.refusals import Refusal
from harness.data.archive.sealing import CONTENT, declared_fact, no_hash, parquet_of
from harness.data.declaration import series_to_text
from harness.data.ingest.parted import without_rows
from harness.data.sealed import Sealed
from harness.data.tags import veiled_tag
from harness.data.vault.files import Vault
from harness.data.vault.keys import KEYS, SIGNING, get_key, key_folder, keyed_hash, needed_key, veiled
from harness.record.home import Home
from harness.record.ledger import enter
from harness.record.seals import Seal, sealed_from

RAW, REFUSED, ORIGINAL = HASHED["raw_files"], "refused", HASHED["originals"]
HIDDEN = "what it says of the data is not shown, since it may be sealed"


class Vaults:
    """What an archive under seal keeps apart, by the places of its seals.

    Args:
        archive: what is sealed.
        home: whose vaults and ledger.
        seals: those in force.
        keeps: whether anything goes into a vault; an archive that is thrown away goes without.
    """

    def __init__(self, archive: Archive, home: Home, seals: Sequence[Seal], *, keeps: bool) -> None:
        self.archive, self.home, self.seals, self.keeps = archive, home, tuple(seals), keeps
        self._told: set[str] = set()  # messages that a vault has with more beside them
        self._plain: dict[str, str] = {}  # what a batch is called in the clear -> what the vault calls it

    def keyed(self, place: int) -> bool:
        """Whether the key is here without which no batch of a sealed dataset is recognised."""
        return get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}") is not None

    def need_key(self, place: int, dataset: str) -> None:
        """Refuse to go on with a dataset under seal without the key that signs its vault.

        Args:
            place: of the seal; -1 = none covers it.
            dataset: its name.

        Raises:
            SealedError: the key is not here; an archive that is thrown away needs none.
        """
        if self.keeps and place >= 0 and not self.keyed(place):
            seal, folder = self.seals[place], key_folder(self.home)
            raise SealedError(
                "the key that signs the vault of this dataset is not here",
                value=f"{dataset}, {folder / f'{seal.id}.{SIGNING}'}",
                rule=f"it is sealed from {seal.cut} on ({seal.told} {seal.id}); that key alone tells whether its files"
                " changed, since plain hashes would let what they hold be guessed, and takes in what is new",
                fix=f"name the folder that holds it ({KEYS}=DIR); plan, backtest and audit go on with what the archive"
                " has",
            )

    def original(self, place: int, sha256: str) -> str:
        """What stands in the clear for the hash of a file with names in it; "" without the key."""
        return self.hashed(place, (ORIGINAL, sha256))

    def called(self, place: int, tag: str) -> str:
        """What stands in the clear for the tag of a batch; the vault has it as it is.

        Without the key its hashes are left out, so that it is the tag of no batch that is recorded.
        """
        signing = get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}")
        shown = veiled_tag(tag, no_hash if signing is None else veiled(signing))
        self._plain.setdefault(shown, tag)
        return shown

    def plain(self, name: str) -> str:
        """What the vault calls a batch that stands in the clear under a name."""
        return self._plain.get(name, name)

    def keep_raw(self, place: int, content: bytes, suffix: str) -> None:
        """Put a raw file into the vault of a seal, once; an archive that is thrown away keeps none."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.keeps:
            key = self._key(place, (RAW, sha256))
            if key not in self.seals[place].raw:
                self._keep(place, RAW, lambda: content, key, {"suffix": suffix})

    def refuse_raw(self, sha256: str, label: str) -> None:
        """Refuse a file that belongs to a sealed dataset, under another one.

        Args:
            sha256: hash of the file, as it was given or as it would be kept.
            label: what it is called.

        Raises:
            SealedError: it lies in a vault, or the de-identified copy of it does.
        """
        for place, seal in enumerate(self.seals):
            signing = get_key(key_folder(self.home), f"{seal.id}.{SIGNING}")
            keyed = None if signing is None else keyed_hash(signing, (RAW, sha256))
            kept = keyed in seal.raw or keyed in _keys(Vault.open(self.home, seal.id), RAW)
            if kept or not {sha256, self.original(place, sha256)}.isdisjoint(self._originals(seal)):
                raise SealedError(
                    "this file is a sealed one under another name",
                    value=label,
                    rule=f"it belongs to what is sealed from {seal.cut} on ({seal.told} {seal.id})",
                    fix="take the series from the sealed dataset; another home folder (--home DIR) has no seal",
                )

    @contextmanager
    def hiding(self, label: str, place: int, *, note: bool = True) -> Iterator[None]:
        """Tell what is wrong with data under seal without telling what they say; the vault has the whole message.

        Args:
            label: what is read.
            place: of the seal.
            note: put the message into the vault.

        Raises:
            DataError: as the block raises, with counts in the place of values.
        """
        try:
            yield
        except DataError as error:
            if note and str(error) not in self._told:
                self._tell(place, f"{label}\n{error}")
            raise _without_values(error) from None

    def hidden(self, place: int, refused: Refusal, error: UserError) -> Refusal:
        """What may stand in the clear of an ingest of data under seal that was refused; the vault has all of it.

        Counts of what was asserted stay. Rows, hashes, and what the reason says of values go.

        Args:
            place: of the seal.
            refused: what was refused, in full.
            error: why.
        """
        tables = {name: frame.to_dicts() for name, frame in refused.tables.items()}
        self._tell(place, json.dumps({**asdict(replace(refused, tables={})), "tables": tables}, sort_keys=True))
        self._told.add(refused.reason)
        return replace(
            refused,
            source=self.called(place, refused.source),
            sha256=self.hashed(place, (RAW, refused.sha256)),
            reason=str(_without_values(error) if isinstance(error, DataError) else error),
            tables={name: without_rows(frame) for name, frame in refused.tables.items()},
        )

    def keep_declared(self, series: Sequence[Series]) -> None:
        """Put whole declarations into the vaults of their seals."""
        for place, seal in enumerate(self.seals):
            mine = [one for one in series if sealed_from(self.seals, one.id) is seal]
            if mine:
                frame = pl.DataFrame({"id": [one.id for one in mine], "spec": list(map(series_to_text, mine))})
                fact = declared_fact(frame["spec"], veiled(self._signing(seal)))
                key = self._key(place, (DECLARED, *frame["spec"]))
                self._keep(place, DECLARED, partial(parquet_of, frame), key, {DECLARED: fact})

    def sealed(
        self,
        received: Callable[[int], Received],
        counts: Mapping[int, int],
        words: Sequence[str],
        known: Mapping[int, int] | None = None,
    ) -> Sealed:
        """The sealed part of a batch.

        Args:
            received: what goes into the vault of a seal.
            counts: sealed rows by place of the seal.
            words: what makes the batch the one it is.
            known: as `Sealed.known`.
        """
        if not self.keeps:
            return Sealed(0, hashlib.sha256("\n".join(words).encode()).hexdigest(), lambda: None, known or {})

        key = self._key(min(counts), words)

        def keep() -> None:
            for place, rows in counts.items():
                packed = partial(lambda at: received(at).packed(), place)
                self._keep(place, BATCH, packed, key, {"rows": rows})

        return Sealed(sum(counts.values()), key, keep, known or {})

    def _keep(
        self, place: int, kind: str, content: Callable[[], bytes], key: str, facts: Mapping[str, int | str]
    ) -> None:
        """Put something into a vault and enter the new list of its files, unless it is there."""
        seal = self.seals[place]
        vault = Vault.open(self.home, seal.id, signing=self._signing(seal))
        if key not in _keys(vault, kind):
            manifest = vault.add(kind, content(), {**facts, "key": key})
            enter(self.home, "batch", {"seal": seal.id, "manifest": manifest, "rows": facts.get("rows", 0)})

    def _tell(self, place: int, told: str) -> None:
        """Put into the vault why something was refused, once; without the key the refusal stands all the same."""
        if self.keeps:
            with suppress(SealedError):
                self._keep(place, REFUSED, told.encode, self._key(place, (REFUSED, told)), {})

    def shown(self, sha256: str) -> list[str]:
        """What stands in the clear for a content: its hash, and what took its place when it was sealed."""
        keys = (self.hashed(place, (CONTENT, sha256)) for place in range(len(self.seals)))
        return [sha256, *(key for key in keys if key)]

    def _originals(self, seal: Seal) -> set[str]:
        """What stands for the files with names in them that a seal's datasets were read from."""
        found = self.archive.originals().items()
        return {one for source, hashes in found if source.partition(": ")[0] in seal.datasets for one in hashes}

    def _key(self, place: int, words: Sequence[str]) -> str:
        return keyed_hash(self._signing(self.seals[place]), words)

    def hashed(self, place: int, words: Sequence[str]) -> str:
        """A keyed hash that may stand in the clear; "" without the key."""
        signing = get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}")
        return "" if signing is None else keyed_hash(signing, words)

    def _signing(self, seal: Seal) -> str:
        return needed_key(key_folder(self.home), f"{seal.id}.{SIGNING}")


def _without_values(error: DataError) -> DataError:
    """An error with counts in the place of values."""
    if HIDDEN in error.rule:
        return error
    rule = "; ".join(part for part in (error.rule, HIDDEN) if part)
    return DataError(error.what, value=error.counts, rule=rule, fix=error.fix)


def _keys(vault: Vault, kind: str) -> set[str]:
    return {str(one.facts.get("key", "")) for one in vault.files(kind)} - {""}

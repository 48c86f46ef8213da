"""What everyone may know of the sealed holdouts of a home: from when, what, in which grade; nothing that is sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from harness.core.errors import DamagedError, SealedError
from harness.record.files import KEEP, json_bytes, read_json, seal_holds, sealed
from harness.record.home import Home
from harness.record.shape import INSTANT, Shape, misshapen

SEAL_FILE = "seal.json"
LEAVING = "leaving.json"
"""Lists, in a vault, what still has to leave the home; gone when a sealing is finished."""
HONOUR, CUSTODIAN = "honour", "custodian"
SHAPE: Shape = {
    **dict.fromkeys(("id", "grade", "recipient", "signer", "created_at", "follows"), str),
    **{name: [str] for name in ("series", "datasets", "sources", "universes", "experiments", "raw", "runs")},
    "targets": {str: str},
    "custodian": {str: str},
    "cut": INSTANT,
    "public": bool,
    "known_through": {str: INSTANT},
    "effort": [{str: object}],
    "counts": {str: int},
}
"""What `seal.json` holds."""
SETTLED = (
    "id", "cut", "series", "datasets", "sources", "universes", "targets", "experiments", "grade", "public", "recipient",
    "signer", "custodian", "known_through", "follows",
)  # fmt: skip
"""What of a seal is settled before its vault is first signed, and never changes."""


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal: everything of its series that was published at or after its cut lies encrypted in its vault.

    Attributes:
        id: of the seal; its vault is the folder of that name.
        cut: ISO instant UTC: what was published at or after it is sealed.
        series: stored ids that are sealed.
        datasets: their datasets; a series that is added to one of them later is sealed too.
        sources: sources of external forecasts that are sealed.
        universes: universes whose memberships are sealed.
        targets: source series of the experiments' targets -> fingerprint, by which effort and openings are counted.
        experiments: names of the experiments it was made for.
        grade: `honour` or `custodian`.
        public: the data can be had elsewhere, so that the seal prevents accidents only.
        recipient: the age public key everything is encrypted to.
        signer: the Ed25519 public key (hex) that signs the list of the vault's files.
        custodian: the custodian's age public key and Ed25519 public key (hex); {} for an honour seal.
        known_through: series -> ISO instant up to which it is known, sealed part included.
        raw: keyed hashes of the raw files that were moved into the vault.
        runs: ids of the runs that were moved into the vault.
        effort: what those runs and audits searched and looked at, as their records say it.
        counts: rows, files, runs and so on that were sealed, by kind.
        created_at: ISO instant UTC.
        follows: the seal whose newer part this one is, after that was rolled on; "".
    """

    id: str
    cut: str
    series: tuple[str, ...]
    datasets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    universes: tuple[str, ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    experiments: tuple[str, ...] = ()
    grade: str = HONOUR
    public: bool = False
    recipient: str = ""
    signer: str = ""
    custodian: Mapping[str, str] = field(default_factory=dict)
    known_through: Mapping[str, str] = field(default_factory=dict)
    raw: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    effort: tuple[Mapping[str, object], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    created_at: str = ""
    follows: str = ""

    @property
    def instant(self) -> datetime:
        """The cut as an aware instant."""
        return datetime.fromisoformat(self.cut).astimezone(UTC)

    @property
    def told(self) -> str:
        """The grade as every report prints it."""
        if self.public:
            return "public: honour seal" if self.grade == HONOUR else "public: custodian seal"
        return f"{self.grade} seal"

    @property
    def seen(self) -> str:
        """How many recorded runs knew what it covers, or some of it, before it was sealed; "" = none.

        >>> Seal("s1", "2019-01-01T00:00:00+00:00", (), runs=("r1", "r2")).seen
        '2 recorded runs had seen it before it was sealed'
        """
        number = len(self.runs)
        knew = "may have seen" if self.follows else "had seen"  # the runs are those of the seal that was rolled on
        return f"{number} recorded run{'s' * (number > 1)} {knew} it before it was sealed" if number else ""

    def covers(self, series_id: str) -> bool:
        """Whether a series is sealed: it is named, or belongs to a dataset that is."""
        dataset, slash, _ = series_id.rpartition("/")
        return series_id in self.series or (bool(slash) and dataset in self.datasets)

    @property
    def description(self) -> str:
        """Hash of what is settled: signed with the vault's list and entered in the ledger, so no edit lifts a seal."""
        return hashlib.sha256(json_bytes({name: getattr(self, name) for name in SETTLED})).hexdigest()

    def record(self) -> dict[str, object]:
        """JSON form, with a digest of its own."""
        return sealed(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """A seal as it was written.

        Raises:
            DamagedError: the file is missing, or is not what was written.
        """
        record = read_json(path, fix=KEEP)
        wrong = "its digest does not hold" if seal_holds(record) is not True else misshapen(record, SHAPE)
        if wrong:
            raise DamagedError(
                "the description of a seal is damaged",
                value=path,
                rule=wrong if " " in wrong else f"{wrong} is not what a seal says there",
                fix="bring the vault's folder back from a copy",
            )
        known = {one.name for one in fields(cls)}
        lists = {name: tuple(value) for name, value in record.items() if name in known and isinstance(value, list)}
        return cls(**{**{name: value for name, value in record.items() if name in known}, **lists})  # type: ignore[arg-type]


def seals_of(home: Home) -> tuple[Seal, ...]:
    """The seals in force in a home, oldest first; what is left of the vault of one that was rolled on is none.

    Raises:
        DamagedError: the description of one is damaged or gone.
    """
    every = sorted(home.vault.iterdir()) if home.vault.is_dir() else []
    folders = [one for one in every if one.is_dir() and not one.name.startswith(".")]
    found = [Seal.read(one / SEAL_FILE) for one in folders if (one / SEAL_FILE).exists()]
    over = {one.follows for one in found}
    for folder in folders:
        if not (folder / SEAL_FILE).exists() and folder.name not in over:
            raise DamagedError(
                "the description of a seal is gone",
                value=folder / SEAL_FILE,
                rule="every folder in the vault is a seal's, and tells what it covers",
                fix="bring the folder back from a copy; remove it where the ledger says that this seal was rolled on",
            )
    return tuple(sorted(found, key=lambda one: (one.created_at, one.id)))


def unfinished(home: Home) -> str:
    """Id of a seal whose sealing was interrupted while some of what is sealed still stands in the clear; "" = none."""
    return next((path.parent.name for path in sorted(home.vault.glob(f"[!.]*/{LEAVING}"))), "")


def refuse_unfinished(home: Home) -> None:
    """Refuse to do anything else before a sealing that was interrupted is finished.

    Raises:
        SealedError: there is one.
    """
    found = unfinished(home)
    if found:
        rolls = bool(Seal.read(home.vault / found / SEAL_FILE).follows)
        raise SealedError(
            "a roll was interrupted" if rolls else "a sealing was interrupted",
            value=found,
            rule="until it is finished, some of what is sealed still stands in the clear",
            fix=f"run the same harness holdout {'roll' if rolls else 'seal'} command again",
        )


def sealed_from(seals: Iterable[Seal], series_id: str) -> Seal | None:
    """The seal that covers a series; None = it is not sealed."""
    return next((one for one in seals if one.covers(series_id)), None)

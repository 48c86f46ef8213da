"""What the entries of a ledger tell of seals: which concern a target, and how often each was opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.record.chain import Entry


@dataclass(frozen=True, slots=True, order=True)
class OpeningCount:
    """How often the holdout of a target was opened.

    Attributes:
        confirmatory: openings by the plan that came first, before anything was seen.
        exploratory: those that came again.
    """

    confirmatory: int = 0
    exploratory: int = 0

    @property
    def total(self) -> int:
        """All openings."""
        return self.confirmatory + self.exploratory


def seals_in(found: Iterable[Entry], sources: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the entered seals that concern a target, oldest first.

    They cover one of its source series, or were sealed or opened for a target that shares a fingerprint.

    Args:
        found: entries of the ledger.
        sources: source series of the target -> fingerprint.
    """
    wanted, named = set(sources.values()), dict[str, None]()
    for one in found:
        if one.kind == "seal":
            if wanted & _marks(one, "targets") or _covered(one, sources):
                named[str(one.facts.get("seal"))] = None
        elif one.kind == "opening" and wanted & _marks(one, "fingerprints"):
            named |= dict.fromkeys(named_seals(one))
    return tuple(named)


def _marks(entry: Entry, fact: str) -> set[str]:
    """The fingerprints that an entry gives by series."""
    told = entry.facts.get(fact)
    return {str(one) for one in told.values()} if isinstance(told, dict) else set()


def _covered(entry: Entry, names: Iterable[str]) -> bool:
    """Whether a seal covers any of some series: it names it, or another one of its dataset."""
    told = entry.facts.get("series")
    series = [str(one) for one in told] if isinstance(told, list) else []
    datasets = {one.rpartition("/")[0] for one in series} - {""}
    return any(one in series or one.rpartition("/")[0] in datasets for one in names)


def openings_of(found: Iterable[Entry], seals: Iterable[str]) -> OpeningCount:
    """How often any of some seals was opened; an opening that was resumed is one."""
    wanted = set(seals)
    mine = [one for one in found if one.kind == "opening" and wanted & set(named_seals(one))]
    later = sum(bool(one.facts.get("exploratory")) for one in mine)
    return OpeningCount(len(mine) - later, later)


def stretches_of(
    found: Sequence[Entry], seals: Iterable[str]
) -> tuple[OpeningCount, tuple[tuple[str, OpeningCount], ...]]:
    """Openings of what some seals keep now, and of every earlier stretch of theirs that was rolled on.

    Args:
        found: entries of the ledger.
        seals: ids; those that were rolled on are earlier stretches, and so are the seals that these ones follow.

    Returns:
        Openings of the seals in force; (ISO instant UTC of its end, openings) of every earlier stretch, oldest first.
    """
    rolls = {str(one.facts.get("new")): one.facts for one in found if one.kind == "roll"}
    ends = {str(facts.get("seal")): str(facts.get("to")) for facts in rolls.values()}
    named = dict.fromkeys(seals)
    for name in tuple(named):
        before = name
        while before in rolls and str(rolls[before].get("seal")) not in named:
            before = str(rolls[before].get("seal"))
            named[before] = None
    earlier = sorted((ends[name], openings_of(found, [name])) for name in named if name in ends)
    return openings_of(found, [name for name in named if name not in ends]), tuple(earlier)


def named_seals(entry: Entry) -> Sequence[str]:
    """The seals that a plan or an opening names."""
    seals = entry.facts.get("seals")
    return [str(one) for one in seals] if isinstance(seals, list) else []


def promised_manifest(found: Iterable[Entry], seal: str) -> str:
    """The hash of the list of a vault's files as it was last entered; "" = never."""
    told = [one for one in found if one.kind in ("seal", "batch") and one.facts.get("seal") == seal]
    return str(told[-1].facts.get("manifest", "")) if told else ""


def begun_sealings(found: Iterable[Entry]) -> tuple[str, ...]:
    """Ids of the sealings that were begun and are neither finished nor abandoned, oldest first."""
    begun = dict[str, None]()
    for one in found:
        name = str(one.facts.get("seal"))
        if one.kind == "sealing":
            begun[name] = None
        elif one.kind in ("seal", "abandoned"):
            begun.pop(name, None)
        elif one.kind == "roll":
            begun.pop(str(one.facts.get("new")), None)
    return tuple(begun)

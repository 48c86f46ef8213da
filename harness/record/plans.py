"""Plans of openings: what is to be claimed of a sealed holdout, frozen before anyone has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Self

from harness.core.errors import DamagedError, SealedError
from harness.core.identity import digest
from harness.record.files import KEEP, SEAL, json_bytes, parsed_json, read_json, seal_holds, sealed, write_file
from harness.record.home import Home
from harness.record.shape import INSTANT, Shape, misshapen

ID_LENGTH = 16
NUMBER = (int, float)
SHAPE: Shape = {
    **dict.fromkeys(("id", "name", "file", "folder", "created_at"), str),
    **{name: {str: object} for name in ("experiment", "archive", "code", "platform")},
    "claim": {"model": str, "metric": str, "horizon": int, "level": NUMBER, "candidates": [str],
              "if_confirmed": str, "if_not": str, "if_undecided": str},
    "kpi": ({str: object}, type(None)),
    "seals": [{"seal": str, "cut": INSTANT, "manifest": str, "grade": str, "told": str, "seen": str}],
    "run": {"id": str, "cells": {str: [str]}, "checksums": {str: [str]}},
    "effort": {"searched": int, "looked": int},
    "fingerprints": {str: str},
    "origins": {"number": int, "first": INSTANT, "last": INSTANT, "development": int},
    "expected": [{**dict.fromkeys(("horizon", "matured", "needed", "bandwidth"), int), "rival": str,
                  **dict.fromkeys(("value", "rival_value"), NUMBER),
                  **dict.fromkeys(("effective", "smallest", "per_cent"), (*NUMBER, type(None)))}],
    "warnings": [str],
    "exploratory": bool,
}  # fmt: skip
"""What `plans/ID.json` holds."""
Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the holdout can show at one horizon, before it is opened.

    Attributes:
        horizon: target periods ahead.
        matured: origins whose outcome is expected to have matured within the sealed data.
        needed: origins below which no verdict is given.
        bandwidth: L of SEMANTICS 27, in development.
        effective: how many independent origins the matured ones are worth; None = nothing seen to judge by.
        rival: the best rival of development.
        value, rival_value: the primary metric of the claimed model and of that rival in development.
        smallest: smallest difference of the metric that is found with 80 % power at the claim's level; None = none is.
        per_cent: the same in per cent of the rival's value.
    """

    horizon: int
    matured: int
    needed: int
    bandwidth: int
    effective: float | None
    rival: str
    value: float
    rival_value: float
    smallest: float | None
    per_cent: float | None

    @property
    def seen(self) -> float:
        """How much better the model was in development, in units of the metric."""
        return self.rival_value - self.value


@dataclass(frozen=True, slots=True)
class HoldoutPlan:
    """Everything an opening is held to.

    Attributes:
        id: digest of all the rest but `created_at`.
        name: of the experiment.
        file: of the experiment, "" = it was built in Python.
        folder: of its user modules and datasets.
        experiment: canonical form of the resolved experiment, with its rivals.
        claim: canonical form of the claim with every default filled in: model, horizon and metric are named.
        kpi: canonical form of the cost of an error, or None.
        seals: of its inputs: `seal`, `cut`, `manifest` (hash of the list of the vault's files), `grade`, `told`,
            `seen` (how many recorded runs knew it before it was sealed; "" = none).
        archive: `state` and `change_file` of the archive in the clear.
        code: `hash`, `version`, `lock`.
        platform: numeric platform.
        run: of development: `id`, `cells` and `checksums` of the models that are walked through the holdout.
        effort: `searched` and `looked` so far.
        fingerprints: source series of the target -> fingerprint.
        origins: of the holdout: `number`, `first`, `last`, `development` (scored before).
        expected: what can be shown, by horizon.
        warnings: why the claim may not be decided.
        exploratory: whether the holdout had been opened before the plan was made.
        created_at: ISO instant UTC.
    """

    id: str
    name: str
    file: str
    folder: str
    experiment: Facts
    claim: Facts
    kpi: Facts | None
    seals: tuple[Facts, ...]
    archive: Facts
    code: Facts
    platform: Facts
    run: Facts
    effort: Facts
    fingerprints: Facts
    origins: Facts
    expected: tuple[Expected, ...] = ()
    warnings: tuple[str, ...] = ()
    exploratory: bool = False
    created_at: str = field(default="", compare=False)

    @property
    def seal_ids(self) -> tuple[str, ...]:
        """Ids of the seals of its inputs."""
        return tuple(str(one["seal"]) for one in self.seals)

    @property
    def cut(self) -> datetime:
        """From when on everything is sealed."""
        return datetime.fromisoformat(str(self.seals[0]["cut"])).astimezone(UTC)

    @property
    def told(self) -> str:
        """The claim in one sentence."""
        claim = self.claim
        return (
            f"{claim['model']} beats every naive rival on {claim['metric']} at h = {claim['horizon']} "
            f"(Diebold-Mariano, one-sided, {per_cent(float(str(claim['level'])))})"
        )

    @classmethod
    def made(cls, **facts: object) -> Self:
        """A plan with its id, as of now."""
        bare = cls(id="", **facts)  # type: ignore[arg-type]
        return cls(id=_identity(bare.content()), created_at=datetime.now(UTC).isoformat(timespec="seconds"), **facts)  # type: ignore[arg-type]

    def content(self) -> dict[str, object]:
        """JSON form of what the id follows from."""
        kept = asdict(self)
        del kept["id"], kept["created_at"]
        return parsed_json(json_bytes(kept), "plan")


def per_cent(share: float) -> str:
    """A share in per cent, with every digit it was given with.

    >>> per_cent(0.05), per_cent(0.025), per_cent(0.005)
    ('5 %', '2.5 %', '0.5 %')
    """
    return f"{100 * share:.12g} %"


def write_plan(home: Home, plan: HoldoutPlan) -> str:
    """Write a plan under its id. Returns the digest that its record carries."""
    record = sealed({**plan.content(), "id": plan.id, "created_at": plan.created_at})
    write_file(home.plans / f"{plan.id}.json", json_bytes(record))
    return str(record[SEAL])


def plan_digest(home: Home, plan: HoldoutPlan) -> str:
    """The digest that the record of a plan carries."""
    return str(read_json(home.plans / f"{plan.id}.json").get(SEAL))


def read_plan(home: Home, plan_id: str) -> HoldoutPlan:
    """A plan as it was written.

    Args:
        home: the home folder.
        plan_id: the id, or its unambiguous beginning.

    Raises:
        SealedError: there is none, or it is not what was written.
    """
    names = sorted(path.stem for path in home.plans.glob("*.json")) if home.plans.is_dir() else []
    hits = [name for name in names if plan_id and name.startswith(plan_id)]
    if len(hits) != 1:
        raise SealedError(
            "no such plan" if not hits else "several plans begin so",
            value=plan_id,
            rule="a holdout opens by a plan that was written beforehand",
            fix="make one: harness holdout plan EXPERIMENT" if not names else f"one of {', '.join(names)}",
        )
    try:
        record = read_json(home.plans / f"{hits[0]}.json", fix=KEEP)
        whole = seal_holds(record) is True and not misshapen(record, SHAPE) and bool(record["seals"])
        if not whole:
            raise _changed(hits[0])
        known = {one.name for one in fields(HoldoutPlan)}
        given = {name: value for name, value in record.items() if name in known}
        given["expected"] = tuple(Expected(**one) for one in _listed(given.get("expected")))  # type: ignore[arg-type]
        given |= {name: tuple(_listed(given.get(name))) for name in ("seals", "warnings")}
        plan = HoldoutPlan(**given)  # type: ignore[arg-type]
    except (DamagedError, TypeError) as error:
        raise _changed(hits[0]) from error
    if plan.id != hits[0] or _identity(plan.content()) != plan.id:
        raise _changed(hits[0])
    return plan


def list_plans(home: Home) -> tuple[HoldoutPlan, ...]:
    """Every plan that is what was written, oldest first."""
    found = []
    for path in home.plans.glob("*.json") if home.plans.is_dir() else ():
        try:
            found.append(read_plan(home, path.stem))
        except SealedError:
            continue
    return tuple(sorted(found, key=lambda one: (one.created_at, one.id)))


def _identity(content: Mapping[str, object]) -> str:
    return digest("plan", content)[:ID_LENGTH]


def _listed(value: object) -> list[dict[str, object]]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _changed(name: str) -> SealedError:
    return SealedError(
        "the plan is not what was written",
        value=f"plans/{name}.json",
        rule="its id follows from all it says, and its digest does not hold",
        fix="bring it back from a copy, or make a new plan",
    )

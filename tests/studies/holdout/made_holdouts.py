"""A small archive in which a model is clearly better than every rival, a run of it, and its holdout under seal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl

from harness.backtest.effort import fingerprints
from harness.backtest.planning import resolved
from harness.backtest.runner import execute, with_rivals
from harness.core.claim import Claim
from harness.core.recipe import Experiment, Origins, Recipe, Schedule, Target, Training
from harness.core.series import LagRule, Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.archive.sealing import seal_archive
from harness.data.changes import ChangeFile
from harness.data.vault.files import Vault
from harness.data.vault.keys import key_folder, new_identity, new_signing, put_key, recipient_of, signer_of, veiled
from harness.experiment.models import completed
from harness.record.home import Home
from harness.record.ledger import enter, entries
from harness.record.plans import HoldoutPlan
from harness.record.runs import find_run
from harness.record.seals import Seal
from harness.studies.holdout.open import open_holdout
from harness.studies.holdout.plan import make_plan
from tests.backtest.made_runs import Ran

QUARTERS, CUT = 57, 40
MODEL = Recipe("ar", "autoregression", (("max_lags", 1),))
CLAIM = Claim(model="ar", horizon=0, if_confirmed="use it", if_not="leave it")
SEAL_ID = "made-seal"


def quarter(number: int) -> date:
    """The last day of the number-th quarter since the start of 2005."""
    year, last = 2005 + number // 4, number % 4 * 3 + 4
    return date(year + last // 13, (last - 1) % 12 + 1, 1) - timedelta(days=1)


def instant(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


CUT_AT = instant(quarter(CUT) + timedelta(days=1))
END = instant(quarter(QUARTERS - 1) + timedelta(days=41))


def values(seed: int = 3, *, quarters: int = QUARTERS) -> pl.DataFrame:
    """Levels whose growth swings back and forth, 40 days late, the quarter before revised each time."""
    rows = []
    for name in ("cpi", "gdp"):
        random, noise = Random(f"{seed} {name}"), Random(f"{seed} {name} revised")
        level, growth, levels = 100.0, 0.0, []
        for _ in range(quarters):
            growth = -0.9 * growth + random.gauss(0, 0.5)
            level *= 1 + (0.5 + growth) / 100
            levels.append(level)
        for number in range(quarters):
            at = instant(quarter(number) + timedelta(days=40))
            rows.append((name, quarter(number), at, round(levels[number], 4)))
            if number:
                rows.append((name, quarter(number - 1), at, round(levels[number - 1] * (1 + noise.gauss(0, 1e-5)), 4)))
    schema = {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"),
              "value": pl.Float64()}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def experiment(**more: object) -> Experiment:
    """Quarterly growth, forecast on its last day."""
    asked = Experiment(
        "made",
        Target(("cpi",), Transform("log_growth", 1), season=4),
        Origins(Schedule("quarter_end"), quarter(32), zone="Europe/London"),
        (0, 1),
        training=Training(minimum=8, refit_every=6),
        models=(MODEL, Recipe("ets", "ets")),
        claim=CLAIM,
    )
    return completed(replace(asked, **more))  # type: ignore[arg-type]


def filled(home: Home, frame: pl.DataFrame | None = None, lag: LagRule | None = None) -> Archive:
    """An archive that was never sealed."""
    home.root.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(home.archive)
    for name in ("cpi", "gdp", "other"):
        archive.define(Series(name, "Q", zone="Europe/London", lag=lag))
    archive.append(values() if frame is None else frame, source="made", known_through=END)
    return archive


@dataclass(frozen=True)
class Made:
    """A home, and the folder of its keys."""

    home: Home
    keys: Path

    @property
    def changes(self) -> Path:
        return Archive.open(self.home.archive, read_only=True).export(self.home.changes)

    def run(self, asked: Experiment | None = None) -> str:
        return execute(asked or experiment(), self.changes, self.home, workers=1)


def sealed(
    folder: Path,
    *,
    series: tuple[str, ...] = ("cpi", "gdp"),
    seal: Mapping[str, object] | None = None,
    lag: LagRule | None = None,
) -> Made:
    """A home whose archive was sealed by the parts that sealing is made of."""
    made = Made(Home(folder / "home"), folder / "keys")
    archive = filled(made.home, lag=lag)
    changes = archive.changes()
    identity, signing = new_identity(), new_signing()
    place = key_folder(made.home, made.keys)
    put_key(place, f"{SEAL_ID}.identity", identity)
    put_key(place, f"{SEAL_ID}.signing", signing)
    facts = Seal(
        id=SEAL_ID,
        cut=CUT_AT.isoformat(),
        series=series,
        targets=fingerprints(changes, with_rivals(experiment())),
        experiments=("made",),
        recipient=recipient_of(identity),
        signer=signer_of(signing),
        known_through=dict.fromkeys(series, END.isoformat()),
        created_at="2021-01-01T00:00:00+00:00",
    )
    facts = replace(facts, **(seal or {}))  # type: ignore[arg-type]
    enter(made.home, "sealing", {"seal": facts.id, "cut": facts.cut})
    vault = Vault.create(made.home, facts, signing=signing)

    def ready(counts: Mapping[str, int]) -> None:
        vault.sign()
        vault.finish(made.home, replace(facts, counts=counts))

    seal_archive(archive, facts, vault.put, ready, veiled(signing))
    told = {
        name: getattr(facts, name)
        for name in ("cut", "targets", "grade", "public", "recipient", "signer", "description")
    }
    enter(made.home, "seal", {"seal": facts.id, "manifest": vault.manifest_hash, "series": list(series), **told})
    return made


def never_sealed(folder: Path) -> ChangeFile:
    """The change file of the same archive without any seal."""
    return filled(Home(folder)).changes()


def planned(made: Made, asked: Experiment | None = None) -> HoldoutPlan:
    """The plan of an experiment; its development run must be there."""
    return make_plan(asked or experiment(), made.changes, made.home)


def opened(made: Made, plan: HoldoutPlan, asked: Experiment | None = None, **more: object) -> Ran:
    """Open a holdout and read back what came of it."""
    changes = ChangeFile.open(made.changes)
    now = resolved(with_rivals(asked or experiment()), changes)
    name = open_holdout(made.home, plan, now, **{"keys": made.keys, **more})  # type: ignore[arg-type]
    return Ran(find_run(made.home, name))


def kinds(home: Home) -> list[str]:
    """What the ledger tells of, in order."""
    return [one.kind for one in entries(home)]

"""Where a number came from: back from a run, or from one forecast, to the raw files; nothing is run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from harness.backtest.design import build_design, columns_of
from harness.backtest.keys import blocks_of, recipe_identity
from harness.backtest.splits import Plan, target_inputs, training_set
from harness.core.errors import MissingTableError, UnknownNameError, UserError
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Recipe
from harness.core.time import NEVER, instant, micros, period_end
from harness.data.archive import Archive
from harness.data.replay import Replay
from harness.forecast.catalog import entry_for
from harness.forecast.features import declared_inputs, feature_names
from harness.record.cells import read_cell
from harness.record.home import Home
from harness.record.platform import code_hash
from harness.record.runs import read_table
from harness.studies.asked import AskedForecast, named, recipe_of, unsealed_origin
from harness.studies.batches import batches_table, cleaned_of, issue_batches, known_batches, of_values, values_table
from harness.studies.chosen import choice, searches
from harness.studies.derived import Derived
from harness.studies.made_of import Published, feature_sources, history_sources, outcome_sources
from harness.studies.plain_cells import plain_series
from harness.studies.plain_rows import plain_rows
from harness.studies.recorded import Recorded, part

OTHER_CODE = "derived with other code than the run was made with: training rows and feature values may not be its own"
ADJUSTED = "levels of series with price events enter as adjusted by the events announced by the origin; shown as stated"
NO_ARCHIVE = "the archive has moved on or is not here: which batch stated a value is not told"


@dataclass(frozen=True, slots=True, eq=False)
class Lineage:
    """What something was made of.

    Attributes:
        run_id: the run.
        facts: by section (forecast, outcome, cell, search, fit, archive, code), in the order of going back.
        tables: `models` and `searches` of a run; `features`, `values`, `issue` of a forecast; `batches`, and what
            cleaning recorded.
        notes: what could not be told, or only with a reservation.
        zone: the target's time zone, in which origins are shown.
    """

    run_id: str
    facts: Mapping[str, Mapping[str, object]]
    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...] = ()
    zone: str = "UTC"

    def table(self, name: str) -> pl.DataFrame:
        """One table by name.

        Raises:
            UserError: there is no such table.
        """
        if name not in self.tables:
            raise UnknownNameError("table of this lineage", name, self.tables)
        return self.tables[name]


def run_lineage(run: Recorded, home: Home, archive: Archive | None = None) -> Lineage:
    """From a run to its cells and fits, its change file, the batches behind it, and their raw files."""
    cells = run.part("cells")
    rows = []
    for recipe in run.experiment.models:
        keys = cells.get(recipe.name)
        found = [read_cell(home.cells, key) for key in keys] if isinstance(keys, list) else []
        fits = sorted({str(cell.facts["fit_key"]) for cell in found if cell is not None and cell.facts.get("fit_key")})
        stored = sum((home.fits / key).is_dir() for key in fits)
        rows.append((recipe.name, recipe.kind, len(found), sum(cell is not None for cell in found), len(fits), stored))
    names = ["model", "kind", "cells", "cells_kept", "fits", "fits_kept"]
    batches = batches_table(run, home, None)
    models = pl.DataFrame(rows, schema=names, orient="row")
    tables = {"models": models, "searches": searches(run, home), "batches": batches}
    notes = [] if batches.height else ["the run recorded no batches: it was made from a change file alone"]
    zone = run.experiment.origins.zone
    return Lineage(run.files.run_id, _ends(run), tables | cleaned_of(home, archive, batches), tuple(notes), zone)


def forecast_lineage(run: Recorded, home: Home, asked: AskedForecast, archive: Archive | None = None) -> Lineage:
    """From one forecast to its cell and fit, the published values it was made of, their batches and raw files.

    Feature values and training rows are looked up in the frozen rows of the run's plan, built anew; no model runs.

    Raises:
        UnknownNameError: the run has no such series, origin, horizon or model.
        UserError: a name that fits several.
        SealedError: the origin lies past a seal; the home's ledger tells of it.
    """
    derived = Derived(run)
    plan = derived.plan
    series = named("series of this run", asked.series, plan.experiment.target.series)
    moment = unsealed_origin(plan, home, asked, plan.instants[plan.first_issued :])
    if asked.horizon not in plan.experiment.horizons:
        raise UnknownNameError("horizon", str(asked.horizon), [str(step) for step in plan.experiment.horizons])
    recipe = recipe_of(run, plan, asked)
    row = (pl.col("model") == recipe.name) & (pl.col("series_id") == series) & (pl.col("origin") == moment)
    row &= (pl.col("horizon") == asked.horizon) & pl.col("quantile").is_null()
    forecasts, errors = _rows(run, derived, series)
    mine = forecasts.filter(row)
    if not mine.height:
        raise UserError("this was not asked of the model", value=f"{recipe.name}, {series}, {moment.isoformat()}")
    place = (
        plan.instants.index(moment),
        plan.experiment.target.series.index(series),
        plan.experiment.horizons.index(asked.horizon),
    )
    outcome = errors.filter(row).row(0, named=True)
    trace = _Trace(run, home, plan, recipe, place)
    facts: dict[str, Mapping[str, object]] = {
        "forecast": mine.select(pl.exclude("run_id", "quantile")).row(0, named=True),
        "outcome": {name: outcome[name] for name in OUTCOME},
        "cell": trace.cell(),
        "search": trace.chosen.facts,
        "fit": trace.fit(),
    }
    values = list(trace.values(outcome["outcome_published_at"]))
    issue = trace.issue()
    known = known_batches(home, archive, values)
    tables = {"features": trace.features(), "values": values_table(values, known), "issue": issue}
    used = {number for number in known.values() if number} | issue_batches(home, archive, issue)
    batches = batches_table(run, home, used or None)
    notes = trace.notes() + ([] if known or not values else [NO_ARCHIVE])
    answered = mine["answered_by"][0]
    if answered not in (None, recipe.name):
        notes.append(f"{answered} answered in place of {recipe.name}: ask for --model {answered} to follow its number")
    facts = {name: told for name, told in facts.items() if told} | _ends(run)
    cleaned = of_values(cleaned_of(home, archive, batches), tables["values"], issue)
    zone = plan.experiment.origins.zone
    return Lineage(run.files.run_id, facts, tables | {"batches": batches} | cleaned, tuple(notes), zone)


OUTCOME = (
    "outcome", "outcome_status", "outcome_release", "outcome_published_at", "hindsight", "immature", "error",
)  # fmt: skip


def _rows(run: Recorded, derived: Derived, series: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Forecasts and errors of one series: as stored, or made from the cells."""
    try:
        return read_table(run.files, "forecasts"), read_table(run.files, "errors")
    except MissingTableError:
        parts = list(derived.tidy([series]))
        return pl.concat([one for one, _ in parts]), pl.concat([other for _, other in parts])


class _Trace:
    """One asked row on its way back; of a tuned model, by the recipe that its search chose."""

    def __init__(self, run: Recorded, home: Home, plan: Plan, recipe: Recipe, place: tuple[int, int, int]) -> None:
        self.run, self.home, self.plan, self.place = run, home, plan, place
        self.identity = recipe_identity(recipe, plan.experiment)
        self.data = plain_series(run.changes, _inputs(plan, place[1]))
        keys = run.part("cells").get(recipe.name)
        self.key = str(keys[place[0] - plan.first_issued]) if isinstance(keys, list) else ""
        self.stored = read_cell(home.cells, self.key) if self.key else None
        searched = plan.instants[plan.refit_origin(place[0], self.identity.retune or self.identity.cadence)]
        told = {} if self.stored is None else part(self.stored.facts, "tuned")
        self.declared, self.chosen = recipe, choice(run, home, recipe, searched, told)
        self.recipe = self.chosen.recipe

    def cell(self) -> dict[str, object]:
        sums = self.run.part("cell_checksums").get(self.recipe.name)
        promised = sums[self.place[0] - self.plan.first_issued] if isinstance(sums, list) else ""
        found = self.stored
        state = "gone" if found is None else "as recorded" if found.checksum == promised else "NOT the one recorded"
        return {"key": self.key, "checksum": promised, "stored": state, "recipe": self.identity.text}

    def fit(self) -> dict[str, object]:
        """The fit that answered: key, seed, refit origin, and its training rows."""
        if not entry_for(self.recipe.kind).fitted and self.declared.search is None:
            return {}
        plan, (origin, _, horizon) = self.plan, self.place
        refit = plan.refit_origin(origin, self.identity.cadence)
        told: dict[str, object] = {"refit_origin": plan.instants[refit], "kind": self.recipe.kind}
        if self.stored is not None:
            told |= {name: self.stored.facts[name] for name in ("fit_key", "seed") if name in self.stored.facts}
            if told.get("fit_key"):
                told["fit_kept"] = (self.home.fits / str(told["fit_key"])).is_dir()
        experiment = plan.experiment
        replay = Replay(
            self.run.changes,
            plan.inputs,
            latency=experiment.origins.latency,
            exclude_hindsight=experiment.exclude_hindsight,
        )
        replay.advance(plan.instants[refit])
        chosen = training_set(plan, refit, horizon, replay.snapshot(experiment.target))
        told["matured_rows"], told["target_periods"] = len(chosen.origins), chosen.periods
        if len(chosen.origins):
            told["first_pseudo_origin"] = plan.instants[int(chosen.origins.min())]
            told["last_pseudo_origin"] = plan.instants[int(chosen.origins.max())]
            told |= self._labels(chosen.series, chosen.requests)
        told["learns_from"] = "frozen feature rows" if self.recipe.features else "the history known at the refit origin"
        return told

    def _labels(self, series: np.ndarray, requests: np.ndarray) -> dict[str, object]:
        table = self.plan.outcomes
        releases, counts = np.unique(table.release[series, requests], return_counts=True)
        matured = table.matured_at[series, requests]
        matured = matured[matured != NEVER]
        told: dict[str, object] = {
            "label_releases": ", ".join(f"{n} of release {k}" for k, n in zip(releases, counts, strict=True)),
            "labels_by_hindsight": int(table.hindsight[series, requests].sum()),
        }
        if len(matured):
            told["last_label_published"] = instant(int(matured.max()))
        return told

    def features(self) -> pl.DataFrame:
        """Columns and values of the asked row as the model was given them, and by the plain definition again."""
        blocks = blocks_of(self.recipe, self.plan.experiment)
        names = feature_names(blocks)
        if not names:
            return pl.DataFrame(schema={"column": pl.String(), "value": pl.Float64(), "derived_again": pl.Float64()})
        origin, series, horizon = self.place
        design = build_design(self.plan, self.run.changes, last=origin)
        row = design[origin, series, horizon][columns_of(blocks, self.plan.experiment.features)]
        again = np.array(plain_rows(self.plan, self.data, origin, series)[horizon])
        plain = dict(zip(_plain_names(self.plan), again, strict=True))
        frame = pl.DataFrame({"column": names, "value": row, "derived_again": [plain[name] for name in names]})
        return frame.with_columns(pl.col("value", "derived_again").fill_nan(None))

    def values(self, released: datetime | None) -> Iterable[Published]:
        """Published values behind the features (or the history, where there are none) and behind the outcome."""
        if self.recipe.features:
            yield from feature_sources(self.plan, self.run.changes, self.data, self.place, self.recipe.features)
        elif not self.recipe.source:
            yield from history_sources(self.plan, self.run.changes, self.data, self.place)
        if released is not None:
            yield from outcome_sources(self.plan, self.run.changes, self.data, self.place, micros(released))

    def issue(self) -> pl.DataFrame:
        """The newest path an external had issued by the origin."""
        table, changes = self.run.changes.forecasts, self.run.changes
        name = self.plan.experiment.target.series[self.place[1]]
        mine = table.filter(
            (pl.col("source") == self.recipe.source)
            & (pl.col("code") == changes.codes[name])
            & (pl.col("issued") <= int(self.plan.known[self.place[0]]))
        )
        mine = mine.filter(pl.col("issued") == pl.col("issued").max()).sort("period", "quantile")
        parsed = changes.series[name].parsed
        return mine.select(
            "source",
            pl.lit(name).alias("series_id"),
            pl.col("issued").cast(UTC_INSTANT).alias("issued_at"),
            pl.col("cutoff").cast(UTC_INSTANT).alias("data_cutoff"),
            pl.Series("period", [period_end(parsed, int(one)) for one in mine["period"]], dtype=pl.Date),
            "quantile",
            "value",
        )

    def notes(self) -> list[str]:
        """Reservations about what was looked up."""
        said = []
        if self.run.part("code").get("hash") != code_hash():
            said.append(OTHER_CODE)
        codes = {self.run.changes.codes[name] for name in self.plan.inputs}
        if codes & set(self.run.changes.events.code.tolist()):
            said.append(ADJUSTED)
        return said


def _inputs(plan: Plan, place: int) -> list[str]:
    """What one series of the target, and its features, are made of."""
    experiment = plan.experiment
    alone = replace(experiment.target, series=(experiment.target.series[place],))
    return sorted(declared_inputs(experiment.features, alone) | target_inputs(alone))


def _plain_names(plan: Plan) -> list[str]:
    return [column for block in plan.experiment.features for column in block.columns()]


def _ends(run: Recorded) -> dict[str, Mapping[str, object]]:
    archive, code = run.part("archive"), run.part("code")
    return {
        "archive": {"change_file": archive.get("change_file"), "state": archive.get("state")},
        "code": {"version": code.get("version"), "hash": code.get("hash")},
    }

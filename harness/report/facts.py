"""What every face needs to know of a run, read once from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from harness.core.errors import FEW, listed
from harness.core.time import end_of_day, local_day

PSEUDO_REAL_TIME = (
    "PSEUDO REAL TIME: outcomes and inputs include final values put under an early date by a rule. What was really "
    "published on those days may have differed."
)
UNKNOWN_CUTOFF = "differences at short horizons measure information, not method; no verdict is given for these models"
ON_REVISED_DATA = (
    "estimated at each origin on that origin's revised data, not on frozen rows, and scored on the pinned release"
)
ON_LATEST_ROWS = (
    "feature rows rebuilt from the latest vintage at each refit: not what a model would have seen on the day"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The manifest of a finished run, by meaning.

    Attributes:
        run_id, name, question: as recorded.
        started_at, finished_at: ISO instants.
        target: series and transform in words.
        zone: time zone of the target.
        outcome_rule: which release is the truth.
        primary: headline metric.
        kpi_unit: unit of the KPI, "" = none declared.
        kpi: the KPI in words.
        horizons: steps.
        rivals, models: names of the always-on rivals and of the other models.
        reference: rival that stands in for missing forecasts.
        pseudo_real_time: whether hindsight outcomes were scored.
        shares_public: horizon -> mean share of the target already public.
        outcomes: outcome status -> number of scored (series, origin, horizon).
        immature, hindsight_outcomes: how many of these are young, or dated before their vintage.
        unknown_cutoff: external models whose data cut-off is unknown.
        on_revised_data: models that learn from the snapshot instead of frozen feature rows.
        on_latest_rows: models whose training rows are rebuilt from the latest vintage at each refit.
        functional_notes: models that forecast something else than the headline metric rewards.
        notes: what datasets say about the external forecasts they hold.
        warnings: model -> (text -> cells).
        scale_notes: series -> why MASE and RMSSE have no scale.
        first_scored, last_scored: local days (or times) of the scored origins' ends.
        warm_up: origins issued and never scored.
        claimed: of an opening, the level at which its claimed model is judged, in words; "" = the run is none.
        datasets: name, title, origin, licence, attribution.
        code, packages, platform, archive: identity of the run.
        measured: seconds and memory.
    """

    run_id: str
    name: str
    question: str
    started_at: str
    finished_at: str
    target: str
    zone: str
    outcome_rule: str
    primary: str
    kpi_unit: str
    kpi: str
    horizons: tuple[int, ...]
    rivals: tuple[str, ...]
    models: tuple[str, ...]
    reference: str
    pseudo_real_time: bool
    shares_public: Mapping[int, float]
    outcomes: Mapping[str, int]
    immature: int
    hindsight_outcomes: int
    unknown_cutoff: tuple[str, ...]
    on_revised_data: tuple[str, ...]
    on_latest_rows: tuple[str, ...]
    functional_notes: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: Mapping[str, Mapping[str, int]]
    scale_notes: Mapping[str, str]
    first_scored: str
    last_scored: str
    warm_up: int
    claimed: str
    datasets: tuple[Mapping[str, object], ...]
    code: Mapping[str, object]
    packages: Mapping[str, object]
    platform: Mapping[str, object]
    archive: Mapping[str, object]
    measured: Mapping[str, object]


def facts_of(manifest: Mapping[str, object]) -> Facts:
    """Read the manifest of a finished run."""
    experiment, facts = _part(manifest, "experiment"), _part(manifest, "facts")
    models = [_mapping(model) for model in _items(experiment, "models")]
    target, kpi = _part(experiment, "target"), _part(experiment, "kpi")
    zone = str(_part(experiment, "origins").get("zone", "UTC"))
    datasets = tuple(_mapping(one) for one in _items(manifest, "datasets"))
    return Facts(
        run_id=str(manifest.get("run_id", "")),
        name=str(manifest.get("name", "")),
        question=str(experiment.get("question", "")),
        started_at=str(manifest.get("started_at", "")),
        finished_at=str(manifest.get("finished_at", "")),
        target=f"{listed(_items(target, 'series'), FEW)}, {transform_text(_part(target, 'transform'))}",
        zone=zone,
        outcome_rule=str(facts.get("outcome_rule", "")),
        primary=str(experiment.get("score_primary", "")),
        kpi_unit=str(kpi.get("unit", "")),
        kpi=_kpi_text(kpi),
        horizons=tuple(int(str(step)) for step in _items(experiment, "horizons")),
        rivals=tuple(str(model["name"]) for model in models if model.get("rival")),
        models=tuple(str(model["name"]) for model in models if not model.get("rival")),
        reference=str(facts.get("reference", "")),
        pseudo_real_time=bool(facts.get("pseudo_real_time")),
        shares_public={int(step): float(str(value)) for step, value in _part(facts, "share_already_public").items()},
        outcomes=_counts(facts, "outcomes"),
        immature=_count(facts, "immature"),
        hindsight_outcomes=_count(facts, "hindsight_outcomes"),
        unknown_cutoff=tuple(map(str, _items(facts, "unknown_cutoff"))),
        on_revised_data=tuple(map(str, _items(facts, "on_revised_data"))),
        on_latest_rows=tuple(map(str, _items(facts, "on_latest_rows"))),
        functional_notes=tuple(map(str, _items(facts, "functional_notes"))),
        notes=tuple(str(one["forecasts_note"]) for one in datasets if one.get("forecasts_note")),
        warnings={name: _counts(_part(facts, "warnings"), name) for name in _part(facts, "warnings")},
        scale_notes={name: str(text) for name, text in _part(facts, "scale_notes").items()},
        first_scored=_moment(facts.get("first_scored"), zone),
        last_scored=_moment(facts.get("last_scored"), zone),
        warm_up=_count(facts, "warm_up"),
        claimed=_claimed(_part(_part(manifest, "holdout"), "claim")),
        datasets=datasets,
        code=_part(manifest, "code"),
        packages=_part(manifest, "packages"),
        platform=_part(manifest, "platform"),
        archive=_part(manifest, "archive"),
        measured=_part(manifest, "measured"),
    )


def _claimed(claim: Mapping[str, object]) -> str:
    return f" (the claimed {claim['model']} at h = {claim['horizon']}: below {claim['level']})" if claim else ""


def transform_text(transform: Mapping[str, object]) -> str:
    """A recorded transform in words.

    >>> transform_text({"kind": "log_growth", "span": 4})
    'log_growth = 4'
    """
    kind, span = str(transform.get("kind", "level")), transform.get("span", 1)
    if kind in ("level", "spread"):
        return f"spread over {transform['other']}" if transform.get("other") else kind
    proxy = f", proxy {transform['proxy']}" if transform.get("proxy") else ""
    return f"{kind} = {span}{proxy}"


def moment_text(moment: datetime, zone: str) -> str:
    """An origin in its own zone: a day when it is the end of that day, else day and time.

    >>> moment_text(datetime.fromisoformat("2012-06-30T23:00+00:00"), "Europe/London")
    '2012-06-30'
    >>> moment_text(datetime.fromisoformat("2012-06-29T16:00+00:00"), "Europe/London")
    '2012-06-29 17:00'
    """
    today = local_day(moment, zone)
    if end_of_day(today, zone) == moment:
        return today.isoformat()
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M}"


def horizon_text(step: int) -> str:
    """A horizon in words.

    >>> horizon_text(0), horizon_text(-1), horizon_text(3)
    ('h = 0 (nowcast)', 'h = -1 (backcast)', 'h = 3')
    """
    return f"h = {step}" + {0: " (nowcast)", -1: " (backcast)"}.get(step, "")


def _kpi_text(kpi: Mapping[str, object]) -> str:
    if not kpi:
        return ""
    abstain = kpi.get("abstain")
    silent = "the reference forecast is priced instead" if abstain is None else f"{abstain} for a missing forecast"
    unit = kpi.get("unit")
    return f"{kpi.get('under')} {unit} per unit of outcome above the forecast, {kpi.get('over')} below; {silent}"


def _moment(value: object, zone: str) -> str:
    return moment_text(datetime.fromisoformat(value), zone) if isinstance(value, str) else "-"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _part(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    return _mapping(table.get(key))


def _items(table: Mapping[str, object], key: str) -> list[object]:
    value = table.get(key)
    return value if isinstance(value, list) else []


def _count(table: Mapping[str, object], key: str) -> int:
    value = table.get(key)
    return value if isinstance(value, int) else 0


def _counts(table: Mapping[str, object], key: str) -> dict[str, int]:
    return {name: value for name, value in _part(table, key).items() if isinstance(value, int)}

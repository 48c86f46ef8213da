"""Resolved, frozen descriptions of what is run: the experiment and its parts, ready to be hashed and executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Literal

from harness.core.claim import Claim
from harness.core.errors import UserError
from harness.core.search import FEATURES, Search
from harness.core.transform import Transform

Functional = Literal["mean", "median"]
Params = tuple[tuple[str, object], ...]
"""Model parameters as sorted (name, JSON value) pairs, so that a recipe is hashable and prints the same everywhere."""

Prices = Literal["price", "total"]
Vintage = Literal["frozen", "latest"]
VINTAGES: tuple[Vintage, ...] = ("frozen", "latest")
"""Which values training rows are made of: see `Experiment.vintage`."""

OutcomeKind = Literal["first", "release", "after", "latest"]
ScheduleKind = Literal["month_end", "business_month_end", "quarter_end", "sessions", "weekday", "nth_weekday", "dates"]


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """Which release is the truth, for labels and scores alike.

    Attributes:
        kind: `first`; `release` (the k-th publication covering the period); `after` (value in force N days after the
            period's end); `latest`.
        number: k for `release` (1 for `first`), N for `after`, 0 for `latest`.
    """

    kind: OutcomeKind = "first"
    number: int = 1

    def __str__(self) -> str:
        if self.kind == "release":
            return f"release {self.number}"
        return f"after {self.number} days" if self.kind == "after" else self.kind


def _are_texts(names: Sequence[object]) -> bool:
    """Whether all are texts, and none of them empty."""
    return all(issubclass(kind, str) for kind in set(map(type, names))) and all(names)


@dataclass(frozen=True, slots=True)
class Target:
    """What is forecast.

    Attributes:
        series: stored ids; more than one is a panel, forecast together in one cell. A single one may stand alone.
        transform: taken inside one vintage.
        outcome: which release is the truth.
        season: season length in target periods; 0 = by frequency (M 12, Q 4, W 52, A 1; B and D have none of their own,
            and 5 and 7 scale their MASE and RMSSE).
        prices: what levels of series with price events are adjusted by, as known at the snapshot's instant: `price`
            (splits) or `total` (splits and dividends); for labels and features alike.
        universe: name of the universe whose members are asked, origin by origin; "" = every series at every origin.
            An empty `series` then stands for every series that any membership names.
    """

    series: tuple[str, ...]
    transform: Transform = Transform()
    outcome: OutcomeRule = OutcomeRule()
    season: int = 0
    prices: Prices = "price"
    universe: str = ""

    def __post_init__(self) -> None:
        given: object = self.series
        names = (given,) if isinstance(given, str) else given
        if not isinstance(names, (tuple, list)) or not _are_texts(names):
            raise UserError(
                "the target's series are names",
                value=repr(given),
                rule='a tuple of ids, like ("cpi",) or ("cpi", "gdp")',
            )
        object.__setattr__(self, "series", tuple(names))


@dataclass(frozen=True, slots=True)
class Schedule:
    """When forecasts are issued.

    Attributes:
        kind: `month_end`, `business_month_end`, `quarter_end` (calendar quarters), `sessions` (every n-th session of
            the target's calendar, counted from the first origin), `weekday` (every week on one weekday),
            `nth_weekday` (of each month) or `dates` (explicit list).
        n: every n-th session; which weekday of the month for `nth_weekday`.
        weekday: 0 = Monday .. 6 = Sunday.
        dates: explicit origins (dates or aware datetimes), ascending.
        at: local time of day; None = end of the day.
        calendar: business calendar for `business_month_end` ("" = the target's).
        pseudo: declared pseudo-origins before the first origin; () = the schedule carried back.
    """

    kind: ScheduleKind
    n: int = 1
    weekday: int = 0
    dates: tuple[date | datetime, ...] = ()
    at: time | None = None
    calendar: str = ""
    pseudo: tuple[date | datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of an experiment.

    Attributes:
        every: the schedule.
        first: first scored origin, a day in `zone` (the end of that day unless the schedule has a time).
        last: last origin, or None = the last one not beyond what the archive knows.
        warm_up: origins before `first` that are issued and stored, never scored.
        latency: "known" means published at or before origin minus latency.
        zone: zone of its days and times; "" = the target series' zone.
    """

    every: Schedule
    first: date
    last: date | None = None
    warm_up: int = 0
    latency: timedelta = timedelta(0)
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Training:
    """The training window.

    Attributes:
        rolling: newest matured target periods kept; None = expanding.
        minimum: distinct matured target periods (per horizon) below which a learner abstains.
        refit_every: refit at every n-th origin, counted from the first issued one.
    """

    rolling: int | None = None
    minimum: int = 24
    refit_every: int = 1


@dataclass(frozen=True, slots=True)
class FeatureBlock:
    """Features made of one input; column names are `NAME.operation_k` (for example `gdp.latest_1`, `gdp.age`).

    Attributes:
        name: block name; `own` by convention for the target itself.
        series: stored id of the input; "" = the row's own target series.
        transform: applied inside the snapshot before everything else.
        latest: k-th most recent *published* values (missing periods skipped), k >= 1.
        lag: values of the input's period k before the one containing the origin (k = 0: that period itself); null if
            unpublished.
        rolling_mean, rolling_std, rolling_min, rolling_max: over the n consecutive periods ending at the newest
            known; null if one is missing. std has n - 1 in the denominator.
        difference: newest known minus the value n periods before it; null if missing.
        log_growth: 100 x (ln newest known - ln value n periods before it); null if missing or not positive.
        ratio: newest known divided by the mean of the n consecutive periods ending at it; null if missing or 0.
        age: days (fractional) from the newest known value's publication to the origin.
        known_ahead: offsets (in the input's periods) from the input period containing the *target* period's end:
            0 = that period; the value published by the origin, null if unpublished.
        calendar: columns of the target period: `month`, `quarter`, `weekday`, `day_of_month`, `week`, `year`, `days`.
    """

    name: str
    series: str = ""
    transform: Transform = Transform()
    latest: tuple[int, ...] = ()
    lag: tuple[int, ...] = ()
    rolling_mean: tuple[int, ...] = ()
    rolling_std: tuple[int, ...] = ()
    rolling_min: tuple[int, ...] = ()
    rolling_max: tuple[int, ...] = ()
    difference: tuple[int, ...] = ()
    log_growth: tuple[int, ...] = ()
    ratio: tuple[int, ...] = ()
    age: bool = False
    known_ahead: tuple[int, ...] = ()
    calendar: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """Column names in the fixed order in which values are delivered."""
        listed = [
            f"{self.name}.{operation}_{number}"
            for operation in (
                "latest", "lag", "rolling_mean", "rolling_std", "rolling_min", "rolling_max",
                "difference", "log_growth", "ratio",
            )
            for number in getattr(self, operation)
        ]  # fmt: skip
        if self.age:
            listed.append(f"{self.name}.age")
        listed += [f"{self.name}.known_ahead_{offset}" for offset in self.known_ahead]
        return tuple(listed + [f"{self.name}.{column}" for column in self.calendar])


@dataclass(frozen=True, slots=True)
class Step:
    """One transformation between feature rows and model, fitted at every refit on the matured training rows (law 6).

    Attributes:
        kind: a built-in step, `sklearn.MODULE.Name` or `module:name`.
        params: resolved parameters, passed to the step by keyword.
        code: hash of the user files it imports, "" for anything installed.
    """

    kind: str
    params: Params = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model as it is run.

    Attributes:
        name: the model's name in results.
        kind: a kind of the catalogue, `sklearn` or `module:name`.
        params: resolved parameters, passed to the forecaster by keyword.
        features: names of the feature blocks it sees, in order; () for models that read the snapshot only.
        steps: what its feature rows go through, in order; () = they reach it as they are.
        functional: `mean` or `median`; "" = none claimed (naive rules), or before the experiment is resolved what the
            forecaster estimates.
        fallback: name of a model that answers where this one fails or abstains; "" = none.
        refit_every: own refit cadence; None = the experiment's.
        source: source of an external forecast, else "".
        span: declared (from, to) days of an external, None = first to last issue.
        cutoff_known: whether an external's data cut-off is known (S23).
        code: hash of the user files it imports, "" for built-in models.
        rival: whether it is one of the always-on naive rivals.
        search: how it is tuned inside each training window; None = its parameters are as declared.
    """

    name: str
    kind: str
    params: Params = ()
    features: tuple[str, ...] = ()
    functional: Functional | Literal[""] = ""
    fallback: str = ""
    refit_every: int | None = None
    source: str = ""
    span: tuple[date | None, date | None] = (None, None)
    cutoff_known: bool = True
    code: str = ""
    rival: bool = False
    steps: tuple[Step, ...] = ()
    search: Search | None = None

    @property
    def seen_blocks(self) -> tuple[str, ...]:
        """Names of every feature block it is known to see: its own, then those a search chooses among.

        A function may draw others: `Experiment.seen_blocks` counts those too.
        """
        names = list(self.features)
        if self.search is not None:
            lists = [one.choices for one in self.search.space if one.name.rpartition(".")[2] == FEATURES]
            names += [str(name) for choices in lists for one in choices if isinstance(one, tuple) for name in one]
            names += [name for one in self.search.candidates for name in one.features]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Kpi:
    """The price of being wrong, fixed before any result.

    Attributes:
        unit: unit of the prices, for example `GBP m`.
        kind: `asymmetric_linear`.
        under: price per unit of outcome above the forecast.
        over: price per unit of outcome below the forecast.
        abstain: price of not forecasting; None = the reference forecast is priced instead.
        trades: whether the forecast is traded on (then `[origins] latency` must be above zero).
    """

    unit: str
    kind: Literal["asymmetric_linear"] = "asymmetric_linear"
    under: float = 1.0
    over: float = 1.0
    abstain: float | None = None
    trades: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment, resolved: the object behind an experiment file.

    Attributes:
        name, question, datasets, seed: as in the file.
        target, origins, horizons, training, features, models, score_primary, kpi: the parts.
        pseudo_real_time: whether hindsight outcomes may be scored (marked on every page).
        exclude_hindsight: drop values whose vintage is later than their date (S5).
        vintage: what the training row of a pseudo-origin is made of: `frozen`, what was known then (law 3); `latest`,
            the values standing at the refit origin of the cells that had been published then.
        folder: folder of the experiment file, for user modules and `../datasets`; not part of the identity.
        claim: what is to be shown on a sealed holdout, None = left to the defaults; not part of the identity.
    """

    name: str
    target: Target
    origins: Origins
    horizons: tuple[int, ...]
    datasets: tuple[str, ...] = ()
    question: str = ""
    seed: int = 0
    training: Training = Training()
    features: tuple[FeatureBlock, ...] = ()
    models: tuple[Recipe, ...] = ()
    score_primary: str = "rmse"
    kpi: Kpi | None = None
    pseudo_real_time: bool = False
    exclude_hindsight: bool = False
    vintage: Vintage = "frozen"
    folder: str = field(default="", compare=False)
    claim: Claim | None = field(default=None, compare=False)

    def seen_blocks(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of every feature block a model may come to see: all there are, where a function draws its settings."""
        drawn = recipe.search is not None and recipe.search.function
        more = tuple(block.name for block in self.features) if drawn else ()
        return tuple(dict.fromkeys((*recipe.seen_blocks, *more)))

    @property
    def on_latest_rows(self) -> tuple[str, ...]:
        """Names of the models whose training rows are rebuilt from the latest vintage at each refit."""
        return tuple(model.name for model in self.models if self.seen_blocks(model) and self.vintage == "latest")

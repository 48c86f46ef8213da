"""LightGBM: direct forecasts by gradient boosted trees, one model per horizon, pooled over the target's series."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import polars as pl

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import ANSWER_SCHEMA, Rows
from harness.core.identity import derive_seed
from harness.core.snapshot import Snapshot
from harness.core.transform import Floats
from harness.forecast.boosting_params import (
    BINNINGS,
    BOOSTINGS,
    EVERY_FIT,
    FIRST_WINDOW,
    LAYOUTS,
    OBJECTIVES,
    as_lists,
    check_values,
    draws_rows,
)
from harness.forecast.boosting_rows import (
    Arranged,
    Binned,
    Bins,
    Blocks,
    FirstWindow,
    Taught,
    drawn_alike,
    few_rows,
)
from harness.forecast.direct import Design, column_names, designs
from harness.forecast.lean_lightgbm import lgb
from harness.forecast.paths import answers

FIXED = {
    "deterministic": True,
    "verbosity": -1,
    "use_missing": True,
    "feature_pre_filter": False,  # else the bins would depend on min_data_in_leaf, and no two fits could share them
}
BINNING = ("max_bin", "min_data_in_bin", "zero_as_missing", "linear_tree", "seed")
"""What the bins of given rows depend on."""
BY_ROWS, BY_COLUMNS = LAYOUTS
NARROW = 8
"""Columns up to which histograms are summed row by row. On one thread and seven columns that took 6 to 20 % less of the
processor than column by column (0.5, 3 and 12 million rows of panels); from 12 columns on, 8 to 25 % more."""
POINT, MEDIAN = "point", 0.5
BIN, TRAIN = "bin", "train"
"""Parts of a fit that are LightGBM's own: binning rows, and growing trees on them."""
FEW = 64
"""Rows asked first where one differing answer decides, and the factor by which the next are more."""


class LightGBM:
    """Direct forecasts by LightGBM.

    Every horizon has its own model for the point forecast and one more per quantile. With more than one target series
    the series itself is a categorical feature, coded by rank of its id among the target's series. Missing features
    stay missing (LightGBM learns where they go). Quantiles of one row are sorted, so they never cross.

    Histograms are summed row by row up to `NARROW` columns, else column by column, unless `native` forces one or the
    other. On one thread both give the same trees. By columns, threads do not matter; by rows, each thread sums its own
    part, which from about a million rows on may show in the last bits.

    Args:
        objective: of the point model (`regression` = mean, `regression_l1` = median, ...).
        quantiles: levels in (0, 1) of further models with objective `quantile`.
        n_estimators: trees per model.
        num_threads: threads of one fit.
        series_feature: whether a panel's series are told apart; False = one model for all of them, whose series may be
            as many as there are.
        float32: whether features are kept, learned from and asked in single precision: half the memory of the rows,
            and a value within 6e-8 of its size of a split may fall on its other side.
        bins: `every fit` = features are binned afresh on each fit's own rows; `first window` = as on the rows of the
            first refit origin, whatever comes later (a horizon that had no rows there: afresh).
        native: any of LightGBM's own parameters by its name.
    """

    def __init__(
        self,
        *,
        objective: str = "regression",
        quantiles: Sequence[float] = (),
        n_estimators: int = 200,
        num_threads: int = 1,
        series_feature: bool = True,
        float32: bool = False,
        bins: str = EVERY_FIT,
        **native: object,
    ) -> None:
        if any(not 0.0 < level < 1.0 for level in quantiles):
            raise UserError("lightgbm: a quantile is a level between 0 and 1", value=list(quantiles))
        if n_estimators < 1:
            raise UserError("lightgbm: n_estimators starts at 1", value=n_estimators)
        if not isinstance(series_feature, bool):
            raise UserError("lightgbm: series_feature is true or false", value=series_feature)
        if not isinstance(float32, bool):
            raise UserError("lightgbm: float32 is true or false", value=float32)
        if bins not in BINNINGS:
            raise UnknownNameError("lightgbm bins", str(bins), BINNINGS)
        _check_names(objective, native)
        self._coded, self._short = series_feature, float32
        self.quantiles = tuple(sorted(set(quantiles)))
        self._rounds = n_estimators
        native = {name: as_lists(value) for name, value in native.items()}
        self._threads = num_threads
        self._params = {**native, **FIXED, "objective": objective, "num_threads": num_threads}
        self._columns: list[str] = []
        self._texts: dict[str, str] = {}
        self._models: dict[str, lgb.Booster] = {}
        self.bins: Bins | None = None
        """Where binned rows are kept, for fits on the very same rows (a search's inner fold); None = nowhere."""
        self.first_window = FirstWindow() if bins == FIRST_WINDOW else None
        """The bins that every fit has; whoever refits hands it on. None = every fit has its own."""
        self.time_within: Callable[[str], AbstractContextManager[object]] = nullcontext
        """Entered around `BIN` and `TRAIN`; whoever books time sets it."""
        self.warnings: list[str] = []
        """Horizons whose fit says the same for every row, one line each."""

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Train every horizon that has rows.

        Raises:
            UserError: there are no rows, or they carry no features.
        """
        if rows is None or rows.y is None:
            raise UserError("lightgbm needs training rows", fix="give the model features")
        self._columns, self._texts, self.warnings = column_names(rows), {}, []
        several = designs(rows, snapshot)
        del rows  # if nobody else needs them, they are gone when the last horizon is trained
        for design in several:
            taught = self._taught(design, snapshot)
            del design
            for name in (POINT, *map(str, self.quantiles)):
                self._texts[f"{taught.horizon}/{name}"] = self._trained(taught, name, seed)
        if self.first_window is not None:
            self.first_window.seen = True
        self._models = {name: lgb.Booster(model_str=text) for name, text in self._texts.items()}

    def bin_rows(self, rows: Rows, snapshot: Snapshot, *, seed: int) -> None:
        """Bin the rows of the first window, as its fit would, without learning from them.

        Args:
            rows: training rows of the first refit origin.
            snapshot: its target names the series.
            seed: the seed of that fit.
        """
        self._columns = column_names(rows)
        for design in designs(rows, snapshot):
            taught = self._taught(design, snapshot)
            for name in (POINT, *map(str, self.quantiles)):
                self._data(taught, name, self._settings(taught, name, seed))

    def _taught(self, design: Design, snapshot: Snapshot) -> Taught:
        return Taught.by(design, self._blocks(design, snapshot), arranged=not draws_rows(self._params))

    def _settings(self, taught: Taught, name: str, seed: int) -> dict[str, object]:
        params = {**self._params, "seed": derive_seed(seed, taught.horizon, name)}
        if not any(params.get(layout) for layout in LAYOUTS):
            params[BY_ROWS if taught.blocks.shape[1] <= NARROW else BY_COLUMNS] = True
        return params if name == POINT else params | {"objective": "quantile", "alpha": float(name)}

    def _trained(self, taught: Taught, name: str, seed: int) -> str:
        """One model as LightGBM's own text; predictions always come from the text, so a stored fit has equal bits."""
        params = self._settings(taught, name, seed)
        with self.time_within(BIN):
            data = self._data(taught, name, params)
        with self.time_within(TRAIN):
            booster = lgb.train(params, data, num_boost_round=self._rounds, keep_training_booster=True)
        if taught.labels_differ and says_one_thing(booster, taught.blocks, self._threads):
            rows = len(taught.y)
            self.warnings.append(f"horizon {taught.horizon}, {name}: the fit is constant on its {rows} training rows")
        return str(booster.model_to_string())

    def _data(self, taught: Taught, name: str, params: dict[str, object]) -> lgb.Dataset:
        """Binned rows and labels: found where they are shared, in the bins of the first window, or in their own."""
        blocks, key = taught.blocks, (taught.horizon, *(params.get(one) for one in BINNING))
        data = None if self.bins is None else self.bins.get(key)
        if data is not None:
            return data
        first = None if self.first_window is None else self.first_window.bins.get((taught.horizon, name))
        arranged = Arranged(blocks, taught.column) if blocks.large else None
        data = Binned(
            blocks[:] if arranged is None else arranged,
            taught.y,
            reference=first,
            categorical_feature=[len(self._columns)] if blocks.coded and first is None else "auto",
            params=drawn_alike(params) if blocks.large else params,
            free_raw_data=self.bins is None,
        )
        data.construct()
        if arranged is not None:
            data.set_label(arranged.labels(taught.y))
        data.label = None  # LightGBM has its own copy, and its wrapper would keep another
        if self.bins is not None:
            self.bins[key] = data
        if self.first_window is not None and not self.first_window.seen:
            self.first_window.bins[taught.horizon, name] = few_rows(data, blocks)
        return data

    def _blocks(self, design: Design, snapshot: Snapshot) -> Blocks:
        """[row, feature], with the series code as last column when the target is a panel."""
        coded = self._coded and snapshot.target is not None and len(snapshot.target.series) > 1
        return Blocks(design, coded=coded, short=self._short)

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer the asked rows; a horizon without a model abstains."""
        levels = [POINT, *map(str, self.quantiles)]
        values = np.full((len(rows), len(levels)), np.nan)  # [asked, level]
        for design in designs(rows, snapshot, self._columns) if len(rows) and self._texts else ():
            matrix = self._blocks(design, snapshot)[:]
            for column, name in enumerate(levels):
                model = self._models.get(f"{design.horizon}/{name}")
                if model is not None:
                    # fitted before a second series was announced: without its code
                    seen = matrix[:, : model.num_feature()]
                    values[design.place, column] = np.asarray(model.predict(seen, num_threads=self._threads))
        values[:, 1:] = np.sort(values[:, 1:], axis=1)
        parts = [answers(rows.keys, values[:, 0])]
        parts += [answers(rows.keys, values[:, 1 + place], quantile=q) for place, q in enumerate(self.quantiles)]
        return pl.concat(parts) if parts else pl.DataFrame(schema=ANSWER_SCHEMA)

    def dump(self) -> str:
        """LightGBM's model texts inside JSON."""
        stored = {"columns": self._columns, "models": self._texts, "warnings": self.warnings}
        return json.dumps(stored, sort_keys=True)

    def load(self, text: str) -> None:
        """Restore what `dump` wrote."""
        stored = json.loads(text)
        self._columns, self._texts, self.warnings = stored["columns"], stored["models"], stored["warnings"]
        self._models = {name: lgb.Booster(model_str=model) for name, model in self._texts.items()}


def _check_names(objective: str, native: Mapping[str, object]) -> None:
    boosting = native.get("boosting", BOOSTINGS[0])
    check_values(native)
    if objective not in OBJECTIVES:
        raise UnknownNameError("lightgbm objective", objective, OBJECTIVES)
    if objective == "quantile" and native.get("alpha") != MEDIAN:
        raise UserError(
            "lightgbm: the point forecast is a mean or a median",
            value=f'objective = "quantile", alpha = {native.get("alpha", "not given")}',
            fix="set alpha = 0.5, or give further levels as quantiles = [0.9]",
        )
    if boosting not in BOOSTINGS:
        raise UnknownNameError("lightgbm boosting", str(boosting), BOOSTINGS)
    if all(native.get(layout) for layout in LAYOUTS):
        raise UserError(
            "lightgbm: histograms are summed by rows or by columns",
            value=", ".join(f"{layout} = true" for layout in LAYOUTS),
            fix="set one of them, or neither",
        )


def says_one_thing(booster: lgb.Booster, matrix: Floats | Blocks, threads: int) -> bool:
    """Whether a model says the same for every row; the first two rows that differ settle it.

    Args:
        booster: the model.
        matrix: [row, feature], at least one row.
        threads: that LightGBM may ask with; it takes all there are where none are named.
    """
    start, size = 0, FEW
    first = np.asarray(booster.predict(matrix[:1], num_threads=threads))[0]
    while start < len(matrix):
        if np.any(np.asarray(booster.predict(matrix[start : start + size], num_threads=threads)) != first):
            return False
        start, size = start + size, size * FEW
    return True

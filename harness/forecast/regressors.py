"""Any scikit-learn regressor by its dotted name: one per horizon, pooled over the target's series."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone, is_regressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.snapshot import Snapshot
from harness.core.transform import Floats
from harness.forecast.direct import Design, column_names, constant_fit, designs
from harness.forecast.paths import answers

SEVERAL = 2
"""Series of a target from which on they are told apart."""


class Sklearn:
    """Direct forecasts by a scikit-learn regressor.

    A regressor that cannot take missing features gets them replaced by the column's median over the *training* rows of
    its horizon (a column with no value at all counts as 0). A panel's series enter as 0/1 columns. The fit cannot be
    stored as text, so it is made again where it is needed.

    Args:
        estimator: dotted name inside scikit-learn, for example `sklearn.linear_model.Ridge`.
        estimator_params: its parameters; `random_state` is set from the cell's seed where the regressor has one.
        series_feature: whether a panel's series are told apart, by a 0/1 column for each; False = one model for all of
            them, whose series may be as many as there are.
    """

    def __init__(
        self,
        *,
        estimator: str,
        estimator_params: Mapping[str, object] | Sequence[tuple[str, object]] = (),
        series_feature: bool = True,
    ) -> None:
        if not isinstance(series_feature, bool):
            raise UserError("sklearn: series_feature is true or false", value=series_feature)
        self._prototype = _made(estimator, dict(estimator_params))
        self._columns: list[str] = []
        self._models: dict[int, Any] = {}
        self._imputers: dict[int, SimpleImputer] = {}
        self._coded, self._series = series_feature, 0
        self.warnings: list[str] = []
        """What fitting complained about, one line each."""

    @property
    def splits_rows(self) -> str:
        """The parameter by which the regressor splits its training rows itself, row by row; "" = it does not."""
        given = self._prototype.get_params(deep=False)
        if "cv" in given:
            return "cv"
        if "early_stopping" in given:
            return "early_stopping" if given["early_stopping"] else ""
        return "n_iter_no_change" if given.get("n_iter_no_change") is not None else ""

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Train every horizon that has rows.

        Raises:
            UserError: there are no rows, or they carry no features.
        """
        if rows is None or rows.y is None:
            raise UserError("sklearn needs training rows", fix="give the model features")
        self._columns, self._models, self._imputers, self.warnings = column_names(rows), {}, {}, []
        self._series = len(snapshot.target.series) if self._coded and snapshot.target is not None else 0
        for design in designs(rows, snapshot):
            assert design.y is not None  # noqa: S101 - refused above
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = self._seeded(derive_seed(seed, design.horizon, "point"))
                if not get_tags(model).input_tags.allow_nan:
                    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
                    self._imputers[design.horizon] = imputer.fit(design.X)
                model.fit(self._matrix(design), design.y)
                predicted = np.asarray(model.predict(self._matrix(design)))  # a regressor may write into what it got
            self._models[design.horizon] = model
            said = sorted({f"{one.category.__name__}: {one.message}" for one in caught})
            if constant_fit(predicted, design.y):
                said.append(f"the fit is constant on its {len(design.y)} training rows")
            self.warnings += [f"horizon {design.horizon}: {line}" for line in said]

    def fitted_models(self) -> dict[str, Any]:
        """Horizon -> the fitted regressor, behind what replaces missing features."""
        return {
            str(horizon): make_pipeline(self._imputers[horizon], model) if horizon in self._imputers else model
            for horizon, model in sorted(self._models.items())
        }

    def _seeded(self, seed: int) -> Any:
        model = clone(self._prototype)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        if "n_jobs" in model.get_params():
            model.set_params(n_jobs=1)
        return model

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer the asked rows; a horizon without a model abstains."""
        values = np.full(len(rows), np.nan)
        for design in designs(rows, snapshot, self._columns) if len(rows) and self._models else ():
            model = self._models.get(design.horizon)
            if model is not None:
                predicted = np.asarray(model.predict(self._matrix(design)))
                values[design.place] = predicted.reshape(len(design.place))
        return answers(rows.keys, values)

    def _matrix(self, design: Design) -> Floats:
        """[row, feature], with one 0/1 column per series known at the fit when the target is a panel.

        A series announced since has 0 in all of them.
        """
        imputer, codes = self._imputers.get(design.horizon), design.series
        cells = design.X if imputer is None else np.asarray(imputer.transform(design.X))
        if self._series < SEVERAL:
            return cells
        out = np.zeros((len(cells), cells.shape[1] + self._series))
        out[:, : cells.shape[1]] = cells
        known = np.flatnonzero((codes >= 0) & (codes < self._series))
        out[known, cells.shape[1] + codes[known]] = 1.0
        return out


def _made(estimator: str, params: dict[str, object]) -> Any:
    module, _, name = estimator.rpartition(".")
    if not (module == "sklearn" or module.startswith("sklearn.")) or not name.isidentifier():
        raise UserError(
            "estimator is no name inside scikit-learn",
            value=repr(estimator),
            fix='write it in full, for example "sklearn.linear_model.Ridge"; for own classes use kind = "module:name"',
        )
    try:
        found = import_module(module)
    except ImportError as error:
        raise UserError("no such module in scikit-learn", value=repr(module)) from error
    if not hasattr(found, name):
        raise UnknownNameError(f"estimator in {module}", name, [n for n in dir(found) if n[0].isupper()])
    try:
        made = getattr(found, name)(**params)
        regressor = is_regressor(made)
        if hasattr(made, "_validate_params"):  # what its own `fit` begins with
            made._validate_params()  # noqa: SLF001
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{estimator} does not take these parameters", value=error) from error
    if not regressor:
        raise UserError("estimator is no regressor", value=repr(estimator))
    return made

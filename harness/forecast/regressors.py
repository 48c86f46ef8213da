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
from harness.forecast.direct import Design, constant_fit, designs
from harness.forecast.paths import answers


class Sklearn:
    """Direct forecasts by a scikit-learn regressor.

    A regressor that cannot take missing features gets them replaced by the column's median over the *training* rows of
    its horizon (a column with no value at all counts as 0). A panel's series enter as 0/1 columns. The fit cannot be
    stored as text, so it is made again where it is needed.

    Args:
        estimator: dotted name inside scikit-learn, for example `sklearn.linear_model.Ridge`.
        estimator_params: its parameters; `random_state` is set from the cell's seed where the regressor has one.
    """

    def __init__(
        self, *, estimator: str, estimator_params: Mapping[str, object] | Sequence[tuple[str, object]] = ()
    ) -> None:
        self._prototype = _made(estimator, dict(estimator_params))
        self._columns: list[str] = []
        self._models: dict[int, Any] = {}
        self._series = 0
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
        self._columns, self._models, self.warnings = list(rows.X.columns), {}, []
        self._series = len(snapshot.target.series) if snapshot.target is not None else 0
        for design in designs(rows, snapshot):
            assert design.y is not None  # noqa: S101 - refused above
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = self._seeded(derive_seed(seed, design.horizon, "point"))
                model.fit(_matrix(design, self._series), design.y)
                predicted = np.asarray(model.predict(_matrix(design, self._series)))
            self._models[design.horizon] = model
            said = sorted({f"{one.category.__name__}: {one.message}" for one in caught})
            if constant_fit(predicted, design.y):
                said.append(f"the fit is constant on its {len(design.y)} training rows")
            self.warnings += [f"horizon {design.horizon}: {line}" for line in said]

    def fitted_models(self) -> dict[str, Any]:
        """Horizon -> the fitted regressor."""
        return {str(horizon): model for horizon, model in sorted(self._models.items())}

    def _seeded(self, seed: int) -> Any:
        model = clone(self._prototype)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        if "n_jobs" in model.get_params():
            model.set_params(n_jobs=1)
        if get_tags(model).input_tags.allow_nan:
            return model
        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), model)

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer the asked rows; a horizon without a model abstains."""
        values = np.full(len(rows), np.nan)
        for design in designs(rows, snapshot, self._columns) if len(rows) and self._models else ():
            model = self._models.get(design.horizon)
            if model is not None:
                predicted = np.asarray(model.predict(_matrix(design, self._series)))
                values[design.place] = predicted.reshape(len(design.place))
        return answers(rows.keys, values)


def _matrix(design: Design, series: int) -> Floats:
    """[row, feature], with one 0/1 column per series known at the fit when the target is a panel.

    A series announced since has 0 in all of them.
    """
    if series < 2:
        return design.X
    return np.column_stack([design.X, (design.series[:, None] == np.arange(series)).astype(np.float64)])


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

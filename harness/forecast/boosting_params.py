"""LightGBM's own parameter names that a model table may set: none that would cost equal bits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.core.errors import UnknownNameError, UserError, listed

LAYOUTS = ("force_row_wise", "force_col_wise")
"""How the histograms of a split are summed."""
NATIVE = frozenset(
    {
        *LAYOUTS,
        "alpha",
        "bagging_fraction",
        "bagging_freq",
        "boost_from_average",
        "boosting",
        "cat_l2",
        "cat_smooth",
        "data_sample_strategy",
        "drop_rate",
        "extra_trees",
        "fair_c",
        "feature_contri",
        "feature_fraction",
        "feature_fraction_bynode",
        "interaction_constraints",
        "lambda_l1",
        "lambda_l2",
        "linear_lambda",
        "linear_tree",
        "max_bin",
        "max_cat_threshold",
        "max_cat_to_onehot",
        "max_delta_step",
        "max_depth",
        "max_drop",
        "min_data_in_bin",
        "min_gain_to_split",
        "min_sum_hessian_in_leaf",
        "monotone_constraints",
        "monotone_constraints_method",
        "monotone_penalty",
        "other_rate",
        "path_smooth",
        "poisson_max_delta_step",
        "reg_sqrt",
        "skip_drop",
        "top_rate",
        "tweedie_variance_power",
        "uniform_drop",
        "zero_as_missing",
    }
)
"""Left out on purpose: aliases (one name per meaning), seeds (derived), and what is fixed for equal bits."""
OWN = frozenset({"bins", "float32", "series_feature"})
"""What a model table may set besides: of ours, and only where it is given, so that other models keep their identity."""
OBJECTIVES = MappingProxyType(
    {
        **dict.fromkeys(("regression", "regression_l2", "l2", "mean_squared_error", "mse"), "mean"),
        **dict.fromkeys(("l2_root", "root_mean_squared_error", "rmse"), "mean"),
        **dict.fromkeys(("huber", "fair", "poisson", "gamma", "tweedie"), "mean"),
        **dict.fromkeys(("regression_l1", "l1", "mean_absolute_error", "mae", "quantile"), "median"),
        **dict.fromkeys(("mape", "mean_absolute_percentage_error"), "median"),
    }
)
"""Objectives of the point model, and what each estimates (`quantile` with alpha = 0.5 only)."""
BINNINGS = (EVERY_FIT, FIRST_WINDOW) = ("every fit", "first window")
"""What rows features are binned on."""
BOOSTINGS = ("gbdt", "gbrt", "dart", "rf", "random_forest", "goss")
"""Kinds of boosting by LightGBM's own names."""
DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "alpha": 0.9,
        "bagging_fraction": 1.0,
        "bagging_freq": 0,
        "boosting": "gbdt",
        "extra_trees": False,
        "feature_fraction": 1.0,
        "feature_fraction_bynode": 1.0,
        "lambda_l1": 0.0,
        "lambda_l2": 0.0,
        "linear_tree": False,
        "max_bin": 255,
        "max_depth": -1,
        "min_data_in_bin": 3,
        "min_gain_to_split": 0.0,
        "min_sum_hessian_in_leaf": 1e-3,
        "path_smooth": 0.0,
    }
)
"""What LightGBM takes for those of its parameters that are tuned most often, where they are not given."""


@dataclass(frozen=True, slots=True)
class Number:
    """Which numbers a parameter may be.

    Attributes:
        low: the least.
        high: the greatest.
        whole: whether it is an integer.
        above: whether `low` itself is left out.
        below: whether `high` itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        high = value < self.high if self.below else value <= self.high
        return high and (value > self.low if self.above else value >= self.low)

    def text(self) -> str:
        """In words.

        >>> Number(1, 2, below=True).text(), Number(0, above=True).text(), Number(2, INT, whole=True).text()
        ('a number from 1 to below 2', 'a number above 0', 'a whole number from 2')
        """
        low = "" if self.low in (-math.inf, -INT) else f" {'above' if self.above else 'from'} {self.low:g}"
        high = "" if self.high in (math.inf, INT) else f" to {'below ' if self.below else ''}{self.high:g}"
        return ("a whole number" if self.whole else "a number") + low + high


INT = 2**31 - 1
"""The greatest whole number that LightGBM takes as it is."""
_SHARE, _PART = Number(0, 1), Number(0, 1, above=True)
_COUNT, _POSITIVE, _NOT_NEGATIVE = Number(1, INT, whole=True), Number(0, above=True), Number(0)
_WHOLE = Number(-INT, INT, whole=True)
NUMBERS: Mapping[str, Number] = MappingProxyType(
    {
        **dict.fromkeys(("drop_rate", "other_rate", "skip_drop", "top_rate"), _SHARE),
        **dict.fromkeys(("bagging_fraction", "feature_fraction", "feature_fraction_bynode"), _PART),
        **dict.fromkeys(("alpha", "fair_c", "learning_rate", "poisson_max_delta_step"), _POSITIVE),
        **dict.fromkeys(("cat_l2", "cat_smooth", "lambda_l1", "lambda_l2", "linear_lambda"), _NOT_NEGATIVE),
        **dict.fromkeys(("min_gain_to_split", "min_sum_hessian_in_leaf", "monotone_penalty"), _NOT_NEGATIVE),
        **dict.fromkeys(("max_cat_threshold", "max_cat_to_onehot", "min_data_in_bin", "min_data_per_group"), _COUNT),
        **dict.fromkeys(("bagging_freq", "max_depth", "max_drop"), _WHOLE),
        "max_bin": Number(2, INT, whole=True),
        "max_delta_step": Number(),
        "min_data_in_leaf": Number(0, INT, whole=True),
        "num_leaves": Number(2, 131_072, whole=True),
        "path_smooth": _NOT_NEGATIVE,
        "tweedie_variance_power": Number(1, 2, below=True),
    }
)
"""Which numbers LightGBM takes."""
FLAGS = frozenset(
    {
        *LAYOUTS,
        "boost_from_average",
        "extra_trees",
        "linear_tree",
        "reg_sqrt",
        "uniform_drop",
        "zero_as_missing",
    }
)
"""What is true or false."""
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"data_sample_strategy": ("bagging", "goss"), "monotone_constraints_method": ("basic", "intermediate", "advanced")}
)
"""What is one of a few words."""
MATRIX = 1 << 27
"""Bytes of a matrix above which it is handed over in blocks: its bins are the same, but LightGBM reads the rows it
draws them from one by one (0.3 s a fit)."""
LISTS: Mapping[str, str] = MappingProxyType(
    {
        "feature_contri": "a list of numbers, one for each column",
        "interaction_constraints": "a list of lists of columns, which are counted from 0",
        "monotone_constraints": "a list of -1, 0 and 1, one for each column",
    }
)
"""What is a list (or the text of one, without its outer brackets), and what of."""
MEDIANS = ("regression_l1", "l1", "mean_absolute_error", "mae")
"""Names of the objective that linear trees do not take."""
FOREST = "for example bagging_freq = 1, bagging_fraction = 0.8"


def check_values(native: Mapping[str, object]) -> None:
    """Refuse values that LightGBM would refuse in training, one parameter at a time.

    Raises:
        UserError: a parameter has a value that it cannot have.
        UnknownNameError: one of a few words is another one.
    """
    for name, value in native.items():
        if name in FLAGS and not isinstance(value, bool):
            raise _refused(name, value, "true or false")
        if name in NUMBERS and not NUMBERS[name].holds(value):
            raise _refused(name, value, NUMBERS[name].text())
        if name in WORDS and value not in WORDS[name]:
            raise UnknownNameError(f"lightgbm {name}", str(value), WORDS[name])
        if name in LISTS and not _is_list(name, as_lists(value)):
            raise _refused(name, as_lists(value), LISTS[name])


def check_together(params: Mapping[str, object]) -> None:
    """Refuse settings that LightGBM takes one by one and refuses together.

    A search may set what is missing here, so it is asked of a model without one.

    Args:
        params: the parameters of a model, each checked by itself.

    Raises:
        UserError: two of them exclude each other.
    """
    told = {"top_rate": 0.2, "other_rate": 0.1, **DEFAULTS, **params}
    top, other = (float(str(told[name])) for name in ("top_rate", "other_rate"))
    bagged, goss = _bags(told), _goss(told)
    medians = told.get("objective") in (*MEDIANS, "quantile", "mape", "mean_absolute_percentage_error")
    if goss and bagged:
        raise _apart("goss", "bagging_fraction below 1", "goss draws its own rows", "leave out bagging_freq")
    if goss and not (top > 0 and other > 0 and top + other <= 1):
        rule = "with goss both are above 0, and their sum is 1 at most"
        raise _apart(f"top_rate = {top:g}", f"other_rate = {other:g}", rule)
    forest = told["boosting"] in ("rf", "random_forest")
    if forest and not (goss or bagged or float(str(told["feature_fraction"])) < 1):
        rule = "every tree of a forest has its own rows or features"
        raise _apart(f'boosting = "{told["boosting"]}"', "all rows and features", rule, FOREST)
    if told["linear_tree"] and told.get("zero_as_missing"):
        raise _apart("linear_tree = true", "zero_as_missing = true", "a linear tree takes zeros as numbers")
    if told["linear_tree"] and told.get("objective") in MEDIANS:
        rule = "linear trees do not learn the median"
        raise _apart("linear_tree = true", f'objective = "{told["objective"]}"', rule)
    if told.get("monotone_constraints") and (medians or told.get("quantiles")):
        rule = "no monotone constraint on medians and quantiles"
        raise _apart("monotone_constraints", f'objective = "{told.get("objective")}", quantiles', rule)


def draws_rows(params: Mapping[str, object]) -> bool:
    """Whether trees are grown on rows drawn by their places, so that another order of the rows makes another model.

    Args:
        params: the parameters of a model, each checked by itself.
    """
    told = {**DEFAULTS, **params}
    return _bags(told) or _goss(told)


def _bags(told: Mapping[str, object]) -> bool:
    return float(str(told["bagging_freq"])) > 0 and float(str(told["bagging_fraction"])) < 1


def _goss(told: Mapping[str, object]) -> bool:
    return "goss" in (told["boosting"], told.get("data_sample_strategy"))


def as_lists(value: object) -> object:
    """A value with lists for its tuples: LightGBM leaves out constraints that are given as tuples, and says nothing.

    >>> as_lists(((0, 1), (2,))), as_lists(0.5)
    ([[0, 1], [2]], 0.5)
    """
    return [as_lists(one) for one in value] if isinstance(value, (tuple, list)) else value


def check_columns(params: Mapping[str, object], columns: Sequence[str] | None, *, coded: bool) -> None:
    """Refuse lists that do not fit the columns a model learns from: LightGBM stops at some, the process with it.

    Args:
        params: the parameters of a model; a list that is none is passed over.
        columns: features in their order; None = they are not known beforehand.
        coded: whether the series follow them as a last column, one of categories.

    Raises:
        UserError: a list is too short or too long, names a column that is not there, or orders the series.
    """
    count = None if columns is None else len(columns) + coded
    order = "" if columns is None else f"in this order: {listed(columns)}{', then the series' * coded}"
    found = {name: _entries(params.get(name)) or [] for name in LISTS}
    for name in ("feature_contri", "monotone_constraints"):
        if count is not None and len(found[name]) not in (0, count):
            raise UserError(
                f"lightgbm: {name} has one entry for each column",
                value=f"{len(found[name])} for {count} column{'s' * (count != 1)}",
                rule=order,
            )
    if coded and found["monotone_constraints"][-1:] not in ([], [0]):
        raise UserError(
            "lightgbm: the series are the last column, and in no order",
            value=f"monotone_constraints ends with {found['monotone_constraints'][-1]}",
            fix="end with 0, or set series_feature = false and leave that entry out",
        )
    for group in found["interaction_constraints"]:
        for column in group if isinstance(group, list) else ():
            if count is not None and isinstance(column, int) and column >= count:
                raise UserError(
                    "lightgbm: interaction_constraints names a column that is not there",
                    value=f"{column}, of {count} column{'s' * (count != 1)}",
                    rule=f"they are counted from 0, {order}",
                )


def _entries(value: object) -> list[object] | None:
    """The entries of a list, or of its text; None = it is none."""
    plain = as_lists(value)
    if isinstance(plain, str):
        try:
            plain = json.loads(f"[{plain}]")
        except ValueError:
            return None
    return plain if isinstance(plain, list) else None


def _is_list(name: str, value: object) -> bool:
    entries = _entries(value)
    if entries is None:
        return False
    if name == "interaction_constraints":
        column = Number(0, INT, whole=True)
        return all(isinstance(group, list) and group and all(map(column.holds, group)) for group in entries)
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in entries):
        return False
    return all(
        one in (-1, 0, 1) if name == "monotone_constraints" else math.isfinite(float(str(one))) for one in entries
    )


def _refused(name: str, value: object, rule: str) -> UserError:
    return UserError(f"lightgbm: not a value of {name}", value=repr(value), rule=rule)


def _apart(one: str, other: str, rule: str, fix: str = "leave out one of them") -> UserError:
    return UserError("lightgbm: refused together", value=f"{one} and {other}", rule=rule, fix=fix)

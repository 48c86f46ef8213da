"""LightGBM's own parameter names that a model table may set: none that would cost equal bits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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

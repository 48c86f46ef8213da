"""Every key an experiment file may have, section by section; the reference in `experiments/README.md` follows it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SCHEMA = 1
"""The version of the file's form that this code reads."""

KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "": (
            "schema",
            "name",
            "question",
            "datasets",
            "seed",
            "pseudo_real_time",
            "exclude_hindsight",
            "target",
            "origins",
            "horizons",
            "training",
            "features",
            "models",
            "score",
            "kpi",
            "holdout",
        ),
        "target": ("series", "transform", "outcome", "season", "prices", "universe"),
        "transform": (
            "difference",
            "log_growth",
            "growth",
            "log_return",
            "return",
            "spread",
            "realised_volatility",
            "proxy",
            "high",
            "low",
        ),
        "origins": ("every", "first", "last", "warm_up", "latency", "time", "calendar", "pseudo"),
        "horizons": ("steps",),
        "training": ("window", "minimum", "refit_every", "steps"),
        "window": ("rolling",),
        "feature_rows": ("vintage",),
        "features": (
            "series",
            "transform",
            "latest",
            "lag",
            "rolling_mean",
            "rolling_std",
            "rolling_min",
            "rolling_max",
            "difference",
            "log_growth",
            "ratio",
            "age",
            "known_ahead",
            "calendar",
        ),
        "models": (
            "kind",
            "params",
            "features",
            "steps",
            "functional",
            "fallback",
            "refit_every",
            "works_on",
            "source",
            "from",
            "to",
            "knowledge",
            "search",
        ),
        "search": (
            "space",
            "trials",
            "seconds",
            "sampler",
            "pruner",
            "batch",
            "patience",
            "folds",
            "retune_every",
        ),
        "range": ("int", "float", "choice", "log", "step", "when"),
        "score": ("primary",),
        "kpi": ("unit", "kind", "under", "over", "abstain", "trades"),
        "holdout": (
            "candidates",
            "model",
            "horizon",
            "metric",
            "against",
            "level",
            "if_confirmed",
            "if_not",
            "if_undecided",
        ),
    }
)
"""Section -> keys. `transform` and `window` are the tables those values may be; "" is the top of the file.

`features` and `models` are those of the named tables in that section, `feature_rows` those of `[features]` itself.
"""

LEAST: Mapping[str, int] = MappingProxyType(
    {
        "seed": 0,
        "warm_up": 0,
        "span": 1,
        "rolling": 1,
        "minimum": 1,
        "refit_every": 1,
        "trials": 2,
        "batch": 1,
        "folds": 1,
        "retune_every": 1,
        "under": 0,
        "over": 0,
        "abstain": 0,
    }
)
"""The least that a number may be, by the field that holds it, of a file and of what is built in Python alike."""

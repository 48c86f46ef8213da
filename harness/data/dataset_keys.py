"""Every key a `dataset.toml` may have, section by section; the reference in `datasets/README.md` follows it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.data.assertions.reading import ASSERT_KEYS
from harness.data.cleaning.reading import CLEAN_KEYS

SCHEMA = 1
FILL_IN = "FILL IN"
"""What `harness new` writes where only a person knows the answer; a file that still has it is refused."""

_SERIES_KEYS = (
    "title", "frequency", "zone", "unit", "decimals", "scale", "lag", "calendar", "period_table", "closures",
)  # fmt: skip
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "": (
        "schema", "name", "title", "description", "origin", "licence", "attribution", "public",
        "defaults", "series", "source", "clean", "assert", "forecasts", "events", "members",
    ),
    "defaults": _SERIES_KEYS,
    "series.NAME": (*_SERIES_KEYS, "in_file"),
    "lag": ("kind", "n", "weekday", "months_after", "calendar", "at", "zone", "exceptions", "dates"),
    "source": (
        "file", "reader", "series", "layout", "columns", "stamp", "coverage", "publications", "zone",
        "date_format", "encoding", "delimiter", "decimal_mark", "null_values", "clean", "assert",
    ),
    "source.columns": ("series", "period", "value", "published_at", "vintage_date", "availability"),
    "events": ("file", "columns", "zone", "date_format", "encoding", "delimiter", "decimal_mark", "null_values"),
    "events.columns": ("series", "kind", "ex_date", "value", "announced_at"),
    "members": ("file", "columns", "zone", "date_format", "encoding", "delimiter", "null_values"),
    "members.columns": ("universe", "series", "from", "to", "announced_at"),
    "forecasts": ("file", "columns", "stamp", "zone", "note", "issuers"),
    "forecasts.columns": ("source", "series", "issued_at", "cutoff", "period", "quantile", "value"),
    "forecasts.issuers.NAME": ("title", "series", "in_file", "conditioning", "made"),
    **CLEAN_KEYS,
    **ASSERT_KEYS,
})  # fmt: skip
"""Section -> the keys it may have; the reference in `datasets/README.md` documents each."""

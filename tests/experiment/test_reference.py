"""experiments/README.md is the whole reference of the file: what it documents is what the reader accepts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.transform import TRANSFORMS
from harness.experiment import KEYS
from harness.forecast.catalog import CATALOG
from harness.forecast.steps import STEPS

README = Path(__file__).parents[2] / "experiments" / "README.md"
HEADINGS = {
    "": "Top of the file",
    "target": "`[target]`",
    "transform": "Transforms",
    "origins": "`[origins]`",
    "horizons": "`[horizons]`",
    "training": "`[training]`",
    "window": "`[training]`",
    "feature_rows": "`[features]`",
    "features": "`[features.NAME]`",
    "models": "`[models.NAME]`",
    "search": "`[models.NAME.search]`",
    "range": "Ranges",
    "score": "`[score]`",
    "kpi": "`[kpi]`",
    "holdout": "`[holdout]`",
}
TABLE_HEAD = "| key | value | default | meaning |"


def section(heading: str) -> str:
    """The text under a heading up to the next one of the same or a higher rank."""
    text = README.read_text(encoding="utf-8")
    start = re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE)
    assert start is not None, f"no section {heading}"
    rest = text[start.end() :]
    end = re.search(r"^#+ ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def documented(heading: str) -> Iterator[str]:
    """Keys in the first column of the key table of a section."""
    rows = section(heading).partition(TABLE_HEAD)[2].partition("\n\n")[0]
    for first in re.findall(r"^\| (`[^|]*) \|", rows, re.MULTILINE):
        yield from re.findall(r"`([a-z_]+)`", first)


def shown(value: object) -> str:
    """A default as the file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def kind_row(kind: str) -> str:
    """The row of the kinds' table that the catalogue asks for."""
    entry = CATALOG[kind]
    named = [*(f"`{name}` (required)" for name in entry.required)]
    named += [
        f"`{name}` ({'{}' if name.endswith('_params') else shown(default)})" for name, default in entry.defaults.items()
    ]
    if kind == "lightgbm":  # options that are part of a model's identity only where they are given
        coded = "true: a panel's series are a categorical feature; false: they are not told apart"
        named += [f"`series_feature` ({coded})", "`float32` (false)", '`bins` ("every fit")', "any of LightGBM's own"]
    elif entry.optional:
        named += ["`series_feature` (true: a panel's series are 0/1 columns, one each; false: they are not told apart)"]
    return f"| `{kind}` | {entry.doc} | {', '.join(named) or 'none'} |"


@pytest.mark.parametrize("name", [name for name in KEYS if name not in ("transform", "window")])
def test_every_accepted_key_is_documented_and_every_documented_key_is_accepted(name: str) -> None:
    accepted = set(KEYS[name]) | (set(KEYS["window"]) if name == "training" else set())
    assert set(documented(HEADINGS[name])) == accepted


def test_every_transform_and_its_keys_are_documented_with_a_formula() -> None:
    text = section(HEADINGS["transform"])
    for kind in TRANSFORMS:
        assert re.search(rf"^\| `[^|]*\b{kind}\b[^|]*` \| .*(x_t|v)", text, re.MULTILINE), kind
    for key in KEYS["transform"]:
        assert key in text, key


@pytest.mark.parametrize(
    "kind", [kind for kind, entry in CATALOG.items() if kind == "external" or entry.fitted or entry.defaults]
)
def test_every_kind_is_documented_with_its_parameters_and_defaults(kind: str) -> None:
    assert kind_row(kind) in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_is_documented_with_its_parameters_and_defaults(kind: str) -> None:
    entry = STEPS[kind]
    named = [*(f"`{name}` (required)" for name in entry.required)]
    named += [f"`{name}` ({shown(default)})" for name, default in entry.defaults.items()]
    row = rf"^\| `{kind}` \| {re.escape(entry.doc)} \| [^|]+ \| {re.escape(', '.join(named) or 'none')} \|$"
    assert re.search(row, section("Steps"), re.MULTILINE)


def test_every_word_of_a_step_is_documented() -> None:
    text = section("Steps")
    words = [(kind, word) for kind, entry in STEPS.items() for named in entry.words.values() for word in named]
    for kind, word in words:
        assert re.search(rf"\b{word}\b", text), (kind, word)
    for name in re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE):
        assert name in STEPS, name


def test_documented_words_are_the_ones_the_reader_takes() -> None:
    from harness.experiment.model_checks import PRIMARIES
    from harness.experiment.schedule import PHRASES
    from harness.forecast.target_calendar import CALENDAR_COLUMNS

    for words, heading in (
        ([f'"{word}"' for word in PRIMARIES], "score"),
        ([f'"{word}"' for word in PHRASES], "origins"),
        ([f"`{word}`" for word in CALENDAR_COLUMNS], "features"),
    ):
        for word in words:
            assert word in section(HEADINGS[heading]), word

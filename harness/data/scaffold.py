"""`harness new`: from a stranger's table to a commented dataset.toml and experiment file, guesses marked as such."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from harness.core.errors import UserError
from harness.core.time import parse_frequency, period_containing, period_end
from harness.data.dataset import FILL_IN
from harness.data.dataset_panels import ANY, fits
from harness.data.guessing import Guess, guess
from harness.record.files import whole_file, write_file

MANY = 40
"""Series above which a long table is taken for a panel, declared at once."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
COPIED = 1 << 20
"""Bytes copied at once."""
GENERIC = frozenset({"value", "values", "obs_value", "val", "y"})
SHARE_BEFORE_SCORES = 0.6
"""Share of the history that lies before the first scored origin."""
OTHER_INPUTS = 3
EVERY = {"D": "friday", "B": "5 sessions", "M": "month end", "Q": "quarter end", "A": "quarter end"}
APART = {"D": 7, "B": 5}
"""Periods from one origin to the next, of which each has a training row: one, where nothing is said."""
STEPS = {"D": (1, 7), "B": (1, 5), "W": (1, 2, 4), "M": (1, 3, 6), "Q": (1, 2, 4), "A": (1, 2)}
LATEST = {"D": (1, 2, 7), "B": (1, 2, 5), "W": (1, 2, 4), "M": (1, 2, 3, 12), "Q": (1, 2, 3, 4), "A": (1, 2)}
ROLLING = {"D": (7, 28), "B": (5, 22), "W": (4, 13), "M": (3, 12), "Q": (4,), "A": (3,)}
REFIT = {"D": 4, "B": 4, "W": 4, "M": 1, "Q": 1, "A": 1}
EITHER = "  # guessed: days first, though every publication date could have months first, too"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Written:
    """What `harness new` wrote.

    Attributes:
        paths: the data, dataset.toml, the experiment file.
        looked_at: which rows of a large file it was guessed of; "" = all.
    """

    paths: tuple[Path, ...]
    looked_at: str


def new_dataset(name: str, data_file: Path, root: Path) -> Written:
    """Write `datasets/NAME/` (dataset.toml and a copy of the data) and `experiments/NAME.toml`.

    Where the table has a publication-date column it is used; else the reporting lag is left to be filled in, and
    ingest refuses until it is.

    Args:
        name: a letter followed by letters, digits, _ or -.
        data_file: CSV or Parquet, long or wide.
        root: the folder that has (or gets) `datasets` and `experiments`.

    Returns:
        The files written, and what they were guessed of.

    Raises:
        UserError: a bad name, or one that is taken; nothing is written.
        DataError: a file that cannot be understood; nothing is written.
    """
    if not NAME.fullmatch(name):
        raise UserError("not a dataset name", value=repr(name), rule="a letter followed by letters, digits, _ or -")
    folder, experiment = root / "datasets" / name, root / "experiments" / f"{name}.toml"
    for taken in (folder, experiment):
        if taken.exists():
            raise UserError("already there", value=taken, fix="choose another name, or remove it first")
    guessed = guess(data_file)
    ids = series_ids(guessed, name)
    declaration = dataset_text(name, data_file.name, guessed, ids)
    plan = experiment_text(name, guessed, ids)
    written = [folder / data_file.name, folder / "dataset.toml", experiment]
    with data_file.open("rb") as source, whole_file(written[0]) as stream:
        shutil.copyfileobj(source, stream, COPIED)
    for path, content in zip(written[1:], (declaration, plan), strict=True):
        write_file(path, content.encode())
    return Written(tuple(written), looked_at(guessed))


def looked_at(guessed: Guess) -> str:
    """Which rows of a large file the guesses are of; "" = all."""
    if not guessed.rows:
        return ""
    first, last = guessed.rows
    return f"guessed of the first {first:,} rows" + (f" and the last {last:,}" if last else "") + " of a large file"


def series_ids(guessed: Guess, name: str) -> tuple[str, ...]:
    """Ids for the series of a table: their names in the file, lower case, without blanks, each once."""
    if is_panel(guessed):
        return guessed.names
    ids, taken = list[str](), set[str]()
    for in_file in guessed.names:
        plain = name if in_file.lower() in GENERIC else in_file
        base = re.sub(r"[^0-9A-Za-z_.-]+", "_", plain.strip()).strip("_.").lower() or "series"
        ids.append(base if base not in taken else f"{base}_{len(ids) + 1}")
        taken.add(ids[-1])
    return tuple(ids)


def is_panel(guessed: Guess) -> bool:
    """Whether one declaration goes for all series: of a long table with many ids that can stay as they are."""
    many = len(guessed.names) > MANY or bool(guessed.rows)  # those that were not looked at may have others
    return many and bool(guessed.series) and all(map(fits, guessed.names))


def dataset_text(name: str, file: str, guessed: Guess, ids: Sequence[str]) -> str:
    """The text of a commented dataset.toml."""
    timing = guessed.timing
    lines = [
        f"# Written by `harness new` from {file}. Guesses are marked; every key is explained in datasets/README.md.",
        *_sampled_lines(guessed),
        "",
        "schema = 1",
        f"name = {_quoted(name)}",
        f"title = {_quoted(name)}",
        f"origin = {_quoted(file)}  # where the numbers come from",
        'licence = "not stated"  # may they be passed on, and how are they attributed?',
        "",
        "[defaults]  # for every series that does not say otherwise",
        f"frequency = {_quoted(timing.frequency)}  # guessed from {_span(guessed)}",
        *(
            [f"calendar = {_quoted(timing.calendar)}  # guessed: its sessions fit the days best"]
            if timing.calendar
            else []
        ),
        _zone_line(guessed),
        '# unit = "per cent"',
        "# decimals = 1  # places at which two values count as different; absent = exactly",
        '# scale = "rebased"  # where base years or units change between vintages',
        *_lag_lines(guessed),
        "",
    ]
    if is_panel(guessed):
        so_far = f"{len(ids)} {'in the rows looked at' if guessed.rows else 'so far'}"
        lines += [f'[series."{ANY}"]  # every id in the column {guessed.series!r}: {so_far}', ""]
    for series_id, in_file in () if is_panel(guessed) else zip(ids, guessed.names, strict=True):
        lines.append(f"[series.{_key(series_id)}]")
        lines += [f"in_file = {_quoted(in_file)}", ""] if _needs_in_file(guessed, series_id, in_file) else [""]
    return "\n".join([*lines, *_source_lines(file, guessed)]) + "\n"


def _zone_line(guessed: Guess) -> str:
    zone, column = guessed.zone
    if zone:
        return f"zone = {_quoted(zone)}  # in which its days end; guessed: the column {column!r} is in it"
    return 'zone = "UTC"  # in which its days end; correct it, for example "Europe/London"'


def _needs_in_file(guessed: Guess, series_id: str, in_file: str) -> bool:
    return in_file != series_id and not (guessed.layout == "long" and not guessed.series)


def _lag_lines(guessed: Guess) -> list[str]:
    unused = [
        f"# The column {name!r} holds dates too and is not used. If it says when a value was published, name it in\n"
        f"# [[source]] below: columns.published_at = {_quoted(name)}; or columns.vintage_date, if it names a vintage."
        for name in guessed.unused
    ]
    if guessed.dated_by[1]:
        return [
            "",
            *unused,
            f"# Publication dates come from the column {guessed.dated_by[1]!r}. History before the first is left",
            '# out unless a rule dates it: lag = { kind = "calendar_days", n = 60 }',
        ]
    example = {"B": '{ kind = "calendar_days", n = 0, at = 16:00:00 }', "D": '{ kind = "calendar_days", n = 1 }'}
    return [
        "",
        *unused,
        "# When is a period's value public? Nothing in the file says so, and everything depends on it. Count from the",
        "# period's last day, late rather than typical (it should hold for 99 % of the periods), for example",
        "#   lag = " + example.get(guessed.timing.frequency, '{ kind = "calendar_days", n = 45 }'),
        '#   lag = { kind = "nth_business_day", n = 10, calendar = "holidays:GB" }  # of the following month',
        "# `harness ingest` refuses until this line is filled in.",
        f"lag = {{ kind = {_quoted(FILL_IN)} }}",
    ]


def _source_lines(file: str, guessed: Guess) -> list[str]:
    columns = {"period": guessed.period}
    if guessed.layout == "long":
        columns |= {"value": guessed.value} | ({"series": guessed.series} if guessed.series else {})
    if guessed.dated_by[1]:
        columns[guessed.dated_by[0]] = guessed.dated_by[1]
    text = guessed.text
    lines = [
        "[[source]]",
        f"file = {_quoted(file)}",
        f"layout = {_quoted(guessed.layout)}",
        "columns = { " + ", ".join(f"{key} = {_quoted(column)}" for key, column in columns.items()) + " }",
        f"stamp = {_quoted(guessed.timing.stamp)}  # guessed: what a date is of its period",
    ]
    optional = {
        "date_format": (text.date_format, ""),
        "encoding": (text.encoding, "utf-8"),
        "delimiter": (text.delimiter, ","),
        "decimal_mark": (text.decimal_mark, "."),
    }
    told = {"date_format": EITHER * guessed.either}
    lines += [
        f"{key} = {_quoted(value)}{told.get(key, '')}" for key, (value, default) in optional.items() if value != default
    ]
    if text.null_values:
        lines.append(
            f"null_values = [{', '.join(map(_quoted, text.null_values))}]  # guessed: found among numbers and taken "
            "for absent values; strike out what is not, and ingest refuses it"
        )
    return [*lines, *_footer_lines(guessed)]


def _footer_lines(guessed: Guess) -> list[str]:
    """The step that leaves out, and puts on record, what was taken for notes below the table."""
    if not guessed.footer:
        return []
    return [
        "",
        "[[source.clean]]  # guessed: what stands below the table",
        'name = "notes below the table"',
        'kind = "drop"',
        f"column = {_quoted(guessed.first)}",
        f"equals = [{', '.join(map(_quoted, dict.fromkeys(guessed.footer)))}]",
        'reason = "a note, no row"',
    ]


def experiment_text(name: str, guessed: Guess, ids: Sequence[str]) -> str:
    """The text of a commented experiment file that forecasts the table's first series, or a panel as a whole."""
    kind = guessed.timing.frequency[0]
    every, first = first_origin(guessed)
    periods_before = sum(day <= first for day in guessed.timing.periods) // APART.get(kind, 1)
    minimum = max(8, min(24 if kind in "MQAW" else 100, periods_before // 2))
    dated = bool(guessed.dated_by[1])
    count = "all" if guessed.rows else f"the {len(ids)}"
    target, asked = (f"{name}/{ANY}", f"{count} series of {name}") if is_panel(guessed) else (ids[0], ids[0])
    lines = [
        f"# Written by `harness new`: forecasts of {asked}. Every key is explained in experiments/README.md.",
        *_sampled_lines(guessed),
        "",
        "schema = 1",
        f"name = {_quoted(name)}",
        f"question = {_quoted(f'Does anything beat the naive rivals for {asked}?')}",
        f"datasets = [{_quoted(name)}]",
        "seed = 1",
        *([] if dated else ["pseudo_real_time = true  # final values dated by a rule: every page says so"]),
        "",
        "[target]",
        f"series = [{_quoted(target)}]" + (f"  # all of them; or some, like {_quoted(ids[0])}" * is_panel(guessed)),
        _transform_line(guessed, guessed.names if is_panel(guessed) else guessed.names[:1]),
        'outcome = "first"  # the release that is the truth, for labels and scores',
        "",
        "[origins]  # when forecasts are issued",
        f"every = {_quoted(every)}",
        f"first = {first}  # first scored origin: about 60 % of the history lies before it",
        "",
        "[horizons]",
        f"steps = {list(STEPS[kind])}  # in periods from the one containing the origin; 0 = that period itself",
        "",
        "[training]",
        f"minimum = {minimum}  # matured target periods below which a learner abstains",
        f"refit_every = {REFIT[kind]}",
        "",
        "[features.own]",
        f"latest = {list(LATEST[kind])}  # k-th most recent published value",
        f"rolling_mean = {list(ROLLING[kind])}",
        "age = true",
        "",
        *([] if is_panel(guessed) else _input_lines(guessed, ids)),
        "[models.ar]",
        'kind = "autoregression"',
        "",
        "[models.ets]",
        'kind = "ets"',
        "",
        "[models.theta]",
        'kind = "theta"',
        "",
        "[models.gbm]",
        'kind = "lightgbm"',
        "params = { num_leaves = 7, min_data_in_leaf = 5, learning_rate = 0.05 }",
        "",
        "[score]",
        'primary = "rmse"',
    ]
    return "\n".join(lines) + "\n"


def first_origin(guessed: Guess) -> tuple[str, date]:
    """The schedule that fits the frequency, and its first scored origin."""
    timing = guessed.timing
    frequency = parse_frequency(timing.frequency)
    start = max(timing.periods[0], guessed.published[0]) if guessed.published else timing.periods[0]
    end = max(timing.periods[-1], guessed.published[1]) if guessed.published else timing.periods[-1]
    day = start + timedelta(days=round((end - start).days * SHARE_BEFORE_SCORES))
    if frequency.kind == "W":
        return DAYS[frequency.anchor], period_end(frequency, period_containing(frequency, day))
    if frequency.kind == "B":
        return EVERY["B"], next(session for session in timing.periods if session >= min(day, timing.periods[-1]))
    if frequency.kind == "D":
        return EVERY["D"], day + timedelta(days=(4 - day.weekday()) % 7)
    every = "month end" if frequency.kind == "M" or (frequency.kind == "Q" and frequency.anchor % 3) else "quarter end"
    calendar_unit = parse_frequency("M" if every == "month end" else "Q-DEC")
    return every, period_end(calendar_unit, period_containing(calendar_unit, day))


def _transform_line(guessed: Guess, names: Sequence[str]) -> str:
    levels = [guessed.levels[name] for name in names]
    positive = all(one.positive for one in levels)
    if positive and guessed.timing.frequency in ("B", "D"):
        return 'transform = "log_return"  # guessed; in per cent; or "level", { difference = 1 }, ...'
    if positive and sum(one.trending for one in levels) > len(levels) // 2:
        return "transform = { log_growth = 1 }  # guessed: it trends; per cent over one period, inside one vintage"
    return 'transform = "level"  # guessed; or { difference = 1 }, { log_growth = 1 }, ...'


def _input_lines(guessed: Guess, ids: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for place, series_id in enumerate(ids[1 : 1 + OTHER_INPUTS], start=1):
        block = re.sub(r"[^A-Za-z0-9_-]", "_", series_id)
        block = block if NAME.fullmatch(block) and block != "own" else f"input_{place}"
        lines += [
            f"[features.{block}]",
            f"series = {_quoted(series_id)}",
            _transform_line(guessed, guessed.names[place : place + 1]),
            "latest = [1, 2]",
            "",
        ]
    return lines


def _span(guessed: Guess) -> str:
    periods = guessed.timing.periods
    ends = f"{periods[0]} to {periods[-1]}"
    return f"rows from {ends}" if guessed.rows else f"{len(periods)} periods, {ends}"


def _sampled_lines(guessed: Guess) -> list[str]:
    """What is said in either file where only some rows of a large file were looked at."""
    if not guessed.rows:
        return []
    said = f"# All of it was {looked_at(guessed)}: what other rows hold may need more."
    named = bool(guessed.series) and not is_panel(guessed)
    return [
        said,
        *(["# Series that only other rows name are not in it: their names can be no ids as they are."] * named),
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _quoted(name)

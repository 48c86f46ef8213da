"""The objects a `dataset.toml` is read into: sources, external forecasts, and the dataset as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.core.series import Series
from harness.data.assertions.rules import Assertion
from harness.data.treatment import Treatment

Layout = Literal["long", "wide"]
Stamp = Literal["last", "first", "month"]
Coverage = Literal["rows", "complete", "changes"]


@dataclass(frozen=True, slots=True)
class TextForm:
    """How the text of a CSV file is written.

    Attributes:
        encoding: character encoding; a byte-order mark is accepted.
        delimiter: between fields.
        decimal_mark: `.` or `,`.
        date_format: strftime form of its dates; "" = ISO 8601, and period names like 2010Q1, 2010-03 or 2010.
        null_values: texts that stand for "no value", beside the empty one.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    decimal_mark: str = "."
    date_format: str = ""
    null_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One table of observations.

    Attributes:
        file: path inside the dataset's folder; "" when a reader supplies the table.
        reader: one of `READERS`, or "".
        series: bare ids of the series it holds.
        layout: `long` (one row per observation) or `wide` (one column per series).
        columns: meaning -> column name; `published_at` or `vintage_date` only where the table has one.
        stamp: what a period's date is: its `last` day, its `first`, or any day of its last `month`.
        coverage: what a publication's rows say about the rows not given (see `Archive.append`).
        publications: file listing every publication, for `coverage = "changes"`; "" = none, not countable.
        zone: zone of stamps that carry a time of day but no offset; "" = none declared.
        text: how a CSV file is written.
        treatment: its cleaning steps and assertions; sources without any keep the identity they had before there were
            such.
    """

    file: str = ""
    reader: str = ""
    series: tuple[str, ...] = ()
    layout: Layout = "long"
    columns: tuple[tuple[str, str], ...] = ()
    stamp: Stamp = "last"
    coverage: Coverage = "rows"
    publications: str = ""
    zone: str = ""
    text: TextForm = TextForm()
    treatment: Treatment = field(default=Treatment(), compare=False)

    @property
    def label(self) -> str:
        """What messages call it: its file, else its reader."""
        return self.file or self.reader

    def column(self, meaning: str) -> str:
        """The column with a meaning; "" when the table has none."""
        return dict(self.columns).get(meaning, "")

    @property
    def dated_by(self) -> str:
        """The column that says when a value was published, "" when a lag rule must."""
        return self.column("published_at") or self.column("vintage_date")

    def in_table(self, names: Collection[str]) -> Source:
        """The same, with the column `series` where it is not declared, but there: other series may be in it, too.

        Args:
            names: columns of its table.
        """
        named = dict(self.columns)
        if self.layout != "long" or "series" in named or "series" in named.values() or "series" not in names:
            return self
        return replace(self, columns=tuple(sorted({**named, "series": "series"}.items())))


@dataclass(frozen=True, slots=True)
class Issuer:
    """Someone who issued forecasts of the dataset's series (S23).

    Attributes:
        name: short name, as `[models.X] source` gives it.
        series: bare ids of the series forecast.
        in_file: its name in the file.
        title, conditioning: free text shown beside its scores.
        made: `live`, `backfilled`, or "" = not known.
    """

    name: str
    series: tuple[str, ...]
    in_file: str
    title: str = ""
    conditioning: str = ""
    made: str = ""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """A long table of external forecasts of levels.

    Attributes:
        file: path inside the dataset's folder.
        columns: meaning -> column name; without `cutoff` the data cut-off is unknown, and reports say so.
        issuers: who issued them.
        stamp, zone, text: as for `Source`.
        note: printed wherever these forecasts are compared.
        assertions: asked of them.
    """

    file: str
    columns: tuple[tuple[str, str], ...]
    issuers: tuple[Issuer, ...]
    stamp: Stamp = "last"
    zone: str = ""
    note: str = ""
    text: TextForm = TextForm()
    assertions: tuple[Assertion, ...] = field(default=(), compare=False)

    @property
    def cutoff_known(self) -> bool:
        """Whether the file says up to when its makers had data."""
        return "cutoff" in dict(self.columns)


@dataclass(frozen=True, slots=True)
class Announcements:
    """A table of price events, or of memberships.

    Attributes:
        file: path inside the dataset's folder.
        columns: meaning -> column name.
        zone: zone of announcements that carry a time of day but no offset; "" = none declared.
        text: how a CSV file is written.
        assertions: asked of its rows.
    """

    file: str
    columns: tuple[tuple[str, str], ...]
    zone: str = ""
    text: TextForm = TextForm()
    assertions: tuple[Assertion, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset folder, as declared.

    Attributes:
        name: the folder's name; stored ids are `name/series`.
        series: declarations with stored ids.
        in_file: bare id -> the series' name in the file (a column, or an entry of the series column).
        sources, forecasts: where the numbers are.
        events, members: where price events and memberships of universes are.
        origin, licence, attribution: free text, shown with every result.
        title, description: free text.
        public: whether anyone can get the data elsewhere, so that sealing them prevents accidents only.
        folder: where it was read from; not part of the dataset's identity.
        by_id: the declarations by stored id.
    """

    name: str
    series: tuple[Series, ...]
    in_file: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    forecasts: Forecasts | None = None
    events: tuple[Announcements, ...] = ()
    members: tuple[Announcements, ...] = ()
    origin: str = ""
    licence: str = ""
    attribution: str = ""
    title: str = ""
    description: str = ""
    public: bool = False
    folder: Path = field(default=Path(), compare=False)
    by_id: Mapping[str, Series] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {one.id: one for one in self.series})

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold its numbers; its folder where a reader finds them itself."""
        told = [self.forecasts] if self.forecasts else []
        lists: tuple[Source | Forecasts | Announcements, ...] = (*self.sources, *told, *self.events, *self.members)
        return tuple(dict.fromkeys(self.folder / one.file for one in lists))

    def declared(self, bare: str) -> Series:
        """The declaration of one series by its bare id."""
        return self.by_id[f"{self.name}/{bare}"]

    def uncountable(self) -> dict[str, str]:
        """Stored ids whose publications cannot be counted (`release k` > 1), with the reason."""
        reasons: dict[str, str] = {}
        for source in self.sources:
            reason = "" if source.dated_by else "it has no vintages: its values are final and dated by a rule"
            if source.dated_by and source.coverage == "changes" and not source.publications:
                reason = "its source reports changes only"
            if reason:
                reasons |= {f"{self.name}/{bare}": reason for bare in source.series}
        return reasons

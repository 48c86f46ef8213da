"""[[events]] and [[members]] of a dataset: read, checked before anything is appended, kept raw, found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.core.errors import DataError, ExperimentError, UnknownNameError, UserError
from harness.core.recipe import Target
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.dataset import load_dataset
from harness.data.ingest import IngestReport, ingest, lacks
from harness.data.listings import named_members
from harness.data.replay import Replay
from harness.experiment import load_experiment
from harness.record import clock
from tests.data.price_samples import day, night

TOML = """
schema = 1
name = "shares"
origin = "test"
licence = "none needed"

[defaults]
frequency = "D"
zone = "UTC"
lag = { kind = "calendar_days", n = 0 }

[series.acme]
in_file = "ACM"
[series.zenith]

[[source]]
file = "closes.csv"
layout = "wide"
columns = { period = "date" }

[[events]]
file = "events.csv"
delimiter = ";"
decimal_mark = ","
date_format = "%d.%m.%Y"
columns = { series = "ticker", ex_date = "ex", announced_at = "declared" }

[[members]]
file = "members.csv"
columns = { to = "to" }
"""
CLOSES = "date,ACM,zenith\n2020-01-01,100,10\n2020-01-02,102,11\n2020-01-03,52,12\n2020-01-04,53,12\n"
EVENTS = "ticker;kind;ex;value;declared\nACM;split;03.01.2020;2,0;01.01.2020\nzenith;delisting;05.01.2020;;04.01.2020\n"
MEMBERS = (
    "universe,series,from,to,announced_at\n"
    "big,ACM,2020-01-01,,2020-01-01\n"
    "big,zenith,2020-01-02,2020-01-03,2020-01-02\n"
)
EXPERIMENT = """
schema = 1
name = "trial"
datasets = ["shares"]
[target]
transform = "log_return"
prices = "total"
universe = "big"
[origins]
every = "friday"
first = 2020-01-03
[horizons]
steps = [1]
"""


class Desk:
    """A dataset folder, an experiment folder beside it, and an archive."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "datasets" / "shares"
        self.folder.mkdir(parents=True)
        (root / "experiments").mkdir()
        self.archive = Archive.open(root / "archive.duckdb")
        self.write()

    def write(self, *, toml: str = TOML, events: str = EVENTS, members: str = MEMBERS) -> None:
        texts = {"dataset.toml": toml, "closes.csv": CLOSES, "events.csv": events, "members.csv": members}
        for name, text in texts.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def ingest(self) -> IngestReport:
        return ingest(self.folder, self.archive, raw_dir=self.root / "raw")

    def changes(self) -> ChangeFile:
        return ChangeFile.open(self.archive.export(self.root / "changes"))

    def experiment(self, text: str = EXPERIMENT) -> Target:
        (self.root / "experiments" / "trial.toml").write_text(text, encoding="utf-8")
        return load_experiment(self.root / "experiments" / "trial.toml").target


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_events_and_members_are_read_in_their_text_form_and_kept_raw(desk: Desk) -> None:
    report = desk.ingest()
    assert [(one.label, one.kept) for one in report.sources[1:]] == [("events.csv", 2), ("members.csv", 2)]
    assert len(list((desk.root / "raw").iterdir())) == 3
    changes = desk.changes()
    assert changes.events.announced.tolist() == [micros(night(0)), micros(night(3))]
    assert changes.members["announced"].to_list() == [micros(night(0)), micros(night(1))]
    replay = Replay(changes, ["shares/acme"])
    replay.advance(night(2))
    assert replay.snapshot().history("shares/acme").values.tolist() == [50.0, 51.0, 52.0]


def test_ingesting_twice_changes_nothing_and_a_longer_table_is_noticed(desk: Desk) -> None:
    desk.ingest()
    state, dataset = desk.archive.state(), load_dataset(desk.folder)
    assert not lacks(desk.archive, dataset)
    assert desk.ingest().already
    assert desk.archive.state() == state
    desk.write(events=EVENTS + "zenith;dividend;02.01.2020;0,5;01.01.2020\n")
    assert lacks(desk.archive, dataset)
    assert [one.kept for one in desk.ingest().sources] == [0, 1, 0]
    assert not lacks(desk.archive, dataset)


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ({"events": EVENTS.replace("ACM", "ACME")}, UnknownNameError, "line 2, column 'ticker'.*ACM"),
        ({"members": MEMBERS.replace("zenith", "gone")}, UnknownNameError, "line 3, column 'series'"),
        ({"events": EVENTS.replace("03.01.2020", "soon")}, DataError, "line 2, column 'ex'"),
        ({"events": EVENTS.replace("2,0", "two")}, DataError, "not a number"),
        ({"events": EVENTS.replace("split", "merger")}, DataError, "unknown word"),
        ({"events": EVENTS + "ACM;split;03.01.2020;3,0;01.01.2020\n"}, DataError, "contradict"),
        ({"members": MEMBERS.replace("2020-01-03", "2019-01-03")}, DataError, "ends before it begins"),
        ({"members": MEMBERS.replace("announced_at", "known")}, UnknownNameError, "announced_at"),
    ],
)
def test_tables_that_cannot_be_taken_leave_the_archive_untouched(
    desk: Desk, files: dict[str, str], kind: type[UserError], said: str
) -> None:
    desk.write(**files)
    with pytest.raises(kind, match=said):
        desk.ingest()
    assert not desk.archive.series()
    assert desk.archive.batches().height == 0


def test_the_file_is_refused_with_every_problem(desk: Desk) -> None:
    desk.write(toml=TOML.replace('file = "events.csv"', "fil = 1").replace('{ to = "to" }', '{ until = "to" }'))
    with pytest.raises(ExperimentError) as caught:
        load_dataset(desk.folder)
    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "events[1].fil = 1", "events[1].file", 'members[1].columns.until = "to"'
    ]  # fmt: skip


# ---- the experiment file


def test_a_universe_names_its_series(desk: Desk) -> None:
    target = desk.experiment()
    assert (target.series, target.prices, target.universe) == (("shares/acme", "shares/zenith"), "total", "big")
    assert named_members(load_dataset(desk.folder)) == {"big": target.series}
    some = desk.experiment(EXPERIMENT.replace("[target]", '[target]\nseries = "acme"'))
    assert some.series == ("shares/acme",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('universe = "big"', 'universe = "bigg"', 'did you mean "big"'),
        ('universe = "big"', 'universe = ""', "the name of a universe"),
        ('universe = "big"', "", "target.series: missing"),
        ('prices = "total"', 'prices = "totl"', 'did you mean "total"'),
        ('transform = "log_return"', 'transform = { spread = "acme" }', "from itself"),
    ],
)
def test_what_a_target_cannot_mean_is_refused(desk: Desk, old: str, new: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        desk.experiment(EXPERIMENT.replace(old, new))


def test_a_broken_table_of_members_is_a_problem_of_the_file(desk: Desk) -> None:
    desk.write(members=MEMBERS.replace("zenith", "gone"))
    with pytest.raises(ExperimentError, match=r"dataset shares: .*series in members\.csv"):
        desk.experiment()


def test_announcements_of_the_future_are_set_aside_on_record_and_enter_when_they_are_past(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + timedelta(days=9)
    desk.write(events=f"ticker;kind;ex;value;declared\nACM;split;{later:%d.%m.%Y};2,0;{later:%d.%m.%Y}\n")
    assert [one.set_aside for one in desk.ingest().sources] == [0, 1, 0]
    assert desk.archive.set_aside().select("series_id", "value", "reason").rows() == [
        ("shares/acme", 2.0, "published later than now")
    ]
    batches = desk.archive.batches().height
    assert desk.ingest().sources[1].already
    assert desk.archive.batches().height == batches
    assert not lacks(desk.archive, load_dataset(desk.folder))
    monkeypatch.setattr(clock, "now", lambda: micros(later + timedelta(days=2)))
    assert lacks(desk.archive, load_dataset(desk.folder))
    assert desk.ingest().sources[1].kept == 1
    assert not lacks(desk.archive, load_dataset(desk.folder))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ACM;split;03.01.2020;2,0;01.01.2020", "ACM;split;03.01.2020;2,0;", "events.csv, line 2, column 'declared'"),
        ("ACM;split;03.01.2020", "ACM;split;", "events.csv, line 2, column 'ex'"),
        ("zenith;delisting", "zenith;", "events.csv, line 3, column 'kind'"),
        ("zenith;", ";", "events.csv, line 3, column 'ticker'"),
    ],
)
def test_an_empty_field_of_a_list_is_told_by_its_line(desk: Desk, old: str, new: str, said: str) -> None:
    desk.write(events=EVENTS.replace(old, new))
    with pytest.raises(DataError, match=f"{said}: an empty field"):
        desk.ingest()


FORECASTS = '[forecasts]\nfile = "forecasts.csv"\n[forecasts.issuers.desk]\n'


def test_forecasts_of_the_future_are_called_by_their_issuer_and_enter_when_they_are_past(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + timedelta(days=9)
    desk.write(toml=TOML + FORECASTS)
    row = f"desk,acme,{later:%Y-%m-%dT%H:%M}Z,2020-01-05,3"
    (desk.folder / "forecasts.csv").write_text(f"source,series,issued_at,period,value\n{row}\n")
    assert {one.label: one.set_aside for one in desk.ingest().sources}["forecasts.csv"] == 1
    assert "desk" in desk.archive.batches()["source"].to_list()
    assert not lacks(desk.archive, load_dataset(desk.folder))
    monkeypatch.setattr(clock, "now", lambda: micros(later + timedelta(days=2)))
    assert lacks(desk.archive, load_dataset(desk.folder))
    assert {one.label: one.kept for one in desk.ingest().sources}["forecasts.csv"] == 1
    assert not lacks(desk.archive, load_dataset(desk.folder))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("desk,other,2020-01-02,2020-01-05,3", "forecasts.csv: no forecast of a declared series: other"),
        ("desk,acme,,2020-01-05,3", "forecasts.csv, line 2, column 'issued_at': an empty field"),
    ],
)
def test_forecasts_of_no_series_or_of_no_day_are_refused(desk: Desk, row: str, said: str) -> None:
    desk.write(toml=TOML + FORECASTS)
    (desk.folder / "forecasts.csv").write_text(f"source,series,issued_at,period,value\n{row}\n")
    with pytest.raises(DataError, match=said):
        desk.ingest()


def test_announcements_at_a_time_that_the_clocks_have_twice_are_counted(desk: Desk) -> None:
    toml = TOML.replace('file = "events.csv"', 'file = "events.csv"\nzone = "Europe/Berlin"')
    toml = toml.replace('"%d.%m.%Y"', '"%d.%m.%Y %H:%M"').replace(
        'file = "members.csv"', 'file = "members.csv"\nzone = "UTC"'
    )
    events = "ticker;kind;ex;value;declared\nACM;split;03.01.2020 00:00;2,0;27.10.2019 02:30\n"
    events += "zenith;delisting;05.01.2020 00:00;;27.10.2019 03:30\n"
    desk.write(
        toml=toml,
        events=events,
        members=MEMBERS.replace(",2020-01-01\n", ",2019-03-31T02:30\n").replace(",2020-01-02\n", ",2019-03-31T01:30\n"),
    )
    assert [one.unclear for one in desk.ingest().sources] == [0, 1, 0]
    assert [one.unclear for one in desk.ingest().sources] == [0, 0, 0]  # they were told of


def test_days_are_days(desk: Desk) -> None:
    assert day(2).isoformat() == "2020-01-03"
    desk.write(
        members=MEMBERS.replace("2020-01-01,,", "2020-01-01T09:00:00+00:00,,").replace(
            "2020-01-02,2020-01-03", "2020-01-02T09:00:00+00:00,"
        )
    )
    with pytest.raises(DataError, match="column 'from'"):
        desk.ingest()

import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser

import polars as pl
import pytest

import harness as hs
from harness.report.charts import advantage, forecast_chart, looks_of
from harness.report.facts import PSEUDO_REAL_TIME
from harness.report.page import render
from harness.report.summary import summary
from harness.studies.verdict import NOT_PROVABLE

VOID = {"meta"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page; notes tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    return parser


def outside_addresses(page: str) -> list[str]:
    """Everything on a page that a browser would fetch."""
    fetched = [value for name, value in outline(page).attributes if name in {"src", "href", "xlink:href", "data"}]
    inside = [value for value in fetched if value and value.startswith("#")]
    return [value or "" for value in fetched if value not in inside] + re.findall(r"url\((?!#)[^)]*\)|@import", page)


@pytest.fixture(scope="module")
def page(toy: hs.Run) -> str:
    return render(toy)


def test_the_page_fetches_nothing(page: str) -> None:
    assert outside_addresses(page) == []
    assert "<script" not in page


def test_the_check_for_fetched_assets_notices_one() -> None:
    assert outside_addresses('<img src="https://example.org/x.png">')
    assert outside_addresses("<style>@import 'x.css'</style>")


def test_the_page_is_well_formed(page: str) -> None:
    found = outline(page)
    assert (found.open, found.crossed) == ([], [])


def test_text_of_the_user_and_of_failing_models_is_escaped(page: str) -> None:
    assert "Is &lt;b&gt;&quot;it&quot;&lt;/b&gt; &amp; that better?" in page
    assert "&lt;i&gt;no answer&lt;/i&gt;" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_every_model_and_rival_stands_at_every_horizon(toy: hs.Run, page: str) -> None:
    rows = Counter(re.findall(r'<td class="left">([a-z_]+)</td>', page))
    for name in toy.leaderboard()["model"].unique():
        assert rows[name] >= 2, name


def test_failures_are_counted_and_explained(toy: hs.Run, page: str) -> None:
    text = outline(page).text
    assert "predict: ArithmeticError: <i>no answer</i>" in text
    failed = toy.leaderboard().filter(model="broken")["n_failed"].to_list()
    assert failed == toy.leaderboard().filter(model="ar")["n"].to_list()
    assert "by reference" in text


def test_a_fallback_is_shown_as_such(toy: hs.Run, page: str) -> None:
    assert toy.forecasts().filter(model="saved", status="fallback")["answered_by"].unique().to_list() == ["drift"]
    assert '<td class="left">fallback</td>' in page


def test_unknown_cut_offs_are_stated_instead_of_a_verdict(toy: hs.Run, page: str) -> None:
    for text in (outline(page).text, summary(toy)):
        assert "labels, not dates; the Bank's data cut-off is unknown" in text
        assert "measure information, not method" in text
    verdicts = toy.leaderboard().filter(pl.col("model").is_in(["mpr", "bayes"]))["verdict"].to_list()
    assert all(verdict.startswith("no verdict") for verdict in verdicts)


def test_what_cannot_be_proved_is_listed(page: str) -> None:
    text = outline(page).text
    for item in NOT_PROVABLE:
        assert item in text


def test_the_licences_stand_on_the_page(page: str) -> None:
    assert "Open Government Licence v3.0" in page


def test_the_same_run_gives_the_same_page(toy: hs.Run, page: str) -> None:
    assert render(hs.Run(toy.id, toy.files.folder.parents[1])) == page


def test_the_banner_of_pseudo_real_time_stands_where_it_applies_and_only_there(toy: hs.Run, page: str) -> None:
    assert PSEUDO_REAL_TIME not in page
    assert PSEUDO_REAL_TIME not in summary(toy)
    marked = hs.Run(toy.id, toy.files.folder.parents[1])
    marked.manifest["facts"]["pseudo_real_time"] = True  # type: ignore[index]
    assert PSEUDO_REAL_TIME in render(marked)
    assert PSEUDO_REAL_TIME in summary(marked)


def test_the_charts_are_valid_drawings_whose_ids_are_unique(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 4  # two horizons: forecasts, and loss against the best rival
    for drawing in drawings:
        ET.fromstring(drawing)
    ids = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {name[1:] for name in re.findall(r'href="(#[^"]+)"', page)} <= set(ids)


def test_a_chart_draws_the_outcomes_and_the_named_models(toy: hs.Run) -> None:
    errors = toy.errors().filter(horizon=1)
    drawing = forecast_chart(errors, ["ar"], "drift", looks=looks_of(["ar"]), unit="per cent", name="x")
    assert {"outcome", "ar", "drift (best rival)", "per cent"} <= set(re.findall(r">([^<>]+)</text>", drawing))


def test_loss_saved_is_the_running_sum_of_loss_differences(toy: hs.Run) -> None:
    errors = toy.errors().filter(horizon=1)
    gain = advantage(errors, "ar", "last_value", "rmse")
    by_hand, total = [], 0.0
    rows = {(row["model"], row["origin"]): row for row in errors.iter_rows(named=True)}
    for (model, origin), row in rows.items():
        if model == "ar" and row["scored"] and row["outcome"] is not None:
            total += rows["last_value", origin]["error"] ** 2 - row["error"] ** 2
            by_hand.append(total)
    assert gain["advantage"].to_list() == pytest.approx(by_hand)
    assert gain.height > 10


def test_a_missing_forecast_saves_no_loss_against_the_reference(toy: hs.Run) -> None:
    gain = advantage(toy.errors().filter(horizon=0), "broken", "last_value", "mae")
    assert gain["advantage"].to_list() == [0.0] * gain.height


def test_a_damaged_table_is_refused_not_shown(toy: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    copied = tmp_path_factory.mktemp("damaged")
    folder = copied / "runs" / toy.id
    folder.mkdir(parents=True)
    for file in toy.files.folder.glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    hs.Run(toy.id, copied).report(copied / "page.html")
    table = folder / "scores.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(hs.UserError, match="damaged"):
        hs.Run(toy.id, copied).report(copied / "other.html")
    assert not (copied / "other.html").exists()


def test_what_was_run_and_the_cells_behind_every_cut_stand_on_the_page(toy: hs.Run, page: str) -> None:
    assert "max_lags" in page
    cut = toy.scores().filter(toy.scores()["stretch"].is_not_null() & toy.scores()["series_id"].is_null())
    assert all(f"(n {cells})" in page for cells in cut["n"].unique())

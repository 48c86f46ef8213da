"""A model card says what the record says, and text from outside stays text."""

from __future__ import annotations

import re

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.report.markdown import text
from harness.report.text import number


def test_a_card_has_data_training_scores_audit_limits_and_the_way_back(toy: hs.Run) -> None:
    card = toy.model_card("ar")
    titles = re.findall(r"^## (.*)$", card, flags=re.MULTILINE)
    assert titles == [
        "Question and target", "The model", "Training window", "Data", "Search", "Scores", "Uncertainty",
        "Leakage audit", "Limits", "How to reproduce",
    ]  # fmt: skip
    for row in toy.leaderboard().filter(model="ar").iter_rows(named=True):
        assert f"| {row['horizon']} | {row['rank']} | {number(row['value'])} |" in card
    assert f"harness reproduce {toy.id}" in card
    assert "MIT" in card
    assert "Open Government Licence" in card
    assert "not audited" in card
    assert str(toy.manifest["finished_at"])[:10] in card.replace("\\", "")


def test_markup_in_names_and_questions_stays_text(toy: hs.Run) -> None:
    card = toy.model_card("broken")
    outside = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[<>]", outside)
    assert "\\<b\\>" in outside
    for line in outside.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert cells[0] == cells[-1] == ""
    tables = [block for block in outside.split("\n\n") if block.startswith("|")]
    for block in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_text_is_escaped_and_stays_in_one_line() -> None:
    assert text("a\n# b") == "a \\# b"
    assert text("[x](javascript:alert(1))") == "\\[x\\](javascript:alert(1))"
    assert text("- one") == "\\- one"


def test_without_a_name_the_best_that_is_no_rival_has_the_card(toy: hs.Run) -> None:
    own = toy.leaderboard().filter(~pl.col("is_rival")).group_by("model", maintain_order=True)
    own = own.agg(pl.col("rank").mean()).sort("rank", maintain_order=True)
    assert toy.model_card().startswith(f"# Model card: {text(own['model'][0])} in toy")
    with pytest.raises(hs.UserError, match="unknown model"):
        toy.model_card("arr")


def test_the_command_prints_it(toy: hs.Run, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(toy.files.folder.parents[1])
    assert main(["model-card", toy.id[:6], "--model", "ar", "--home", home]) == 0
    assert capsys.readouterr().out == toy.model_card("ar")

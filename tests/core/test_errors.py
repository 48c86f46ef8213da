"""Messages stay short, however many names there are."""

import pytest

from harness.core.errors import FEW, SHOWN, UnknownNameError

PANEL = [f"s{number:05}" for number in range(1000)]


@pytest.mark.parametrize(
    ("name", "known", "fix"),
    [
        ("zzz", PANEL, f"known: {', '.join(PANEL[:FEW])} and {1000 - FEW} more"),
        ("zzz", PANEL[: SHOWN + 1], f"known: {', '.join(PANEL[:FEW])} and {SHOWN + 1 - FEW} more"),
        ("zzz", PANEL[:SHOWN], f"known: {', '.join(PANEL[:SHOWN])}"),
        ("zzz", [], "known: none"),
        ("s000123", PANEL, "did you mean 's00123' or 's00023' or 's00013'?"),
        ("cpi_indx", [*PANEL, "cpi_index", "cpi_x"], "did you mean 'cpi_index'?"),
        ("s00123", PANEL[:SHOWN], "did you mean 's00023'?"),
    ],
)
def test_of_very_many_names_the_nearest_are_told_or_a_few(name: str, known: list[str], fix: str) -> None:
    assert UnknownNameError("series", name, known).fix == fix

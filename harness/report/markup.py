"""A few HTML elements, every value escaped, and the shell of a self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.question { font-size: 1.1rem; } .quiet { color: #555; } .answer { font-weight: 600; }
.banner { background: #fff3cd; border: 1px solid #e0b84c; padding: .6rem .8rem; margin: 1rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .4rem 0; }
th, td { padding: .18rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th { font-weight: 600; border-bottom: 2px solid #999; } th.left, td.left { text-align: left; }
td.wide { white-space: normal; min-width: 16rem; } tr.rival td { color: #666; } tr.better td { background: #e8f4ea; }
details { margin: .6rem 0; } summary { cursor: pointer; color: #0b5394; }
svg { max-width: 100%; height: auto; display: block; margin: .4rem 0; } code { font-size: .9em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dt { color: #555; } dd { margin: 0; }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page without any external asset."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def element(tag: str, text: object, css: str = "") -> str:
    """One element with escaped text.

    >>> element("p", "a < b", "quiet")
    '<p class="quiet">a &lt; b</p>'
    """
    attribute = f' class="{css}"' if css else ""
    return f"<{tag}{attribute}>{escape(str(text))}</{tag}>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1, css: Sequence[str] = (), wide: bool = False
) -> str:
    """A table with escaped cells.

    Args:
        head: column heads.
        rows: cells as text.
        left: the first so many columns, and the last, are flush left; numbers between them flush right.
        css: one class per row, "" = none.
        wide: the last column holds sentences and may wrap.
    """
    last = len(head) - 1

    def cell(tag: str, place: int, text: object) -> str:
        names = ["left"] if place < left or place == last else []
        names += ["wide"] if wide and place == last and tag == "td" else []
        return element(tag, text, " ".join(names))

    lines = ["<tr>" + "".join(cell("th", place, text) for place, text in enumerate(head)) + "</tr>"]
    for number, row in enumerate(rows):
        mark = f' class="{css[number]}"' if number < len(css) and css[number] else ""
        lines.append(f"<tr{mark}>" + "".join(cell("td", place, text) for place, text in enumerate(row)) + "</tr>")
    return '<div class="scroll"><table>\n' + "\n".join(lines) + "\n</table></div>"


def bullets(items: Iterable[object]) -> str:
    """A list of escaped items."""
    return "<ul>\n" + "\n".join(element("li", item) for item in items) + "\n</ul>"


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair a line."""
    return "<dl>\n" + "\n".join(element("dt", name) + element("dd", value) for name, value in items) + "\n</dl>"


def folded(title: str, *content: str) -> str:
    """Content that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>\n" + "\n".join(content) + "\n</details>"

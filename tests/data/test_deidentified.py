"""De-identified names stay nowhere under the home: of a file their hashes are kept, and make the same archive."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import polars as pl
import pytest

from harness.core.errors import ExperimentError, UserError
from harness.data.archive import Archive
from harness.data.dataset import load_dataset
from harness.data.ingest import ingest, lacks
from tests.data.dirt import HEAD, clean, text

pytestmark = pytest.mark.slow

KEY = "a secret of forty letters, never written"
NAMES = {"a": "Ann Example", "b": "Bob, Ltd.", "c": "Zoë Nobody"}
HASHED = {name: hmac.new(KEY.encode(), who.encode(), hashlib.sha256).hexdigest()[:16] for name, who in NAMES.items()}
STEP = '[[source.clean]]\nkind = "deidentify"\ncolumns = ["client"]\nkey_env = "NAMES_KEY"\n'


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMES_KEY", KEY)


def head(file: str = "values.csv", more: str = "") -> str:
    named = HEAD.replace('"values.csv"', f'"{file}"').replace(
        'columns = { published_at = "released" }',
        f'columns = {{ published_at = "released", series = "client" }}\n{more}',
    )
    for name, hashed in HASHED.items():
        named = named.replace(f"[series.{name}]", f'[series.{name}]\nin_file = "{hashed}"')
    return named


def frame() -> pl.DataFrame:
    rows = pl.read_csv(io.StringIO(text(clean()[:100])), infer_schema=False)
    return rows.with_columns(client=pl.col("series").replace(NAMES)).select("client", pl.exclude("client", "series"))


def as_csv(separator: str = ",") -> str:
    return frame().write_csv(separator=separator)


def as_parquet() -> bytes:
    buffer = io.BytesIO()
    frame().with_columns(pl.col("value").cast(pl.Float64)).write_parquet(buffer)
    return buffer.getvalue()


FORMS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "csv": ("values.csv", "", lambda: as_csv().encode()),
    "semicolons, marks, Windows": (
        "values.csv",
        'delimiter = ";"\nencoding = "cp1252"\nnull_values = ["-"]\n',
        lambda: as_csv(";").replace("\n", "\r\n").replace(";ok\r\n", ";-\r\n", 3).encode("cp1252"),
    ),
    "byte-order mark": ("values.csv", "", lambda: b"\xef\xbb\xbf" + as_csv().encode()),
    "blank lines above the names": ("values.csv", "", lambda: b"\n\n" + as_csv().encode()),
    "old ends of lines": ("values.csv", "", lambda: as_csv().replace("\n", "\r").encode()),
    "gzip": ("values.csv.gz", "", lambda: gzip.compress(as_csv().encode())),
    "parquet": ("values.parquet", "", as_parquet),
}


def taken_in(root: Path, declaration: str, file: str, content: bytes) -> Archive:
    folder = root / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(declaration, encoding="utf-8")
    (folder / file).write_bytes(content)
    archive = Archive.open(root / "home" / "archive.duckdb")
    ingest(folder, archive, raw_dir=root / "home" / "raw")
    archive.export(root / "home" / "changes")
    return archive


def found_in(home: Path, word: str) -> set[str]:
    """Where a word is: in the bytes of any file, in what is packed in them, in any text of any table."""
    places = set()
    for path in home.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        opened = [content]
        if content[:2] == b"\x1f\x8b":
            opened.append(gzip.decompress(content))
        if content[:4] == b"PAR1":
            opened.append(pl.read_parquet(io.BytesIO(content)).write_csv().encode())
        if any(word.encode(encoding) in one for one in opened for encoding in ("utf-8", "cp1252", "utf-16-le")):
            places.add(path.parent.name if path.parent.name == "raw" else path.name)
    with duckdb.connect(str(home / "archive.duckdb"), read_only=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type = 'VARCHAR' AND NOT internal"
        ).fetchall()
        for table, column in columns:
            if connection.execute(f"SELECT 1 FROM {table} WHERE contains({column}, ?)", [word]).fetchall():
                places.add(table)
    return places


@pytest.mark.parametrize("form", FORMS)
def test_no_name_remains_anywhere_under_the_home(form: str, tmp_path: Path) -> None:
    file, more, make = FORMS[form]
    archive = taken_in(tmp_path, head(file, more) + STEP, file, make())
    assert {name: archive.revisions(f"mine/{name}").height > 10 for name in NAMES} == dict.fromkeys(NAMES, True)
    for who in (*NAMES.values(), KEY):
        assert not found_in(tmp_path / "home", who), who


def test_the_search_finds_names_that_nobody_hashed(tmp_path: Path) -> None:
    """The specimen: the same file without the step, and with a step that puts names on record."""
    plain = HEAD.replace("{ published_at", '{ series = "client", published_at')
    for name, who in NAMES.items():
        plain = plain.replace(f"[series.{name}]", f'[series.{name}]\nin_file = "{who}"')
    for form in ("csv", "gzip", "parquet"):
        file, _, make = FORMS[form]
        taken_in(tmp_path / form, plain.replace("values.csv", file), file, make())
        assert "raw" in found_in(tmp_path / form / "home", "Zoë Nobody")
    mapped = HEAD.replace("{ published_at", '{ series = "client", published_at') + (
        '[[source.clean]]\nkind = "map"\ncolumn = "client"\n'
        'values = { "Ann Example" = "a", "Bob, Ltd." = "b", "Zoë Nobody" = "c" }\n'
    )
    taken_in(tmp_path / "mapped", mapped, "values.csv", as_csv().encode())
    assert found_in(tmp_path / "mapped" / "home", "Bob, Ltd.") >= {"raw", "touched", "cleaning"}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_has_the_same_form_and_makes_the_same_archive_again(form: str, tmp_path: Path) -> None:
    file, more, make = FORMS[form]
    content = make()
    first = taken_in(tmp_path / "first", head(file, more) + STEP, file, content)
    (raw,) = (tmp_path / "first" / "home" / "raw").iterdir()
    kept = raw.read_bytes()
    assert hashlib.sha256(kept).hexdigest() == raw.name.partition(".")[0]
    assert kept[:2] == content[:2]
    facts = first.provenance()[1][0]["raw"]
    assert facts == [
        {"name": file, "sha256": hashlib.sha256(kept).hexdigest(), "original": hashlib.sha256(content).hexdigest()}
    ]
    second = taken_in(tmp_path / "second", head(file, more) + STEP, file, kept)
    assert second.state() == first.state()
    for name in ("cleaning", "touched", "set_aside"):
        assert getattr(first, name)().equals(getattr(second, name)()), name
    changes = [{path.name for path in (tmp_path / one / "home" / "changes").iterdir()} for one in ("first", "second")]
    assert changes[0] == changes[1]
    # and in the home it came from it is nothing new
    taken_in(tmp_path / "first", head(file, more) + STEP, file, kept)
    assert first.batches().height == 1
    assert not lacks(first, load_dataset(tmp_path / "first" / "mine"))


def test_fields_of_the_kept_file_are_those_of_the_file_but_for_the_names(tmp_path: Path) -> None:
    content = as_csv().replace("2010-01-31,", " 2010-01-31 ,", 1)
    taken_in(tmp_path, head() + STEP, "values.csv", content.encode())
    (raw,) = (tmp_path / "home" / "raw").iterdir()
    print_ = hmac.new(KEY.encode(), b"harness: which key", hashlib.sha256).hexdigest()[:8]
    expected = content.replace("client,", f"client [de-identified {print_}],", 1)
    for name, who in NAMES.items():
        expected = expected.replace(f'"{who}"' if "," in who else who, HASHED[name])
    assert raw.read_text() == expected


def test_a_kept_file_is_not_taken_for_one_of_another_key_or_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in(tmp_path, head() + STEP, "values.csv", as_csv().encode())
    (raw,) = (tmp_path / "home" / "raw").iterdir()
    with pytest.raises(UserError, match="hashed otherwise"):
        taken_in(tmp_path / "length", head() + STEP + "length = 20\n", "values.csv", raw.read_bytes())
    monkeypatch.setenv("NAMES_KEY", "another")
    with pytest.raises(UserError, match="hashed otherwise"):
        taken_in(tmp_path / "key", head() + STEP, "values.csv", raw.read_bytes())


def test_a_renamed_column_is_hashed_in_the_file_under_its_own_name(tmp_path: Path) -> None:
    rename = '[[source.clean]]\nkind = "rename"\ncolumns = { customer = "client" }\n'
    content = as_csv().replace("client", "customer", 1).encode()
    first = taken_in(tmp_path / "first", head() + rename + STEP, "values.csv", content)
    (raw,) = (tmp_path / "first" / "home" / "raw").iterdir()
    assert raw.read_text().startswith("customer [de-identified ")
    assert first.cleaning().select("hash_before", "hash_after").row(0) == ("", "")
    second = taken_in(tmp_path / "second", head() + rename + STEP, "values.csv", raw.read_bytes())
    assert first.state() == second.state()
    assert first.cleaning().equals(second.cleaning())
    assert not found_in(tmp_path / "first" / "home", "Ann Example")


def test_a_refused_ingest_puts_no_name_on_record(tmp_path: Path) -> None:
    asked = head() + STEP + '[[source.assert]]\nkind = "range"\nmost = 60.0\nseverity = "refuse"\n'
    with pytest.raises(UserError):
        taken_in(tmp_path, asked, "values.csv", as_csv().encode())
    assert Archive.open(tmp_path / "home" / "archive.duckdb").refused_failures().height > 10
    for who in NAMES.values():
        assert not found_in(tmp_path / "home", who)


DROP = '[[source.clean]]\nkind = "drop"\ncolumn = "period"\nequals = ["bad"]\nreason = "test"\n'


@pytest.mark.parametrize("drop", ["", DROP], ids=["kept", "dropped"])
@pytest.mark.parametrize("beyond", [False, True])
def test_a_name_on_a_line_of_its_own_or_beyond_the_columns_is_on_no_record(
    beyond: bool, drop: str, tmp_path: Path
) -> None:
    row = ["Dora Hidden"] if not beyond else ["Zoë Nobody", *("bad" for _ in frame().columns[1:]), "Dora Hidden"]
    content = as_csv() + ",".join(row) + "\n"
    with suppress(UserError):
        taken_in(tmp_path, head() + STEP + drop, "values.csv", content.encode())
    assert not found_in(tmp_path / "home", "Dora Hidden")


def test_declarations_that_would_keep_a_name_are_refused(tmp_path: Path) -> None:
    mapped = '[[source.clean]]\nkind = "map"\ncolumn = "client"\nvalues = { Anne = "Ann Example" }\n'
    twin = '[[source]]\nfile = "values.csv"\nseries = ["a"]\ncolumns = { published_at = "released" }\n'
    for declaration, said in (
        (head() + mapped + STEP, "would put them on record"),
        (head() + STEP + STEP.replace("kind", 'name = "again"\nkind', 1), "de-identified twice"),
        (head() + STEP + twin, "would keep in clear"),
    ):
        with pytest.raises(ExperimentError, match=said):
            taken_in(tmp_path, declaration, "values.csv", as_csv().encode())


def test_text_that_cannot_be_rewritten_field_by_field_is_refused_not_kept(tmp_path: Path) -> None:
    broken = as_csv().replace("Ann Example,", 'Ann "the first" Example,')
    with pytest.raises(UserError):
        taken_in(tmp_path, head() + STEP, "values.csv", broken.encode())
    assert not (tmp_path / "home" / "raw").exists()


def test_odd_files_are_hashed_or_refused_but_never_kept_in_clear(tmp_path: Path) -> None:
    mark = "client [de-identified 00000000]"
    beside = as_csv().replace("client,", f'client,"{mark}",', 1).replace(",ok\n", ",ok,\n").replace(",2010", ",x,2010")
    blank = "\n\n" + as_csv()
    for number, content in enumerate((beside, blank)):
        with suppress(UserError):
            taken_in(tmp_path / str(number), head() + STEP, "values.csv", content.encode())
        for who in NAMES.values():
            assert not found_in(tmp_path / str(number) / "home", who)


def test_an_untouched_file_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = taken_in(tmp_path, head() + STEP, "values.csv", as_csv().encode())
    folder = tmp_path / "mine"
    monkeypatch.delenv("NAMES_KEY")
    assert not lacks(archive, load_dataset(folder))
    (folder / "dataset.toml").write_text(head() + STEP + "length = 12\n", encoding="utf-8")
    with pytest.raises(UserError, match="key to de-identify"):
        lacks(archive, load_dataset(folder))
    (folder / "dataset.toml").write_text(head() + STEP, encoding="utf-8")
    (folder / "values.csv").write_text(
        as_csv() + "Ann Example,2019-12-31,2020-01-20T09:30:00,1.0,ok\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match="key to de-identify"):
        lacks(archive, load_dataset(folder))

"""What the hash of the code leaves out asks and prints, and nothing that computes uses it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from harness.record.platform import FACES, PACKAGE

NAMES = {f"harness.{face.removesuffix('.py')}" for face in FACES}


def imported(path: Path) -> Iterator[str]:
    """Modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{one.name}" for one in node.names))
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def faces_in(path: Path) -> set[str]:
    return {name for name in imported(path) for face in NAMES if f"{name}.".startswith(f"{face}.")}


def test_no_file_that_computes_imports_one_that_the_code_hash_leaves_out(tmp_path: Path) -> None:
    hashed = [one for one in PACKAGE.rglob("*.py") if one.relative_to(PACKAGE).parts[0] not in FACES]
    assert len(hashed) > 200
    found = {str(one.relative_to(PACKAGE)) for one in hashed if faces_in(one)}
    assert found == {"__init__.py", "__main__.py"}, "these two hand out the faces, and compute nothing"
    (tmp_path / "one.py").write_text("def late():\n    from harness.report.run import Run\n")
    assert faces_in(tmp_path / "one.py"), "a late import is seen"


def test_the_left_out_files_are_the_command_line_the_verbs_in_python_and_the_reports() -> None:
    assert {one.name for one in PACKAGE.glob("cli*.py")} | {"holdout.py", "report"} == set(FACES)

"""What goes between a sealed home and its custodian: requests and signed grants, as JSON files."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import SealedError, UserError
from harness.core.identity import digest
from harness.record.files import json_bytes, write_file
from harness.record.shape import Shape, misshapen

REQUEST, GRANT = "harness holdout request 1", "harness holdout grant 1"
SIGNATURE = "signature"
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""Ids of plans and seals: they become names of files."""
Table = Mapping[str, object]
BOTH: Mapping[str, Shape] = {
    **dict.fromkeys(("kind", "plan", "head", "once"), str),
    "seals": {str: {"manifest": str, "identity": str}},
}
SHAPES: Mapping[str, Shape] = {
    REQUEST: BOTH,
    GRANT: {**BOTH, "content": str, "again": bool, "at": str, SIGNATURE: str},
}
"""What requests and grants hold; the plan and the ledger in a request are held against one another."""


def write_exchange(path: Path, record: Table) -> None:
    """Write a request or a grant."""
    write_file(path.absolute(), json_bytes(record))


def read_exchange(path: Path, kind: str) -> dict[str, object]:
    """Read a request or a grant; every id in it is fit to be the name of a file.

    Raises:
        UserError: there is no such file.
        SealedError: it is something else.
    """
    if not path.is_file():
        asks = kind == REQUEST
        raise UserError(
            "no such file",
            value=path,
            rule=f"{'a request' if asks else 'a grant'} is the file that {kind[:-2]} wrote",
            fix="where the seal is: harness holdout request --plan ID --out FILE"
            if asks
            else "on the custodian's machine: harness holdout grant REQUEST --out FILE",
        )
    try:
        record = json.loads(path.read_bytes())
        fits = not misshapen(record, SHAPES[kind]) and record["kind"] == kind and bool(record["seals"])
        fits = fits and all(NAME.fullmatch(one) is not None for one in (record["plan"], *record["seals"]))
        json_bytes(record)
    except (OSError, ValueError, RecursionError) as error:
        raise _foreign(path, kind) from error
    if not fits:
        raise _foreign(path, kind)
    return dict(record)


def _foreign(path: Path, kind: str) -> SealedError:
    return SealedError(
        "this file is something else, or damaged", value=path, rule=f"a {kind[:-2]}", fix="send it again"
    )


def seals_in(record: Table) -> dict[str, dict[str, str]]:
    """Seal id -> `manifest` (hash) and `identity` (encrypted, base64)."""
    seals = record["seals"]
    found = seals if isinstance(seals, dict) else {}
    return {str(name): {key: str(value) for key, value in one.items()} for name, one in found.items()}


def request_digest(record: Table) -> str:
    """By what a request is entered in the ledger: plan, lists of the vaults, and the one-use key."""
    manifests = {name: one.get("manifest") for name, one in seals_in(record).items()}
    return digest("request", record.get("plan"), record.get("content"), manifests, record.get("once"))


def signed_part(grant: Table) -> bytes:
    """What a custodian signs: all of the grant but the signature."""
    return json_bytes({name: value for name, value in grant.items() if name != SIGNATURE})


def encoded(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode()


def decoded(text: str) -> bytes:
    """Bytes that were made text; nothing where the text is damaged (it then opens with no key)."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""

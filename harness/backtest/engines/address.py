"""Addresses of clusters: whether one has the form that its engine takes, and whether anybody is there."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from types import MappingProxyType

from harness.core.errors import UserError

PATIENCE = 5.0
"""Seconds for somebody to answer at an address."""
SCHEMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"ray": ("ray",), "dask": ("tcp", "tls", "ws", "wss", "ucx", "ucxx")}
)
"""Engine -> what may stand before `://`; nothing may, too."""
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType({"ray": ("auto", "local"), "dask": ()})
"""Engine -> what is no address and means a cluster of this machine."""
EXAMPLES: Mapping[str, str] = MappingProxyType({"ray": "10.0.0.1:6379", "dask": "tcp://10.0.0.1:8786"})
ADDRESS = re.compile(r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
PORTS = 65536
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client says first to whoever speaks gRPC, as Ray does: its preface, and settings that hold nothing."""
FRAME, KIND, SETTINGS = 9, 3, 4
"""Bytes of the head of a frame, which of them tells its kind, and the kind that must come first."""


def refuse_malformed(engine: str, address: str) -> None:
    """Refuse an address that cannot be one, before anything is done.

    Args:
        engine: `ray` or `dask`.
        address: as the user wrote it.

    Raises:
        UserError: it has not the form HOST:PORT, nor SCHEME://HOST:PORT with a scheme of the engine.
    """
    if address in WORDS[engine]:
        return
    told, schemes = ADDRESS.fullmatch(str(address)), SCHEMES[engine]
    if told is None or not 0 < int(told["port"]) < PORTS or (told["scheme"] or schemes[0]) not in schemes:
        also = "".join(f", or {word}" for word in WORDS[engine])
        raise UserError(
            f"not an address of a {engine.capitalize()} cluster",
            value=repr(address),
            rule=f"HOST:PORT or {'|'.join(schemes)}://HOST:PORT{also}",
            fix=f"for example --engine-address {EXAMPLES[engine]}; or leave it out for a cluster of this machine",
        )


def refuse_deserted(engine: str, address: str) -> None:
    """Refuse an address at which nobody listens, or somebody else than Ray: the engines themselves try for minutes.

    Args:
        engine: `ray` or `dask`.
        address: well-formed.

    Raises:
        UserError: nobody answers within `PATIENCE`, or not as Ray does.
    """
    if address in WORDS[engine]:
        return
    try:
        with _called(address) as line:
            plain = engine == "ray" and not os.environ.get("RAY_USE_TLS")
            heard = _greeted(line) if plain else b""
    except OSError as error:
        raise nobody_there(engine, address, error) from error
    if plain and (len(heard) < FRAME or heard[KIND] != SETTINGS):
        raise nobody_there(engine, address, "what listens there does not answer as Ray does")


def _greeted(line: socket.socket) -> bytes:
    """The head of the first frame that comes back, as far as it comes."""
    line.sendall(HTTP2)
    heard = b""
    while len(heard) < FRAME and (part := line.recv(FRAME - len(heard))):
        heard += part
    return heard


def nobody_there(engine: str, address: str, why: object) -> UserError:
    """What is said where there is no cluster.

    Args:
        engine: `ray` or `dask`.
        address: as the user wrote it.
        why: what the system or the engine says.
    """
    return UserError(
        "no Ray cluster there" if engine == "ray" else "no Dask scheduler there",
        value=address,
        rule=" ".join(str(why).split())[:200] or "nobody answers",
        fix=f"give the address of its {'head' if engine == 'ray' else 'scheduler'}, for example {EXAMPLES[engine]}, "
        f"or leave it out{'; a head that asks for a token needs the same one here' if engine == 'ray' else ''}",
    )


def _called(address: str) -> socket.socket:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)

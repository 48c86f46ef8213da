"""A reader of the age format written from its specification alone, with another library's primitives.

https://age-encryption.org/v1: a text header that wraps a file key to an X25519 recipient, then chunks of 64 KiB.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHUNK = 64 * 1024 + 16


def derived(secret: bytes, salt: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, label).derive(secret)


def private_key(identity: str) -> X25519PrivateKey:
    """Bech32 without its checksum: five bits a letter."""
    data = identity.lower().rpartition("1")[2][:-6]
    bits = "".join(f"{LETTERS.index(letter):05b}" for letter in data)
    return X25519PrivateKey.from_private_bytes(bytes(int(bits[at : at + 8], 2) for at in range(0, 256, 8)))


def unpadded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def read(content: bytes, identity: str) -> bytes:
    mine = private_key(identity)
    head, mark, rest = content.partition(b"\n--- ")
    mac, _, body = rest.partition(b"\n")
    lines = head.split(b"\n")
    assert lines[0] == b"age-encryption.org/v1"
    place = next(n for n, line in enumerate(lines) if line.startswith(b"-> X25519 "))
    share, wrapped = unpadded(lines[place].split()[2]), unpadded(lines[place + 1])
    secret = mine.exchange(X25519PublicKey.from_public_bytes(share))
    wrapping = derived(secret, share + mine.public_key().public_bytes_raw(), b"age-encryption.org/v1/X25519")
    key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), wrapped, None)
    told = hmac.new(derived(key, b"", b"header"), head + mark.rstrip(), hashlib.sha256).digest()
    assert told == unpadded(mac)
    stream = ChaCha20Poly1305(derived(key, body[:16], b"payload"))
    chunks = [body[at : at + CHUNK] for at in range(16, len(body), CHUNK)]
    return b"".join(
        stream.decrypt(number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, None)
        for number, chunk in enumerate(chunks)
    )

"""Sealing: what a person sent is ciphertext from the gateway to the worker, and the answer is too.

Each record has a key of its own, derived from the project's key and a random salt, so that no number of records wears
a key out and nothing has to be wrapped. The header commits to the key: a ciphertext opens under one key only. What
the record is (`bound`: its id, type and project) goes into the derivation, so a ciphertext cannot be moved to another
record. The layout, all of it authenticated:

    version 1 byte | salt 24 | commitment 16 | ciphertext and tag (AES-256-GCM)

`docs/decisions/0007-sealing.md` has the reasons.
"""

import hmac
import secrets
from hashlib import sha256, sha512
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from genescale.errors import Permanent
from genescale.security.keys import KEY_BYTES, Keys, ProjectKey

VERSION: Final = 1
_SALT_BYTES: Final = 24
_COMMITMENT_BYTES: Final = 16
_HEADER_BYTES: Final = 1 + _SALT_BYTES + _COMMITMENT_BYTES
_NONCE: Final = bytes(12)  # each key seals one record, so the nonce need not vary
_PURPOSE: Final = b"genescale seal 1\0"
OVERHEAD_BYTES: Final = _HEADER_BYTES + 16


class NotOpened(Permanent):
    """The ciphertext is damaged, was moved here from another record, or was sealed with another key."""


class Sealed(NamedTuple):
    """Ciphertext, and the id of the key that opens it (the extension `sealed` of the event)."""

    key_id: str
    data: bytes


class Sealer(Protocol):
    """What gateway and worker know of encryption."""

    def seal(self, project: str, plaintext: bytes, bound: bytes) -> Sealed:
        """Encrypt for a project. `bound` says which record this is."""
        ...

    def open(self, project: str, key_id: str, data: bytes, bound: bytes) -> bytes:
        """The plaintext. Raises `NotOpened`, `KeyDestroyed` or `KeyUnknown`."""
        ...

    def blind(self, project: str, content: bytes) -> str:
        """A name for this content that only the project's key can make: equal contents, equal names, no dictionary."""
        ...


def bound_to(event_id: str, type_name: str, project: str) -> bytes:
    """The `bound` of an event: what must not change around its ciphertext."""
    return f"{event_id}\x1f{type_name}\x1f{project}".encode()


class ProjectSealer:
    """AES-256-GCM under the keys of `Keys`. Safe to use from several threads."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def seal(self, project: str, plaintext: bytes, bound: bytes) -> Sealed:
        """See `Sealer`."""
        key = self._keys.newest(project)
        salt = secrets.token_bytes(_SALT_BYTES)
        secret, commitment = _derived(key, salt, bound)
        head = bytes((VERSION,)) + salt + commitment
        return Sealed(key.key_id, head + AESGCM(secret).encrypt(_NONCE, plaintext, head))

    def open(self, project: str, key_id: str, data: bytes, bound: bytes) -> bytes:
        """See `Sealer`."""
        if len(data) < OVERHEAD_BYTES or data[0] != VERSION:
            raise NotOpened("this is not a sealed record of a version that this program knows")
        head = data[:_HEADER_BYTES]
        key = self._keys.key(project, key_id)
        secret, commitment = _derived(key, head[1 : 1 + _SALT_BYTES], bound)
        if not hmac.compare_digest(commitment, head[1 + _SALT_BYTES :]):
            raise NotOpened("sealed with another key, for another record, or damaged")
        try:
            return AESGCM(secret).decrypt(_NONCE, data[_HEADER_BYTES:], head)
        except InvalidTag:
            raise NotOpened("the sealed record is damaged") from None

    def blind(self, project: str, content: bytes) -> str:
        """See `Sealer`."""
        key = self._keys.newest(project)
        return hmac.digest(key.secret, b"genescale name 1\0" + content, sha256).hex()


def _derived(key: ProjectKey, salt: bytes, bound: bytes) -> tuple[bytes, bytes]:
    """The key of one record, and what the header says about it: two halves of one HMAC-SHA-512."""
    both = hmac.digest(key.secret, _PURPOSE + key.key_id.encode() + salt + bound, sha512)
    return both[:KEY_BYTES], both[KEY_BYTES : KEY_BYTES + _COMMITMENT_BYTES]

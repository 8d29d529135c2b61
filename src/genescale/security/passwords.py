"""Passwords: argon2id, at most a few at once, so that a flood of sign-ins costs bounded memory."""

import threading
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from genescale.errors import InvalidInput
from genescale.sensitive import Sensitive

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256


class Passwords:
    """Hashing and checking. Each call takes about a tenth of a second and `memory_kib`; call it from a thread.

    The defaults are the second choice of RFC 9106 (64 MiB, three passes), for machines where memory is shared.
    """

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65_536, parallelism: int = 4, at_once: int = 2) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, type=Type.ID
        )
        self._room = threading.BoundedSemaphore(at_once)
        self._nobodys: str | None = None

    def hash(self, password: Sensitive[str]) -> str:
        """The text to store. Raises `InvalidInput` for a password that is too short or too long."""
        if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
            raise InvalidInput(
                f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters; any characters will do, a sentence is fine",
                code="bad_password",
            )
        with self._room:
            return self._hasher.hash(password.reveal())

    def matches(self, stored: str | None, password: Sensitive[str]) -> bool:
        """True when it is the password. Without a stored hash it takes the same time, and is False.

        The equal time keeps the answer from telling which names exist.
        """
        if len(password) > LENGTH_MAX:
            return False
        known = stored is not None
        against = stored if stored is not None else self._nobody()
        with self._room:
            try:
                return self._hasher.verify(against, password.reveal()) and known
            except (VerificationError, InvalidHashError):
                return False

    def outdated(self, stored: str) -> bool:
        """True for a hash that was made with other costs; make a new one at the next sign-in."""
        return self._hasher.check_needs_rehash(stored)

    def _nobody(self) -> str:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("a password that nobody has")
        return self._nobodys

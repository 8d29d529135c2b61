"""Values that must never be read in a log line, a trace, a metric label or an error page.

Sequences, variants, names and tokens travel as `Sensitive`. Whatever prints one shows its length and a short digest,
by type and not by pattern, so that no new log call can forget the rule. The digest is keyed with bytes that live only
in this process: equal values look equal within one run, and nobody can guess a short sequence from its hash.
"""

import hashlib
import secrets
from collections.abc import Sized
from typing import Generic, TypeVar, cast

T = TypeVar("T", bound=Sized)

_KEY = secrets.token_bytes(32)


class Sensitive(Generic[T]):
    """A value with a lock on it: `reveal()` is the only way in, easy to search for in a review."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value itself. Every caller is a place to look at when privacy is reviewed."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sensitive):
            return False
        return self._value == cast("Sensitive[Sized]", other).reveal()

    def __hash__(self) -> int:
        return hash((Sensitive, self._value))

    def __repr__(self) -> str:
        return f"<sensitive {len(self._value)} long, {digest(self._value)}>"

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a sensitive value is not pickled; hand over the sealed form instead")


def digest(value: object) -> str:
    """Eight hex digits that are equal for equal values within this process, and mean nothing outside it."""
    raw = value if isinstance(value, bytes) else repr(value).encode()
    return hashlib.blake2b(raw, key=_KEY, digest_size=4).hexdigest()

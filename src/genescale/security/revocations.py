"""Credentials that are worth nothing before their time. Asked for every message, so the answer comes from memory.

Each process reads the table again when what it knows is older than `fresh_s`: a revocation reaches every connection of
every gateway within that time.
"""

import threading
from typing import Final

from genescale.clock import Clock
from genescale.security.principal import Principal
from genescale.security.tables import REVOCATIONS
from genescale.store.tables import Tables, Transaction

FRESH_S: Final = 1.0


class Revocations:
    """What was revoked. Safe to use from several threads."""

    def __init__(self, tables: Tables, clock: Clock, *, fresh_s: float = FRESH_S) -> None:
        self._tables = tables
        self._clock = clock
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._read_at_s: float | None = None
        self._subjects: dict[str, int] = {}
        self._credentials: frozenset[str] = frozenset()

    def revoke_subject(self, subject: str) -> None:
        """Everything that was issued to this subject up to now."""
        self._revoke("subject", subject, until_ms=None)

    def revoke_credential(self, digest: str, *, until_ms: int | None = None) -> None:
        """One session or token, by `Principal.credential`. After `until_ms` it has ended anyway."""
        self._revoke("credential", digest, until_ms=until_ms)

    def covers(self, principal: Principal) -> bool:
        """True when the principal's credential was revoked. Blocks for one query at most every `fresh_s`."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._read_at_s is None or now_s - self._read_at_s >= self._fresh_s:
                self._read()
                self._read_at_s = now_s
            subject_ms = self._subjects.get(principal.subject)
            return (subject_ms is not None and principal.issued_ms <= subject_ms) or (
                bool(principal.credential) and principal.credential in self._credentials
            )

    def _read(self) -> None:
        with self._tables.snapshot() as snapshot:
            rows = snapshot.select(REVOCATIONS)
        self._subjects = {row["value"]: row["at_ms"] for row in rows if row["what"] == "subject"}
        self._credentials = frozenset(row["value"] for row in rows if row["what"] == "credential")

    def _revoke(self, what: str, value: str, until_ms: int | None) -> None:
        now_ms = self._clock.wall_ms()

        def work(tx: Transaction) -> None:
            tx.delete(REVOCATIONS, [("until_ms", "<=", now_ms)])
            held = tx.get(REVOCATIONS, {"what": what, "value": value})
            at_ms = max(now_ms, held["at_ms"]) if held else now_ms  # a clock that went back gives nothing back
            tx.upsert(REVOCATIONS, {"what": what, "value": value, "at_ms": at_ms, "until_ms": until_ms})

        self._tables.run(work)
        with self._lock:
            self._read_at_s = None

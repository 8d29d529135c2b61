"""What a client shows to open, or to reopen, a stream.

A ticket opens one WebSocket: random, for 30 seconds, for one subject and one origin, used up by the first who shows
it. Redeeming deletes its row in a transaction, so two gateways cannot both take it.

A resume token proves that a session is the client's own: signed, kept by the client, valid at every gateway that has
the same secret. Whoever shows it must be signed in as the subject it was made for.

    Permanent ── BadTicket       not known, used, too old, or for another subject or origin; the reasons look alike
              └─ BadResumeToken  forged, too old, or made for somebody else
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from genescale.clock import Clock
from genescale.errors import Permanent
from genescale.security.tables import STREAM_TICKETS
from genescale.sensitive import Sensitive
from genescale.store.tables import Tables, Transaction

TICKET_S: Final = 30.0
RESUME_S: Final = 86_400.0
OUTSTANDING_MAX: Final = 100  # unused tickets of one subject
_PURPOSE: Final = b"genescale resume 1\0"


class BadTicket(Permanent):
    """This ticket opens nothing."""


class BadResumeToken(Permanent):
    """This token resumes nothing. `foreign`: it is sound, and somebody else's."""

    def __init__(self, message: str, *, foreign: bool = False) -> None:
        super().__init__(message)
        self.foreign = foreign


def token_digest(token: str) -> str:
    """What the tables keep of a random token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Tickets:
    """One-use tickets in the tables. Every call may block."""

    def __init__(self, tables: Tables, clock: Clock, *, lifetime_s: float = TICKET_S) -> None:
        self._tables = tables
        self._clock = clock
        self._lifetime_ms = int(lifetime_s * 1000)

    def issue(self, subject: str, origin: str) -> Sensitive[str]:
        """A ticket for this subject, for a page of this origin (in the spelling of `normal_origin`)."""
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.wall_ms()

        def work(tx: Transaction) -> None:
            tx.delete(STREAM_TICKETS, [("expires_ms", "<=", now_ms)])
            if tx.count(STREAM_TICKETS, [("subject", "=", subject)]) >= OUTSTANDING_MAX:
                raise BadTicket(f"{OUTSTANDING_MAX} tickets are waiting to be used; use them, or wait half a minute")
            row = {
                "digest": token_digest(token),
                "subject": subject,
                "origin": origin,
                "expires_ms": now_ms + self._lifetime_ms,
            }
            tx.insert(STREAM_TICKETS, row)

        self._tables.run(work)
        return Sensitive(token)

    def redeem(self, token: Sensitive[str], subject: str, origin: str) -> None:
        """Use the ticket up. Raises `BadTicket`; a ticket that is shown in the wrong place is used up as well."""
        digest = token_digest(token.reveal())

        def work(tx: Transaction) -> dict[str, object] | None:
            row = tx.get(STREAM_TICKETS, {"digest": digest})
            return row if row is not None and tx.delete(STREAM_TICKETS, [("digest", "=", digest)]) == 1 else None

        row = self._tables.run(work)
        if row is None or row["subject"] != subject or row["origin"] != origin:
            raise BadTicket("this ticket opens nothing; ask for a new one")
        if self._clock.wall_ms() >= int(str(row["expires_ms"])):
            raise BadTicket("this ticket opens nothing; ask for a new one")


class Resumed(msgspec.Struct, frozen=True):
    """What a sound resume token says."""

    session: str
    project: str
    epoch: str
    issued_ms: int


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    session: str
    subject: str  # a digest, so that the token prints nobody
    project: str
    epoch: str
    issued_ms: int


class ResumeTokens:
    """Signing and checking. `keys`: the newest first; older ones still check, so that a key can be changed."""

    def __init__(self, keys: Sequence[bytes], clock: Clock, *, lifetime_s: float = RESUME_S) -> None:
        if not keys or any(len(key) < 32 for key in keys):
            raise ValueError("a key for resume tokens has at least 32 bytes")
        self._keys = tuple(keys)
        self._clock = clock
        self._lifetime_ms = int(lifetime_s * 1000)

    def sign(self, *, session: str, subject: str, project: str, epoch: str) -> str:
        """The token for this session of this subject."""
        payload = msgspec.json.encode(_Payload(session, token_digest(subject), project, epoch, self._clock.wall_ms()))
        return f"{_text(payload)}.{_text(self._mac(self._keys[0], payload))}"

    def check(self, token: str, *, subject: str) -> Resumed:
        """What the token says, or `BadResumeToken`. The caller compares session, epoch and project with its own."""
        payload = self._authentic(token)
        try:
            said = msgspec.json.decode(payload, type=_Payload)
        except msgspec.DecodeError:
            raise BadResumeToken("this token resumes nothing") from None
        if not hmac.compare_digest(said.subject, token_digest(subject)):
            raise BadResumeToken("this session belongs to somebody else", foreign=True)
        age_ms = self._clock.wall_ms() - said.issued_ms
        if not -60_000 <= age_ms < self._lifetime_ms:
            raise BadResumeToken("this token is too old; start a new session")
        return Resumed(said.session, said.project, said.epoch, said.issued_ms)

    def _authentic(self, token: str) -> bytes:
        text, dot, signature = token.partition(".")
        if not dot or len(token) > 2_048 or not token.isascii():
            raise BadResumeToken("this token resumes nothing")
        try:
            payload, mac = _raw(text), _raw(signature)
        except (binascii.Error, ValueError):
            raise BadResumeToken("this token resumes nothing") from None
        # Every key is tried: the time says nothing about which one fitted.
        if not any([hmac.compare_digest(self._mac(key, payload), mac) for key in self._keys]):  # noqa: C419
            raise BadResumeToken("this token resumes nothing")
        return payload

    @staticmethod
    def _mac(key: bytes, payload: bytes) -> bytes:
        return hmac.digest(key, _PURPOSE + payload, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

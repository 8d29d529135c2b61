"""Local users, their projects, and who is signed in. Every call may block; passwords take a tenth of a second.

A sign-in is a random token that the browser keeps and the tables know by its digest. It ends 15 minutes after the last
action of its user, 12 hours after it began, when it is revoked, and when its user is disabled. Roles are read anew each
time, so taking one away works at once.

    Permanent ── NotSignedIn      no such sign-in; `why` says in one word what a page may tell its user
    Retryable ── TooManyAttempts  wait `after_s` before the next attempt with this name
"""

import secrets
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from genescale.clock import Clock
from genescale.errors import InvalidInput, Permanent, Retryable, UnknownName
from genescale.security.limits import RateLimit
from genescale.security.passwords import Passwords
from genescale.security.principal import CLINICAL_CARE, EVERYWHERE, PLATFORM_ROLES, ROLES, Principal
from genescale.security.revocations import Revocations
from genescale.security.tables import MEMBERSHIPS, REVOCATIONS, SIGN_IN_LINKS, SIGN_INS, USERS
from genescale.security.tickets import token_digest
from genescale.sensitive import Sensitive, digest
from genescale.store.tables import Conflict, Row, Snapshot, Tables, Transaction, Where

IDLE_S: Final = 900.0
WHOLE_S: Final = 43_200.0
LINK_S: Final = 900.0
_TOUCH_S: Final = 15.0  # a sign-in is noted as seen at most this often; it may end this much earlier
_ATTEMPTS: Final = 5.0
_ATTEMPT_EVERY_S: Final = 10.0

Why = Literal["unknown", "idle", "expired", "revoked", "disabled"]


class NotSignedIn(Permanent):
    """The credential opens nothing."""

    def __init__(self, message: str, *, why: Why) -> None:
        super().__init__(message)
        self.why = why


class TooManyAttempts(Retryable):
    """This name was tried too often."""


class SignedIn(msgspec.Struct, frozen=True):
    """The token for the browser's cookie, and who it stands for."""

    token: Sensitive[str]
    principal: Principal


class User(msgspec.Struct, frozen=True):
    """One user as an administrator sees it."""

    subject: str
    name: str
    enabled: bool
    roles: Mapping[str, frozenset[str]]

    def __repr__(self) -> str:
        return f"<user {digest(self.subject)}>"


class Users:
    """See the module. Safe to use from several threads and processes."""

    def __init__(
        self,
        tables: Tables,
        clock: Clock,
        passwords: Passwords,
        revocations: Revocations,
        *,
        idle_s: float = IDLE_S,
        whole_s: float = WHOLE_S,
        link_s: float = LINK_S,
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._passwords = passwords
        self._revocations = revocations
        self._idle_ms, self._whole_ms, self._link_ms = (int(s * 1000) for s in (idle_s, whole_s, link_s))
        self._attempts = RateLimit(rate_per_s=1 / _ATTEMPT_EVERY_S, burst=_ATTEMPTS)
        self._attempts_lock = threading.Lock()

    # Who there is

    def create(
        self,
        name: str,
        *,
        password: Sensitive[str] | None = None,
        roles: Mapping[str, Iterable[str]] | None = None,
        purposes: Iterable[str] = (),
        lab_director: bool = False,
    ) -> str:
        """Make a user and return the subject. Raises `InvalidInput` when the name is taken or a role is unknown."""
        _check_name(name)
        members = [(project, role) for project, some in (roles or {}).items() for role in some]
        for project, role in members:
            _check_membership(project, role)
        subject = f"local:{secrets.token_hex(16)}"
        row = {
            "subject": subject,
            "name": name,
            "password": self._passwords.hash(password) if password is not None else None,
            "purposes": sorted(purposes),
            "lab_director": lab_director,
            "created_ms": self._clock.wall_ms(),
        }

        def work(tx: Transaction) -> None:
            tx.insert(USERS, row)
            for project, role in members:
                tx.insert(MEMBERSHIPS, {"subject": subject, "project": project, "role": role}, on_conflict="ignore")

        try:
            self._tables.run(work)
        except Conflict:
            raise InvalidInput("a user of this name exists already; choose another name", code="name_taken") from None
        return subject

    def owner(self, *, name: str = "owner", project: str = "default") -> str:
        """The user of a platform on one machine, made when it is not there: all of one project, and the platform.

        Not a lab director, and no auditor: what an owner does is for somebody else to look at.
        """
        subject = self.subject_of(name)
        if subject is not None:
            return subject
        roles = {project: ("analyst", "clinician", "project-admin"), EVERYWHERE: ("platform-admin",)}
        try:
            return self.create(name, roles=roles, purposes=(CLINICAL_CARE,))
        except InvalidInput:
            subject = self.subject_of(name)  # another process was quicker
            if subject is None:
                raise
            return subject

    def listing(self) -> list[User]:
        """Everybody who has a row here, in the order of their names."""
        with self._tables.snapshot() as snapshot:
            rows = snapshot.select(USERS, order_by=("name",))
            return [
                User(row["subject"], row["name"], row["enabled"], _with_memberships(snapshot, row["subject"], {}))
                for row in rows
            ]

    def subject_of(self, name: str) -> str | None:
        """The subject of a local user."""
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(USERS, {"name": name})
        return row["subject"] if row else None

    def set_password(self, subject: str, password: Sensitive[str]) -> None:
        """A new password. It ends all sign-ins of the user."""
        self._change(subject, {"password": self._passwords.hash(password)})
        self.revoke(subject)

    def set_enabled(self, subject: str, *, enabled: bool) -> None:
        """Let a user in, or not, of any issuer. Disabling ends all sign-ins and revokes all tokens up to now."""
        row: Row = {"subject": subject, "name": subject, "purposes": [], "created_ms": self._clock.wall_ms()}

        def work(tx: Transaction) -> None:
            if subject.startswith("oidc:"):  # whom an identity provider keeps has no row here until it is needed
                tx.insert(USERS, row, on_conflict="ignore")
            if not tx.update(USERS, [("subject", "=", subject)], {"enabled": enabled}):
                raise UnknownName(_NO_SUCH_USER, code="unknown_user")

        self._tables.run(work)
        if not enabled:
            self.revoke(subject)

    def grant(self, subject: str, project: str, role: str) -> None:
        """Give a role in a project; platform roles may be given for `*`. Works for subjects of any issuer."""
        _check_membership(project, role)
        row = {"subject": subject, "project": project, "role": role}
        self._tables.run(lambda tx: tx.insert(MEMBERSHIPS, row, on_conflict="ignore"))

    def take_away(self, subject: str, project: str, role: str) -> bool:
        """Take a role away; False when it was not there."""
        where: Where = [("subject", "=", subject), ("project", "=", project), ("role", "=", role)]
        return self._tables.run(lambda tx: tx.delete(MEMBERSHIPS, where)) > 0

    def members(self, project: str) -> list[tuple[str, str]]:
        """Subject and role of everybody in a project."""
        with self._tables.snapshot() as snapshot:
            rows = snapshot.select(MEMBERSHIPS, [("project", "=", project)])
        return [(row["subject"], row["role"]) for row in rows]

    # Signing in and out

    def sign_in(self, name: str, password: Sensitive[str]) -> SignedIn:
        """With name and password. Takes the same time whether the name exists or not."""
        with self._attempts_lock:
            wait_s = self._attempts.wait_s(token_digest(name), self._clock.monotonic_s())
        if wait_s:
            raise TooManyAttempts("too many attempts with this name; wait a little", after_s=wait_s)
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(USERS, {"name": name})
        stored: str | None = row["password"] if row else None
        if not self._passwords.matches(stored, password) or row is None or not row["enabled"]:
            raise NotSignedIn("name or password is wrong", why="unknown")
        if stored is not None and self._passwords.outdated(stored):
            self._change(row["subject"], {"password": self._passwords.hash(password)})
        with self._attempts_lock:
            self._attempts.forget(token_digest(name))
        return self._begin(row["subject"], {})

    def link(self, subject: str) -> Sensitive[str]:
        """A token that signs this user in once, for the link that `genescale up` prints, as Jupyter does.

        The request that carries it uses it up: what a log or a browser's history keeps of it opens nothing.
        """
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.wall_ms()
        row = {"digest": token_digest(token), "subject": subject, "expires_ms": now_ms + self._link_ms}

        def work(tx: Transaction) -> None:
            tx.delete(SIGN_IN_LINKS, [("expires_ms", "<=", now_ms)])
            tx.insert(SIGN_IN_LINKS, row)

        self._tables.run(work)
        return Sensitive(token)

    def redeem_link(self, token: Sensitive[str]) -> SignedIn:
        """Sign in with a link. It works once; of two who show it at the same time one gets in."""
        digest = token_digest(token.reveal())

        def work(tx: Transaction) -> Row | None:
            row = tx.get(SIGN_IN_LINKS, {"digest": digest})
            tx.delete(SIGN_IN_LINKS, [("digest", "=", digest)])
            return row

        row = self._tables.run(work)
        if row is None or self._clock.wall_ms() >= row["expires_ms"]:
            raise NotSignedIn("this link was used or is too old; ask for a new one", why="unknown")
        return self._begin(row["subject"], {})

    def sign_in_proven(self, principal: Principal) -> SignedIn:
        """Sign in somebody whom an identity provider has just proven to be this principal.

        What the provider said of roles and purposes counts for this sign-in; memberships of our own are added.
        """
        proof = {
            "name": principal.name,
            "roles": {project: sorted(roles) for project, roles in principal.roles.items()},
            "purposes": sorted(principal.purposes),
            "strong": principal.strong,
            "lab_director": principal.lab_director,
        }
        return self._begin(principal.subject, proof)

    def sign_out(self, token: Sensitive[str]) -> None:
        """End one sign-in, and what was opened with it. Unknown tokens are fine."""
        digest = token_digest(token.reveal())
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(SIGN_INS, {"digest": digest})
        if row is not None:
            self._revocations.revoke_credential(digest, until_ms=row["expires_ms"])
            self._tables.run(lambda tx: tx.delete(SIGN_INS, [("digest", "=", digest)]))

    def revoke(self, subject: str) -> None:
        """End all sign-ins of a subject, and revoke every token it was issued anywhere up to now."""
        self._revocations.revoke_subject(subject)
        self._tables.run(lambda tx: tx.delete(SIGN_INS, [("subject", "=", subject)]))

    # Who this is

    def authenticate(self, token: Sensitive[str], *, active: bool = True) -> Principal:
        """Who this token stands for. `active`: a person did something, which starts the idle time anew."""
        return self._seen(token_digest(token.reveal()), active=active)

    def renew(self, principal: Principal, *, active: bool) -> Principal:
        """The same principal as of now, for a connection that stays open. Raises `NotSignedIn` when it must close."""
        if principal.credential.startswith(_BEARER):
            return self.complete(principal)
        return self._seen(principal.credential, active=active)

    def complete(self, principal: Principal) -> Principal:
        """A principal from a bearer token, with its memberships here. Raises `NotSignedIn` when it is not let in."""
        if principal.expired(self._clock.wall_ms() / 1000):
            raise NotSignedIn("the token has expired; get a new one", why="expired")
        if self._revocations.covers(principal):
            raise NotSignedIn("the token was revoked", why="revoked")
        with self._tables.snapshot() as snapshot:
            user = snapshot.get(USERS, {"subject": principal.subject})
            if user is not None and not user["enabled"]:
                raise NotSignedIn("this user is disabled; ask whoever runs the platform", why="disabled")
            roles = _with_memberships(snapshot, principal.subject, principal.roles)
        return msgspec.structs.replace(principal, roles=roles)

    def _seen(self, digest: str, *, active: bool) -> Principal:
        now_ms = self._clock.wall_ms()
        with self._tables.snapshot() as snapshot:
            row = snapshot.get(SIGN_INS, {"digest": digest})
            if row is None:
                raise NotSignedIn("sign in first", why="unknown")
            user = snapshot.get(USERS, {"subject": row["subject"]})
            proof: dict[str, Any] = row["proof"]
            claimed = {project: frozenset(roles) for project, roles in proof.get("roles", {}).items()}
            roles = _with_memberships(snapshot, row["subject"], claimed)
        if now_ms >= row["expires_ms"]:
            self._end(digest, "expired", "this sign-in has ended; sign in again")
        if now_ms - row["seen_ms"] >= self._idle_ms:
            self._end(digest, "idle", f"nothing was done for {self._idle_ms // 60_000} minutes; sign in again")
        if user is not None and not user["enabled"]:
            self._end(digest, "disabled", "this user is disabled; ask whoever runs the platform")
        principal = _principal(row, user, proof, roles)
        if self._revocations.covers(principal):
            self._end(digest, "revoked", "this sign-in was revoked; sign in again")
        if active and now_ms - row["seen_ms"] >= _TOUCH_S * 1000:
            self._tables.run(lambda tx: tx.update(SIGN_INS, [("digest", "=", digest)], {"seen_ms": now_ms}))
        return principal

    def _end(self, digest: str, why: Why, message: str) -> None:
        self._tables.run(lambda tx: tx.delete(SIGN_INS, [("digest", "=", digest)]))
        raise NotSignedIn(message, why=why)

    def _begin(self, subject: str, proof: dict[str, Any]) -> SignedIn:
        token = secrets.token_urlsafe(32)
        digest = token_digest(token)
        now_ms = self._clock.wall_ms()
        row = {
            "digest": digest,
            "subject": subject,
            "seen_ms": now_ms,
            "expires_ms": now_ms + self._whole_ms,
            "proof": proof,
        }

        def work(tx: Transaction) -> None:
            tx.delete(SIGN_INS, [("expires_ms", "<=", now_ms)])
            revoked = tx.get(REVOCATIONS, {"what": "subject", "value": subject})
            # Signing in again in the millisecond of a revocation counts as after it.
            issued_ms = max(now_ms, revoked["at_ms"] + 1) if revoked else now_ms
            tx.insert(SIGN_INS, {**row, "issued_ms": issued_ms})

        self._tables.run(work)
        return SignedIn(Sensitive(token), self._seen(digest, active=False))

    def _change(self, subject: str, changes: dict[str, Any]) -> None:
        if not self._tables.run(lambda tx: tx.update(USERS, [("subject", "=", subject)], changes)):
            raise UnknownName(_NO_SUCH_USER, code="unknown_user")


_BEARER: Final = "jwt:"
_NO_SUCH_USER: Final = "there is no user with this subject"


def bearer_credential(token: str) -> str:
    """How a bearer token is named in `Principal.credential` and in revocations."""
    return _BEARER + token_digest(token)


def _principal(row: Row, user: Row | None, proof: Mapping[str, Any], roles: Mapping[str, frozenset[str]]) -> Principal:
    own = sorted(project for project, some in roles.items() if project != EVERYWHERE and some)
    return Principal(
        subject=row["subject"],
        name=proof.get("name") or (user["name"] if user else ""),
        roles=roles,
        default_project=own[0] if own else "",
        expires_s=row["expires_ms"] / 1000,
        purposes=frozenset(proof.get("purposes", ())) | frozenset(user["purposes"] if user else ()),
        strong=bool(proof.get("strong", False)),
        lab_director=bool(proof.get("lab_director", False)) or bool(user and user["lab_director"]),
        credential=row["digest"],
        issued_ms=row["issued_ms"],
    )


def _with_memberships(
    snapshot: Snapshot, subject: str, claimed: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    roles = dict(claimed)
    for row in snapshot.select(MEMBERSHIPS, [("subject", "=", subject)]):
        roles[row["project"]] = roles.get(row["project"], frozenset[str]()) | {row["role"]}
    return roles


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 128 or not name.isprintable() or name != name.strip():
        raise InvalidInput("a user name has 1 to 128 printable characters, no blanks around it", code="bad_name")


def _check_membership(project: str, role: str) -> None:
    if role not in ROLES:
        raise InvalidInput(f"there is no role {role!r}; there are {', '.join(sorted(ROLES))}", code="unknown_role")
    if not 1 <= len(project) <= 64 or not project.isprintable():
        raise InvalidInput("a project has a name of 1 to 64 printable characters", code="bad_project")
    if project == EVERYWHERE and role not in PLATFORM_ROLES:
        raise InvalidInput(f"{role} is a role of one project and cannot be given for all of them", code="bad_project")

"""Signing in at an identity provider: OpenID Connect, authorisation code with PKCE (S256).

`start` sends the browser away, `finish` takes it back. Between the two the tables keep what must match: the nonce and
the PKCE verifier, under the digest of `state`, for ten minutes and one use. The browser keeps a secret of its own in a
cookie, so that nobody can finish in another browser what was started here (login CSRF).

No networking lives here: `Http` is passed in. It must check certificates, follow no redirect, and bound time and size.

    Permanent ── SignInFailed         start again; `why` says the reason in one word, for the audit log
    Retryable ── ProviderUnavailable  the identity provider does not answer
    Fatal     ── CannotStart          the provider is not the one that the settings name, or cannot do PKCE
"""

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from genescale.clock import Clock
from genescale.errors import CannotStart, Permanent, Retryable
from genescale.security.principal import Principal
from genescale.security.tables import SIGN_IN_ATTEMPTS
from genescale.security.tickets import token_digest
from genescale.security.tokens import IDENTITY_TYPES, BadToken, IssuerKeys, TokenRules, Verifier, principal_from_claims
from genescale.security.users import bearer_credential
from genescale.sensitive import Sensitive
from genescale.store.tables import Row, Tables, Transaction

ATTEMPT_S: Final = 600.0
METADATA_FRESH_S: Final = 3_600.0
ATTEMPTS_MAX: Final = 10_000  # unfinished ones; anybody can start one, so their number is bounded
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Why = Literal["state", "browser", "refused", "exchange", "nonce", "token", "issuer"]


class SignInFailed(Permanent):
    """This attempt is over; start again."""

    def __init__(self, why: Why) -> None:
        super().__init__("signing in did not work; start again" if why != "refused" else "the provider refused")
        self.why: Why = why


class ProviderUnavailable(Retryable):
    """The identity provider does not answer, or answers with an error of its own."""


class Http(Protocol):
    """What this module needs of the network. Raises `Retryable` when there is no answer."""

    def get(self, url: str) -> bytes:
        """The body of a 200 answer."""
        ...

    def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        ...


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One provider. `redirect_uris` are compared as whole texts."""

    issuer: str
    client_id: str
    client_secret: Sensitive[str] | None = None  # None: a public client, PKCE alone
    redirect_uris: frozenset[str]
    scopes: tuple[str, ...] = ("openid", "profile")
    strong: frozenset[str] = frozenset({"mfa"})


class ProviderMetadata(msgspec.Struct, frozen=True):
    """What we use of `/.well-known/openid-configuration`."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    code_challenge_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False


class _TokenAnswer(msgspec.Struct, frozen=True):
    id_token: str

    def __repr__(self) -> str:
        return "<token answer>"


class Start(msgspec.Struct, frozen=True):
    """Where to send the browser, and the secret for its `__Host-` cookie (HttpOnly, Secure, SameSite=Lax)."""

    url: str
    browser: Sensitive[str]


class Provider:
    """The metadata of an issuer, fetched when it is needed and again each hour. Safe to use from several threads."""

    def __init__(self, issuer: str, http: Http, clock: Clock) -> None:
        _check_url(issuer, issuer)
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._held: tuple[float, ProviderMetadata] | None = None

    def metadata(self) -> ProviderMetadata:
        """The checked metadata. Blocks when it must be fetched; an old one serves while the provider is away."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._held is not None and now_s - self._held[0] < METADATA_FRESH_S:
                return self._held[1]
            try:
                body = self._http.get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            except Retryable as error:
                if self._held is None:
                    raise ProviderUnavailable("the identity provider does not answer", after_s=5.0) from error
                return self._held[1]
            self._held = (now_s, self._checked(body))
            return self._held[1]

    def jwks_uri(self) -> str:
        """Where the keys are, for `IssuerKeys`."""
        return self.metadata().jwks_uri

    def _checked(self, body: bytes) -> ProviderMetadata:
        try:
            found = msgspec.json.decode(body, type=ProviderMetadata)
        except msgspec.DecodeError as error:
            raise CannotStart(f"{self._issuer} does not describe an OpenID provider: {error}") from None
        if found.issuer != self._issuer:
            raise CannotStart(
                f"the provider calls itself {found.issuer!r}, the settings say {self._issuer!r}; they must be equal, "
                "the last slash included"
            )
        for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            _check_url(url, self._issuer)
        methods = found.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            raise CannotStart(f"{self._issuer} does not offer PKCE with S256; sign-in without it is not supported")
        return found


class Oidc:
    """Both halves of a sign-in. Every call may block."""

    def __init__(self, settings: OidcSettings, provider: Provider, http: Http, tables: Tables, clock: Clock) -> None:
        self._settings = settings
        self._provider = provider
        self._http = http
        self._tables = tables
        self._clock = clock
        self._rules = TokenRules(
            issuer=settings.issuer, audience=settings.client_id, types=IDENTITY_TYPES, strong=settings.strong
        )
        self._verifier = Verifier(self._rules, IssuerKeys(provider.jwks_uri, http.get, clock), clock)

    def start(self, redirect_uri: str) -> Start:
        """Begin. `redirect_uri` must be one of the settings' own, letter by letter."""
        if redirect_uri not in self._settings.redirect_uris:
            raise SignInFailed("state")
        state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
        now_ms = self._clock.wall_ms()
        row = {
            "digest": token_digest(state),
            "browser": token_digest(browser),
            "nonce": nonce,
            "verifier": verifier,
            "redirect_uri": redirect_uri,
            "expires_ms": now_ms + int(ATTEMPT_S * 1000),
        }
        metadata = self._provider.metadata()

        def work(tx: Transaction) -> None:
            tx.delete(SIGN_IN_ATTEMPTS, [("expires_ms", "<=", now_ms)])
            if tx.count(SIGN_IN_ATTEMPTS) >= ATTEMPTS_MAX:
                raise ProviderUnavailable("too many sign-ins were started; try again in some minutes", after_s=60.0)
            tx.insert(SIGN_IN_ATTEMPTS, row)

        self._tables.run(work)
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self._settings.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge(verifier),
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
        return Start(f"{metadata.authorization_endpoint}{joint}{query}", Sensitive(browser))

    def finish(
        self,
        *,
        state: str,
        code: Sensitive[str] | None,
        browser: Sensitive[str] | None,
        issuer: str | None = None,
    ) -> Principal:
        """Who came back. `code` None: the provider sent an error. `issuer`: its `iss` parameter (RFC 9207).

        Hand the principal to `Users.sign_in_proven`. An attempt is over after one call, whatever came of it.
        """
        attempt = self._take(state)
        if browser is None or not hmac.compare_digest(attempt["browser"], token_digest(browser.reveal())):
            raise SignInFailed("browser")
        metadata = self._provider.metadata()
        must_say = metadata.authorization_response_iss_parameter_supported
        if issuer != metadata.issuer and (issuer is not None or must_say):
            raise SignInFailed("issuer")  # the answer of another provider (mix-up)
        if code is None:
            raise SignInFailed("refused")
        token = self._exchange(metadata, code, attempt)
        try:
            claims = self._verifier.verify(token)
        except BadToken as error:
            raise SignInFailed("token") from error
        if not _for_us(claims, self._settings.client_id):
            raise SignInFailed("token")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt["nonce"].encode()):
            raise SignInFailed("nonce")
        return principal_from_claims(claims, self._rules, bearer_credential(token.reveal()))

    def _take(self, state: str) -> Row:
        digest = token_digest(state)

        def work(tx: Transaction) -> Row | None:
            row = tx.get(SIGN_IN_ATTEMPTS, {"digest": digest})
            tx.delete(SIGN_IN_ATTEMPTS, [("digest", "=", digest)])
            return row

        row = self._tables.run(work)
        if row is None or self._clock.wall_ms() >= row["expires_ms"]:
            raise SignInFailed("state")
        return row

    def _exchange(self, metadata: ProviderMetadata, code: Sensitive[str], attempt: Row) -> Sensitive[str]:
        fields = {
            "grant_type": "authorization_code",
            "code": code.reveal(),
            "redirect_uri": attempt["redirect_uri"],
            "code_verifier": attempt["verifier"],
        }
        headers = {"Accept": "application/json"}
        secret = self._settings.client_secret
        if secret is None:
            fields["client_id"] = self._settings.client_id
        else:
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret.reveal(), safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        status, body = self._http.post_form(metadata.token_endpoint, fields, headers)
        if status >= 500:
            raise ProviderUnavailable("the identity provider answers with an error of its own", after_s=5.0)
        try:
            answer = msgspec.json.decode(body, type=_TokenAnswer) if status == 200 else None
        except msgspec.DecodeError:
            answer = None
        if answer is None:
            raise SignInFailed("exchange")
        return Sensitive(answer.id_token)


def challenge(verifier: str) -> str:
    """The PKCE challenge of a verifier: S256, RFC 7636."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _for_us(claims: Mapping[str, Any], client_id: str) -> bool:
    """An identity token for several audiences must name us as the party that asked (OpenID Connect Core, 3.1.3.7)."""
    audience, asked = claims["aud"], claims.get("azp")
    many = isinstance(audience, list) and audience != [client_id]
    return asked == client_id or (asked is None and not many)


def _check_url(url: str, issuer: str) -> None:
    """Only https; http to this machine when the issuer is on this machine too, for trying things out."""
    here, home = urlsplit(url), urlsplit(issuer)
    at_home = here.scheme == "http" and here.hostname in _LOOPBACK and home.hostname in _LOOPBACK
    if not (here.scheme == "https" or at_home) or not here.hostname or here.username or here.fragment:
        raise CannotStart(f"{url!r} is no https URL; identity providers are spoken to with TLS only")

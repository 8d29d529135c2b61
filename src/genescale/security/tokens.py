"""Bearer tokens: JSON Web Tokens of one configured issuer, verified strictly.

The algorithm must be on the list below and fit the type of the key; `none` and HS* are never on it. Keys come from the
issuer's key set only, whatever `jku`, `x5u`, `jwk` or `x5c` a header holds. An access token says so in its type
(`at+jwt`, RFC 9068), an identity token never passes for one.

Verifying takes tens of microseconds; what was verified is remembered by its digest until it expires or its key is
withdrawn, so that a busy client costs a look-up.

    Permanent ── BadToken        it proves nothing; `why` says the reason in one word, for the audit log
    Retryable ── KeysUnavailable the issuer's keys cannot be had, and none that we hold are young enough
"""

import base64
import binascii
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from genescale.clock import Clock
from genescale.errors import Permanent, Retryable
from genescale.security.principal import EVERYWHERE, Kind, Principal, external_subject
from genescale.security.users import bearer_credential
from genescale.sensitive import Sensitive

ALGORITHMS: Final[Mapping[str, str]] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
"""What a signature may be made with, and the type of key for it."""
SKEW_S: Final = 60.0
TOKEN_BYTES_MAX: Final = 16_384
KEYS_FRESH_S: Final = 600.0
KEYS_ASKED_EVERY_S: Final = 30.0
KEYS_KEPT_S: Final = 86_400.0
ACCESS_TYPES: Final = frozenset({"at+jwt"})  # RFC 9068
IDENTITY_TYPES: Final = frozenset({"jwt", ""})
_KEYS_MAX: Final = 100

Why = Literal["malformed", "algorithm", "type", "key", "signature", "issuer", "audience", "expired", "early", "claims"]
Fetch = Callable[[str], bytes]
"""The body of a URL, of at most a megabyte, without following redirects. Raises `Retryable` when it cannot be had."""
PublicKey = RSAKey | ECKey | OKPKey


class BadToken(Permanent):
    """This token proves nothing. The message never quotes it."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"the token is not accepted ({why})")
        self.why: Why = why


class KeysUnavailable(Retryable):
    """The issuer's keys cannot be had."""


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must say."""

    issuer: str
    audience: str
    types: frozenset[str] = ACCESS_TYPES  # in lower case; add "jwt" for a provider that does not follow RFC 9068
    skew_s: float = SKEW_S
    strong: frozenset[str] = frozenset({"mfa"})  # values of `amr` or `acr` that stand for a second factor


class IssuerKeys:
    """The public keys of an issuer, fetched when they are needed.

    Fetched again after ten minutes, and for an unknown key id at most every 30 seconds, so that forged key ids cannot
    make us flood the issuer. When the issuer cannot be reached the last good keys serve for a day.
    """

    def __init__(self, url: Callable[[], str] | str, fetch: Fetch, clock: Clock) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._fetching = threading.Lock()
        self._keys: dict[str, PublicKey] = {}
        self._unnamed: tuple[PublicKey, ...] = ()
        self._thumbprints: frozenset[str] = frozenset()
        self._fetched_s: float | None = None
        self._asked_s: float | None = None

    def find(self, kid: str | None) -> PublicKey | None:
        """The key with this id; without an id the only key there is. May fetch, which blocks."""
        self._refresh_if_stale()
        key = self._held(kid)
        if key is None and self._may_ask():
            self._refresh()
            key = self._held(kid)
        return key

    def trusts(self, thumbprint: str) -> bool:
        """True while a key is among the issuer's. May fetch, which blocks."""
        self._refresh_if_stale()
        return thumbprint in self._thumbprints

    @property
    def fresh(self) -> bool:
        """True when the next look-up of a known key fetches nothing."""
        return self._age_s() < KEYS_FRESH_S

    def _held(self, kid: str | None) -> PublicKey | None:
        if kid is not None:
            return self._keys.get(kid)
        every = (*self._keys.values(), *self._unnamed)
        return every[0] if len(every) == 1 else None

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._clock.monotonic_s() - self._fetched_s

    def _may_ask(self) -> bool:
        return self._asked_s is None or self._clock.monotonic_s() - self._asked_s >= KEYS_ASKED_EVERY_S

    def _refresh_if_stale(self) -> None:
        if self.fresh:
            return
        if self._may_ask():
            self._refresh()
        if self._age_s() >= KEYS_KEPT_S:
            with self._fetching:
                pass  # somebody may be fetching the first keys just now
        if self._age_s() >= KEYS_KEPT_S:
            self._keys, self._unnamed, self._thumbprints = {}, (), frozenset()
            raise KeysUnavailable(
                "the identity provider's keys cannot be fetched; try again", after_s=KEYS_ASKED_EVERY_S
            )

    def _refresh(self) -> None:
        """Fetch once, however many threads want it; those that come while it runs wait and find it done."""
        asked_before_s = self._asked_s
        with self._fetching:
            if self._asked_s != asked_before_s:
                return
            self._asked_s = self._clock.monotonic_s()
            try:
                url = self._url if isinstance(self._url, str) else self._url()
                keys, unnamed = read_key_set(self._fetch(url))
            except (Retryable, ValueError):
                return  # the keys that we hold serve on, for a day
            if keys or unnamed:
                self._keys, self._unnamed = keys, unnamed
                self._thumbprints = frozenset(key.thumbprint() for key in (*keys.values(), *unnamed))
                self._fetched_s = self._asked_s


def read_key_set(body: bytes) -> tuple[dict[str, PublicKey], tuple[PublicKey, ...]]:
    """The usable public keys of a JWK set: by id, and those without one. Raises `ValueError` when it is none.

    Left out: secret keys (a public key as an HMAC secret is the oldest trick), encryption keys, RSA below 2048 bits,
    other curves than P-256 and Ed25519. Two keys with one id are both left out: we could not tell which is meant.
    """
    document: Any = json.loads(body)
    entries: Any = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("a key set has a list of keys")  # noqa: TRY004 - the caller's one word for all that is unreadable
    named: dict[str, PublicKey] = {}
    unnamed: list[PublicKey] = []
    ambiguous: set[str] = set()
    for entry in cast("list[Any]", entries)[:_KEYS_MAX]:
        if not isinstance(entry, dict) or (key := _usable_key(cast("dict[str, Any]", entry))) is None:
            continue
        kid = cast("dict[str, Any]", entry).get("kid")
        if not isinstance(kid, str):
            unnamed.append(key)
        elif kid in named:
            ambiguous.add(kid)
        else:
            named[kid] = key
    return {kid: key for kid, key in named.items() if kid not in ambiguous}, tuple(unnamed)


def _usable_key(entry: dict[str, Any]) -> PublicKey | None:
    if entry.get("use", "sig") != "sig" or "d" in entry or "k" in entry:
        return None
    try:
        match entry.get("kty"), entry.get("crv"):
            case "RSA", _:
                long_enough = len(str(entry.get("n", ""))) >= 342  # 2048 bits in base64url
                return RSAKey.import_key(entry) if long_enough else None
            case "EC", "P-256":
                return ECKey.import_key(entry)
            case "OKP", "Ed25519":
                return OKPKey.import_key(entry)
            case _:
                return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None  # one entry that nobody can read does not take the others away


class _Remembered(msgspec.Struct, frozen=True):
    claims: Mapping[str, Any]
    thumbprint: str
    until_s: float


class Verifier:
    """Checks tokens of one issuer by one set of rules. Safe to use from several threads."""

    def __init__(self, rules: TokenRules, keys: IssuerKeys, clock: Clock, *, remembered_max: int = 10_000) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._remembered_max = remembered_max
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: Sensitive[str]) -> Mapping[str, Any]:
        """The claims of a good token. Raises `BadToken` or `KeysUnavailable`. May fetch keys, which blocks."""
        known = self._known(token)
        if known is not None and self._keys.trusts(known.thumbprint):
            return known.claims
        header, claims, key = self._signed(token.reveal())
        self._check(header, claims)
        until_s = float(claims["exp"]) + self._rules.skew_s
        with self._lock:
            self._remembered[_digest(token)] = _Remembered(claims, key.thumbprint(), until_s)
            if len(self._remembered) > self._remembered_max:
                self._remembered.popitem(last=False)
        return claims

    def principal(self, token: Sensitive[str]) -> Principal:
        """Who a good token stands for, as `verify`. Memberships of our own come with `Users.complete`."""
        return principal_from_claims(self.verify(token), self._rules, bearer_credential(token.reveal()))

    def known_principal(self, token: Sensitive[str]) -> Principal | None:
        """As `principal`, for a token that was verified before, never blocking; None: call `principal` in a thread."""
        known = self._known(token)
        if known is None or not self._keys.fresh or not self._keys.trusts(known.thumbprint):
            return None
        return principal_from_claims(known.claims, self._rules, bearer_credential(token.reveal()))

    def _known(self, token: Sensitive[str]) -> _Remembered | None:
        digest = _digest(token)
        now_s = self._clock.wall_ms() / 1000
        with self._lock:
            known = self._remembered.get(digest)
            if known is None:
                return None
            # It is over, or the clock moved to before it was issued: verify it anew, and say why.
            if now_s >= known.until_s or _too_early(known.claims, now_s, self._rules.skew_s):
                del self._remembered[digest]
                return None
            self._remembered.move_to_end(digest)
            return known

    def _signed(self, token: str) -> tuple[dict[str, Any], dict[str, Any], PublicKey]:
        parts = token.split(".")
        if len(parts) != 3 or len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise BadToken("malformed")
        header, claims = _json_object(parts[0]), _json_object(parts[1])
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise BadToken("algorithm")
        if "crit" in header or "b64" in header or (kid is not None and not isinstance(kid, str)):
            raise BadToken("malformed")  # an extension that we do not know must be understood or refused
        key = self._keys.find(kid)
        if key is None:
            raise BadToken("key")
        if key.key_type != ALGORITHMS[algorithm] or (key.alg is not None and not _same(key.alg, algorithm)):
            raise BadToken("algorithm")
        signature, signed = _raw(parts[2]), f"{parts[0]}.{parts[1]}".encode()
        try:
            good = JWSRegistry.algorithms[algorithm].verify(signed, signature, key)
        except (JoseError, ValueError):
            good = False
        if not good:
            raise BadToken("signature")
        return header, claims, key

    def _check(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        rules, now_s = self._rules, self._clock.wall_ms() / 1000
        kind = header.get("typ", "")
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in rules.types:
            raise BadToken("type")
        if claims.get("iss") != rules.issuer:
            raise BadToken("issuer")
        audience = claims.get("aud")
        if rules.audience not in (cast("list[Any]", audience) if isinstance(audience, list) else [audience]):
            raise BadToken("audience")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise BadToken("claims")
        times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
        if times["exp"] is None or not all(value is None or _is_time(value) for value in times.values()):
            raise BadToken("claims")
        if now_s >= cast("float", times["exp"]) + rules.skew_s:
            raise BadToken("expired")
        if _too_early(claims, now_s, rules.skew_s):
            raise BadToken("early")


def principal_from_claims(claims: Mapping[str, Any], rules: TokenRules, credential: str) -> Principal:
    """The principal of verified claims.

    `genescale_roles` maps projects to lists of roles, `genescale_purposes` lists purposes of use; `scope` holds the
    actions of a service. A role or a project that is not text counts for nothing.
    """
    claimed = claims.get("genescale_roles")
    roles: dict[str, frozenset[str]] = {}
    if isinstance(claimed, dict):
        for project, some in cast("dict[str, Any]", claimed).items():
            roles[project] = frozenset(_texts(some))
    proofs = {*_texts(claims.get("amr")), *_texts([claims.get("acr")])}
    scope = claims.get("scope")
    client = claims.get("client_id", claims.get("azp"))
    kind: Kind = "user" if client is None or client != claims["sub"] else "program"
    if any("service" in some for some in roles.values()):
        kind = "service"
    own = sorted(project for project, some in roles.items() if project != EVERYWHERE and some)
    asked = claims.get("genescale_default_project")
    name = claims.get("name")
    issued = claims.get("iat", 0)
    return Principal(
        subject=external_subject(rules.issuer, claims["sub"]),
        name=name if isinstance(name, str) else "",
        roles=roles,
        default_project=asked if asked in own else (own[0] if own else ""),
        expires_s=float(claims["exp"]) + rules.skew_s,
        purposes=frozenset(_texts(claims.get("genescale_purposes"))),
        kind=kind,
        scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
        strong=bool(proofs & rules.strong),
        lab_director=claims.get("genescale_lab_director") is True,
        credential=credential,
        issued_ms=int(float(issued) * 1000),
    )


def _texts(value: Any) -> list[str]:
    return [one for one in cast("list[Any]", value) if isinstance(one, str)] if isinstance(value, list) else []


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e11


def _too_early(claims: Mapping[str, Any], now_s: float, skew_s: float) -> bool:
    return any(claims.get(name) is not None and now_s + skew_s < claims[name] for name in ("nbf", "iat"))


def _same(key_algorithm: str, algorithm: str) -> bool:
    edwards = {"EdDSA", "Ed25519"}  # two names of one thing since RFC 9864
    return key_algorithm == algorithm or {key_algorithm, algorithm} == edwards


def _digest(token: Sensitive[str]) -> bytes:
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()


def _json_object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_raw(part), object_pairs_hook=_no_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadToken("malformed") from None
    if not isinstance(value, dict):
        raise BadToken("malformed")
    return cast("dict[str, Any]", value)


def _raw(part: str) -> bytes:
    """Base64url as RFC 7515 has it: no padding, no other characters, no bits that say nothing."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("malformed") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise BadToken("malformed")
    return raw


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")

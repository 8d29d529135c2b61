import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from genescale.clock import ManualClock
from genescale.errors import CannotStart, Retryable
from genescale.security.oidc import (
    ATTEMPTS_MAX,
    Oidc,
    OidcSettings,
    Provider,
    ProviderUnavailable,
    SignInFailed,
    Start,
    challenge,
)
from genescale.security.principal import external_subject
from genescale.security.tables import SIGN_IN_ATTEMPTS
from genescale.sensitive import Sensitive
from genescale.store.tables import Tables
from support.identity import ISSUER, OTHER, RSA, Net, identity_tables, key_set, signed

BACK = "https://genescale.example.org/auth/callback"
CLIENT = "genescale-portal"
WELL_KNOWN = ISSUER + "/.well-known/openid-configuration"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": ISSUER + "/auth",
    "token_endpoint": ISSUER + "/token",
    "jwks_uri": ISSUER + "/keys",
    "code_challenge_methods_supported": ["plain", "S256"],
    "something_else": {"a": 1},
}


class World:
    """A provider that answers as it is told, and a browser that goes there and comes back."""

    def __init__(self, tables: Tables, clock: ManualClock, **settings: Any) -> None:
        self.clock, self.tables = clock, tables
        self.net = Net({WELL_KNOWN: json.dumps(METADATA).encode(), ISSUER + "/keys": key_set(RSA)})
        self.settings = OidcSettings(issuer=ISSUER, client_id=CLIENT, redirect_uris=frozenset({BACK}), **settings)
        self.provider = Provider(ISSUER, self.net, clock)
        self.oidc = Oidc(self.settings, self.provider, self.net, tables, clock)

    def publish(self, **changes: Any) -> None:
        self.net.pages[WELL_KNOWN] = json.dumps({**METADATA, **changes}).encode()

    def identity(self, start: Start, key: Any = RSA, header: dict[str, Any] | None = None, **changes: Any) -> bytes:
        now_s = self.clock.wall_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "u1",
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked(start)["nonce"],
            "amr": ["pwd", "mfa"],
            "genescale_roles": {"p1": ["clinician"]},
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not ...}
        token = signed({"alg": "RS256", "kid": "rsa", "typ": "JWT", **(header or {})}, claims, key)
        return json.dumps({"id_token": token, "access_token": "at", "token_type": "Bearer"}).encode()

    def finish(self, start: Start, **changes: Any) -> Any:
        given = {"state": asked(start)["state"], "code": Sensitive("the-code"), "browser": start.browser, **changes}
        return self.oidc.finish(**given)

    def fails(self, start: Start, **changes: Any) -> str:
        with pytest.raises(SignInFailed) as caught:
            self.finish(start, **changes)
        return caught.value.why


def asked(start: Start) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(start.url).query).items()}


@pytest.fixture
def world(tmp_path: Path) -> Any:
    clock = ManualClock()
    tables = identity_tables(tmp_path, clock)
    yield World(tables, clock)
    tables.close()


def test_the_whole_way(world: World):
    start = world.oidc.start(BACK)
    query = asked(start)
    assert start.url.startswith(ISSUER + "/auth?")
    assert (query["response_type"], query["client_id"], query["redirect_uri"]) == ("code", CLIENT, BACK)
    assert query["code_challenge_method"] == "S256"
    assert start.browser.reveal() not in start.url + repr(start)
    world.net.answers.append((200, world.identity(start)))

    principal = world.finish(start)

    assert principal.subject == external_subject(ISSUER, "u1")
    assert principal.roles_in("p1") == {"clinician"}
    assert principal.strong
    [(url, fields, headers)] = world.net.posted
    assert url == ISSUER + "/token"
    assert challenge(fields["code_verifier"]) == query["code_challenge"]
    assert fields["code_verifier"] not in start.url
    assert (fields["code"], fields["redirect_uri"], fields["client_id"]) == ("the-code", BACK, CLIENT)
    assert "Authorization" not in headers


def test_a_secret_travels_in_the_header(tmp_path: Path):
    clock = ManualClock()
    tables = identity_tables(tmp_path, clock)
    world = World(tables, clock, client_secret=Sensitive("s:e cret"))
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start)))
    world.finish(start)
    [(_, fields, headers)] = world.net.posted
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"genescale-portal:s%3Ae%20cret"
    assert "client_id" not in fields
    assert "e cret" not in repr(world.settings)
    tables.close()


def test_the_challenge_is_that_of_rfc_7636_appendix_b():
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_an_attempt_works_once(world: World):
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start)))
    world.finish(start)
    assert world.fails(start) == "state"
    assert len(world.net.posted) == 1


def test_a_forged_or_old_state_is_refused_before_the_provider_is_asked(world: World):
    start = world.oidc.start(BACK)
    for state in ("", "forged", "\ud800"):
        assert world.fails(start, state=state) == "state"
    world.clock.advance(600)
    assert world.fails(start) == "state"
    assert world.net.posted == []


@pytest.mark.parametrize("browser", [None, Sensitive(""), Sensitive("another browser's secret")])
def test_another_browser_cannot_finish_it(world: World, browser: Sensitive[str] | None):
    start = world.oidc.start(BACK)
    assert world.fails(start, browser=browser) == "browser"
    assert world.fails(start) == "state"  # it is over
    assert world.net.posted == []


def test_a_refusal_of_the_provider(world: World):
    assert world.fails(world.oidc.start(BACK), code=None) == "refused"


def test_the_answer_of_another_provider_is_refused(world: World):
    assert world.fails(world.oidc.start(BACK), issuer="https://evil.example.org") == "issuer"
    world.publish(authorization_response_iss_parameter_supported=True)
    world.clock.advance(3_600)
    assert world.fails(world.oidc.start(BACK), issuer=None) == "issuer"
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start)))
    assert world.finish(start, issuer=ISSUER)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"nonce": 5}, "nonce"),
        ({"nonce": "\u00e9"}, "nonce"),
        ({"aud": "another-client"}, "token"),
        ({"aud": [CLIENT, "another-client"]}, "token"),
        ({"azp": "another-client"}, "token"),
        ({"iss": "https://evil.example.org"}, "token"),
        ({"exp": 1}, "token"),
        ({"sub": ...}, "token"),
    ],
)
def test_wrong_claims_of_the_identity_token(world: World, changes: dict[str, Any], why: str):
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start, **changes)))
    assert world.fails(start) == why


def test_several_audiences_are_fine_when_we_asked(world: World):
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start, aud=["x", CLIENT], azp=CLIENT)))
    assert world.finish(start)


@pytest.mark.parametrize(
    ("key", "header"), [(OTHER, {}), (RSA, {"typ": "at+jwt"}), (RSA, {"kid": "unknown"}), (OTHER, {"jku": "https://e"})]
)
def test_forged_identity_tokens(world: World, key: Any, header: dict[str, Any]):
    start = world.oidc.start(BACK)
    world.net.answers.append((200, world.identity(start, key, header)))
    assert world.fails(start) == "token"


@pytest.mark.parametrize(
    "answer",
    [
        (400, b'{"error": "invalid_grant"}'),
        (200, b""),
        (200, b"{}"),
        (200, b"<html>"),
        (200, b'{"id_token": 5}'),
        (302, b""),
    ],
)
def test_an_exchange_that_fails(world: World, answer: tuple[int, bytes]):
    start = world.oidc.start(BACK)
    world.net.answers.append(answer)
    assert world.fails(start) == "exchange"


def test_a_provider_in_trouble_means_try_again(world: World):
    start = world.oidc.start(BACK)
    world.net.answers.append((503, b""))
    with pytest.raises(ProviderUnavailable):
        world.finish(start)
    start = world.oidc.start(BACK)
    world.net.down = True
    with pytest.raises(Retryable):
        world.finish(start)


@pytest.mark.parametrize("uri", [BACK + "/", BACK + "?x", "https://evil.example.org/auth/callback", ""])
def test_only_our_own_redirect_uris(world: World, uri: str):
    with pytest.raises(SignInFailed):
        world.oidc.start(uri)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": "https://evil.example.org"},
        {"token_endpoint": "http://id.example.org/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://127.0.0.1/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user@id.example.org/auth"},
        {"authorization_endpoint": "https:///auth"},
        {"code_challenge_methods_supported": ["plain"]},
        {"token_endpoint": None},
    ],
)
def test_metadata_that_cannot_be_trusted(world: World, changes: dict[str, Any]):
    world.publish(**changes)
    with pytest.raises(CannotStart):
        world.oidc.start(BACK)


@pytest.mark.parametrize("issuer", ["http://id.example.org", "id.example.org", "", "ftp://x", "https://id#x"])
def test_an_issuer_without_tls_is_refused(world: World, issuer: str):
    with pytest.raises(CannotStart, match="TLS"):
        Provider(issuer, world.net, world.clock)


def test_a_provider_on_this_machine_may_speak_http(world: World):
    home = "http://127.0.0.1:9000"
    world.net.pages[home + "/.well-known/openid-configuration"] = json.dumps(
        {
            "issuer": home,
            **{name: f"{home}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")},
        }
    ).encode()
    assert Provider(home, world.net, world.clock).jwks_uri() == home + "/jwks_uri"


def test_metadata_is_asked_for_once_an_hour_and_kept_while_the_provider_is_away(world: World):
    for _ in range(5):
        world.oidc.start(BACK)
    assert world.net.got == [WELL_KNOWN]
    world.net.down = True
    world.clock.advance(4_000)
    assert world.oidc.start(BACK)
    world.provider = Provider(ISSUER, world.net, world.clock)
    with pytest.raises(ProviderUnavailable):
        world.provider.metadata()


def test_unfinished_attempts_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("genescale.security.oidc.ATTEMPTS_MAX", 5)
    assert ATTEMPTS_MAX == 10_000
    for _ in range(5):
        world.oidc.start(BACK)
    with pytest.raises(ProviderUnavailable):
        world.oidc.start(BACK)
    world.clock.advance(600)
    world.oidc.start(BACK)
    with world.tables.snapshot() as snapshot:
        assert snapshot.count(SIGN_IN_ATTEMPTS) == 1


def test_the_tables_hold_neither_state_nor_the_browsers_secret(world: World):
    start = world.oidc.start(BACK)
    with world.tables.snapshot() as snapshot:
        rows = str(snapshot.select(SIGN_IN_ATTEMPTS))
    assert start.browser.reveal() not in rows
    assert asked(start)["state"] not in rows

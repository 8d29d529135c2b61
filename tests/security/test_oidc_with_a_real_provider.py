"""The whole sign-in, and a program's bearer token, against a certified OpenID provider."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genescale.clock import SystemClock
from genescale.security.oidc import Oidc, OidcSettings, Provider, SignInFailed
from genescale.security.policy import decide
from genescale.security.principal import external_subject
from genescale.security.tokens import BadToken, IssuerKeys, TokenRules, Verifier
from genescale.sensitive import Sensitive
from support.identity import identity_tables, users_of
from support.oidc_provider import (
    AUDIENCE,
    PORTAL,
    PROGRAM,
    PROGRAM_SECRET,
    RESOURCE,
    Browser,
    PlainHttp,
    oidc_provider,
)

pytestmark = pytest.mark.slow
BACK = "https://genescale.example.org/auth/callback"
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider(BACK) as issuer:
        yield issuer


@pytest.fixture
def tables(tmp_path: Path) -> Any:
    tables = identity_tables(tmp_path, CLOCK)
    yield tables
    tables.close()


@pytest.fixture
def oidc(issuer: str, tables: Any) -> Oidc:
    http = PlainHttp()
    settings = OidcSettings(issuer=issuer, client_id=PORTAL, redirect_uris=frozenset({BACK}))
    return Oidc(settings, Provider(issuer, http, CLOCK), http, tables, CLOCK)


def test_a_person_signs_in(oidc: Oidc, issuer: str, tables: Any):
    start = oidc.start(BACK)
    said = Browser("ada").visit(start.url, BACK)
    principal = oidc.finish(
        state=said["state"], code=Sensitive(said["code"]), browser=start.browser, issuer=said.get("iss")
    )
    assert principal.subject == external_subject(issuer, "ada")
    assert principal.roles_in("p1") == {"clinician"}
    assert principal.roles_in("p2") == frozenset()  # the provider said clinician of `*` as well
    users, _ = users_of(tables, CLOCK)
    signed_in = users.sign_in_proven(principal)
    assert users.authenticate(signed_in.token).subject == principal.subject


def test_a_code_of_another_attempt_is_refused_by_pkce_or_nonce(oidc: Oidc):
    victim, attacker = oidc.start(BACK), oidc.start(BACK)
    stolen = Browser("ada").visit(victim.url, BACK)
    mine = Browser("eve").visit(attacker.url, BACK)
    with pytest.raises(SignInFailed) as caught:
        oidc.finish(
            state=mine["state"], code=Sensitive(stolen["code"]), browser=attacker.browser, issuer=mine.get("iss")
        )
    assert caught.value.why == "exchange"


def test_a_code_is_worth_one_sign_in(oidc: Oidc):
    start = oidc.start(BACK)
    said = Browser("ada").visit(start.url, BACK)
    given: dict[str, Any] = {"state": said["state"], "browser": start.browser, "issuer": said.get("iss")}
    oidc.finish(**given, code=Sensitive(said["code"]))
    with pytest.raises(SignInFailed):
        oidc.finish(**given, code=Sensitive(said["code"]))


def program_token(issuer: str) -> Sensitive[str]:
    pair = base64.b64encode(f"{PROGRAM}:{PROGRAM_SECRET.replace(' ', '%20')}".encode()).decode()
    fields = {"grant_type": "client_credentials", "resource": RESOURCE, "scope": "submit"}
    status, body = PlainHttp().post_form(f"{issuer}/token", fields, {"Authorization": f"Basic {pair}"})
    assert status == 200, body
    return Sensitive(json.loads(body)["access_token"])


def test_a_program_shows_a_bearer_token(issuer: str):
    http = PlainHttp()
    keys = IssuerKeys(Provider(issuer, http, CLOCK).jwks_uri, http.get, CLOCK)
    token = program_token(issuer)
    principal = Verifier(TokenRules(issuer=issuer, audience=AUDIENCE), keys, CLOCK).principal(token)
    assert principal.kind == "program"
    assert decide(principal, "submit", "p1").allowed
    assert not decide(principal, "submit", "p2").known
    assert principal.expires_s is not None
    with pytest.raises(BadToken, match="audience"):
        Verifier(TokenRules(issuer=issuer, audience="another"), keys, CLOCK).verify(token)
    with pytest.raises(BadToken, match="signature"):
        Verifier(TokenRules(issuer=issuer, audience=AUDIENCE), keys, CLOCK).verify(
            Sensitive(token.reveal()[:-8] + "AAAAAAAA")
        )

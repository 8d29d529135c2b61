import base64
import hmac
import json
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from genescale.clock import ManualClock
from genescale.errors import Retryable
from genescale.security.principal import external_subject
from genescale.security.tokens import (
    IDENTITY_TYPES,
    BadToken,
    IssuerKeys,
    KeysUnavailable,
    TokenRules,
    Verifier,
    read_key_set,
)
from genescale.sensitive import Sensitive
from support.identity import AUDIENCE, EC, ED, ISSUER, OTHER, RSA, Net, key_set, part, signed

JWKS = ISSUER + "/keys"
RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)
HEADER = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.net = Net({JWKS: key_set(RSA, EC, ED)})
        self.keys = IssuerKeys(JWKS, self.net.get, self.clock)
        self.verifier = Verifier(RULES, self.keys, self.clock)

    @property
    def now_s(self) -> int:
        return self.clock.wall_ms() // 1000

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "iat": self.now_s, "exp": self.now_s + 600, **changes}
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, header: dict[str, Any] | None = None, key: Any = RSA, **changes: Any) -> Sensitive[str]:
        return Sensitive(signed({**HEADER, **(header or {})}, self.claims(**changes), key))

    def refused(self, token: Sensitive[str] | str) -> str:
        with pytest.raises(BadToken) as caught:
            self.verifier.verify(token if isinstance(token, Sensitive) else Sensitive(token))
        text = token.reveal() if isinstance(token, Sensitive) else token
        assert not text or len(text) < 8 or text not in str(caught.value)
        return caught.value.why


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("algorithm", "kid", "key"),
    [("RS256", "rsa", RSA), ("PS256", "rsa", RSA), ("ES256", "ec", EC), ("EdDSA", "ed", ED), ("Ed25519", "ed", ED)],
)
def test_the_allowed_algorithms_verify(world: World, algorithm: str, kid: str, key: Any):
    token = world.token({"alg": algorithm, "kid": kid}, key)
    assert world.verifier.verify(token)["sub"] == "u1"


def test_the_principal_of_a_token(world: World):
    token = world.token(
        name="Ada",
        genescale_roles={"p1": ["analyst", 7], "p2": "clinician", "*": ["auditor"]},
        genescale_purposes=["DUO:0000043"],
        amr=["pwd", "mfa"],
        scope="submit list",
        jti="x",
    )
    principal = world.verifier.principal(token)
    assert principal.subject == external_subject(ISSUER, "u1")
    assert principal.roles_in("p1") == {"analyst", "auditor"}
    assert principal.roles_in("p2") == {"auditor"}  # a text instead of a list counts for nothing
    assert principal.strong
    assert principal.default_project == "p1"
    assert principal.scopes == {"submit", "list"}
    assert principal.expires_s == world.now_s + 660
    assert "Ada" not in repr(principal)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://id.example.org/realms/other"}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"iss": ...}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"aud": "another-service"}, "audience"),
        ({"aud": ["a", "b"]}, "audience"),
        ({"aud": ...}, "audience"),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"aud": AUDIENCE + "x"}, "audience"),
        ({"sub": ...}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": 7}, "claims"),
        ({"sub": "u" * 256}, "claims"),
        ({"exp": ...}, "claims"),
        ({"exp": "9999999999"}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": 1e300}, "claims"),
        ({"exp": -1}, "claims"),
        ({"nbf": "soon"}, "claims"),
        ({"iat": [1]}, "claims"),
    ],
)
def test_wrong_claims_are_refused(world: World, changes: dict[str, Any], why: str):
    assert world.refused(world.token(**changes)) == why


@pytest.mark.parametrize("kind", ["JWT", "id+jwt", "", None, "at+jwt2", 3])
def test_another_type_of_token_is_no_access_token(world: World, kind: Any):
    header = {"typ": kind} if kind is not None else {"typ": ""}
    assert world.refused(world.token(header)) == "type"


def test_an_access_token_is_no_identity_token():
    world = World()
    identity = Verifier(TokenRules(issuer=ISSUER, audience=AUDIENCE, types=IDENTITY_TYPES), world.keys, world.clock)
    with pytest.raises(BadToken, match="type"):
        identity.verify(world.token())
    assert identity.verify(world.token({"typ": "JWT"}))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_spellings_of_the_type(world: World, kind: str):
    assert world.verifier.verify(world.token({"typ": kind}))


# Algorithms


def public_pem(key: RSAKey) -> bytes:
    return key.raw_value.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(world: World, algorithm: str):
    for signature in ("", "AAAA"):
        token = f"{part({**HEADER, 'alg': algorithm})}.{part(world.claims())}.{signature}"
        assert world.refused(token) == "algorithm"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_hmac_secret(world: World, algorithm: str):
    der = RSA.raw_value.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signing = f"{part({**HEADER, 'alg': algorithm})}.{part(world.claims())}"
    for secret in (public_pem(RSA), public_pem(RSA).strip(), der, key_set(RSA)):
        mac = hmac.digest(secret, signing.encode(), f"sha{algorithm[2:]}")
        assert world.refused(f"{signing}.{part(mac)}") == "algorithm"


@pytest.mark.parametrize(
    "algorithm", ["RS384", "RS512", "PS512", "ES384", "ES256K", "RSA-OAEP", "dir", 5, None, ["RS256"]]
)
def test_algorithms_that_are_not_on_the_list_are_refused(world: World, algorithm: Any):
    token = f"{part({**HEADER, 'alg': algorithm})}.{part(world.claims())}.AAAA"
    assert world.refused(token) == "algorithm"


@pytest.mark.parametrize(
    ("algorithm", "kid"), [("ES256", "rsa"), ("EdDSA", "rsa"), ("RS256", "ec"), ("RS256", "ed"), ("ES256", "ed")]
)
def test_the_algorithm_must_fit_the_type_of_the_key(world: World, algorithm: str, kid: str):
    token = f"{part({**HEADER, 'alg': algorithm, 'kid': kid})}.{part(world.claims())}.{part(bytes(64))}"
    assert world.refused(token) == "algorithm"


def test_a_key_that_names_its_algorithm_serves_for_no_other(world: World):
    pinned = RSAKey.import_key({**RSA.as_dict(private=True), "alg": "PS256"})
    world.net.pages[JWKS] = key_set(pinned)
    assert world.refused(world.token()) == "algorithm"
    assert world.verifier.verify(world.token({"alg": "PS256"}, pinned))


# Keys


def test_a_signature_by_another_key_is_refused(world: World):
    assert world.refused(world.token(key=OTHER)) == "signature"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_keys_that_come_with_the_token_are_ignored(world: World, name: str):
    url = "https://evil.example.org/keys"
    world.net.pages[url] = key_set(OTHER)
    value = {"jwk": OTHER.as_dict(private=False), "jku": url, "x5u": url, "x5c": ["AAAA"]}[name]
    assert world.refused(world.token({name: value}, OTHER)) == "signature"
    assert world.refused(world.token({name: value, "kid": "evil"}, OTHER)) == "key"
    assert url not in world.net.got
    assert world.verifier.verify(world.token({name: value}))  # and do no harm beside a good signature


def test_without_a_key_id_the_key_must_be_the_only_one(world: World):
    header = {"alg": "RS256", "typ": "at+jwt"}
    token = Sensitive(signed(header, world.claims()))
    assert world.refused(token) == "key"
    alone = World()
    alone.net.pages[JWKS] = key_set(RSA)
    assert alone.verifier.verify(token)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": 5}',
        b'{"keys": [5, null, {"kty": "RSA"}, {"kty": "oct", "k": "AAAA", "kid": "rsa"}]}',
        b"<html>",
        b"\xff",
    ],
)
def test_a_bad_key_set_gives_no_key(world: World, bad: bytes):
    world.net.pages[JWKS] = bad
    with pytest.raises(KeysUnavailable):
        world.verifier.verify(world.token())


def test_keys_that_are_too_weak_secret_or_for_encryption_are_left_out():
    entries = [
        {**RSA.as_dict(private=False), "n": part(b"\xc1" * 128), "kid": "small"},
        {**RSA.as_dict(private=False), "kid": "enc", "use": "enc"},
        {**RSA.as_dict(private=True), "kid": "private"},
        {**ECKey.generate_key("P-384").as_dict(private=False), "kid": "p384"},
        {"kty": "oct", "k": "AAAA", "kid": "oct"},
        {**RSA.as_dict(private=False), "kid": "twice"},
        {**OTHER.as_dict(private=False), "kid": "twice"},
        {**RSA.as_dict(private=False), "kid": "good"},
    ]
    named, unnamed = read_key_set(json.dumps({"keys": entries}).encode())
    assert set(named) == {"good"}
    assert unnamed == ()


def test_a_storm_of_unknown_key_ids_asks_the_issuer_once_in_thirty_seconds(world: World):
    for number in range(500):
        assert world.refused(world.token({"kid": f"forged-{number}"})) == "key"
    assert len(world.net.got) == 1
    world.clock.advance(30)
    for number in range(500):
        world.refused(world.token({"kid": f"again-{number}"}))
    assert len(world.net.got) == 2
    assert world.verifier.verify(world.token())  # who has a good token noticed nothing


def test_a_new_key_is_found_when_its_first_token_comes(world: World):
    world.verifier.verify(world.token())
    new = RSAKey.generate_key(2048, {"kid": "new"})
    world.net.pages[JWKS] = key_set(RSA, new)
    assert world.refused(world.token({"kid": "new"}, new)) == "key"  # asked a moment ago
    world.clock.advance(31)
    assert world.verifier.verify(world.token({"kid": "new"}, new))
    assert world.verifier.verify(world.token())  # both, while the issuer rotates


def test_a_withdrawn_key_ends_its_tokens_within_ten_minutes_also_those_we_remember(world: World):
    token = world.token(exp=world.now_s + 3_600)
    world.verifier.verify(token)
    world.net.pages[JWKS] = key_set(EC)
    world.clock.advance(599)
    assert world.verifier.verify(token)
    world.clock.advance(2)
    assert world.verifier.known_principal(token) is None
    assert world.refused(token) == "key"


def test_the_last_good_keys_serve_for_a_day_while_the_issuer_is_away(world: World):
    world.verifier.verify(world.token())
    world.net.down = True
    world.clock.advance(86_000)
    assert world.verifier.verify(world.token())
    world.clock.advance(500)
    with pytest.raises(KeysUnavailable):
        world.verifier.verify(world.token())
    world.net.down = False
    world.clock.advance(31)
    assert world.verifier.verify(world.token())


def test_an_issuer_that_is_away_is_asked_every_thirty_seconds_at_most(world: World):
    world.net.down = True
    for _ in range(50):
        with pytest.raises(KeysUnavailable):
            world.verifier.verify(world.token())
    assert len(world.net.got) == 1


def test_threads_that_come_at_once_fetch_once(world: World):
    arrived, go = threading.Event(), threading.Event()
    plain_get = world.net.get

    def slow(url: str) -> bytes:
        arrived.set()
        assert go.wait(10)
        return plain_get(url)

    verifier = Verifier(RULES, IssuerKeys(JWKS, slow, world.clock), world.clock)
    token = world.token()
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(verifier.verify(token)["sub"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert arrived.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert seen == ["u1"] * 4
    assert len(world.net.got) == 1


# Time


def test_sixty_seconds_of_skew_and_no_more(world: World):
    assert world.verifier.verify(world.token(exp=world.now_s - 59))
    assert world.refused(world.token(exp=world.now_s - 60)) == "expired"
    assert world.verifier.verify(world.token(nbf=world.now_s + 60))
    assert world.refused(world.token(nbf=world.now_s + 61)) == "early"
    assert world.refused(world.token(iat=world.now_s + 61)) == "early"


def test_a_remembered_token_ends_when_it_expires(world: World):
    token = world.token()
    world.verifier.verify(token)
    world.clock.advance(500)
    assert world.verifier.known_principal(token) is not None
    world.clock.advance(159)
    assert world.verifier.verify(token)
    world.clock.advance(1)
    assert world.refused(token) == "expired"


def test_a_wall_clock_that_goes_back_makes_a_remembered_token_early(world: World):
    token = world.token()
    world.verifier.verify(token)
    world.clock.jump_wall(-3_600)
    assert world.refused(token) == "early"


def test_what_is_remembered_is_bounded(world: World):
    verifier = Verifier(RULES, world.keys, world.clock, remembered_max=3)
    tokens = [world.token(jti=str(number)) for number in range(5)]
    for token in tokens:
        verifier.verify(token)
    assert [verifier.known_principal(token) is not None for token in tokens] == [False, False, True, True, True]


def test_a_remembered_token_is_not_verified_again(world: World, monkeypatch: pytest.MonkeyPatch):
    token = world.token()
    world.verifier.verify(token)
    monkeypatch.setattr(world.verifier, "_signed", lambda _: pytest.fail("verified twice"))
    assert world.verifier.verify(token)


# Form


def test_what_is_no_token_is_refused(world: World):
    good = world.token().reveal()
    head, body, signature = good.split(".")
    for text in (
        "",
        ".",
        "..",
        "a.b",
        good + ".x",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}. {signature}",
        f"{head}=.{body}.{signature}",
        f"{part([1])}.{body}.{signature}",
        f"{part(b'{')}.{body}.{signature}",
        f"{head}.{part(b'x' * 20_000)}.{signature}",
        f"{part(b'[' * 5_000)}.{body}.{signature}",
        "é" + good,
        good.replace(".", "\x00.", 1),
        base64.b64encode(b"\xff" * 40).decode() + ".a.b",
    ):
        assert world.refused(text) in ("malformed", "signature")


def test_a_name_that_stands_twice_is_refused(world: World):
    twice = b'{"alg":"RS256","alg":"none","kid":"rsa","typ":"at+jwt"}'
    assert world.refused(f"{part(twice)}.{part(world.claims())}.AAAA") == "malformed"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}, {"kid": 7}, {"kid": {}}])
def test_extensions_that_must_be_understood_are_refused(world: World, header: dict[str, Any]):
    assert world.refused(world.token(header)) == "malformed"


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_are_none_are_refused(world: World, constant: bytes):
    claims = part(json.dumps(world.claims()).encode()[:-1] + b', "x": ' + constant + b"}")
    assert world.refused(f"{part(HEADER)}.{claims}.AAAA") == "malformed"


def test_every_bit_of_a_token_counts(world: World):
    good = world.token().reveal()
    for place in range(0, len(good), 7):
        other = "A" if good[place] != "A" else "B"
        world.refused(good[:place] + other + good[place + 1 :])


@given(
    st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: f"{part(raw)}.{part(raw)}.{part(raw)}"))
)
def test_no_text_breaks_the_verifier(text: str):
    World().refused(text)


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64"]), st.none() | st.text() | st.integers()
    ),
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat"]), st.none() | st.text() | st.floats()),
)
def test_no_header_and_no_claims_break_the_verifier(header: dict[str, Any], claims: dict[str, Any]):
    World().refused(f"{part(header)}.{part(claims)}.AAAA")


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(st.dictionaries(st.text(max_size=8), ODD | st.lists(ODD, max_size=3), max_size=4))
def test_no_claims_of_a_good_token_break_the_principal(claims: dict[str, Any]):
    world = World()
    own = {f"genescale_{name}": value for name, value in claims.items()}
    token = world.token(genescale_roles=claims, amr=claims, acr=[claims], scope=claims, name=claims, **own)
    assert world.verifier.principal(token).roles_in("unnamed") == frozenset()


def test_a_fetch_that_fails_in_another_way_is_not_swallowed():
    world = World()

    def broken(_url: str) -> bytes:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        IssuerKeys(JWKS, broken, world.clock).find("rsa")


def test_retryable_means_try_again(world: World):
    world.net.down = True
    with pytest.raises(Retryable) as caught:
        world.verifier.verify(world.token())
    assert caught.value.after_s == 30.0

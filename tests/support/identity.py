"""People, keys and tables for the tests of identity: cheap passwords, an issuer of our own, a network in a dict."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from genescale.clock import Clock
from genescale.errors import Retryable
from genescale.security.passwords import Passwords
from genescale.security.revocations import Revocations
from genescale.security.tables import SECURITY_TABLES
from genescale.security.users import Users
from genescale.store.tables import Tables
from support.declared_tables import open_at

ISSUER = "https://id.example.org/realms/lab"
AUDIENCE = "genescale"
CHEAP = {"time_cost": 1, "memory_kib": 64, "parallelism": 1}

RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})


def identity_tables(folder: Path, clock: Clock) -> Tables:
    return open_at(str(folder / "tables.sqlite"), SECURITY_TABLES, clock)


def users_of(tables: Tables, clock: Clock, **settings: Any) -> tuple[Users, Revocations]:
    revocations = Revocations(tables, clock)
    return Users(tables, clock, Passwords(**CHEAP), revocations, **settings), revocations


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, claims: Any, key: Any = RSA, *, algorithm: str | None = None) -> str:
    """A token as somebody who knows no rules would make it: any header, any claims, any key that can sign."""
    signing = f"{part(header)}.{part(claims)}"
    name = algorithm or header["alg"]
    return f"{signing}.{part(jws.JWSRegistry.algorithms[name].sign(signing.encode(), key))}"


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


class Net:
    """A network that answers from a dict, counts, and can be down."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.down = False
        self.got: list[str] = []
        self.posted: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.answers: list[tuple[int, bytes]] = []

    def get(self, url: str) -> bytes:
        self.got.append(url)
        if self.down or url not in self.pages:
            raise Retryable("no answer")
        return self.pages[url]

    def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self.down:
            raise Retryable("no answer")
        self.posted.append((url, dict(fields), dict(headers)))
        return self.answers.pop(0)

"""Who asks. Every door turns its credential into a `Principal`, and nothing behind the door sees the credential.

A role counts in the project that it was given for. Only the three platform roles may be given for `*`, all projects at
once; a clinician of `*` is nobody, so that one wrong line in a directory cannot open every project.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from genescale.sensitive import digest

EVERYWHERE: Final = "*"
PROJECT_ROLES: Final = frozenset({"viewer", "analyst", "clinician", "project-admin"})
PLATFORM_ROLES: Final = frozenset({"auditor", "platform-admin", "service"})
ROLES: Final = PROJECT_ROLES | PLATFORM_ROLES

CLINICAL_CARE: Final = "DUO:0000043"
"""The purpose of use (Data Use Ontology) of somebody who treats the person whose data it is."""

Kind = Literal["user", "program", "service"]
NO_ROLES: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """One person or program, as it stood when its credential was checked. It prints neither name nor subject.

    `expires_s` is wall time in seconds since 1970; None never expires. `credential` and `issued_ms` are what a
    revocation names: the digest of the session or token, and when it was issued.
    """

    subject: str
    name: str = ""
    roles: Mapping[str, frozenset[str]] = NO_ROLES
    default_project: str = ""
    expires_s: float | None = None
    purposes: frozenset[str] = frozenset()
    kind: Kind = "user"
    scopes: frozenset[str] = frozenset()  # the actions that a service was made for
    strong: bool = False  # proven with a second factor
    lab_director: bool = False
    credential: str = ""
    issued_ms: int = 0

    def roles_in(self, project: str) -> frozenset[str]:
        """The roles that count in this project."""
        everywhere = self.roles.get(EVERYWHERE, frozenset[str]()) & PLATFORM_ROLES
        if not project or project == EVERYWHERE:
            return everywhere
        return (self.roles.get(project, frozenset[str]()) & ROLES) | everywhere

    def projects(self) -> frozenset[str]:
        """The projects that are named in the roles, for `list` and for a page's project switch."""
        return frozenset(name for name, roles in self.roles.items() if name and name != EVERYWHERE and roles & ROLES)

    def expired(self, now_s: float) -> bool:
        """True from the moment when the credential is worth nothing any more."""
        return self.expires_s is not None and now_s >= self.expires_s

    def __repr__(self) -> str:
        return f"<{self.kind} {digest(self.subject)}>"


def external_subject(issuer: str, subject: str) -> str:
    """The subject of somebody whom an identity provider knows. The same `sub` at two issuers is two people."""
    return "oidc:" + hashlib.sha256(f"{issuer}\x1f{subject}".encode()).hexdigest()[:40]

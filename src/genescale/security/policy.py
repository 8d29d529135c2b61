"""The policy: one table says who may do what. What is not in it is refused.

`decide` is pure and takes a few microseconds, so every message is decided anew; nothing has to be forgotten when a
policy changes. A decision carries the digest of the table that it was made with, for the audit log.

A rule is a role, and what else must be true:

    here      the role was given for this project (platform roles may be given for all)
    all       the role was given for `*`: the action concerns the whole platform
    purpose   the principal's token states a purpose of use that genetic data may be read for
    strong    proven with a second factor
    director  a lab director
    scope     the service was made for this action

Two cells never change: the roles auditor and platform-admin open no PHI. A table that says otherwise does not load.
Roles add up: somebody who is a clinician of a project as well reads there as a clinician.
"""

import hashlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from genescale.security.principal import EVERYWHERE, ROLES, Principal

DataClass = Literal["phi", "de-identified", "public"]
DATA_CLASSES: Final = ("phi", "de-identified", "public")

Rules = dict[str, tuple[str, ...]]

_IN_PROJECT: Final[Rules] = {
    "viewer": ("here",),
    "analyst": ("here",),
    "clinician": ("here",),
    "project-admin": ("here",),
}
_SERVICE: Final[Rules] = {"service": ("here", "scope")}
_WORKING: Final[Rules] = {"analyst": ("here",), "clinician": ("here",), "project-admin": ("here",), **_SERVICE}
_READ_PHI: Final[Rules] = {"clinician": ("here", "purpose"), **_SERVICE}
_READ_CODED: Final[Rules] = {**_IN_PROJECT, **_SERVICE}
_READ_PUBLIC: Final[Rules] = {**_READ_CODED, "auditor": ("here",), "platform-admin": ("here",)}
_MANAGE: Final[Rules] = {"project-admin": ("here",)}
_TAKE_OUT: Final[Rules] = {"project-admin": ("here", "strong")}
_AUDIT: Final[Rules] = {"project-admin": ("here",), "auditor": ("here",)}
_OPERATE: Final[Rules] = {"platform-admin": ("all", "strong")}

_READ: Final[dict[str, Rules]] = {"phi": _READ_PHI, "de-identified": _READ_CODED, "public": _READ_PUBLIC}


def _whatever(rules: Rules) -> dict[str, Rules]:
    """The class of the data changes nothing: the action shows no record's content."""
    return dict.fromkeys(DATA_CLASSES, rules)


TABLE: Final = MappingProxyType(
    {
        # Records of a project.
        "read": _READ,
        "download": _READ,  # one result in another format: whoever reads it may keep it
        "read-phi": _whatever(_READ_PHI),
        "open-sealed": _whatever(_READ_PHI),
        "list": _whatever(_READ_CODED),
        "submit": _whatever(_WORKING),
        "submit-urgent": _whatever(_WORKING),
        "generate": _whatever(_WORKING),
        "upload": _whatever(_WORKING),
        "cancel": _whatever(_WORKING),
        "sign-off": _whatever({"clinician": ("here", "director")}),
        "export": _whatever(_TAKE_OUT),  # the data of a project or a person, out of the platform
        "erase": _whatever(_TAKE_OUT),
        # The project itself.
        "manage-members": _whatever(_MANAGE),
        "manage-quotas": _whatever(_MANAGE),
        "manage-consent": _whatever(_MANAGE),
        "read-audit": _whatever(_AUDIT),
        "verify-audit": _whatever(_AUDIT),
        # Live topics: numbers of the platform and money of the project, no record's content.
        "subscribe-metrics": _whatever(_READ_PUBLIC),
        "subscribe-cost": _whatever({**_READ_CODED, "platform-admin": ("here",)}),
        "subscribe-operations": _whatever({"project-admin": ("here",), "platform-admin": ("here",), **_SERVICE}),
        # The platform: the project is `*`.
        "rotate-keys": _whatever(_OPERATE),
        "deploy": _whatever(_OPERATE),
        "pause-healing": _whatever(_OPERATE),
        "approve-healing": _whatever({"platform-admin": ("all", "scope")}),
    }
)
"""Action -> class of the data -> role -> what must be true."""

ACTIONS: Final = frozenset(TABLE)
_SHOWS_PHI: Final = frozenset({"read-phi", "open-sealed"})
_READS: Final = frozenset({"read", "download"})
_NEVER_PHI: Final = frozenset({"auditor", "platform-admin"})

CARE_AND_RESEARCH: Final = frozenset(
    {
        "DUO:0000004",  # no restriction
        "DUO:0000006",  # health, medical or biomedical research
        "DUO:0000007",  # research of one disease
        "DUO:0000042",  # general research
        "DUO:0000043",  # clinical care
    }
)
"""Purposes that genetic data may be read for at all. What a person consented to narrows this per record."""


class Decision(msgspec.Struct, frozen=True):
    """Yes or no, and why, in words that are fixed and name nobody.

    `known` is False for somebody without any role in the project: to them its records do not exist (404, not 403).
    """

    allowed: bool
    reason: str
    policy: str
    known: bool = True


def policy_hash() -> str:
    """The digest of everything that `decide` goes by: the table, and which purposes are good for anything."""
    content = [dict(TABLE), sorted(CARE_AND_RESEARCH)]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:32]


POLICY: Final = policy_hash()


def decide(principal: Principal, action: str, project: str, data_class: str = "phi") -> Decision:
    """May this principal do this here? Without a class of data it is taken for the most private one.

    Whether the credential still holds is not asked here: the door does, with `Principal.expired` and `Revocations`.
    For actions that concern the whole platform the project is `*`.
    """
    held = principal.roles_in(project)
    if not held:
        return Decision(False, "no role in this project", POLICY, known=False)
    rules = TABLE.get(action, {}).get(data_class)
    if rules is None:
        return Decision(False, "unknown action" if action not in TABLE else "unknown class of data", POLICY)
    missing = "no role of yours may do this"
    for role in sorted(held & rules.keys()):
        lacking = next((name for name in rules[role] if not _CONDITIONS[name](principal, role, action)), None)
        if lacking is None:
            return Decision(True, role, POLICY)
        missing = f"{role} needs: {_WANTED[lacking]}"
    return Decision(False, missing, POLICY)


_CONDITIONS: Final[dict[str, Callable[[Principal, str, str], bool]]] = {
    "here": lambda _who, _role, _action: True,  # the role was found among those of this project
    "all": lambda who, role, _action: role in who.roles.get(EVERYWHERE, ()),
    "purpose": lambda who, _role, _action: bool(who.purposes & CARE_AND_RESEARCH),
    "strong": lambda who, _role, _action: who.strong,
    "director": lambda who, _role, _action: who.lab_director,
    "scope": lambda who, _role, action: action in who.scopes,
}
_WANTED: Final = {
    "here": "a role in this project",
    "all": "the role for the whole platform",
    "purpose": "a purpose of use",
    "strong": "a second factor",
    "director": "a lab director",
    "scope": "a scope for this action",
}


def _check() -> None:
    """A mistake in the table is found when the program starts, not when somebody is let in by it."""
    for action, classes in TABLE.items():
        for data_class, rules in classes.items():
            shows_phi = action in _SHOWS_PHI or (action in _READS and data_class == "phi")
            if shows_phi and rules.keys() & _NEVER_PHI:
                raise ValueError(f"the policy of {action} lets {', '.join(sorted(_NEVER_PHI & rules.keys()))} read PHI")
            if not rules.keys() <= ROLES or not all(name in _CONDITIONS for names in rules.values() for name in names):
                raise ValueError(f"the policy of {action} names a role or a condition that does not exist")


_check()

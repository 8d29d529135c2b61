"""The tables of identity. Only `security` reads and writes them; wiring opens them with all the others.

Passwords are argon2id hashes. Tokens, tickets and links are 256 random bits each, kept as SHA-256 digests: whoever
reads the tables can sign in as nobody.
"""

from typing import Final

from genescale.store.tables import Column, Table

USERS: Final = Table(
    name="users",
    columns=(
        Column("subject", "text"),
        Column("name", "text"),
        Column("password", "text", nullable=True),  # None: signs in by link or elsewhere
        Column("enabled", "boolean", default=True),
        Column("purposes", "json"),
        Column("lab_director", "boolean", default=False),
        Column("created_ms", "integer"),
    ),
    primary_key=("subject",),
    unique=(("name",),),
)
MEMBERSHIPS: Final = Table(
    name="memberships",
    columns=(Column("subject", "text"), Column("project", "text"), Column("role", "text")),
    primary_key=("subject", "project", "role"),
    indexes=(("project",),),
)
SIGN_IN_LINKS: Final = Table(
    name="sign_in_links",
    columns=(Column("digest", "text"), Column("subject", "text"), Column("expires_ms", "integer")),
    primary_key=("digest",),
    indexes=(("expires_ms",),),
)
SIGN_INS: Final = Table(
    name="sign_ins",
    columns=(
        Column("digest", "text"),
        Column("subject", "text"),
        Column("issued_ms", "integer"),
        Column("seen_ms", "integer"),
        Column("expires_ms", "integer"),
        Column("proof", "json"),  # what an identity provider said: roles, purposes, second factor
    ),
    primary_key=("digest",),
    indexes=(("subject",), ("expires_ms",)),
)
REVOCATIONS: Final = Table(
    name="revocations",
    columns=(
        Column("what", "text"),  # subject, credential
        Column("value", "text"),
        Column("at_ms", "integer"),
        Column("until_ms", "integer", nullable=True),  # when the credential ends anyway; None: kept
    ),
    primary_key=("what", "value"),
    indexes=(("until_ms",),),
)
SIGN_IN_ATTEMPTS: Final = Table(
    name="sign_in_attempts",
    columns=(
        Column("digest", "text"),  # of the state parameter
        Column("browser", "text"),
        Column("nonce", "text"),
        Column("verifier", "text"),
        Column("redirect_uri", "text"),
        Column("expires_ms", "integer"),
    ),
    primary_key=("digest",),
    indexes=(("expires_ms",),),
)
STREAM_TICKETS: Final = Table(
    name="stream_tickets",
    columns=(
        Column("digest", "text"),
        Column("subject", "text"),
        Column("origin", "text"),
        Column("expires_ms", "integer"),
    ),
    primary_key=("digest",),
    indexes=(("expires_ms",), ("subject",)),
)

SECURITY_TABLES: Final = (
    USERS,
    MEMBERSHIPS,
    SIGN_IN_LINKS,
    SIGN_INS,
    REVOCATIONS,
    SIGN_IN_ATTEMPTS,
    STREAM_TICKETS,
)

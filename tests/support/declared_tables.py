"""The tables that the contract suite and its child processes use. Light to import: each child pays for it."""

from typing import Any

from genescale.clock import SystemClock
from genescale.store.tables import Column, Table, Tables

FRAMES = Table(
    name="frames",
    columns=(
        Column("session", "text"),
        Column("seq", "integer"),
        Column("analysis", "text"),
        Column("revision", "integer", default=1),
        Column("note", "text", nullable=True),
    ),
    primary_key=("session", "seq"),
    unique=(("session", "analysis", "revision"),),
    indexes=(("analysis",),),
)
VALUES = Table(
    name="values_of_all_kinds",
    columns=(
        Column("id", "text"),
        Column("integer", "integer", nullable=True),
        Column("real", "real", nullable=True),
        Column("bytes", "bytes", nullable=True),
        Column("boolean", "boolean", nullable=True),
        Column("document", "json", nullable=True),
        Column("order", "text", nullable=True, default="it's"),
    ),
    primary_key=("id",),
)
DECLARED = (FRAMES, VALUES)


def open_at(address: str, declared: tuple[Table, ...] = DECLARED, clock: Any = None, **settings: Any) -> Tables:
    """Open the database at a file or a `postgresql:` address. Imports only the one that is asked for."""
    clock = clock or SystemClock()
    if address.startswith("postgresql:"):
        from genescale.store.postgres import open_postgres_tables  # noqa: PLC0415

        return open_postgres_tables(address, declared, clock, seed=1, **settings)
    from genescale.store.sqlite import open_sqlite_tables  # noqa: PLC0415

    return open_sqlite_tables(address, declared, clock, seed=1, **settings)


def frame(session: str, seq: int, **more: Any) -> dict[str, Any]:
    return {"session": session, "seq": seq, "analysis": f"a{seq}", **more}


def increment(tx: Any) -> None:
    row = tx.get(FRAMES, {"session": "counter", "seq": 1})
    tx.update(FRAMES, [("session", "=", "counter")], {"revision": row["revision"] + 1})

"""The port for tables: rooms declare their tables as plain data, and never write SQL.

Two adapters keep the promises below: `sqlite` (one machine) and `postgres` (a cluster). One contract suite,
`tests/contracts/test_tables.py`, runs against both.

1. A transaction happens as a whole or not at all, also when the process is killed or the power fails. When the `with`
   block ends without an error, the rows are on the disk.
2. Transactions are serialisable: the result is as if they had run one after the other.
3. Values come back as they went in. Text is compared and ordered by its UTF-8 bytes, on every database.
4. Every select has a total order (the primary key ends it), so that pages never overlap and never skip.
5. A database that was written by a newer program is refused, never guessed at.

What can go wrong, beyond `errors.DiskFull` and `errors.LogBroken`:

    Retryable ── TablesUnavailable      the database cannot be reached, or stayed busy for too long
              └─ TransactionLost        it met another transaction; nothing was written; `Tables.run` does it again
    Permanent ── Conflict               a row with this key exists already
              └─ InvalidRow             a value, name or condition that the declared table does not allow
    Fatal     ── TablesDamaged          the file is damaged; names the file and the place
              └─ TablesNotWritable      the file or its folder may not be written (a `CannotStart`)
              └─ Unsupported            a newer database, or a library that must not be used (`errors`)
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from genescale.errors import CannotStart, Fatal, Permanent, Retryable

ColumnType: TypeAlias = Literal["text", "integer", "real", "bytes", "boolean", "json"]
Row: TypeAlias = dict[str, Any]
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "in"]
Condition: TypeAlias = tuple[str, Operator, Any]
"""`("project", "=", "p1")`. None can be asked for with `=` and `!=`; ranges never match None."""
Where: TypeAlias = Sequence[Condition]
"""All of them must hold; an empty one matches every row."""

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")  # PostgreSQL cuts names at 63 bytes, and indexes add to the table's name


class TablesUnavailable(Retryable):
    """The database cannot be reached, or stayed busy for too long. What was under way may or may not have happened."""


class TransactionLost(Retryable):
    """The transaction met another one and was rolled back. Doing it again from its start is the way out."""


class Conflict(Permanent):
    """A row with the same primary or unique key exists already."""

    def __init__(self, message: str, *, table: str) -> None:
        super().__init__(message)
        self.table = table


class InvalidRow(Permanent):
    """A value, a name or a condition that the declared table does not allow."""


class TablesDamaged(Fatal):
    """The database file is damaged. `path` and `place` say where; restore it from a backup."""

    def __init__(self, message: str, *, path: str, place: str) -> None:
        super().__init__(message)
        self.path = path
        self.place = place


class TablesNotWritable(CannotStart):
    """The database file or its folder may not be written by this user."""


class Column(msgspec.Struct, frozen=True):
    """One column. Integers have 64 bits (money is pico-USD), json is kept as a document and never searched."""

    name: str
    type: ColumnType
    nullable: bool = False
    default: str | int | float | bytes | bool | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table as its room declares it. Raise `version` with every change; only additions are possible.

    What may be added: a column that is nullable or has a default, an index, a unique key that the rows already keep.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    version: int = 1

    def column(self, name: str) -> Column:
        """The column of this name; `InvalidRow` when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidRow(f"table {self.name} has no column {name!r}; it has {', '.join(c.name for c in self.columns)}")


class Snapshot(Protocol):
    """Reading. All reads of one snapshot, or of one transaction, see the same state."""

    def get(self, table: Table, key: Mapping[str, Any]) -> Row | None:
        """The row with this primary key or unique key, given with all its columns; None when there is none."""
        ...

    def select(
        self,
        table: Table,
        where: Where = (),
        *,
        order_by: Sequence[str] = (),
        descending: bool = False,
        after: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Matching rows in the order of `order_by`, then of the primary key. Columns to order by cannot be nullable.

        `after` is the last row of the page before; rows come that lie strictly behind it in this order.
        """
        ...

    def count(self, table: Table, where: Where = ()) -> int:
        """How many rows match."""
        ...


class Transaction(Snapshot, Protocol):
    """Reading and writing. Used by one thread, inside its `with` block only.

    A `Conflict` from `update` or `upsert` ends the transaction: nothing of it is kept, and further calls are refused.
    After a `Conflict` from `insert` it goes on, and may look at the row that was there first.
    """

    def insert(
        self, table: Table, row: Mapping[str, Any], *, on_conflict: Literal["raise", "ignore"] = "raise"
    ) -> bool:
        """Add a row; columns that are left out get their default. `ignore`: False says that its key was taken."""
        ...

    def upsert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Add the row, or, when its primary key exists, set the given columns and leave the others as they are."""
        ...

    def update(self, table: Table, where: Where, changes: Mapping[str, Any]) -> int:
        """Set columns of all matching rows; how many matched. The primary key cannot be changed."""
        ...

    def compare_and_set(
        self, table: Table, key: Mapping[str, Any], expected: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> bool:
        """Change the row with this key if its columns still have the expected values; False when they do not."""
        ...

    def delete(self, table: Table, where: Where) -> int:
        """Remove all matching rows; how many there were."""
        ...


class Tables(Protocol):
    """A database. Safe to use from several threads and several processes; every call may block its thread."""

    notices: tuple[str, ...]
    """What was found and done at opening (migrations, a cut tail), one sentence each, for the log."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """`with tables.transaction() as tx:` commits at the end of the block, or rolls back when an error leaves it.

        One thread has one transaction at a time. Waits, up to a bound, for the other writers.
        """
        ...

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Call `work` in a transaction, and again, a few times, when the transaction is lost to another one.

        `work` must have no effect outside its transaction. This is the form to use for what must not fail for load.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Read without waiting for any writer. Works on a full disk."""
        ...

    def check(self) -> None:
        """Read everything and raise `TablesDamaged` when something is not sound. Slow; for `doctor` and restores."""
        ...

    def close(self) -> None:
        """Let go of files and sockets. No transaction may be open."""
        ...


def check_declarations(tables: Sequence[Table]) -> None:
    """Refuse declarations that could not work on every database. A `ValueError` here is a mistake in the program."""
    names = [table.name for table in tables]
    if len(set(names)) != len(names):
        raise ValueError(f"a table is declared twice: {sorted(name for name in set(names) if names.count(name) > 1)}")
    for table in tables:
        _check_declaration(table)


def _check_declaration(table: Table) -> None:
    columns = {column.name: column for column in table.columns}
    for name in (table.name, *columns):
        if not NAME.fullmatch(name):
            raise ValueError(f"table {table.name}: {name!r} is no name; use a-z, 0-9 and _, at most 48 characters")
    if len(columns) != len(table.columns):
        raise ValueError(f"table {table.name}: a column is declared twice")
    if not table.primary_key:
        raise ValueError(f"table {table.name}: a primary key is needed; pages and upserts stand on it")
    for names in (table.primary_key, *table.unique, *table.indexes):
        if not names or len(set(names)) != len(names) or not set(names) <= set(columns):
            raise ValueError(f"table {table.name}: the key {names} must name different columns of the table")
        if any(columns[name].type == "json" for name in names):
            raise ValueError(f"table {table.name}: the key {names} has a json column, which cannot be searched")
    for name in table.primary_key:
        if columns[name].nullable:
            raise ValueError(f"table {table.name}: {name} is in the primary key and cannot be nullable")

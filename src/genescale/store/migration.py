"""Decides how a database becomes what the program declares. Pure: it compares two declarations and names the steps.

The database remembers the declaration of each of its tables (in the table `RECORDED`, written in the transaction that
carries the steps out), so nothing has to be guessed from column types. Only additions are possible: a program one
version older goes on working on the same database while its successor starts.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from genescale.errors import Unsupported
from genescale.store.tables import Column, Row, Table

FORMAT = 1
"""How this room lays out declarations and values. Raise it when `RECORDED` or the stored form of a type changes."""

RECORDED = Table(
    name="genescale_tables",
    columns=(Column("name", "text"), Column("version", "integer"), Column("declaration", "json")),
    primary_key=("name",),
    version=FORMAT,
)


def remembered(table: Table) -> Row:
    """The row of `RECORDED` that remembers this declaration."""
    document = msgspec.to_builtins(table, builtin_types=(bytes,))
    for column in document["columns"]:
        if isinstance(column["default"], bytes):  # JSON knows no bytes
            column["default"] = {"hex": column["default"].hex()}
    return {"name": table.name, "version": table.version, "declaration": document}


def recall(rows: Iterable[Row]) -> dict[str, Table]:
    """The declarations that the rows of `RECORDED` remember. `Unsupported` when a newer program wrote them."""
    rows = list(rows)
    for row in rows:
        if row["name"] == RECORDED.name and row["version"] > FORMAT:
            raise Unsupported(
                f"the database has the layout {row['version']} and this program knows {FORMAT}: it was written by a "
                "newer Genescale. Start that one, or restore a backup"
            )
    return {row["name"]: _table(row["declaration"]) for row in rows}


def _table(document: dict[str, Any]) -> Table:
    columns: list[Column] = []
    for column in document["columns"]:
        default = column["default"]
        if isinstance(default, dict):
            default = bytes.fromhex(cast("dict[str, str]", default)["hex"])
        columns.append(Column(column["name"], column["type"], column["nullable"], default))
    return Table(
        name=document["name"],
        columns=tuple(columns),
        primary_key=tuple(document["primary_key"]),
        unique=tuple(tuple(names) for names in document["unique"]),
        indexes=tuple(tuple(names) for names in document["indexes"]),
        version=document["version"],
    )


class CreateTable(msgspec.Struct, frozen=True):
    """A table that the database does not have."""

    table: Table


class AddColumn(msgspec.Struct, frozen=True):
    """A column that the table does not have."""

    table: Table
    column: Column


class AddIndex(msgspec.Struct, frozen=True):
    """An index, or a unique key, that the table does not have."""

    table: Table
    columns: tuple[str, ...]
    unique: bool


Step: TypeAlias = CreateTable | AddColumn | AddIndex


def plan(recorded: Mapping[str, Table], declared: Iterable[Table]) -> dict[str, list[Step]]:
    """The steps for each table that has some. `Unsupported`: the database is newer, or more than additions are needed.

    Tables that are recorded and not declared stay as they are: another program may own them.
    """
    steps: dict[str, list[Step]] = {}
    for table in declared:
        before = recorded.get(table.name)
        if before is None:
            indexes = [AddIndex(table, columns, unique=True) for columns in table.unique]
            indexes += [AddIndex(table, columns, unique=False) for columns in table.indexes]
            steps[table.name] = [CreateTable(table), *indexes]
        elif before != table:
            steps[table.name] = _additions(before, table)
    return steps


def _additions(before: Table, after: Table) -> list[Step]:
    if before.version > after.version:
        raise Unsupported(
            f"table {after.name} has version {before.version} in the database, and this program knows version "
            f"{after.version}: the database was written by a newer Genescale. Start that one, or restore a backup"
        )
    if before.version == after.version:
        raise Unsupported(
            f"table {after.name} is declared differently from the database, under the same version {after.version}: "
            "this is another build of Genescale. Raise the version of the table with its change"
        )
    refusal = _refusal(before, after)
    if refusal:
        raise Unsupported(
            f"table {after.name} cannot go from version {before.version} to {after.version}: {refusal}. "
            "Only additions are possible; declare a new table and copy the rows"
        )
    known = {column.name for column in before.columns}
    steps: list[Step] = [AddColumn(after, column) for column in after.columns if column.name not in known]
    steps += [AddIndex(after, columns, unique=True) for columns in after.unique if columns not in before.unique]
    steps += [AddIndex(after, columns, unique=False) for columns in after.indexes if columns not in before.indexes]
    return steps


def _refusal(before: Table, after: Table) -> str | None:
    columns = {column.name: column for column in after.columns}
    for column in before.columns:
        if column.name not in columns:
            return f"column {column.name} is gone"
        if columns[column.name] != column:
            return f"column {column.name} changed"
    if before.primary_key != after.primary_key:
        return "the primary key changed"
    if not set(before.unique) <= set(after.unique) or not set(before.indexes) <= set(after.indexes):
        return "a unique key or an index is gone"
    known = {column.name for column in before.columns}
    for column in after.columns:
        if column.name not in known and not column.nullable and column.default is None:
            return f"the new column {column.name} is neither nullable nor has a default"
    return None

# ruff: noqa: S608 - values travel as parameters, names are checked and quoted
"""The one SQL layer: turns declared tables and conditions into statements that SQLite and PostgreSQL both understand.

The two differ in the names of types, the sign for a parameter, and how bytes are written as a default: that is a
`Dialect`. Everything else is common SQL. Values always travel as parameters; names come from declarations that
`tables.check_declarations` has passed, and are quoted.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from genescale.errors import GenescaleError, TooLarge
from genescale.store.migration import AddColumn, CreateTable, Step
from genescale.store.tables import Column, ColumnType, Condition, Conflict, InvalidRow, Row, Table, Where

KEY_BYTES_MAX = 512  # PostgreSQL refuses index entries above about 2,700 bytes; a key may have several columns
VALUE_BYTES_MAX = 16 * 1_048_576
IN_VALUES_MAX = 10_000  # SQLite takes 32,766 parameters in one statement
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1

Params: TypeAlias = list[Any]
Execute: TypeAlias = Callable[[str, Params], tuple[list[tuple[Any, ...]], int]]
"""Run one statement: its rows, and how many rows it changed."""


class Dialect(msgspec.Struct, frozen=True):
    """Where the two databases differ."""

    placeholder: str
    types: Mapping[ColumnType, str]
    table_suffix: str
    booleans: tuple[str, str]  # false and true, as a default is written
    bytes_literal: tuple[str, str]  # what stands before and after the hexadecimal digits


_PYTHON: Mapping[str, type] = {"text": str, "bytes": bytes, "boolean": bool}


def quoted(name: str) -> str:
    """A name as both databases read it."""
    return f'"{name}"'


def _names(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


# ------------------------------------------------------------------ values


def encode(table: Table, column: Column, value: Any) -> Any:
    """The stored form of a value; `InvalidRow` when the declared type does not allow it."""
    if column.type == "text" and _is_plain(value):
        return value  # nearly every value of nearly every row
    if value is None:
        if not column.nullable:
            raise InvalidRow(f"{table.name}.{column.name} cannot be None")
        return None
    if column.type == "json":
        return _sized(table, column, _json(table, column, value))
    if column.type == "integer":
        if type(value) is not int or not INTEGER_MIN <= value <= INTEGER_MAX:
            raise InvalidRow(f"{table.name}.{column.name} takes an integer of 64 bits, not {_shown(value)}")
        return value
    if column.type == "real":
        if type(value) not in (int, float) or math.isnan(value) or (type(value) is int and abs(value) > 2**53):
            raise InvalidRow(f"{table.name}.{column.name} takes a real number that is not NaN, not {_shown(value)}")
        return float(value)
    expected = _PYTHON[column.type]
    if type(value) is not expected:
        raise InvalidRow(f"{table.name}.{column.name} takes {expected.__name__}, not {_shown(value)}")
    return value if isinstance(value, bool) else _sized(table, column, value)


def _is_plain(value: Any) -> bool:
    """A short text of ASCII without NUL: no rule for texts can refuse it."""
    return type(value) is str and len(value) <= KEY_BYTES_MAX and value.isascii() and "\x00" not in value


def _json(table: Table, column: Column, value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidRow(f"{table.name}.{column.name} takes what JSON can say: {error}") from error


def _sized(table: Table, column: Column, value: str | bytes) -> str | bytes:
    if isinstance(value, str) and "\x00" in value:
        raise InvalidRow(f"{table.name}.{column.name}: a text must not contain the character NUL")
    try:
        length = len(value.encode() if isinstance(value, str) else value)
    except UnicodeEncodeError as error:
        raise InvalidRow(f"{table.name}.{column.name}: the text is not valid Unicode") from error
    if length > VALUE_BYTES_MAX:
        raise TooLarge(
            f"{table.name}.{column.name} takes at most {VALUE_BYTES_MAX} bytes, not {length}: store it as an object"
        )
    if length > KEY_BYTES_MAX and _is_key(table, column.name):
        raise InvalidRow(f"{table.name}.{column.name} is in a key and takes {KEY_BYTES_MAX} bytes, not {length}")
    return value


def _is_key(table: Table, name: str) -> bool:
    return any(name in names for names in (table.primary_key, *table.unique, *table.indexes))


def _shown(value: object) -> str:
    """The kind of value only: rows may hold what must not reach a log."""
    return f"a value of type {type(value).__name__}"


def decode(column: Column, raw: Any) -> Any:
    """The value as it went in."""
    if raw is None:
        return None
    if column.type == "json":
        return msgspec.json.decode(raw)
    return bool(raw) if column.type == "boolean" else raw


# ------------------------------------------------------------------ definitions


def definition(dialect: Dialect, step: Step) -> str:
    """One step of a migration as a statement."""
    if isinstance(step, CreateTable):
        parts = [_column(dialect, column) for column in step.table.columns]
        parts.append(f"PRIMARY KEY ({_names(step.table.primary_key)})")
        return f"CREATE TABLE {quoted(step.table.name)} ({', '.join(parts)}){dialect.table_suffix}"
    if isinstance(step, AddColumn):
        return f"ALTER TABLE {quoted(step.table.name)} ADD COLUMN {_column(dialect, step.column)}"
    unique = "UNIQUE " if step.unique else ""
    digest = hashlib.sha256(f"{unique}{','.join(step.columns)}".encode()).hexdigest()[:8]
    index = quoted(f"{step.table.name}_{digest}")
    return f"CREATE {unique}INDEX {index} ON {quoted(step.table.name)} ({_names(step.columns)})"


def _column(dialect: Dialect, column: Column) -> str:
    text = f"{quoted(column.name)} {dialect.types[column.type]}"
    if not column.nullable:
        text += " NOT NULL"
    if column.default is not None:
        text += f" DEFAULT {_literal(dialect, column.default)}"
    return text


def _literal(dialect: Dialect, value: str | float | bytes) -> str:
    if isinstance(value, bool):
        return dialect.booleans[value]
    if isinstance(value, bytes):
        before, after = dialect.bytes_literal
        return f"{before}{value.hex()}{after}"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


# ------------------------------------------------------------------ statements


@lru_cache(maxsize=512)
def _insertion(placeholder: str, table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join([placeholder] * len(columns))
    return f"INSERT INTO {quoted(table)} ({_names(columns)}) VALUES ({marks})"


class UniqueViolated(Exception):
    """How an adapter says that a statement would have made two rows with one key."""


class SqlTransaction:
    """`tables.Transaction` over any database that can execute statements."""

    def __init__(self, dialect: Dialect, execute: Execute, declared: Mapping[str, Table]) -> None:
        self._dialect = dialect
        self._execute = execute
        self._declared = declared
        self._over: Exception | None = None

    def insert(
        self, table: Table, row: Mapping[str, Any], *, on_conflict: Literal["raise", "ignore"] = "raise"
    ) -> bool:
        """See `Transaction`."""
        # Both databases are asked to do nothing on a conflict, and the count tells: an error would end the
        # transaction on PostgreSQL and not on SQLite.
        columns, params = self._row(table, row)
        statement = _insertion(self._dialect.placeholder, table.name, columns)
        _, count = self._run(statement + " ON CONFLICT DO NOTHING", params, table)
        if count == 0 and on_conflict == "raise":
            raise Conflict(f"a row with this key is in the table {table.name} already", table=table.name)
        return count == 1

    def upsert(self, table: Table, row: Mapping[str, Any]) -> None:
        """See `Transaction`."""
        columns, params = self._row(table, row)
        others = [name for name in columns if name not in table.primary_key]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        action = f"UPDATE SET {changes}" if others else "NOTHING"
        insertion = _insertion(self._dialect.placeholder, table.name, columns)
        statement = f"{insertion} ON CONFLICT ({_names(table.primary_key)}) DO {action}"
        self._run(statement, params, table)

    def get(self, table: Table, key: Mapping[str, Any]) -> Row | None:
        """See `Snapshot`."""
        rows = self._select(table, self._key(table, key), (), descending=False, after=None, limit=1)
        return rows[0] if rows else None

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
        """See `Snapshot`."""
        return self._select(table, where, order_by, descending=descending, after=after, limit=limit)

    def count(self, table: Table, where: Where = ()) -> int:
        """See `Snapshot`."""
        clause, params = self._where(table, where)
        rows, _ = self._run(f"SELECT count(*) FROM {quoted(table.name)}{clause}", params, table)
        return int(rows[0][0])

    def update(self, table: Table, where: Where, changes: Mapping[str, Any]) -> int:
        """See `Transaction`."""
        if not changes:
            return self.count(table, where)
        sets: list[str] = []
        params: Params = []
        for name, value in changes.items():
            if name in table.primary_key:
                raise InvalidRow(f"{table.name}.{name} is in the primary key and cannot be changed: insert a new row")
            params.append(encode(table, table.column(name), value))
            sets.append(f"{quoted(name)} = {self._dialect.placeholder}")
        clause, more = self._where(table, where)
        _, count = self._run(f"UPDATE {quoted(table.name)} SET {', '.join(sets)}{clause}", params + more, table)
        return count

    def compare_and_set(
        self, table: Table, key: Mapping[str, Any], expected: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> bool:
        """See `Transaction`."""
        where: list[Condition] = [*self._key(table, key), *((name, "=", value) for name, value in expected.items())]
        return self.update(table, where, changes) == 1

    def delete(self, table: Table, where: Where) -> int:
        """See `Transaction`."""
        clause, params = self._where(table, where)
        _, count = self._run(f"DELETE FROM {quoted(table.name)}{clause}", params, table)
        return count

    def end(self, reason: Exception) -> None:
        """Refuse every later call: behind its block, or after a failed statement, a transaction must not be used."""
        self._over = self._over or reason

    def ensure_open(self) -> None:
        """Raise what ended the transaction, if something did."""
        if self._over:
            raise self._over

    def _run(self, statement: str, params: Params, table: Table) -> tuple[list[tuple[Any, ...]], int]:
        self.ensure_open()
        known = self._declared.get(table.name)
        if known is not table and known != table:
            raise InvalidRow(f"the table {table.name} was not declared when the database was opened, or differently")
        try:
            return self._execute(statement, params)
        except UniqueViolated as error:
            conflict = Conflict(f"this would give two rows of {table.name} the same key", table=table.name)
            self.end(conflict)
            raise conflict from error
        except GenescaleError as error:
            self.end(error)  # part of it may be undone by now: nothing more may be added, nothing be committed
            raise

    def _row(self, table: Table, row: Mapping[str, Any]) -> tuple[tuple[str, ...], Params]:
        columns: list[str] = []
        params: Params = []
        for column in table.columns:
            name = column.name
            if name in row:
                columns.append(name)
                params.append(encode(table, column, row[name]))
            elif not column.nullable and column.default is None:
                raise InvalidRow(f"{table.name}.{name} is missing and has no default")
        if len(columns) != len(row):
            for name in row:
                table.column(name)  # raises for the one that is not there
        return tuple(columns), params

    def _key(self, table: Table, key: Mapping[str, Any]) -> list[Condition]:
        if not any(set(names) == set(key) for names in (table.primary_key, *table.unique)):
            raise InvalidRow(f"({', '.join(key)}) is no primary or unique key of the table {table.name}")
        return [(name, "=", value) for name, value in key.items()]

    def _select(
        self,
        table: Table,
        where: Where,
        order_by: Sequence[str],
        *,
        descending: bool,
        after: Mapping[str, Any] | None,
        limit: int | None,
    ) -> list[Row]:
        order = [*order_by, *(name for name in table.primary_key if name not in order_by)]
        for name in order:
            if table.column(name).nullable or table.column(name).type == "json":
                raise InvalidRow(f"{table.name}.{name} is nullable or json: rows cannot be ordered by it")
        clause, params = self._where(table, where)
        if after is not None:
            marks = ", ".join([self._dialect.placeholder] * len(order))
            clause += " AND " if clause else " WHERE "
            clause += f"({_names(order)}) {'<' if descending else '>'} ({marks})"
            params += [encode(table, table.column(name), after[name]) for name in order]
        direction = " DESC" if descending else ""
        clause += " ORDER BY " + ", ".join(quoted(name) + direction for name in order)
        if limit is not None:
            clause += f" LIMIT {self._dialect.placeholder}"
            params.append(max(0, limit))
        columns = table.columns
        names = _names(column.name for column in columns)
        rows, _ = self._run(f"SELECT {names} FROM {quoted(table.name)}{clause}", params, table)
        return [{column.name: decode(column, raw) for column, raw in zip(columns, row, strict=True)} for row in rows]

    def _where(self, table: Table, where: Where) -> tuple[str, Params]:
        parts: list[str] = []
        params: Params = []
        for condition in where:
            part, values = self._condition(table, condition)
            parts.append(part)
            params += values
        return (" WHERE " + " AND ".join(parts) if parts else ""), params

    def _condition(self, table: Table, condition: Condition) -> tuple[str, Params]:
        name, operator, value = condition
        column = table.column(name)
        mark = self._dialect.placeholder
        if column.type == "json":
            raise InvalidRow(f"{table.name}.{name} is json and cannot be searched: give the fact a column of its own")
        if operator == "in":
            values = [encode(table, column, one) for one in value if one is not None]
            if len(values) > IN_VALUES_MAX:
                raise InvalidRow(f"{table.name}.{name}: 'in' takes at most {IN_VALUES_MAX} values, not {len(values)}")
            marks = ", ".join([mark] * len(values))
            return (f"{quoted(name)} IN ({marks})" if values else "1 = 0"), values
        if operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise InvalidRow(f"{operator!r} is no operator; use =, !=, <, <=, >, >= or in")
        if value is None:
            if operator not in ("=", "!="):
                raise InvalidRow(f"{table.name}.{name}: None has no place in an order")
            return f"{quoted(name)} IS {'NOT ' if operator == '!=' else ''}NULL", []
        word = "IS DISTINCT FROM" if operator == "!=" else operator
        return f"{quoted(name)} {word} {mark}", [encode(table, column, value)]

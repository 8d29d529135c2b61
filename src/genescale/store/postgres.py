"""Tables in PostgreSQL: production, and any cluster. psycopg 3, a few connections per process, no ORM.

Transactions run at the isolation level SERIALIZABLE, which gives the same promise as SQLite's one writer at a time;
PostgreSQL keeps it by cancelling one of two transactions that meet, so use `Tables.run` where they do.
"""

import random
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel, errors

from genescale.clock import Clock
from genescale.errors import DiskFull, LogBroken, Unsupported
from genescale.store.again import again
from genescale.store.migration import RECORDED, CreateTable, plan, recall, remembered
from genescale.store.sql import Dialect, Params, SqlTransaction, UniqueViolated, definition
from genescale.store.tables import (
    Snapshot,
    Table,
    Tables,
    TablesDamaged,
    TablesNotWritable,
    TablesUnavailable,
    Transaction,
    TransactionLost,
    check_declarations,
)

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

POSTGRES_MIN = 140_000  # 14, as `server_version_num` says it
MIGRATION_LOCK = 0x67656E65  # "gene": one process at a time changes tables
IDLE_KEPT = 8

DIALECT = Dialect(
    placeholder="%s",
    types={
        "text": 'text COLLATE "C"',  # the order of UTF-8 bytes, as on SQLite
        "integer": "bigint",
        "real": "double precision",
        "bytes": "bytea",
        "boolean": "boolean",
        "json": "text",
    },
    table_suffix="",
    booleans=("false", "true"),
    bytes_literal=("'\\x", "'::bytea"),
)


def open_postgres_tables(
    dsn: str,
    declared: Sequence[Table],
    clock: Clock,
    *,
    password: str = "",
    busy_s: float = 30.0,
    seed: int | None = None,
) -> Tables:
    """Connect, and bring the database to what is declared.

    `dsn` is what libpq takes (`postgresql://user@host/name?...`); tables go to the first schema of its search path.
    `password` keeps it out of the address, which gets printed. `busy_s` bounds connecting, and waiting for a lock.
    `seed` fixes the jitter of repetitions.
    """
    check_declarations(declared)
    return PostgresTables(dsn, declared, clock, password=password, busy_s=busy_s, seed=seed)


class PostgresTables:
    """`tables.Tables` in PostgreSQL. Made by `open_postgres_tables`."""

    def __init__(
        self, dsn: str, declared: Sequence[Table], clock: Clock, *, password: str, busy_s: float, seed: int | None
    ) -> None:
        self._dsn = dsn
        self._password = password
        self._clock = clock
        self._busy_s = busy_s
        self._dice = random.Random(seed)  # noqa: S311 - spreads waiting writers, guards nothing
        self._declared = {table.name: table for table in (*declared, RECORDED)}
        self._idle: list[Connection] = []
        self._in_transaction = threading.local()
        self.notices: tuple[str, ...] = ()
        try:
            self.notices = self._migrate(declared)
        except BaseException:
            self.close()
            raise

    # -------------------------------------------------------------- the port

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """See `Tables`."""
        if getattr(self._in_transaction, "open", False):
            raise RuntimeError("this thread has a transaction open already; pass that one on")
        self._in_transaction.open = True
        try:
            with self._connection() as connection, self._block(connection) as tx:
                yield tx
        finally:
            self._in_transaction.open = False

    def run(self, work: Callable[[Transaction], T]) -> T:
        """See `Tables`."""

        def attempt() -> T:
            with self.transaction() as tx:
                return work(tx)

        return again(attempt, TransactionLost, self._clock, self._dice)

    @contextmanager
    def snapshot(self) -> Generator[Snapshot]:
        """See `Tables`."""
        with self._connection() as connection:
            # A repeatable read is a snapshot, and is never cancelled.
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with self._block(connection) as tx:
                yield tx

    def check(self) -> None:
        """See `Tables`. Reads every row of the declared tables; page checksums are the server's setting."""
        with self._connection() as connection:
            for name in self._declared:
                everything = f'SELECT count(*) FROM "{name}" WHERE length("{name}"::text) < 0'  # noqa: S608 - checked name
                _execute(connection, everything, [])
            connection.rollback()

    def close(self) -> None:
        """See `Tables`."""
        while self._idle:
            self._idle.pop().close()

    # -------------------------------------------------------------- connections

    @contextmanager
    def _connection(self) -> Generator[Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.isolation_level = IsolationLevel.SERIALIZABLE
            connection.read_only = False
            yield connection
        finally:
            if connection.closed:  # the server went away, and the idle connections with it
                self.close()
            elif len(self._idle) >= IDLE_KEPT:
                connection.close()
            else:
                self._idle.append(connection)

    def _connect(self) -> Connection:
        with _translated():
            connection = psycopg.connect(
                self._dsn,
                password=self._password or None,  # None leaves the choice to the address and libpq
                connect_timeout=max(2, int(self._busy_s)),
                application_name="genescale",
            )
        try:
            _assert_server(connection)
            _execute(connection, "SELECT set_config('synchronous_commit', 'on', false)", [])
            _execute(connection, "SELECT set_config('lock_timeout', %s, false)", [f"{int(self._busy_s * 1000)}ms"])
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _block(self, connection: Connection) -> Generator[SqlTransaction]:
        """A transaction: psycopg begins it with the first statement."""
        tx = SqlTransaction(DIALECT, partial(_execute, connection), self._declared)
        try:
            yield tx
            tx.ensure_open()
            with _translated():
                connection.commit()
        except BaseException:
            if not connection.closed:
                with _translated():
                    connection.rollback()
            raise
        finally:
            tx.end(RuntimeError("a transaction was used behind its `with` block"))

    def _migrate(self, declared: Sequence[Table]) -> tuple[str, ...]:
        notices: list[str] = []
        with self._connection() as connection:
            # Not SERIALIZABLE: behind the lock, what the process before wrote must be seen.
            connection.isolation_level = IsolationLevel.READ_COMMITTED
            with self._block(connection) as tx:
                run = partial(_execute, connection)
                run("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
                known, _ = run("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [RECORDED.name])
                if not known:
                    run(definition(DIALECT, CreateTable(RECORDED)), [])
                for name, steps in plan(recall(tx.select(RECORDED)), (RECORDED, *declared)).items():
                    for step in steps:
                        if name != RECORDED.name:
                            _carry_out(connection, definition(DIALECT, step))
                    table = self._declared[name]
                    tx.upsert(RECORDED, remembered(table))
                    notices.append(f"table {name} is now at version {table.version}")
        return tuple(notices)


def _assert_server(connection: Connection) -> None:
    """Promise 1 and 3 need this of the server."""
    version = connection.info.server_version
    if version < POSTGRES_MIN:
        raise Unsupported(f"PostgreSQL {version // 10_000} is too old: use {POSTGRES_MIN // 10_000} or newer")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Unsupported(f"the database has the encoding {encoding}: create it with ENCODING 'UTF8'")
    rows, _ = _execute(connection, "SELECT current_setting('fsync')", [])
    if rows[0][0] != "on":
        raise Unsupported("PostgreSQL runs with fsync = off and would lose accepted work: switch it on")


def _carry_out(connection: Connection, statement: str) -> None:
    try:
        _execute(connection, statement, [])
    except UniqueViolated as error:
        raise Unsupported(f"the rows do not keep the new unique key: {statement}") from error


def _execute(connection: Connection, statement: str, params: Params) -> tuple[list[tuple[Any, ...]], int]:
    with _translated():
        # The statement is put together from checked names (`sql`), so it is as good as a literal.
        cursor = connection.execute(statement.encode(), params or None)
        rows = cursor.fetchall() if cursor.description is not None else []
        return rows, cursor.rowcount


# ------------------------------------------------------------------ errors


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise _meaning(error) from error


def _meaning(error: psycopg.Error) -> Exception:  # noqa: PLR0911 - one line per kind of failure
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, errors.UniqueViolation):
        return UniqueViolated("unique key")  # PostgreSQL's own words would show the values
    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected):
        return TransactionLost("PostgreSQL cancelled the transaction because it met another one", after_s=0.01)
    if isinstance(error, errors.LockNotAvailable):
        return TablesUnavailable("PostgreSQL: another process held a lock for too long", after_s=1.0)
    if isinstance(error, errors.DiskFull):
        return DiskFull("PostgreSQL has no space left: free some; nothing was lost", after_s=5.0)
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return TablesDamaged(f"PostgreSQL found damage: {said}. Restore a backup", path="PostgreSQL", place=said)
    if isinstance(error, errors.IoError):
        return LogBroken(f"PostgreSQL's disk failed: {said}")
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return TablesNotWritable(f"PostgreSQL refuses to write: {said}. Grant the rights, or use the primary server")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return TablesUnavailable(f"PostgreSQL cannot be reached, or refuses us: {said}", after_s=1.0)
    return error

# pyright: reportUnknownMemberType=false
# apsw's own annotations use a type that Python 3.11 does not have.
"""Tables in one SQLite file: the laptop, and one machine. Several processes may have it open at once.

Every process has one connection that writes and a few that read. Power-safe: write-ahead log, `synchronous=FULL`.
The SQLite inside `apsw-sqlite3mc` is used, never the one of the standard library: versions below 3.51.3 can corrupt a
write-ahead log that several processes use (https://sqlite.org/wal.html#walresetbug).
"""

import fcntl
import os
import random
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from genescale.clock import Clock
from genescale.errors import DiskFull, Fatal, GenescaleError, LogBroken, Unsupported
from genescale.store import wal
from genescale.store.again import again, until
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

SQLITE_MIN = (3, 51, 3)
READERS_KEPT = 8

DIALECT = Dialect(
    placeholder="?",
    types={
        "text": "TEXT",
        "integer": "INTEGER",
        "real": "REAL",
        "bytes": "BLOB",
        "boolean": "INTEGER",
        "json": "TEXT",
    },
    table_suffix=" STRICT",
    booleans=("0", "1"),
    bytes_literal=("X'", "'"),
)


def open_sqlite_tables(
    path: str | Path, declared: Sequence[Table], clock: Clock, *, busy_s: float = 30.0, seed: int | None = None
) -> Tables:
    """Open, or create, the database file, and bring it to what is declared.

    `busy_s` bounds how long a transaction waits for other writers. `seed` fixes the jitter of these waits.
    """
    check_declarations(declared)
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < SQLITE_MIN:
        raise Unsupported(
            f"SQLite {apsw.sqlite_lib_version()} can lose data when several processes write: install "
            f"apsw-sqlite3mc with SQLite {'.'.join(map(str, SQLITE_MIN))} or newer"
        )
    return SqliteTables(Path(path), declared, clock, busy_s, seed)


class SqliteTables:
    """`tables.Tables` in one file. Made by `open_sqlite_tables`."""

    def __init__(self, path: Path, declared: Sequence[Table], clock: Clock, busy_s: float, seed: int | None) -> None:
        self._path = path
        self._clock = clock
        self._busy_s = busy_s
        self._dice = random.Random(seed)  # noqa: S311 - spreads waiting writers, guards nothing
        self._declared = {table.name: table for table in (*declared, RECORDED)}
        self._broken: Fatal | None = None
        self._write_lock = threading.Lock()
        self._writing_thread: int | None = None
        self._readers: list[apsw.Connection] = []
        self.notices: tuple[str, ...] = ()
        self._users = self._join()
        try:
            self._writer = self._connect()
        except BaseException:
            os.close(self._users)
            raise
        try:
            self.notices += self._migrate(declared)
            _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    # -------------------------------------------------------------- the port

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """See `Tables`."""
        with self._write_turn():
            connection = self._writer
            self._begin(connection, "BEGIN IMMEDIATE")
            tx = SqlTransaction(DIALECT, partial(self._execute, connection), self._declared)
            try:
                yield tx
                tx.ensure_open()
                self._execute(connection, "COMMIT", [])
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                tx.end(RuntimeError("a transaction was used behind its `with` block"))

    def run(self, work: Callable[[Transaction], T]) -> T:
        """See `Tables`."""

        def attempt() -> T:
            with self.transaction() as tx:
                return work(tx)

        return again(attempt, TransactionLost, self._clock, self._dice)

    @contextmanager
    def snapshot(self) -> Generator[Snapshot]:
        """See `Tables`."""
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect(reader=True)
        tx = SqlTransaction(DIALECT, partial(self._execute, connection), self._declared)
        try:
            self._begin(connection, "BEGIN")
            yield tx
        finally:
            tx.end(RuntimeError("a snapshot was used behind its `with` block"))
            self._roll_back(connection)
            if len(self._readers) < READERS_KEPT:
                self._readers.append(connection)
            else:
                connection.close()

    def check(self) -> None:
        """See `Tables`."""
        connection = self._connect(reader=True)
        try:
            rows, _ = self._execute(connection, "PRAGMA integrity_check(20)", [])
        finally:
            connection.close()
        found = "; ".join(str(row[0]) for row in rows)
        if found != "ok":
            raise _damaged(self._path, found)

    def close(self) -> None:
        """See `Tables`."""
        for connection in (*self._readers, self._writer):
            connection.close()
        self._readers.clear()
        os.close(self._users)

    # -------------------------------------------------------------- opening

    def _join(self) -> int:
        """Register this process as a user of the file, and look at its log if there is no other one.

        The lock dies with the process. Alone, nobody writes, so a wrong checksum cannot be a write under way.
        """
        users = self._path.with_name(self._path.name + "-users")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(users, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _os_error(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            try:
                self._inspect_log()
            except BaseException:
                os.close(descriptor)
                raise
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _inspect_log(self) -> None:
        path = self._path.with_name(self._path.name + "-wal")
        state = wal.scan(path)
        if state.damage == "middle":
            raise TablesDamaged(
                f"{path} is damaged in the middle ({state.place}), and transactions lie behind it that SQLite would "
                "forget in silence. Nothing was changed; restore a backup",
                path=str(path),
                place=state.place,
            )
        if state.damage == "tail":
            size = wal.cut(path, state)
            self.notices += (f"{path}: the last {size:,} bytes were an unfinished write and are cut off",)

    def _connect(self, *, reader: bool = False) -> apsw.Connection:
        with _translated(self._path):
            connection = apsw.Connection(str(self._path))
        try:
            ready = until(partial(self._configure, connection, reader=reader), self._busy_s, self._clock, self._dice)
        except BaseException:
            connection.close()
            raise
        if not ready:
            connection.close()
            raise TablesUnavailable(f"{self._path} stayed busy for {self._busy_s} s while it was opened")
        return connection

    def _configure(self, connection: apsw.Connection, *, reader: bool) -> bool:
        """Set what promise 1 needs. False while another process is just creating or recovering the file."""
        try:
            with _translated(self._path):
                mode = connection.pragma("journal_mode", "wal")
                connection.pragma("synchronous", "full")
                connection.pragma("fullfsync", value=True)  # macOS: a plain fsync does not reach the disk
                connection.pragma("cell_size_check", value=True)
                connection.pragma("query_only", value=reader)
        except TransactionLost:
            return False
        if mode != "wal":
            raise Unsupported(f"{self._path} cannot use a write-ahead log (mode {mode!r}): put it on a local disk")
        return True

    def _migrate(self, declared: Sequence[Table]) -> tuple[str, ...]:
        notices: list[str] = []
        with self.transaction() as tx:
            run = partial(self._execute, self._writer)
            known, _ = run("SELECT 1 FROM sqlite_schema WHERE name = ?", [RECORDED.name])
            if not known:
                run(definition(DIALECT, CreateTable(RECORDED)), [])
            for name, steps in plan(recall(tx.select(RECORDED)), (RECORDED, *declared)).items():
                for step in steps:
                    if name != RECORDED.name:
                        self._carry_out(definition(DIALECT, step))
                table = self._declared[name]
                tx.upsert(RECORDED, remembered(table))
                notices.append(f"{self._path}: table {name} is now at version {table.version}")
        return tuple(notices)

    def _carry_out(self, statement: str) -> None:
        try:
            self._execute(self._writer, statement, [])
        except UniqueViolated as error:
            raise Unsupported(f"{self._path}: the rows do not keep the new unique key: {statement}") from error

    # -------------------------------------------------------------- statements

    @contextmanager
    def _write_turn(self) -> Generator[None]:
        me = threading.get_ident()
        if self._writing_thread == me:
            raise RuntimeError("this thread has a transaction open already; pass that one on")
        if not self._write_lock.acquire(timeout=self._busy_s):
            raise TablesUnavailable(f"{self._path}: another thread held the write lock for {self._busy_s} s")
        self._writing_thread = me
        try:
            yield
        finally:
            self._writing_thread = None
            self._write_lock.release()

    def _begin(self, connection: apsw.Connection, statement: str) -> None:
        def attempt() -> bool:
            try:
                self._execute(connection, statement, [])
                self._execute(connection, "SELECT 1 FROM sqlite_schema LIMIT 1", [])  # a snapshot begins with a read
            except TransactionLost:
                self._roll_back(connection)
                return False
            return True

        if not until(attempt, self._busy_s, self._clock, self._dice):
            raise TablesUnavailable(f"{self._path}: other processes held the write lock for {self._busy_s} s")

    def _execute(
        self, connection: apsw.Connection, statement: str, params: Params
    ) -> tuple[list[tuple[Any, ...]], int]:
        if self._broken:
            raise self._broken
        try:
            with _translated(self._path):
                cursor: Any = connection.execute(statement, params)
                return cursor.fetchall(), connection.changes()
        except Fatal as error:
            self._broken = error  # memory and disk may differ from here on: only a new process may go on
            raise

    def _roll_back(self, connection: apsw.Connection) -> None:
        """SQLite may have rolled back by itself already (a full disk, a failed write)."""
        if connection.in_transaction and not self._broken:
            self._execute(connection, "ROLLBACK", [])


# ------------------------------------------------------------------ errors


@contextmanager
def _translated(path: Path) -> Generator[None]:
    try:
        yield
    except apsw.Error as error:
        raise _meaning(path, error) from error


def _meaning(path: Path, error: apsw.Error) -> Exception:  # noqa: PLR0911 - one line per kind of failure
    if isinstance(error, apsw.ConstraintError):
        return UniqueViolated(str(error))
    if isinstance(error, apsw.BusyError | apsw.LockedError | apsw.SchemaChangeError):
        return TransactionLost(f"{path} is busy: {error}", after_s=0.01)
    if isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError | apsw.CantOpenError) and _free_bytes(path) < 65_536
    ):
        return DiskFull(f"no space left for {path}: free some; nothing was lost, and reading goes on", after_s=5.0)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return _damaged(path, str(error))
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return _not_writable(path, str(error))
    if isinstance(error, apsw.IOError):
        return LogBroken(f"the disk did not do what {path} asked for: {error}. Restart; look at the disk if it repeats")
    return error


def _damaged(path: Path, found: str) -> TablesDamaged:
    return TablesDamaged(f"{path} is damaged: {found}. Restore it from a backup", path=str(path), place=found)


def _not_writable(path: Path, why: str) -> TablesNotWritable:
    return TablesNotWritable(f"{path} or its folder cannot be written by user {os.getuid()}: {why}. Change its owner")


def _os_error(path: Path, error: OSError) -> GenescaleError:
    if isinstance(error, PermissionError) or error.errno == 30:  # EROFS: a read-only file system
        return _not_writable(path, error.strerror or "")
    if error.errno == 28:  # ENOSPC
        return DiskFull(f"no space left for {path}: free some", after_s=5.0)
    return LogBroken(f"{path} cannot be opened: {error}")


def _free_bytes(path: Path) -> int:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return 1 << 62
    return status.f_bavail * status.f_frsize


def _sync_folder(folder: Path) -> None:
    """A new file counts as durable only when its name is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# apsw's own annotations use a type that Python 3.11 does not have.
"""One topic in one SQLite file: its tables, its checksums, and how SQLite's errors read in our words.

Each partition is a table of its own whose rowid is the offset, so that appending always happens at the end of a tree
and reading is a walk along it. Offsets are dense, which makes a missing record visible: a hole is damage.

SQLite by itself checks neither the bytes of a value nor most of the structure around it: a flipped bit is served as if
nothing had happened, or hides the end of a partition. Two sums stand against that. Every page carries one, in eight
bytes at its end, which SQLite's own shim `cksumvfs` writes and checks whenever a page comes from the disk; it covers
what is not a record too: tables, fences, positions. And every record carries a CRC over its place and its content,
because a whole and healthy page can still be the wrong one, and because salvage looks at records behind SQLite's back.
"""

import errno
import fcntl
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra
import msgspec

from genescale.errors import (
    DiskFull,
    Fenced,
    GenescaleError,
    LogBroken,
    LogDamaged,
    LogUnavailable,
    Permanent,
    Unsupported,
)
from genescale.events.kernel import partition_of
from genescale.events.log import Fence, Headers, NewRecord, PartitionBounds, Record, TopicPartition, TopicSpec
from genescale.store.durable import sync_folder
from genescale.store.kernel import wal_checksum

# SQLite 3.7.0 to 3.51.2 can corrupt a write-ahead log when several processes write and checkpoint it, which is what
# we do all day (sqlite.org/wal.html, "the WAL-reset bug").
SQLITE_OLDEST = (3, 51, 3)
FORMAT_VERSION = 1
APPLICATION_ID = 0x47534C47  # "GSLG": the file command and a person with a hex editor see whose file this is
PAGE_BYTES = 8192  # seven records of 1 KB a page; measured a quarter faster than 4096 for appends
PAGE_SUM_BYTES = 8  # what cksumvfs needs at the end of each page; byte 20 of a file's header says so
BUSY_MS = 10_000

_PAGE_SUMS = "cksmvfs"  # the name of the shim, as SQLite spells it
_FREE_BYTES_LEAST = 65_536  # below this, a write that failed failed for want of space

_PLACE = struct.Struct("<IQqii")
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE_HEADERS = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
_NO_HEADERS = _ENCODE(())


def sqlite_version() -> str:
    """The version of the SQLite inside the wheel."""
    return apsw.sqlite_lib_version()


def assert_sqlite_version(version: str | None = None) -> None:
    """Refuse a SQLite that can lose data under several writers."""
    found = version or sqlite_version()
    if tuple(int(part) for part in found.split(".")[:3]) < SQLITE_OLDEST:
        oldest = ".".join(str(part) for part in SQLITE_OLDEST)
        raise Unsupported(
            f"SQLite {found} can corrupt a log that several processes write; {oldest} or newer is needed: "
            "install apsw-sqlite3mc>=3.54"
        )


def crc_of(
    partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: bytes
) -> int:
    """CRC-32 over the record and over where it stands, so that a record in the wrong place is damage too.

    The lengths go in as well: without them a byte could move from the key to the value unnoticed.
    """
    place = _PLACE.pack(
        partition, offset, timestamp_ms, -1 if key is None else len(key), -1 if value is None else len(value)
    )
    crc = zlib.crc32(b"".join((place, key or b"", headers)))
    return zlib.crc32(value, crc) if value else crc


def explain(error: Exception, path: Path) -> GenescaleError:
    """A SQLite error in our words, with the file and the way out."""
    if isinstance(error, GenescaleError):
        return error
    if _is_full(error, path):
        return DiskFull(
            f"no space left for {path}; nothing of this batch was written. Free space, and it goes on by itself",
            after_s=1.0,
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) or _extended(error) == apsw.SQLITE_IOERR_DATA:
        place = bad_page(path) or str(error)
        return LogDamaged(
            f"{path} is damaged ({place}). Nothing was skipped. `genescale events salvage` saves what can be read",
            path=str(path),
            place=place,
        )
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return LogUnavailable(f"{path} stayed locked for {BUSY_MS / 1000:.0f} s by another process", after_s=0.2)
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)) or (
        isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    ):
        return Permanent(
            f"{path} cannot be opened for writing ({error}). Is the disk read-only, or does the folder belong to "
            "another user? Name another folder with --data"
        )
    return LogBroken(
        f"the disk did not confirm a write to {path} ({error}); this process stops, and a new one recovers from disk"
    )


def _extended(error: Exception) -> int:
    return int(getattr(error, "extendedresult", 0))


def _is_full(error: Exception, path: Path) -> bool:
    """Whether space ran out. Where SQLite fails to grow a `-shm` file it only says that the disk failed."""
    if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return True
    sure = (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)
    unsure = isinstance(error, (apsw.IOError, apsw.CantOpenError)) and _extended(error) not in sure
    return unsure and _free_bytes(path) < _FREE_BYTES_LEAST


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return _FREE_BYTES_LEAST


def bad_page(path: Path) -> str:
    """The first page of the main file whose sum does not match, for a person; empty when all do.

    Only to name the place of damage that SQLite found: beside a checkpoint under way it may see a page half-written.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return ""
    for at in range(0, len(raw) - PAGE_BYTES + 1, PAGE_BYTES):
        if not page_sum_matches(raw, at):
            return f"page {at // PAGE_BYTES + 1} at byte {at:,}"
    return ""


def page_sum_matches(raw: bytes, at: int = 0) -> bool:
    """Whether the page at this byte is as cksumvfs wrote it. A page of zeros, never written, is in order."""
    end = at + PAGE_BYTES - PAGE_SUM_BYTES
    sums = wal_checksum(raw, at, PAGE_BYTES - PAGE_SUM_BYTES, 0, 0, False)
    return struct.pack("<II", *sums) == raw[end : end + PAGE_SUM_BYTES]


_loading = threading.Lock()


def _load_page_sums() -> None:
    """Make cksumvfs known to this process, for those connections only that ask for it."""
    with _loading:
        names = apsw.vfs_names()
        if _PAGE_SUMS in names:
            return
        try:
            with closing(apsw.Connection(":memory:")) as connection:
                apsw.sqlite_extra.load(connection, "cksumvfs")
        except (LookupError, apsw.sqlite_extra.NotAvailable, apsw.Error) as error:
            raise Unsupported(
                f"this build of apsw has no cksumvfs, which keeps a checksum in every page ({error}); install "
                "the wheel of apsw-sqlite3mc>=3.54 from the package index, unpacked"
            ) from error
        apsw.set_default_vfs(names[0])  # loading had made it everybody's


def connect(path: Path, *, power_safe: bool = True, read_only: bool = False, create: bool = False) -> apsw.Connection:
    """A connection as this log needs it. Checkpoints are made by one owner, never in passing."""
    _load_page_sums()
    try:
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        if create:
            flags |= apsw.SQLITE_OPEN_CREATE
        elif not path.exists():
            raise missing(path)
        connection = apsw.Connection(str(path), flags=flags, vfs=_PAGE_SUMS)
        connection.set_busy_timeout(BUSY_MS)
        connection.wal_autocheckpoint(0)
        if not read_only:
            connection.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
        # 512 KiB of page cache: readers walk forward, and many roles share one machine. No mmap (stack.md, section 5).
        connection.execute("PRAGMA cache_size=-512; PRAGMA mmap_size=0")
    except apsw.Error as error:
        raise explain(error, path) from error
    return connection


def missing(path: Path) -> LogDamaged:
    """A file that was there, because others name it. Making it anew would hide what is lost."""
    return LogDamaged(
        f"{path} is missing, or empty, and the log is not whole without it. Nothing was changed. Restore a copy, or "
        "save the rest with `genescale events salvage`",
        path=str(path),
        place="the whole file",
    )


def begin_file(connection: apsw.Connection) -> None:
    """What must be set before the first page of a new file is written."""
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.reserve_bytes("main", PAGE_SUM_BYTES)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()


def lay_out(path: Path, spec: TopicSpec) -> None:
    """Make the file of a topic, or complete one whose making was interrupted."""
    connection = connect(path, create=True)
    try:
        if not connection.execute("PRAGMA application_id").get:
            begin_file(connection)
            with connection:
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT_VERSION}")
                connection.execute(
                    "CREATE TABLE floor(partition INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL);"
                    "CREATE TABLE fence(grp TEXT, topic TEXT, partition INTEGER, token INTEGER NOT NULL,"
                    " PRIMARY KEY(grp, topic, partition)) WITHOUT ROWID"
                )
                for partition in range(spec.partitions):
                    connection.execute(
                        f"CREATE TABLE p{partition}(offset INTEGER PRIMARY KEY, ts INTEGER NOT NULL, key BLOB,"
                        " headers BLOB NOT NULL, crc INTEGER NOT NULL, value BLOB)"
                    )
        check_format(connection, path)
    except apsw.Error as error:
        raise explain(error, path) from error
    finally:
        connection.close()
    sync_folder(path.parent)


def check_format(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file of a later program, a file that is not ours, and one whose pages carry no sums."""
    try:
        identity = connection.execute("PRAGMA application_id").get
        version = connection.execute("PRAGMA user_version").get
        reserved = connection.reserve_bytes("main")
    except apsw.Error as error:
        raise explain(error, path) from error
    if not identity and not path.stat().st_size:
        raise missing(path)
    if identity != APPLICATION_ID:
        raise Unsupported(f"{path} is a SQLite file, but not one of Genescale's logs (application id {identity:#x})")
    if version > FORMAT_VERSION:
        raise Unsupported(
            f"{path} has log format {version}, this program knows {FORMAT_VERSION}: it was written by a newer "
            "Genescale. Install that version again, or name another folder with --data"
        )
    if reserved != PAGE_SUM_BYTES:
        raise LogDamaged(
            f"{path} says at byte 20 of its header that its pages carry no checksums; all files of this log do. "
            "Nothing was skipped. `genescale events salvage` saves what can be read",
            path=str(path),
            place="the header at byte 20",
        )


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the queue of one file. A kernel lock wakes the next writer at once; SQLite's own would sleep and retry."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class TopicWriter:
    """Appends to one topic. Used by the writer thread only, inside a transaction that it opened."""

    def __init__(self, path: Path, spec: TopicSpec) -> None:
        self.spec = spec
        self.connection = connect(path, power_safe=spec.power_safe)
        check_format(self.connection, path)
        self._next: dict[int, int] = {}
        self._version = -1
        self._turn = os.getpid()

    def begin(self) -> None:
        """Called after BEGIN IMMEDIATE: forget what another process may have changed."""
        version = self.connection.execute("PRAGMA data_version").get
        if version != self._version:
            self._version = version
            self._next.clear()

    def abandon(self) -> None:
        """Called after a rollback: the offsets given out were never used."""
        self._next.clear()

    def check_fence(self, fence: Fence) -> None:
        """Raise `Fenced` when a later owner has announced itself in this file."""
        execute = self.connection.execute
        for seat, token in fence.tokens.items():
            newest = execute(
                "SELECT token FROM fence WHERE grp=? AND topic=? AND partition=?", (fence.group, *seat)
            ).get
            if newest is not None and newest > token:
                raise Fenced(f"group {fence.group!r}: {seat.topic}/{seat.partition} has a new owner (token {newest})")

    def raise_fence(self, fence: Fence) -> None:
        """From now on, refuse what former owners of these partitions still want to write here."""
        rows = [(fence.group, *seat, token) for seat, token in fence.tokens.items()]
        self.connection.executemany(
            "INSERT INTO fence VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET token=max(token, excluded.token)", rows
        )

    def append(self, records: Sequence[NewRecord], now_ms: int) -> list[tuple[int, int]]:
        """Write the records; the partition and offset of each, in order."""
        rows: dict[int, list[tuple[int, int, bytes | None, bytes, int, bytes | None]]] = {}
        places: list[tuple[int, int]] = []
        for record in records:
            partition = self._partition(record)
            offset = self._next.get(partition)
            if offset is None:
                offset = next_offset(self.connection, partition)
            self._next[partition] = offset + 1
            stamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
            headers = _ENCODE(record.headers) if record.headers else _NO_HEADERS
            crc = crc_of(partition, offset, stamp, record.key, record.value, headers)
            rows.setdefault(partition, []).append((offset, stamp, record.key, headers, crc, record.value))
            places.append((partition, offset))
        for partition, batch in rows.items():
            self.connection.executemany(f"INSERT INTO p{partition} VALUES(?,?,?,?,?,?)", batch)
        return places

    def _partition(self, record: NewRecord) -> int:
        if record.partition is not None:
            return record.partition
        if record.key is not None:
            return partition_of(record.key, self.spec.partitions)
        self._turn += 1
        return self._turn % self.spec.partitions


def next_offset(connection: apsw.Connection, partition: int) -> int:
    """The offset that the next record of the partition gets; never one that was used before."""
    last = connection.execute(f"SELECT max(offset) FROM p{partition}").get  # noqa: S608
    least = connection.execute("SELECT next FROM floor WHERE partition=?", (partition,)).get
    return max(-1 if last is None else last, (least or 0) - 1) + 1


class TopicReader:
    """Reads one topic. Belongs to one thread."""

    def __init__(self, path: Path, spec: TopicSpec) -> None:
        self._path, self.spec = path, spec
        self._connection = connect(path, read_only=True)
        check_format(self._connection, path)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """One read transaction around several reads: one lock instead of one per partition."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:  # a failed read has ended it already
                    self._connection.execute("COMMIT")
        except apsw.Error as error:
            raise explain(error, self._path) from error

    def read(self, partition: int, offset: int, records_max: int) -> list[Record]:
        """Records from `offset` on. Raises `LogDamaged` at the first that is missing or cannot be trusted."""
        rows: list[Any] = self._connection.execute(
            f"SELECT offset, ts, key, headers, crc, value FROM p{partition} WHERE offset>=? ORDER BY offset LIMIT ?",  # noqa: S608
            (offset, records_max),
        ).fetchall()
        topic = self.spec.name
        found: list[Record] = []
        expected = offset
        for at, stamp, key, headers, crc, value in rows:
            if at != expected and self.spec.cleanup == "delete":
                self._check_hole(partition, expected, at)
            if crc_of(partition, at, stamp, key, value, headers) != crc:
                raise self._damaged(partition, at, "its checksum does not match")
            found.append(Record(topic, partition, at, stamp, key, value, self._headers(headers)))
            expected = at + 1
        return found

    def _headers(self, raw: bytes) -> Headers:
        return () if raw == _NO_HEADERS else _DECODE_HEADERS(raw)

    def _check_hole(self, partition: int, expected: int, found: int) -> None:
        if found > self.floor(partition):
            raise self._damaged(partition, expected, f"it is missing, the next one there is {found}")

    def _damaged(self, partition: int, offset: int, what: str) -> LogDamaged:
        place = f"{self.spec.name}/{partition}/{offset}"
        return LogDamaged(
            f"record {place} in {self._path} cannot be trusted: {what}. Nothing was skipped. "
            "`genescale events salvage` saves what can be read",
            path=str(self._path),
            place=place,
        )

    def floor(self, partition: int) -> int:
        """The oldest offset that retention has left."""
        return self._connection.execute("SELECT first FROM floor WHERE partition=?", (partition,)).get or 0

    def bounds(self, partition: int) -> PartitionBounds:
        """First and end offset."""
        try:
            end = next_offset(self._connection, partition)
            first = self._connection.execute(f"SELECT min(offset) FROM p{partition}").get  # noqa: S608
        except apsw.Error as error:
            raise explain(error, self._path) from error
        return PartitionBounds(end if first is None else first, end)

    def offset_at(self, partition: int, timestamp_ms: int) -> int:
        """The first offset whose timestamp is at or after this one, else the end."""
        found = self._connection.execute(
            f"SELECT offset FROM p{partition} WHERE ts>=? ORDER BY offset LIMIT 1",  # noqa: S608
            (timestamp_ms,),
        ).get
        return self.bounds(partition).end if found is None else found

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


# ---- upkeep: run by the writer thread inside its transaction ----


def remove_before(connection: apsw.Connection, partition: int, cutoff_ms: int, rows_max: int) -> int:
    """Retention: remove the oldest records that are older than the cut-off, a bounded number at a time."""
    old = connection.execute(
        f"SELECT offset, ts FROM p{partition} ORDER BY offset LIMIT ?",  # noqa: S608
        (rows_max,),
    )
    last = -1
    for offset, stamp in old:
        if stamp >= cutoff_ms:
            break
        last = offset
    if last < 0:
        return 0
    keep_next = next_offset(connection, partition)
    connection.execute(f"DELETE FROM p{partition} WHERE offset<=?", (last,))  # noqa: S608
    removed = connection.changes()
    _raise_floor(connection, partition, last + 1, keep_next)
    return removed


def compact(connection: apsw.Connection, partition: int) -> int:
    """Keep the last record of each key, and no tombstones."""
    keep_next = next_offset(connection, partition)
    connection.execute(
        f"DELETE FROM p{partition} WHERE offset NOT IN (SELECT max(offset) FROM p{partition} GROUP BY key)"  # noqa: S608
        " OR value IS NULL"
    )
    removed = connection.changes()
    if removed:
        _raise_floor(connection, partition, 0, keep_next)
    return removed


def _raise_floor(connection: apsw.Connection, partition: int, first: int, keep_next: int) -> None:
    connection.execute(
        "INSERT INTO floor VALUES(?,?,?) ON CONFLICT DO UPDATE SET first=max(first, excluded.first),"
        " next=max(next, excluded.next)",
        (partition, first, keep_next),
    )


def seats_of(topic: str, partitions: int) -> list[TopicPartition]:
    """Every partition of a topic."""
    return [TopicPartition(topic, partition) for partition in range(partitions)]

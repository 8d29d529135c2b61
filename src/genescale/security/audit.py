"""The audit log: who did what, decided by which policy, with what result. Lines that are only ever added.

One file per day in one folder, one record per line, as canonical JSON (RFC 8785: sorted names, no blanks; all names are
ASCII and all numbers whole, so sorting bytes is enough). Each record holds the hash of the one before, over all days:
an edit, a dropped, swapped or inserted line is found by `verify`. A tail that was cut off is found by comparing with a
head (`AuditHead`) that was kept elsewhere.

Several processes write one folder; a lock in the kernel puts them in a row. A record is on the disk before `record`
returns. When it cannot be written, `AuditFailed` is raised, and what was to be recorded must not happen.

No name and no data: the actor is a pseudonym, resources are ids.

    Retryable ── AuditFailed    the record is not on the disk; refuse the action
    Fatal     ── AuditDamaged   the log on disk is not what was written; names file and line
"""

import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import Fatal, Retryable
from genescale.store.durable import sync_folder

FIRST: Final = "0" * 64
RESERVE_BYTES: Final = 64 * 1024 * 1024
_TAIL_BYTES: Final = 16_384  # more than the longest line has
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:,/#@*+-]{0,199}")
_LIKE_SEQUENCE: Final = re.compile(r"[ACGTNacgtn]{12}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl")


class AuditFailed(Retryable):
    """The record is not on the disk. Refuse what was to be recorded."""


class AuditDamaged(Fatal):
    """The log is not what was written. `path` and `line` say where."""

    def __init__(self, message: str, *, path: str, line: int) -> None:
        super().__init__(f"{path}, line {line}: {message}")
        self.path = path
        self.line = line


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of one act. `actor` is the pseudonym that `Pseudonyms` makes; `resource` an id."""

    actor: str
    action: str
    resource: str = ""
    project: str = ""
    purpose: str = ""
    decision: str = "allowed"  # allowed, refused
    reason: str = ""
    policy: str = ""
    result: str = ""  # done, failed, or a code


class AuditRecord(AuditEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry with its place in the log."""

    seq: int
    at: str
    prev_hash: str
    hash: str


class AuditHead(msgspec.Struct, frozen=True):
    """Where the log ends. Kept elsewhere, it tells a log that was cut from a whole one."""

    seq: int
    hash: str


class Pseudonyms:
    """Names for actors that say nothing without the key, and stay the same for the same subject."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a key for pseudonyms has at least 32 bytes")
        self._key = key

    def of(self, subject: str) -> str:
        """The pseudonym of a subject."""
        return hmac.digest(self._key, b"genescale actor 1\0" + subject.encode(), "sha256").hex()[:32]


class AuditLog:
    """Writing. Safe to use from several threads and processes; every call blocks until the disk has it."""

    def __init__(self, folder: Path, clock: Clock, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._thread_lock = threading.Lock()
        self._tail: tuple[Path, int, AuditHead] | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_reserve()
        except OSError as error:
            raise AuditFailed(f"the audit log in {folder} cannot be written: {error.strerror}") from error

    def record(self, entry: AuditEntry) -> AuditHead:
        """Add one record; where the log ends now."""
        return self.record_all([entry])

    def record_all(self, entries: Sequence[AuditEntry]) -> AuditHead:
        """Add many with one wait for the disk, all of them or, when `AuditFailed` is raised, none."""
        for entry in entries:
            _check_entry(entry)
        with self._thread_lock:
            try:
                with self._alone():
                    return self._append(entries)
            except OSError as error:
                self._tail = None
                raise AuditFailed(f"the audit log in {self._folder} cannot be written: {error.strerror}") from error

    def head(self) -> AuditHead:
        """Where the log ends; keep it elsewhere."""
        with self._thread_lock, self._alone():
            return self._where()[2]

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _append(self, entries: Sequence[AuditEntry]) -> AuditHead:
        last_path, _, head = self._where()
        now_ms = self._clock.wall_ms()
        path = max(last_path, self._folder / f"{rfc3339(now_ms)[:10]}.jsonl")  # a clock that goes back keeps the file
        lines: list[bytes] = []
        for entry in entries:
            line, head = _line(entry, head, rfc3339(now_ms))
            lines.append(line)
        new_file = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                self._write(descriptor, b"".join(lines))
            except OSError:
                os.ftruncate(descriptor, size)  # half a record is none
                raise
        finally:
            os.close(descriptor)
        if new_file:
            sync_folder(self._folder)
        self._tail = (path, size + sum(map(len, lines)), head)
        return head

    def _write(self, descriptor: int, data: bytes) -> None:
        written = 0
        while written < len(data):
            try:
                written += os.write(descriptor, data[written:])
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._spend_reserve():
                    raise
        os.fsync(descriptor)

    def _where(self) -> tuple[Path, int, AuditHead]:
        """The last file, its size and the head; from memory when nobody else has written since."""
        if self._tail is not None and _size(self._tail[0]) == self._tail[1] and self._last_file() == self._tail[0]:
            return self._tail
        while (path := self._last_file()) is not None and not self._mended(path):
            path.unlink()  # made for a first record that never came
            sync_folder(self._folder)
        if path is None:
            return self._folder / "0000-00-00.jsonl", 0, AuditHead(0, FIRST)
        last = _last_record(path)
        self._tail = (path, path.stat().st_size, AuditHead(last.seq, last.hash))
        return self._tail

    def _last_file(self) -> Path | None:
        return max(day_files(self._folder), default=None)

    def _mended(self, path: Path) -> bool:
        """Take away half a line, which a power cut left: nobody was told that it was kept. False: nothing is left."""
        with path.open("r+b") as file:
            size = path.stat().st_size
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            whole = start + file.read().rfind(b"\n") + 1
            if whole != size:
                file.truncate(whole)
                os.fsync(file.fileno())
        return whole > 0

    def _keep_reserve(self) -> None:
        """Room for records when the disk is full. A disk that is full already has none; no fault."""
        reserve = self._folder / "reserve"
        if self._reserve_bytes and _size(reserve) != self._reserve_bytes:
            descriptor = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._reserve_bytes)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            finally:
                os.close(descriptor)

    def _spend_reserve(self) -> bool:
        """Give a part of the reserve to what must be written now; False when it is spent."""
        reserve = self._folder / "reserve"
        left = _size(reserve)
        if left <= 0:
            return False
        os.truncate(reserve, max(0, left - max(1, self._reserve_bytes // 8)))
        return True


def verify(folder: Path, expected: AuditHead | None = None) -> AuditHead:
    """Read everything and return the head. Raises `AuditDamaged` at the first line that is not what was written.

    `expected`: a head that was kept elsewhere; a log that does not hold it was cut or written anew.
    """
    head = AuditHead(0, FIRST)
    met = expected is None or expected == head
    path = folder
    number = 0
    for path in sorted(day_files(folder)):
        number = 0
        content = path.read_bytes()
        lines = content.split(b"\n")
        if lines.pop() != b"":
            raise AuditDamaged("the last line is cut", path=str(path), line=len(lines) + 1)
        for number, line in enumerate(lines, start=1):
            head = _checked(line, head, str(path), number)
            met = met or head == expected
    if not met:
        raise AuditDamaged(
            f"record {expected.seq if expected else 0}, known from a head kept elsewhere, is missing or another one; "
            "the log was cut or written anew",
            path=str(path),
            line=number,
        )
    return head


def records(folder: Path) -> Generator[AuditRecord]:
    """All records in order, without checking the chain."""
    for path in sorted(day_files(folder)):
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=AuditRecord)


def day_files(folder: Path) -> Iterable[Path]:
    """The files of the log, in no order."""
    return [path for path in folder.iterdir() if _DAY.fullmatch(path.name)] if folder.is_dir() else []


def _line(entry: AuditEntry, before: AuditHead, at: str) -> tuple[bytes, AuditHead]:
    said = {name: value for name, value in msgspec.structs.asdict(entry).items() if value}
    body: dict[str, object] = {**said, "seq": before.seq + 1, "at": at, "prev_hash": before.hash}
    digest = hashlib.sha256(_canonical(body)).hexdigest()
    return _canonical({**body, "hash": digest}) + b"\n", AuditHead(before.seq + 1, digest)


def _canonical(body: dict[str, object]) -> bytes:
    return msgspec.json.encode(body, order="sorted")


def _checked(line: bytes, before: AuditHead, path: str, number: int) -> AuditHead:
    try:
        record = msgspec.json.decode(line, type=AuditRecord)
        body = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AuditDamaged("this is no record", path=path, line=number) from None
    if record.seq != before.seq + 1 or record.prev_hash != before.hash:
        raise AuditDamaged(
            f"record {before.seq + 1} belongs here, this is {record.seq}; lines were dropped, swapped or added",
            path=path,
            line=number,
        )
    stated = body.pop("hash")
    if hashlib.sha256(_canonical(body)).hexdigest() != stated or _canonical({**body, "hash": stated}) != line:
        raise AuditDamaged(f"record {record.seq} was changed", path=path, line=number)
    return AuditHead(record.seq, record.hash)


def _last_record(path: Path) -> AuditRecord:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        line = file.read().splitlines()[-1]
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except msgspec.DecodeError:
        message = "the last line is no record; `genescale audit verify` says what is wrong"
        raise AuditDamaged(message, path=str(path), line=0) from None


def _check_entry(entry: AuditEntry) -> None:
    """Refuse what has no place here. The value is not shown: it may be what must not be seen."""
    for name, value in msgspec.structs.asdict(entry).items():
        if value and (not _PLAIN.fullmatch(value) or _LIKE_SEQUENCE.search(value)):
            raise ValueError(f"{name} of an audit entry must be an id or a short fixed text, no data")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1

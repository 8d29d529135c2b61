# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# apsw's own annotations use a type that Python 3.11 does not have.
"""The one thread of a process that writes: it gathers what callers hand in and commits it together.

Group commit is what makes durability affordable. While one fsync runs, the next callers queue up; then one
transaction and one fsync serve them all. The queue is bounded, so that a producer faster than the disk waits instead
of filling memory.

An fsync that fails ends it: the pages that the kernel dropped look clean afterwards, a second fsync would lie, and
only a new process that reads the disk knows what is true. From then on every call raises `LogBroken`.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import apsw

from genescale.clock import Clock
from genescale.errors import Fenced, GenescaleError, LogBroken, LogDamaged
from genescale.events.failpoint import hit
from genescale.events.sqlite_file import explain, locked

T = TypeVar("T")

_JOBS_PER_COMMIT_MAX = 1_000


class WriteFile:
    """One SQLite file as the writer sees it."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path, self.connection = path, connection
        self.lock_path = path.with_name(path.name + ".lock")
        self.on_begin: Callable[[], None] | None = None
        self.on_rollback: Callable[[], None] | None = None
        self.on_commit: Callable[[], None] | None = None
        self.wal_pages = 0
        connection.set_wal_hook(self._count_pages)

    def _count_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK


class _Job(NamedTuple, Generic[T]):
    file: WriteFile
    work: Callable[[], T]
    future: "Future[T]"


class _Room:
    """How many records may wait for the disk. A batch larger than all of it goes through alone."""

    def __init__(self, records_max: int) -> None:
        self._max = self._free = records_max
        self._changed = threading.Condition()

    def enter(self, records: int) -> None:
        """Wait until there is room."""
        wanted = min(records, self._max)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted

    def leave(self, records: int) -> None:
        """The batch is on disk, or was refused."""
        with self._changed:
            self._free += min(records, self._max)
            self._changed.notify_all()


class Writer:
    """Runs jobs, each inside a transaction of its file. `beat` is called about every `beat_s`, between commits."""

    def __init__(self, clock: Clock, *, records_max: int, beat: Callable[[], None], beat_s: float, name: str) -> None:
        self._clock, self._beat, self._beat_s = clock, beat, beat_s
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._room = _Room(records_max)
        self._broken: GenescaleError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def broken(self) -> GenescaleError | None:
        """Why nothing can be written any more, or None."""
        return self._broken

    def submit(self, file: WriteFile, work: Callable[[], T], *, records: int = 0) -> "Future[T]":
        """Queue `work`. The future is resolved after the commit, with its result or with what went wrong.

        `records` says how many it holds in memory; when too many wait for the disk, this call waits too.
        """
        if self._broken:
            raise self._broken
        if self._closed:
            raise LogBroken("the log is closed")
        future: Future[T] = Future()
        if records:
            self._room.enter(records)
            future.add_done_callback(lambda _done: self._room.leave(records))
        self._jobs.put(_Job(file, work, future))
        return future

    def give_up(self, error: GenescaleError) -> None:
        """Somebody else saw the disk fail: write nothing any more."""
        self._broken = self._broken or error

    def close(self) -> None:
        """Finish what was accepted, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        due = self._clock.monotonic_s() + self._beat_s
        while True:
            wait_s = due - self._clock.monotonic_s()
            jobs, ended = self._gather(max(0.0, wait_s))
            for file, batch in _by_file(jobs):
                self._commit(file, batch)
            if ended:
                return
            if self._clock.monotonic_s() >= due:
                due = self._clock.monotonic_s() + self._beat_s
                self._beat()

    def _gather(self, wait_s: float) -> tuple[list[_Job[Any]], bool]:
        jobs: list[_Job[Any]] = []
        try:
            job = self._jobs.get(timeout=wait_s) if wait_s > 0 else self._jobs.get_nowait()
            while job is not None:
                jobs.append(job)
                if len(jobs) >= _JOBS_PER_COMMIT_MAX:
                    return jobs, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _commit(self, file: WriteFile, jobs: list[_Job[Any]]) -> None:
        """One transaction for all jobs of one file. A fenced job drops out alone; any other failure fails them all."""
        done: list[tuple[_Job[Any], Any]] = []
        try:
            if self._broken:
                raise self._broken  # noqa: TRY301 - the one place that answers callers
            with locked(file.lock_path):
                self._transact(file, jobs, done)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers that wait
            reason = explain(error, file.path) if isinstance(error, (apsw.Error, OSError)) else error
            if isinstance(reason, (LogBroken, LogDamaged)):
                self._broken = reason
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(reason)
            return
        hit("after_fsync_before_ack")
        for job, result in done:
            job.future.set_result(result)
        if file.on_commit:
            file.on_commit()

    def _transact(self, file: WriteFile, jobs: list[_Job[Any]], done: list[tuple[_Job[Any], Any]]) -> None:
        execute = file.connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            if file.on_begin:
                file.on_begin()
            hit("before_append")
            for job in jobs:
                try:
                    done.append((job, job.work()))
                except Fenced as error:  # raised before the job wrote anything
                    job.future.set_exception(error)
            hit("after_append_before_fsync")
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):  # what ended the transaction is the error that counts
                if file.connection.in_transaction:
                    execute("ROLLBACK")
            if file.on_rollback:
                file.on_rollback()
            raise


def _by_file(jobs: list[_Job[Any]]) -> list[tuple[WriteFile, list[_Job[Any]]]]:
    """The jobs of each file together, files in the order of their first job, jobs in the order of their arrival.

    Whoever needs one file to be durable before another waits for the first future before submitting the second.
    """
    grouped: dict[int, tuple[WriteFile, list[_Job[Any]]]] = {}
    for job in jobs:
        grouped.setdefault(id(job.file), (job.file, []))[1].append(job)
    return list(grouped.values())

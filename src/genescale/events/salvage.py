# pyright: reportUnknownMemberType=false
"""Saves what can be read from a damaged log into a new, healthy one. The damaged one is never written to.

Records are taken page by page and believed only by their own CRC, which covers topic partition, offset, time, key,
headers and value; they keep their offsets and times. What else a log holds (topics, positions) has no CRC of its own
and is believed by the checksum of its page. Where the catalogue is gone, the topics come from the files themselves and
groups begin again at the oldest record, which is safe: results have ids, and doing work twice is invisible.

An offset that is lost stays lost: it is named in the report and never given to another record. The new log knows up
to where such gaps are, so that readers pass over them, and only over them.
"""

import fcntl
import os
import re
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from genescale.errors import CannotStart, GenescaleError
from genescale.events import sqlite_groups as groups
from genescale.events.log import TopicPartition, TopicSpec
from genescale.events.sqlite_file import connect, crc_of, explain, lay_out
from genescale.events.sqlite_pages import Pages, Row, Value
from genescale.store.durable import sync_folder

_SPEC = msgspec.json.Decoder(TopicSpec)
_PARTITION_TABLE = re.compile("p[0-9]{1,4}")
_ROWS_PER_COMMIT = 5_000
_TOKENS_AHEAD = 1  # every owner of the damaged log is a former owner

Saved = tuple[int, int, bytes | None, bytes, int, bytes | None]  # offset, ts, key, headers, crc, value


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of the new log. `lost` are ranges of offsets, both ends included."""

    partition: int
    saved: int
    first: int
    end: int
    lost: tuple[tuple[int, int], ...]


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of the new log."""

    topic: str
    saved: int
    lost: int
    bad_pages: int
    spec_known: bool  # False: the catalogue did not say, so its settings are defaults that keep everything
    partitions: tuple[PartitionReport, ...]


class SalvageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved and what was not."""

    topics: tuple[TopicReport, ...]
    positions_saved: int
    positions_moved: int  # they pointed beyond what is left, or before it
    notes: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True when nothing at all was lost."""
        return not self.notes and not any(topic.lost for topic in self.topics)


class _Found(msgspec.Struct):
    """What the catalogue still says."""

    specs: dict[str, TopicSpec]
    seats: dict[tuple[str, str, int], tuple[int, int | None]]  # (group, topic, partition): token, position
    notes: list[str]


def salvage(source: Path, target: Path) -> SalvageReport:
    """Copy what can be read of the log in `source` into a new log in `target`, which must not exist or be empty.

    Raises `CannotStart` when a process still has `source` open, or when `target` holds something.
    """
    if not (source / "topics").is_dir():
        raise CannotStart(f"{source} is no log: it has no folder `topics`. The log lies in `log` of the data directory")
    if target.exists() and any(target.iterdir()):
        raise CannotStart(f"{target} is not empty; name a new folder for what is saved")
    with _nobody_in(source):
        try:
            (target / "topics").mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent)
        except OSError as error:
            raise explain(error, target) from error
        found = _read_catalogue(source / "catalogue.db")
        files = {path.stem: path for path in (source / "topics").glob("*.db")}
        found.notes += [f"{name}: its file is missing" for name in sorted(found.specs.keys() - files.keys())]
        reports = [_save_topic(name, files.get(name), target, found) for name in sorted({*files, *found.specs})]
        return _write_catalogue(target / "catalogue.db", found, reports)


@contextmanager
def _nobody_in(source: Path) -> Generator[None]:
    """The files must not change while they are read. The lock is taken on a file opened for reading."""
    lock = source / "open.lock"
    if not lock.exists():
        yield
        return
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CannotStart(
            f"a process has the log in {source} open; stop it first (`genescale up` and its roles)"
        ) from None
    finally:
        os.close(descriptor)


# ---- the catalogue ----


def _read_catalogue(path: Path) -> _Found:
    found = _Found({}, {}, [])
    with closing(Pages(path)) as pages:
        for row in pages.rows():
            if row.sound:
                _take_catalogue_row(row.values, found)
        if not pages.count:
            found.notes.append("catalogue.db is missing: settings are defaults, groups begin at the oldest record")
        elif pages.bad or not pages.in_order:
            found.notes.append(
                f"catalogue.db: {pages.bad} bad pages; groups whose positions were on them begin at the oldest record"
            )
    return found


def _take_catalogue_row(values: list[Value], found: _Found) -> None:
    match values:
        case [str(name), bytes(raw)]:
            try:
                found.specs[name] = _SPEC.decode(raw)
            except msgspec.MsgspecError:
                found.notes.append(f"catalogue.db: the settings of topic {name!r} cannot be read")
        case [str(group), str(topic), int(partition), None | str(), int(token), None | int() as position]:
            found.seats[group, topic, partition] = (token, position)
        case _:  # members and their epochs ended with their processes
            pass


def _write_catalogue(path: Path, found: _Found, reports: list[TopicReport]) -> SalvageReport:
    bounds = {TopicPartition(topic.topic, part.partition): part for topic in reports for part in topic.partitions}
    kept = moved = 0
    groups.lay_out_catalogue(path)
    with closing(connect(path)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
            for report in reports:
                groups.write_topic(db, found.specs[report.topic])
            for (group, topic, partition), (token, position) in sorted(found.seats.items()):
                part = bounds.get(TopicPartition(topic, partition))
                if part is None:
                    continue
                clamped = None if position is None else min(max(position, part.first), part.end)
                kept += position is not None
                moved += clamped != position
                groups.put_seat(db, group, TopicPartition(topic, partition), token + _TOKENS_AHEAD, clamped)
            db.execute("COMMIT")
        except Exception as error:
            raise explain(error, path) from error
    return SalvageReport(topics=tuple(reports), positions_saved=kept, positions_moved=moved, notes=tuple(found.notes))


# ---- one topic ----


class _Partition:
    """What is saved of one partition so far."""

    def __init__(self) -> None:
        self.first, self.next = 0, 0  # from `floor`: what retention removed, and the offset after the last
        self.waiting: list[Saved] = []


def _save_topic(name: str, file: Path | None, target: Path, found: _Found) -> TopicReport:
    known = name in found.specs
    with closing(Pages(file or target / "nothing")) as pages:
        if not known:
            count = _partitions_of(pages)
            found.notes.append(
                f"{name}: the catalogue does not know it; it gets {count} partitions and keeps everything"
            )
            found.specs[name] = TopicSpec(name=name, partitions=count, retention_s=None)
        spec = found.specs[name]
        path = target / "topics" / f"{name}.db"
        lay_out(path, spec)
        parts = {number: _Partition() for number in range(spec.partitions)}
        with closing(connect(path)) as db:
            try:
                _copy_records(pages, parts, db)
                for (_, topic, partition), (_, position) in found.seats.items():
                    if topic == name and partition in parts:
                        parts[partition].next = max(parts[partition].next, position or 0)
                reports = tuple(_close_gaps(db, number, part, spec) for number, part in parts.items())
            except GenescaleError:
                raise
            except Exception as error:
                raise explain(error, path) from error
        bad = pages.bad
    return TopicReport(
        topic=name,
        saved=sum(report.saved for report in reports),
        lost=sum(last - first + 1 for report in reports for first, last in report.lost),
        bad_pages=bad,
        spec_known=known,
        partitions=reports,
    )


def _partitions_of(pages: Pages) -> int:
    """From the names of the tables, or from what the records themselves say."""
    named = [
        int(row.values[1][1:])
        for row in pages.rows()
        if len(row.values) == 5
        and isinstance(row.values[1], str)
        and row.values[1][:1] == "p"
        and row.values[1][1:].isdigit()
    ]
    return max(named, default=TopicSpec(name="any").partitions - 1) + 1


def _copy_records(pages: Pages, parts: Mapping[int, _Partition], db: Any) -> None:
    waiting = 0
    guess = 0
    for row in pages.rows():
        match row.values:
            case [None, int(stamp), None | bytes() as key, bytes(headers), int(crc), None | bytes() as value]:
                partition = _partition_by_crc(parts, guess, row, (stamp, key, headers, crc, value))
                if partition is None or row.rowid is None:
                    continue
                guess = partition
                parts[partition].waiting.append((row.rowid, stamp, key, headers, crc, value))
                waiting += 1
                if waiting >= _ROWS_PER_COMMIT:
                    _store(db, parts)
                    waiting = 0
            case [None, int(first), int(following)] if row.sound and row.rowid is not None and row.rowid in parts:
                part = parts[row.rowid]
                part.first, part.next = max(part.first, first), max(part.next, following)
            case _:
                pass
    _store(db, parts)


def _partition_by_crc(
    parts: Mapping[int, _Partition], guess: int, row: Row, content: tuple[int, bytes | None, bytes, int, bytes | None]
) -> int | None:
    """A page does not say whose it is; the CRC of the record does, because the partition goes into it."""
    stamp, key, headers, crc, value = content
    if row.rowid is None or row.rowid < 0:
        return None
    for partition in (guess, *parts):
        if partition in parts and crc_of(partition, row.rowid, stamp, key, value, headers) == crc:
            return partition
    return None


def _store(db: Any, parts: Mapping[int, _Partition]) -> None:
    """What came first stays: it is the newest version."""
    db.execute("BEGIN IMMEDIATE")
    for number, part in parts.items():
        if part.waiting:
            rows = [row for row in part.waiting if row[0] >= part.first]
            db.executemany(f"INSERT OR IGNORE INTO p{number} VALUES(?,?,?,?,?,?)", rows)
            part.waiting.clear()
    db.execute("COMMIT")


def _close_gaps(db: Any, number: int, part: _Partition, spec: TopicSpec) -> PartitionReport:
    """Tell which offsets are lost, and let readers pass over them."""
    db.execute(f"DELETE FROM p{number} WHERE offset<?", (part.first,))  # noqa: S608 - found before the floor was
    lost: list[tuple[int, int]] = []
    saved, expected, first, known_until = 0, part.first, None, part.first
    for (offset,) in db.execute(f"SELECT offset FROM p{number} ORDER BY offset"):  # noqa: S608
        if offset > expected and spec.cleanup == "delete":
            lost.append((expected, offset - 1))
            known_until = offset
        first = offset if first is None else first
        saved, expected = saved + 1, offset + 1
    end = max(expected, part.next)
    if end > expected and spec.cleanup == "delete":
        lost.append((expected, end - 1))
        known_until = end
    db.execute(
        "INSERT INTO floor VALUES(?,?,?) ON CONFLICT DO UPDATE SET first=excluded.first, next=excluded.next",
        (number, known_until, end),
    )
    return PartitionReport(
        partition=number, saved=saved, first=end if first is None else first, end=end, lost=tuple(lost)
    )

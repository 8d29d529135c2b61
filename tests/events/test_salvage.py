"""A log is damaged, salvaged and read back: everything that was not hit is there, everything that was is named."""

import os
import random
import shutil
from pathlib import Path

import pytest

from genescale.clock import SystemClock
from genescale.errors import CannotStart, LogDamaged
from genescale.events.log import NewRecord, Record, TopicPartition, TopicSpec, append_now
from genescale.events.salvage import salvage
from genescale.events.sqlite import SqliteLog, SqliteSettings
from genescale.events.sqlite_file import PAGE_BYTES
from genescale.store import wal

PARTITIONS = 2
SPECS = [
    TopicSpec(name="requests", partitions=PARTITIONS, retention_s=200 * 365 * 86_400),
    TopicSpec(name="states", partitions=1, cleanup="compact", retention_s=None),
]
FRAME_BYTES = wal.FRAME_HEADER_BYTES + PAGE_BYTES


def opened(directory: Path) -> SqliteLog:
    return SqliteLog(directory, SqliteSettings(), SystemClock())


def value_of(number: int) -> bytes:
    return random.Random(number).randbytes(30_000 if number % 25 == 7 else 600)


def fill(log: SqliteLog, first: int, count: int) -> None:
    for number in range(first, first + count):
        header = (("h", str(number).encode()),)
        record = NewRecord("requests", b"%d" % number, value_of(number), header, number % PARTITIONS, 1_000 + number)
        state = NewRecord("states", b"%d" % (number % 5), b"%d" % number, partition=0)
        append_now(log, [record, state])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that was killed: 100 records in the main file, 60 more in the write-ahead log."""
    folder = tmp_path_factory.mktemp("salvage")
    log = opened(folder / "alive")
    log.create_topics(SPECS)
    fill(log, 0, 100)
    log.set_positions("readers", {TopicPartition("requests", 0): 30, TopicPartition("requests", 1): 70})
    log.maintain()
    fill(log, 100, 60)
    shutil.copytree(folder / "alive", folder / "source", ignore=shutil.ignore_patterns("*-shm", "wake"))
    log.close()
    return folder / "source"


@pytest.fixture
def source(killed: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(killed, tmp_path / "source"))


def records(directory: Path, topic: str = "requests") -> list[Record]:
    log = opened(directory)
    try:
        assert log.repairs == []
        tail = log.tail([topic], "earliest")
        found: list[Record] = []
        while batch := tail.poll(1_000, 0):
            found += batch
        tail.close()
    finally:
        log.close()
    return found


def check_all_but(directory: Path, lost: set[int]) -> None:
    found = records(directory)
    by_number = {int(record.key or b""): record for record in found}
    assert set(by_number) == set(range(160)) - lost
    for number, record in by_number.items():
        assert (record.partition, record.offset) == (number % PARTITIONS, number // PARTITIONS)
        assert (record.value, record.timestamp_ms) == (value_of(number), 1_000 + number)
        assert record.headers == (("h", str(number).encode()),)


def lost_numbers(report: object) -> set[int]:
    topic = next(topic for topic in report.topics if topic.topic == "requests")  # pyright: ignore
    return {
        offset * PARTITIONS + part.partition
        for part in topic.partitions
        for first, last in part.lost
        for offset in range(first, last + 1)
    }


def database(source: Path) -> Path:
    return source / "topics" / "requests.db"


def write_log(source: Path) -> Path:
    return source / "topics" / "requests.db-wal"


def folded(source: Path) -> Path:
    opened(source).close()
    for path in sorted((source / "topics").glob("*.db")):
        log = opened(source)
        log.bounds(path.stem)
        log.maintain()
        log.close()
    return source


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    path.write_bytes(raw)


def test_a_healthy_log_is_copied_whole_and_not_touched(source: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    report = salvage(source, tmp_path / "new")
    assert report.whole
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    check_all_but(tmp_path / "new", set())
    log = opened(tmp_path / "new")
    assert log.topics() == {spec.name: spec for spec in SPECS}
    assert {lag.partition: lag.position for lag in log.lag("readers")} == {0: 30, 1: 70}
    assert log.bounds("requests")[1].end == 80
    log.close()


def test_damage_in_the_middle_of_the_write_ahead_log_costs_little(source: Path, tmp_path: Path) -> None:
    flip(write_log(source), 32 + 10 * FRAME_BYTES + 4_000)
    with pytest.raises(LogDamaged):
        opened(source)
    report = salvage(source, tmp_path / "new")
    lost = lost_numbers(report)
    assert len(lost) <= 1
    check_all_but(tmp_path / "new", lost)


def test_a_write_ahead_log_without_its_header_is_read(source: Path, tmp_path: Path) -> None:
    flip(write_log(source), 17)
    report = salvage(source, tmp_path / "new")
    lost = lost_numbers(report)
    check_all_but(tmp_path / "new", lost)
    assert len(lost) <= 1


def test_flipped_bits_in_the_main_file_cost_the_records_they_hit(source: Path, tmp_path: Path) -> None:
    folded(source)
    raw = database(source).read_bytes()
    hit = {20, 81, 132}
    for number in hit:
        flip(database(source), raw.index(value_of(number)[:200]) + 20)
    with pytest.raises(LogDamaged):
        records(source)
    report = salvage(source, tmp_path / "new")
    assert lost_numbers(report) == hit
    assert not report.whole
    check_all_but(tmp_path / "new", hit)


def test_a_page_that_is_overwritten_costs_the_records_on_it(source: Path, tmp_path: Path) -> None:
    folded(source)
    raw = database(source).read_bytes()
    page = raw.index(value_of(40)) // PAGE_BYTES
    database(source).write_bytes(raw[: page * PAGE_BYTES] + os.urandom(PAGE_BYTES) + raw[(page + 1) * PAGE_BYTES :])
    report = salvage(source, tmp_path / "new")
    lost = lost_numbers(report)
    assert 40 in lost
    assert len(lost) < 16
    check_all_but(tmp_path / "new", lost)


def test_the_inner_pages_of_the_tree_are_not_needed(source: Path, tmp_path: Path) -> None:
    folded(source)
    raw = bytearray(database(source).read_bytes())
    inner = [at for at in range(PAGE_BYTES, len(raw), PAGE_BYTES) if raw[at] == 0x05]
    assert inner
    for at in inner:
        raw[at : at + PAGE_BYTES] = b"\xff" * PAGE_BYTES
    database(source).write_bytes(raw)
    assert lost_numbers(salvage(source, tmp_path / "new")) == set()
    check_all_but(tmp_path / "new", set())


def test_a_file_that_was_cut_off_keeps_its_beginning(source: Path, tmp_path: Path) -> None:
    folded(source)
    os.truncate(database(source), database(source).stat().st_size // 2)
    salvage(source, tmp_path / "new")
    kept = {int(record.key or b"") for record in records(tmp_path / "new")}
    assert 20 < len(kept) < 160
    log = opened(tmp_path / "new")
    assert {lag.partition: lag.position for lag in log.lag("readers")} == {0: 30, 1: 70}
    bounds = log.bounds("requests")
    position = append_now(log, [NewRecord("requests", b"next", b"v", partition=1)])[0]
    assert position.offset == bounds[1].end >= 70, "an offset that a group has passed is never given out again"
    log.close()
    assert len(records(tmp_path / "new")) == len(kept) + 1


@pytest.mark.parametrize("how", ["missing", "garbage"])
def test_without_a_catalogue_the_files_say_what_there_was(source: Path, tmp_path: Path, how: str) -> None:
    (source / "catalogue.db-wal").unlink()
    (source / "catalogue.db").unlink()
    if how == "garbage":
        (source / "catalogue.db").write_bytes(os.urandom(5 * PAGE_BYTES))
    report = salvage(source, tmp_path / "new")
    assert not report.whole
    assert next((topic.topic, topic.spec_known, topic.saved) for topic in report.topics) == ("requests", False, 160)
    check_all_but(tmp_path / "new", set())
    log = opened(tmp_path / "new")
    assert {name: spec.partitions for name, spec in log.topics().items()} == {"requests": 2, "states": 1}
    assert log.groups() == []
    log.create_topics(SPECS)
    assert log.topics() == {spec.name: spec for spec in SPECS}
    log.close()


def test_a_missing_topic_file_is_named_and_made_empty(source: Path, tmp_path: Path) -> None:
    database(source).unlink()
    write_log(source).unlink()
    report = salvage(source, tmp_path / "new")
    assert "requests: its file is missing" in report.notes
    assert records(tmp_path / "new") == []
    assert records(tmp_path / "new", "states")[-1].value == b"159"


def test_what_retention_removed_is_not_called_lost(tmp_path: Path) -> None:
    log = opened(tmp_path / "source")
    log.create_topics([TopicSpec(name="requests", partitions=PARTITIONS, retention_s=60)])
    fresh = SystemClock().wall_ms()
    for number in range(40):
        stamp = 1_000 if number < 20 else fresh
        append_now(log, [NewRecord("requests", b"k", b"%d" % number, partition=0, timestamp_ms=stamp)])
    assert log.maintain()["records_removed"] == 20
    log.close()
    report = salvage(tmp_path / "source", tmp_path / "new")
    assert report.whole
    assert [record.offset for record in records(tmp_path / "new")] == list(range(20, 40))


def test_a_log_in_use_and_a_full_folder_are_refused(source: Path, tmp_path: Path) -> None:
    log = opened(source)
    with pytest.raises(CannotStart, match="stop it first"):
        salvage(source, tmp_path / "new")
    log.close()
    with pytest.raises(CannotStart, match="is not empty"):
        salvage(source, source)
    with pytest.raises(CannotStart, match="is no log"):
        salvage(tmp_path / "nowhere", tmp_path / "new")


def test_many_flips_at_once_never_bring_back_a_wrong_record(source: Path, tmp_path: Path) -> None:
    folded(source)
    dice = random.Random(7)
    sound = database(source).read_bytes()
    for turn in range(10):
        raw = bytearray(sound)
        for _ in range(40):
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        database(source).write_bytes(raw)
        report = salvage(source, tmp_path / f"new-{turn}")
        kept = {int(record.key or b"") for record in records(tmp_path / f"new-{turn}")}
        assert set(range(160)) - kept >= lost_numbers(report)
        check_all_but(tmp_path / f"new-{turn}", set(range(160)) - kept)

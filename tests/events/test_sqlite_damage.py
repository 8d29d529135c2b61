"""What damage does to the log of one machine: a torn tail is cut back and told, everything else is refused.

The rule behind every test: whoever reads gets exactly the records that were acknowledged, or an error. Never a wrong
one, never fewer in silence.
"""

import contextlib
import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from genescale.clock import SystemClock
from genescale.errors import DiskFull, LogBroken, LogDamaged, Permanent, Unsupported
from genescale.events import sqlite as sqlite_log
from genescale.events import sqlite_file, sqlite_recovery
from genescale.events.log import NewRecord, TopicPartition, TopicSpec, append_now
from genescale.events.sqlite import SqliteLog, SqliteSettings
from genescale.events.sqlite_file import PAGE_BYTES
from genescale.events.sqlite_scrub import Scrub
from genescale.store import wal
from genescale.trials.lossyfs import Loss, LossyFolder, unavailable
from support.require import require
from support.small_disk import make_read_only, small_disk

FRAME_BYTES = wal.FRAME_HEADER_BYTES + PAGE_BYTES
TOPIC = "damage"
PARTITIONS = 3

State = tuple[object, ...]


def opened(directory: Path) -> SqliteLog:
    return SqliteLog(directory, SqliteSettings(), SystemClock())


def content(number: int) -> bytes:
    return random.Random(number).randbytes(700)


def fill(log: SqliteLog, first: int, count: int, batch: int = 5) -> None:
    for start in range(first, first + count, batch):
        append_now(
            log,
            [
                NewRecord(TOPIC, str(number).encode(), content(number), partition=number % PARTITIONS)
                for number in range(start, min(start + batch, first + count))
            ],
        )


def everything(log: SqliteLog) -> State:
    """All that a user of the log can see."""
    bounds = log.bounds(TOPIC)
    end = {TopicPartition(TOPIC, number): bound.end for number, bound in bounds.items()}
    records: list[object] = []
    tail = log.tail([TOPIC], "earliest")
    try:
        while any(tail.positions()[seat] < last for seat, last in end.items()):
            batch = tail.poll(50, 0)
            if not batch:
                break
            records += [(r.partition, r.offset, r.timestamp_ms, r.key, r.value) for r in batch]
    finally:
        tail.close()
    positions = [(lag.topic, lag.partition, lag.position) for lag in log.lag("readers")]
    return (sorted(log.topics()), bounds, sorted(records, key=repr), positions)


def numbers(state: State) -> list[int]:
    return sorted(int(record[3]) for record in state[2])  # pyright: ignore


def copy_files(source: Path, target: Path) -> Path:
    """The files as they are now, as a power cut or a kill would leave them."""
    target.mkdir(parents=True)
    (target / "topics").mkdir()
    for path in (source, source / "topics"):
        for file in path.iterdir():
            if ".db" in file.name and "lock" not in file.name and "-shm" not in file.name:
                shutil.copyfile(file, target / file.relative_to(source))
    return target


class Made:
    """A log with records in its main file and more in its write-ahead log, copied while it lived."""

    def __init__(self, folder: Path) -> None:
        log = opened(folder / "alive")
        log.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
        fill(log, 0, 150)
        log.set_positions("readers", {TopicPartition(TOPIC, number): 10 + number for number in range(PARTITIONS)})
        log.maintain()  # folds the write-ahead logs in
        fill(log, 150, 60)
        log.set_positions("readers", {TopicPartition(TOPIC, 0): 25})
        self.state = everything(log)
        self.source = copy_files(folder / "alive", folder / "copy")
        log.close()
        self.folded = copy_files(folder / "alive", folder / "folded")  # the last one out folds everything in
        self._folder, self._count = folder, 0

    def again(self, *, folded: bool = False) -> Path:
        self._count += 1
        return copy_files(self.folded if folded else self.source, self._folder / f"case-{self._count}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("damage"))


def main_file(directory: Path) -> Path:
    return directory / "topics" / f"{TOPIC}.db"


def wal_file(directory: Path) -> Path:
    return directory / "topics" / f"{TOPIC}.db-wal"


def flip(path: Path, at: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def read_all(directory: Path) -> tuple[State, list[str]]:
    log = opened(directory)
    try:
        return everything(log), log.repairs
    finally:
        log.close()


def test_a_copy_reads_the_same(made: Made) -> None:
    assert read_all(made.again()) == (made.state, [])
    assert numbers(made.state) == list(range(210))


# ---- the tail ----


def test_a_torn_tail_is_cut_back_and_told_and_the_log_goes_on(made: Made) -> None:
    for missing_bytes in (1, 30, FRAME_BYTES - 1):
        directory = made.again()
        os.truncate(wal_file(directory), wal.scan(wal_file(directory)).committed_bytes - missing_bytes)
        log = opened(directory)
        assert "the last" in log.repairs[0]
        assert "cut back" in log.repairs[0]
        assert numbers(everything(log)) == list(range(205))
        fill(log, 205, 5)
        assert everything(log)[1] == made.state[1]
        log.close()
        assert read_all(directory)[1] == []


def test_a_file_that_is_not_power_safe_loses_its_tail_instead_of_being_refused(tmp_path: Path) -> None:
    log = opened(tmp_path / "alive")
    log.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS, power_safe=False)])
    fill(log, 0, 60)
    directory = copy_files(tmp_path / "alive", tmp_path / "cut")
    log.close()
    flip(wal_file(directory), wal_file(directory).stat().st_size // 2)
    log = opened(directory)
    assert "cut back" in log.repairs[0]
    left = numbers(everything(log))
    assert left == list(range(len(left)))
    assert 0 < len(left) < 60
    log.close()


# ---- the middle ----


def test_damage_in_the_middle_of_the_write_ahead_log_is_refused_with_its_place(made: Made) -> None:
    directory = made.again()
    flip(wal_file(directory), 32 + 3 * FRAME_BYTES + 500)
    before = wal_file(directory).read_bytes()
    with pytest.raises(LogDamaged, match="salvage") as caught:
        opened(directory)
    assert caught.value.path == str(wal_file(directory))
    assert caught.value.place == f"frame 4 at byte {32 + 3 * FRAME_BYTES:,}"
    assert wal_file(directory).read_bytes() == before


def flips(made: Made, name: str, count: int, seed: int) -> None:
    """Each flip has no effect on anything that can be read, or is refused; the last transaction may be cut and told."""
    dice = random.Random(seed)
    folded = not name.endswith("-wal")
    directory = made.again(folded=folded)
    path = directory / name
    sound = path.read_bytes()
    seen = {"refused": 0, "harmless": 0, "cut": 0}
    for _ in range(count):
        at, bit = dice.randrange(len(sound)), dice.randrange(8)
        flip(path, at, bit)
        try:
            state, repairs = read_all(directory)
        except (LogDamaged, Unsupported):
            seen["refused"] += 1
        else:
            if repairs:
                seen["cut"] += 1
            else:
                assert state == made.state, f"{name}: bit {bit} of byte {at} (seed {seed}) went unnoticed"
                seen["harmless"] += 1
        shutil.rmtree(directory)
        copy_files(made.folded if folded else made.source, directory)
    assert seen["refused"] + seen["cut"] > count // 5, seen
    assert not (folded and seen["cut"]), seen


FILES = [f"topics/{TOPIC}.db", f"topics/{TOPIC}.db-wal", "catalogue.db", "catalogue.db-wal"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_or_changes_nothing(made: Made, name: str) -> None:
    flips(made, name, 75, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_flipped_bits(made: Made, name: str) -> None:
    flips(made, name, 1_000, seed=2)


def test_every_bit_of_the_first_bytes_of_a_file_is_guarded(made: Made) -> None:
    directory = made.again(folded=True)
    for at in range(100):
        flip(main_file(directory), at, at % 8)
        with contextlib.suppress(LogDamaged, Unsupported):
            assert read_all(directory)[0] == made.state, at
        flip(main_file(directory), at, at % 8)
    assert read_all(directory)[0] == made.state


def test_a_bit_flipped_under_a_living_log_is_found_by_the_next_reader(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    log.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
    fill(log, 0, 90)
    place = wal_file(log.directory).read_bytes().rindex(content(7))
    flip(wal_file(log.directory), place)
    with pytest.raises(LogDamaged):
        everything(log)
    log.close()


def test_a_page_that_is_whole_but_the_wrong_one_is_refused(made: Made) -> None:
    """An old version of a page has a sum that matches. The offsets do not."""
    directory = made.again(folded=True)
    raw = bytearray(main_file(directory).read_bytes())
    places = sorted(raw.index(content(number)) // PAGE_BYTES for number in (0, 60))
    first, second = (place * PAGE_BYTES for place in places)
    raw[second : second + PAGE_BYTES] = raw[first : first + PAGE_BYTES]
    main_file(directory).write_bytes(raw)
    with pytest.raises(LogDamaged):
        read_all(directory)


# ---- files that are short, gone, or something else ----


@pytest.mark.parametrize("part", ["topic", "catalogue"])
def test_a_truncated_main_file_is_refused(made: Made, part: str) -> None:
    directory = made.again()
    path = main_file(directory) if part == "topic" else directory / "catalogue.db"
    for pages in range(1, path.stat().st_size // PAGE_BYTES):
        case = made.again()
        cut = case / path.relative_to(directory)
        os.truncate(cut, pages * PAGE_BYTES)
        with contextlib.suppress(LogDamaged):  # unless the write-ahead log still holds what was cut off
            assert read_all(case)[0] == made.state
    os.truncate(path, 50)
    with pytest.raises(LogDamaged, match="cut off"):
        opened(directory)


@pytest.mark.parametrize("name", [f"topics/{TOPIC}.db", "catalogue.db"])
def test_a_missing_file_is_refused_and_not_made_anew(made: Made, name: str) -> None:
    directory = made.again()
    for suffix in ("", "-wal"):
        (directory / f"{name}{suffix}").unlink()
    with pytest.raises(LogDamaged, match="is missing") as caught:
        opened(directory)
    assert caught.value.path == str(directory / name)
    assert not (directory / name).exists()


@pytest.mark.parametrize("name", [f"topics/{TOPIC}.db", "catalogue.db"])
def test_an_empty_file_is_refused(made: Made, name: str) -> None:
    directory = made.again()
    (directory / name).write_bytes(b"")
    with pytest.raises(LogDamaged):
        opened(directory)


@pytest.mark.parametrize("name", [f"topics/{TOPIC}.db", "catalogue.db"])
def test_a_file_that_is_something_else_is_refused(made: Made, name: str) -> None:
    directory = made.again()
    (directory / name).write_bytes(b"Dear diary, " * 1_000)
    with pytest.raises(LogDamaged, match="does not begin like a SQLite file"):
        opened(directory)


def test_a_file_of_another_program_is_refused(made: Made) -> None:
    directory = made.again()
    for suffix in ("", "-wal"):
        Path(f"{main_file(directory)}{suffix}").unlink()
    other = apsw.Connection(str(main_file(directory)))
    other.execute("CREATE TABLE t(a)")
    other.close()
    with pytest.raises(Unsupported, match="not one of Genescale's logs"):
        read_all(directory)


def test_a_newer_format_is_refused_and_untouched(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "FORMAT_VERSION", 0)
    directory = made.again()
    with pytest.raises(Unsupported, match="written by a newer Genescale"):
        opened(directory)


BEGUN = [b"", bytes(PAGE_BYTES), b"SQLite format 3\0" + bytes(500), b"SQLite format 3\0" + b"\x20" * (PAGE_BYTES - 16)]


@pytest.mark.parametrize("begun", BEGUN)
def test_a_log_whose_making_was_cut_off_is_made_again(tmp_path: Path, begun: bytes) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "catalogue.db").write_bytes(begun)
    log = opened(tmp_path / "log")
    log.create_topics([TopicSpec(name=TOPIC, partitions=1)])
    assert "was never finished" in log.repairs[0]
    log.close()


@pytest.mark.parametrize("begun", BEGUN)
def test_a_topic_whose_making_was_cut_off_is_made_again(made: Made, begun: bytes) -> None:
    directory = made.again()
    (directory / "topics" / "half.db").write_bytes(begun)
    log = opened(directory)
    assert log.repairs == [
        f"{directory}/topics/half.db was never finished, holds no record, and is now half.db.unfinished"
    ]
    log.create_topics([TopicSpec(name="half", partitions=1)])
    append_now(log, [NewRecord("half", None, b"x")])
    log.close()


def test_the_shared_memory_of_dead_processes_is_rebuilt(made: Made) -> None:
    directory = made.again()
    for path in (main_file(directory), directory / "catalogue.db"):
        Path(f"{path}-shm").write_bytes(random.Random(1).randbytes(32_768))
    assert read_all(directory)[0] == made.state


# ---- who may look, and when ----


def test_nobody_looks_for_damage_while_another_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(tmp_path / "log")
    first.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
    fill(first, 0, 10)
    looked: list[Path] = []
    monkeypatch.setattr(sqlite_recovery, "recover_file", lambda path, **_: looked.append(path) or "")
    second = opened(tmp_path / "log")
    fill(first, 10, 10)
    assert numbers(everything(second)) == list(range(20))
    assert looked == []
    first.close()
    second.close()
    opened(tmp_path / "log").close()
    assert len(looked) == 2


def test_a_read_only_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        opened(disk / "log").close()
        make_read_only(disk)
        with pytest.raises(Permanent, match="read-only, or does the folder belong to another user"):
            opened(disk / "log")


def test_the_log_of_another_user_says_so(made: Made) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    directory = made.again()
    opened(directory).close()
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

    def as_nobody() -> str:
        os.setuid(65_534)
        try:
            opened(directory)
        except Permanent as error:
            return str(error)
        return "opened"

    assert "does the folder belong to another user?" in in_child(as_nobody)


def in_child(work: Callable[[], str]) -> str:
    """Run in a forked process; what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


# ---- kill -9 ----


@contextlib.contextmanager
def appending_child(directory: Path, first: int) -> Iterator[tuple[int, int]]:
    """A process that appends numbers from `first` on and tells each that was acknowledged; its pid and the pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            log = opened(directory)
            for number in range(first, first + 100_000):
                append_now(log, [NewRecord(TOPIC, b"k", struct.pack(">I", number) + content(number), partition=0)])
                os.write(writing, struct.pack(">I", number))
        finally:
            os._exit(1)
    os.close(writing)
    try:
        yield pid, reading
    finally:
        os.close(reading)


def kill_sweep(directory: Path, rounds: int, seed: int) -> int:
    log = opened(directory)
    log.create_topics([TopicSpec(name=TOPIC, partitions=1)])
    log.close()
    dice = random.Random(seed)
    told: list[int] = []
    for turn in range(rounds):
        with appending_child(directory, turn * 100_000) as (pid, pipe):
            said = os.read(pipe, 4)  # it is at work
            time.sleep(dice.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            while more := os.read(pipe, 65_536):
                said += more
        told += struct.unpack(f">{len(said) // 4}I", said)
    log = opened(directory)
    records: list[int] = []
    tail = log.tail([TOPIC], "earliest")
    while batch := tail.poll(5_000, 0):
        for record in batch:
            assert record.value is not None
            assert record.offset == len(records)
            number = struct.unpack(">I", record.value[:4])[0]
            assert record.value[4:] == content(number)
            records.append(number)
    tail.close()
    log.close()
    assert len(set(records)) == len(records), "a record is there twice"
    assert set(told) <= set(records), "an acknowledged record is gone"
    assert len(records) - len(told) <= rounds, "more was invented than could have been in flight"
    return len(told)


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    assert kill_sweep(tmp_path / "log", 40, seed=3) >= 40


@pytest.mark.slow
def test_a_thousand_killed_processes(tmp_path: Path) -> None:
    assert kill_sweep(tmp_path / "log", 1_000, seed=4) >= 1_000


# ---- a full disk ----


def test_a_full_disk_takes_nothing_new_reads_on_and_resumes_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3 << 20) as disk:
        log = opened(disk / "log")
        log.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        written = 0
        with contextlib.suppress(DiskFull):
            while True:
                fill(log, written, 5)
                written += 5
        assert written
        assert numbers(everything(log)) == list(range(written))
        for _ in range(5):
            with pytest.raises(DiskFull):
                fill(log, written, 5)
        log.maintain()  # what cannot be folded in now waits
        ballast.unlink()
        fill(log, written, 5)
        assert numbers(everything(log)) == list(range(written + 5))
        log.close()
        assert numbers(read_all(disk / "log")[0]) == list(range(written + 5))


# ---- an fsync that fails ----


@pytest.mark.fuse
def test_after_a_failed_fsync_the_process_writes_nothing_any_more(tmp_path: Path) -> None:
    why_not = unavailable()
    require("the lossy file system", why_not is None, str(why_not))
    folder = LossyFolder(tmp_path / "backing", tmp_path / "mounted")
    try:
        log = opened(folder.path / "log")
        log.create_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
        fill(log, 0, 20)
        folder.fail_fsync(1)
        with pytest.raises(LogBroken, match="this process stops"):
            fill(log, 20, 5)
        for _ in range(3):  # the disk is well again, and still nothing here can be trusted
            with pytest.raises(LogBroken):
                fill(log, 20, 5)
        folder.freeze()
        log.close()
        folder.cut("all", 1)
        kept = numbers(read_all(folder.path / "log")[0])
        assert kept == list(range(20))
    finally:
        folder.close()


# ---- a power cut ----


@pytest.mark.fuse
@pytest.mark.parametrize("loss", ["all", "torn"])
def test_a_power_cut_is_never_taken_for_damage_and_loses_nothing(tmp_path: Path, loss: Loss) -> None:
    why_not = unavailable()
    require("the lossy file system", why_not is None, str(why_not))
    folder = LossyFolder(tmp_path / "backing", tmp_path / "mounted")
    directory = folder.path / "log"
    told: list[int] = []
    dice = random.Random(5)
    try:
        log = opened(directory)
        log.create_topics([TopicSpec(name=TOPIC, partitions=1)])
        log.close()
        for turn in range(8):
            with appending_child(directory, turn * 100_000) as (pid, pipe):
                said = os.read(pipe, 4)
                time.sleep(dice.random() * 0.05)
                folder.freeze()
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                while more := os.read(pipe, 65_536):
                    said += more
            told += struct.unpack(f">{len(said) // 4}I", said)
            folder.cut(loss, turn)
            log = opened(directory)  # refuses what it takes for damage
            tail = log.tail([TOPIC], "earliest")
            found: list[int] = []
            while batch := tail.poll(5_000, 0):
                found += [struct.unpack(">I", (record.value or b"")[:4])[0] for record in batch]
            tail.close()
            log.close()
            assert set(told) <= set(found)
    finally:
        folder.close()


# ---- looking for damage in old records ----


def test_upkeep_finds_damage_in_records_that_nobody_reads(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "_SCRUB_BYTES", 20_000)  # several calls for one round
    directory = made.again(folded=True)
    flip(main_file(directory), main_file(directory).read_bytes().index(content(60)) + 5)
    log = opened(directory)
    told: list[LogDamaged] = []
    for _ in range(60):
        try:
            log.maintain()
        except LogDamaged as error:
            told.append(error)
    log.close()
    assert len(told) > 1, "it is told again at every round"
    assert {error.path for error in told} == {str(main_file(directory))}


def test_upkeep_of_a_healthy_log_reads_every_record_and_begins_again(made: Made) -> None:
    log = opened(made.again())
    scrub = Scrub(lambda: log.topics().values(), log.open_reader)
    counts = [scrub.step(20_000) for _ in range(40)]
    assert max(counts) < 210
    assert sum(counts) > 2 * 210
    log.close()


def test_upkeep_finds_damage_in_the_catalogue(made: Made) -> None:
    directory = made.again(folded=True)
    log = opened(directory)
    raw = (directory / "catalogue.db").read_bytes()
    flip(directory / "catalogue.db", raw.rindex(b"readers") - 2)
    with pytest.raises(LogDamaged) as caught:
        log.maintain()
    assert caught.value.path == str(directory / "catalogue.db")
    log.close()

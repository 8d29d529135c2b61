"""What only a file can suffer: a full or read-only disk, flipped bits, a torn tail."""

import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from genescale.clock import ManualClock, SystemClock
from genescale.errors import DiskFull, Unsupported
from genescale.store import wal
from genescale.store.sqlite import open_sqlite_tables
from genescale.store.tables import Column, Table, Tables, TablesDamaged, TablesNotWritable
from support.small_disk import make_read_only, small_disk

ROWS = Table(name="rows", columns=(Column("id", "integer"), Column("data", "bytes")), primary_key=("id",))

Opener = Callable[[Path], Tables]


@pytest.fixture
def opened() -> Iterator[Opener]:
    tables: list[Tables] = []

    def open_it(path: Path) -> Tables:
        tables.append(open_sqlite_tables(path, [ROWS], SystemClock(), seed=1))
        return tables[-1]

    yield open_it
    for one in tables:
        one.close()


def add(tables: Tables, number: int, size_bytes: int = 1000) -> None:
    with tables.transaction() as tx:
        tx.insert(ROWS, {"id": number, "data": bytes(size_bytes)})


def ids(tables: Tables) -> list[int]:
    with tables.snapshot() as snapshot:
        return [row["id"] for row in snapshot.select(ROWS)]


def crashed_copy(path: Path, target: Path) -> Path:
    """The files as a killed process leaves them, beside its log that nobody wrote back."""
    target.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{target / path.name}{suffix}")
    return target / path.name


def flip(path: Path, offset: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


# ------------------------------------------------------------------ the disk


def test_a_full_disk_refuses_new_rows_loses_none_and_recovers(tmp_path: Path, opened: Opener) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        tables = open_sqlite_tables(disk / "t.sqlite", [ROWS], SystemClock(), seed=1)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(400_000))
        stored: list[int] = []
        with pytest.raises(DiskFull, match="nothing was lost"):  # noqa: PT012 - one of them does not fit
            for number in range(1000):
                add(tables, number, 20_000)
                stored.append(number)
        assert stored
        assert ids(tables) == stored  # reading goes on
        with pytest.raises(DiskFull):
            add(tables, 5000, 50_000)
        ballast.unlink()
        add(tables, 6000, 20_000)
        assert ids(tables) == [*stored, 6000]
        tables.check()
        tables.close()


def test_a_transaction_that_met_the_full_disk_cannot_go_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 400_000) as disk:
        tables = open_sqlite_tables(disk / "t.sqlite", [ROWS], SystemClock(), seed=1)

        def swallow(tx: Any) -> None:
            tx.insert(ROWS, {"id": 1, "data": b""})
            with pytest.raises(DiskFull):  # noqa: PT012 - one of them does not fit
                for number in range(2, 1000):
                    tx.insert(ROWS, {"id": number, "data": bytes(100_000)})
            with pytest.raises(DiskFull):
                tx.insert(ROWS, {"id": 9999, "data": b""})

        with pytest.raises(DiskFull):  # the end of the block raises it again
            tables.run(swallow)
        assert ids(tables) == []
        tables.close()


def test_opening_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100_000) as disk:
        with pytest.raises(OSError, match="space"):
            (disk / "ballast").write_bytes(bytes(200_000))
        with pytest.raises(DiskFull):
            open_sqlite_tables(disk / "t.sqlite", [ROWS], SystemClock(), seed=1)


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        tables = open_sqlite_tables(disk / "t.sqlite", [ROWS], SystemClock(), seed=1)
        tables.close()
        make_read_only(disk)
        with pytest.raises(TablesNotWritable, match=r"t\.sqlite"):
            open_sqlite_tables(disk / "t.sqlite", [ROWS], SystemClock(), seed=1)


def test_a_read_only_folder_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with not_root(), pytest.raises(TablesNotWritable, match="Change its owner"):
            open_sqlite_tables(Path(name) / "t.sqlite", [ROWS], SystemClock(), seed=1)


@contextmanager
def not_root() -> Iterator[None]:
    """Root writes everywhere; whoever is root plays somebody else for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_missing_folder_is_made(tmp_path: Path, opened: Opener) -> None:
    add(opened(tmp_path / "a" / "b" / "t.sqlite"), 1)


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(Unsupported, match=r"3\.51\.2 can lose data"):
        open_sqlite_tables(tmp_path / "t.sqlite", [ROWS], ManualClock())


# ------------------------------------------------------------------ damage


@pytest.fixture
def crashed(tmp_path: Path, opened: Opener) -> Path:
    """A database whose ten transactions lie in the write-ahead log."""
    tables = opened(tmp_path / "t.sqlite")
    for number in range(10):
        add(tables, number)
    return crashed_copy(tmp_path / "t.sqlite", tmp_path / "crashed")


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def frame_starts(path: Path) -> list[int]:
    return list(range(32, wal_of(path).stat().st_size, 24 + 4096))


def test_a_sound_log_is_read(crashed: Path, opened: Opener) -> None:
    assert wal.scan(wal_of(crashed)).damage == "none"
    tables = opened(crashed)
    assert ids(tables) == list(range(10))
    assert not any("cut off" in notice for notice in tables.notices)


@pytest.mark.parametrize("byte", [0, 4, 8, 16, 24, 4000])
def test_a_flipped_bit_in_the_middle_of_the_log_is_refused_with_its_place(crashed: Path, byte: int) -> None:
    starts = frame_starts(crashed)
    flip(wal_of(crashed), starts[len(starts) // 2] + byte)
    with pytest.raises(TablesDamaged, match="would forget in silence") as raised:
        open_sqlite_tables(crashed, [ROWS], SystemClock())
    assert raised.value.place.startswith(f"frame {len(starts) // 2 + 1} at byte ")


@pytest.mark.parametrize("byte", [0, 9, 17, 25])
def test_a_flipped_bit_in_the_header_of_the_log_is_refused(crashed: Path, byte: int) -> None:
    flip(wal_of(crashed), byte)
    with pytest.raises(TablesDamaged, match="the header at byte 0"):
        open_sqlite_tables(crashed, [ROWS], SystemClock())


def test_a_torn_tail_is_cut_and_said(crashed: Path, opened: Opener) -> None:
    flip(wal_of(crashed), frame_starts(crashed)[-1] + 100)
    tables = opened(crashed)
    assert ids(tables) == list(range(9))
    assert any("cut off" in notice for notice in tables.notices)
    add(tables, 100)
    assert ids(tables) == [*range(9), 100]


def test_a_truncated_log_keeps_what_is_whole(crashed: Path, opened: Opener) -> None:
    os.truncate(wal_of(crashed), frame_starts(crashed)[-1] + 50)
    assert ids(opened(crashed)) == list(range(9))


def test_frames_of_an_older_round_are_no_damage(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "t.sqlite"
    tables = opened(path)
    for number in range(10):
        add(tables, number)
    other = apsw.Connection(str(path))
    other.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    other.close()
    add(tables, 10)  # the log begins again from its start, over the old frames
    copy = crashed_copy(path, tmp_path / "crashed")
    salt = struct.unpack(">I", wal_of(copy).read_bytes()[16:20])
    assert struct.unpack(">I", wal_of(copy).read_bytes()[-4112 + 0 : -4108]) != salt
    assert wal.scan(wal_of(copy)).damage == "none"
    assert ids(opened(copy)) == list(range(11))


def test_a_damaged_page_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    tables = open_sqlite_tables(path, [ROWS], SystemClock())
    for number in range(200):
        add(tables, number)
    tables.close()
    for page in range(3, path.stat().st_size // 4096):
        with path.open("r+b") as file:
            file.seek(page * 4096)
            file.write(b"\xff" * 16)
    with pytest.raises(TablesDamaged) as raised:
        open_sqlite_tables(path, [ROWS], SystemClock()).check()
    assert str(path) in str(raised.value)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    tables = open_sqlite_tables(path, [ROWS], SystemClock())
    for number in range(50):
        add(tables, number)
    tables.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(TablesDamaged):
        open_sqlite_tables(path, [ROWS], SystemClock())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(TablesDamaged):
        open_sqlite_tables(tmp_path / "t.sqlite", [ROWS], SystemClock())

"""Real write-ahead logs, made by SQLite, torn and flipped in every way that must be told apart."""

import shutil
import struct
from pathlib import Path

import apsw
import pytest

from genescale.store import wal

PAGE_BYTES = 512  # the smallest there is: every byte and every bit can be tried
FRAME_BYTES = wal.FRAME_HEADER_BYTES + PAGE_BYTES


class Written:
    """A log of eight transactions, and where each of them ends."""

    def __init__(self, path: Path) -> None:
        connection = connect(path / "made.db")
        self.path = path / "made.db-wal"
        self.ends: list[int] = []
        for number in range(8):
            with connection:  # of one, two or three frames
                connection.executemany("INSERT INTO t(v) VALUES(?)", [(bytes([number]) * 400,)] * (1 + number % 3))
            self.ends.append(self.path.stat().st_size)
        self.raw = self.path.read_bytes()
        connection.close()
        self.committed = [(end - wal.HEADER_BYTES) // FRAME_BYTES for end in self.ends]

    @property
    def frames(self) -> int:
        return self.committed[-1]


def connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.wal_autocheckpoint(0)
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=WAL").fetchall()
    connection.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, v)").fetchall()
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return connection


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("wal"))


def flipped(raw: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 1 << bit
    return bytes(changed)


def test_a_sound_log_is_in_order(written: Written) -> None:
    state = wal.scan_bytes(written.raw)
    assert state == (written.frames, written.frames, "none", "", PAGE_BYTES)
    assert state.committed_bytes == len(written.raw)


def test_a_log_that_was_never_begun_is_in_order(tmp_path: Path, written: Written) -> None:
    assert wal.scan(tmp_path / "missing") == wal.EMPTY
    assert wal.scan_bytes(b"") == wal.EMPTY
    assert wal.scan_bytes(written.raw[:31]) == wal.EMPTY
    assert wal.scan_bytes(written.raw[:32]).damage == "none"


def test_cut_anywhere_in_the_last_three_transactions_is_a_tail(written: Written) -> None:
    for size in range(written.ends[-4], written.ends[-1]):
        state = wal.scan_bytes(written.raw[:size])
        whole = max(end for end in written.ends if end <= size)
        assert state.committed_bytes == whole, size
        assert state.damage == ("none" if size == whole else "tail"), size


def test_zeros_at_the_end_are_a_tail_that_lost_its_bytes(written: Written) -> None:
    torn = written.raw[: written.ends[-2]] + bytes(written.ends[-1] - written.ends[-2])
    assert wal.scan_bytes(torn).committed_bytes == written.ends[-2]
    assert wal.scan_bytes(torn).damage in ("none", "tail")


def test_a_bit_flipped_in_an_earlier_transaction_is_damage_in_the_middle(written: Written) -> None:
    headers = {at for start in range(32, written.ends[-2], FRAME_BYTES) for at in range(start, start + 24)}
    inside = set(range(32, written.ends[-2], 61))
    for at in sorted(headers | inside):
        for bit in range(8) if at in headers else (at % 8,):
            state = wal.scan_bytes(flipped(written.raw, at, bit))
            frame = (at - 32) // FRAME_BYTES
            assert (state.damage, state.frames) == ("middle", frame), (at, bit)
            assert state.place == f"frame {frame + 1} at byte {32 + frame * FRAME_BYTES:,}"


def test_a_bit_flipped_in_the_last_transaction_is_a_tail(written: Written) -> None:
    for at in range(written.ends[-2], written.ends[-1]):
        for bit in range(8) if (at - 32) % FRAME_BYTES < 24 else (at % 8,):
            state = wal.scan_bytes(flipped(written.raw, at, bit))
            assert (state.damage, state.committed_bytes) == ("tail", written.ends[-2]), (at, bit)


def test_a_last_transaction_whose_blocks_arrived_in_any_order_is_a_tail(written: Written) -> None:
    last = range((written.ends[-2] - 32) // FRAME_BYTES, written.frames)
    for missing in range(1, 1 << len(last)):
        raw = bytearray(written.raw)
        for number, slot in enumerate(last):
            if missing >> number & 1:
                raw[32 + slot * FRAME_BYTES : 32 + (slot + 1) * FRAME_BYTES] = bytes(FRAME_BYTES)
        state = wal.scan_bytes(bytes(raw))
        assert state.damage in ("none", "tail")
        assert state.committed_bytes == written.ends[-2]


def second_round(folder: Path) -> tuple[bytes, bytes]:
    """A long first round, and the same file when a second one has begun over it."""
    connection = connect(folder / "t.db")
    path = folder / "t.db-wal"
    for number in range(10):
        connection.execute("INSERT INTO t(v) VALUES(?)", (bytes([number]) * 400,))
    first = path.read_bytes()
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    for number in range(2):
        with connection:
            connection.executemany("INSERT INTO t(v) VALUES(?)", [(bytes([number]) * 400,)] * 3)
    second = path.read_bytes()
    connection.close()
    assert len(first) == len(second)
    return first, second


def test_frames_of_an_earlier_round_are_no_damage(tmp_path: Path) -> None:
    _, raw = second_round(tmp_path)
    state = wal.scan_bytes(raw)
    assert state.damage == "none"
    assert 32 < state.committed_bytes < len(raw)


def test_earlier_frames_between_those_of_a_torn_transaction_are_a_tail(tmp_path: Path) -> None:
    first, raw = second_round(tmp_path)
    state = wal.scan_bytes(raw)
    begin = next(end for end in range(state.committed - 1, 0, -1) if commit_mark(raw, end - 1)) * FRAME_BYTES + 32
    assert (state.committed_bytes - begin) // FRAME_BYTES >= 2
    for slot in range(begin, state.committed_bytes, FRAME_BYTES):
        torn = raw[:slot] + first[slot : slot + FRAME_BYTES] + raw[slot + FRAME_BYTES :]
        found = wal.scan_bytes(torn)
        assert found.damage in ("none", "tail")
        assert found.committed_bytes == begin


def test_damage_in_a_second_round_is_found_before_the_leftovers_of_the_first(tmp_path: Path) -> None:
    _, raw = second_round(tmp_path)
    for at in range(32, 32 + FRAME_BYTES):
        assert wal.scan_bytes(flipped(raw, at, at % 8)).damage == "middle", at


def commit_mark(raw: bytes, slot: int) -> int:
    return int.from_bytes(raw[32 + slot * FRAME_BYTES + 4 : 32 + slot * FRAME_BYTES + 8], "big")


def test_what_killed_writers_left_behind_a_shorter_transaction_is_a_tail(tmp_path: Path) -> None:
    """Three writers from one state of the file: two were killed before their commit counted, the third was not."""
    base = connect(tmp_path / "base.db")
    base.execute("INSERT INTO t(v) VALUES(x'01')")
    versions: list[bytes] = []
    start = (tmp_path / "base.db-wal").stat().st_size
    for rows in (12, 6, 1):
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path / 'base.db'}{suffix}", f"{tmp_path / 'copy.db'}{suffix}")
        Path(f"{tmp_path / 'copy.db'}-shm").unlink(missing_ok=True)
        copy = apsw.Connection(str(tmp_path / "copy.db"))
        with copy:
            copy.executemany("INSERT INTO t(v) VALUES(?)", [(bytes([rows]) * 400,)] * rows)
        versions.append((tmp_path / "copy.db-wal").read_bytes())
        copy.close()
    base.close()
    longest, shorter, alive = versions
    assert len(longest) > len(shorter) > len(alive) > start
    raw = alive + shorter[len(alive) :] + longest[len(shorter) :]
    state = wal.scan_bytes(raw)
    assert (state.damage, state.committed_bytes) == ("tail", len(alive))


@pytest.mark.parametrize("at", [0, 3, 8, 10, 17, 20, 24, 31])
def test_a_damaged_header_before_frames_is_damage_in_the_middle(written: Written, at: int) -> None:
    state = wal.scan_bytes(flipped(written.raw, at, 1))
    assert (state.damage, state.committed, state.place) == ("middle", 0, "the header at byte 0")


def test_a_damaged_header_before_nothing_is_a_tail(written: Written) -> None:
    state = wal.scan_bytes(flipped(written.raw[:32], 9, 1) + bytes(1_000))
    assert (state.damage, state.committed) == ("tail", 0)


def test_garbage_is_refused(written: Written) -> None:
    assert wal.scan_bytes(b"\xa5" * 4_000).damage == "middle"


def test_cutting_leaves_what_was_committed(tmp_path: Path, written: Written) -> None:
    path = tmp_path / "torn-wal"
    path.write_bytes(written.raw[:-7])
    assert wal.cut(path, wal.scan(path)) == len(written.raw) - 7 - written.ends[-2]
    assert path.read_bytes() == written.raw[: written.ends[-2]]
    assert wal.scan(path).damage == "none"


def test_the_frames_of_a_log_are_its_pages(tmp_path: Path, written: Written) -> None:
    path = tmp_path / "some-wal"
    path.write_bytes(written.raw)
    state = wal.scan(path)
    found = list(wal.frames(path, state))
    assert [frame.number for frame in found] == list(range(1, written.frames + 1))
    assert [frame.number for frame in found if frame.pages_after_commit] == written.committed
    assert all(len(frame.data) == PAGE_BYTES for frame in found)
    assert [frame.page for frame in found] == [
        struct.unpack_from(">I", written.raw, 32 + slot * FRAME_BYTES)[0] for slot in range(written.frames)
    ]

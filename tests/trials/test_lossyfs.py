"""The file system of the fault runs must tell the truth, or the runs on it prove nothing."""

import errno
import os
import random
import subprocess
import sys

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.trials import lossyfs, unsynced
from genescale.trials.unsynced import Change
from support.require import require

# ---- the arithmetic of loss, without a mount ----


class Disk:
    """A file with the operations of the file system, and what a strict disk would hold of it."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)
        self.changes: list[Change] = []

    def size(self):
        return os.fstat(self.fd).st_size

    def content(self):
        return os.pread(self.fd, 1 << 20, 0)

    def write(self, offset, data):
        before = os.pread(self.fd, len(data), offset)
        self.changes.append(Change(offset, before, data, self.size()))
        os.pwrite(self.fd, data, offset)

    def truncate(self, length):
        size = self.size()
        tail = os.pread(self.fd, max(0, size - length), length)
        os.ftruncate(self.fd, length)
        self.changes.append(Change(length, tail, b"", size, size_after=length))


operation = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 60), st.binary(min_size=1, max_size=30)),
    st.tuples(st.just("truncate"), st.integers(0, 80), st.just(b"")),
    st.tuples(st.just("sync"), st.just(0), st.just(b"")),
)


@given(st.lists(operation, max_size=30))
def test_after_a_full_loss_the_file_is_as_of_the_last_fsync(tmp_path_factory, operations):
    disk = Disk(tmp_path_factory.mktemp("disk") / "file")
    durable = b""
    for kind, where, data in operations:
        if kind == "write":
            disk.write(where, data)
        elif kind == "truncate":
            disk.truncate(where)
        else:
            disk.changes = unsynced.synced(disk.changes)
            durable = disk.content()
    unsynced.undo(disk.fd, disk.changes)
    assert disk.content() == durable
    os.close(disk.fd)


def test_a_torn_loss_keeps_some_blocks_and_loses_others(tmp_path):
    disk = Disk(tmp_path / "file")
    disk.write(0, b"a" * 65536)
    disk.changes = unsynced.synced(disk.changes)
    disk.write(0, b"b" * 65536)
    unsynced.undo(disk.fd, disk.changes)
    assert unsynced.redo_some(disk.fd, disk.changes, random.Random(1)) > 0
    content = disk.content()
    blocks = {content[n : n + 512] for n in range(0, 65536, 512)}
    assert blocks == {b"a" * 512, b"b" * 512}
    os.close(disk.fd)


def test_what_a_failed_fsync_did_not_save_is_lost_after_a_later_good_one(tmp_path):
    disk = Disk(tmp_path / "file")
    disk.write(0, b"0123456789")
    disk.changes = unsynced.synced(disk.changes)
    disk.write(2, b"xxxxxx")
    for change in disk.changes:
        change.doomed = True
    disk.write(4, b"YY")
    disk.changes = unsynced.synced(disk.changes)
    assert disk.content() == b"01xxYYxx89"
    unsynced.undo(disk.fd, disk.changes)
    assert disk.content() == b"0123YY6789"
    os.close(disk.fd)


# ---- the mount ----


@pytest.fixture
def folder(tmp_path):
    reason = lossyfs.unavailable()
    require("FUSE", reason is None, str(reason))
    made = lossyfs.LossyFolder(tmp_path / "backing", tmp_path / "mount")
    yield made
    made.close()


def write(path, data, *, sync):
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def sync_folder(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


@pytest.mark.fuse
def test_synced_bytes_stay_and_the_others_go(folder):
    write(folder.path / "synced", b"kept", sync=True)
    write(folder.path / "lazy", b"gone", sync=False)
    sync_folder(folder.path)
    with (folder.path / "synced").open("ab") as file:
        file.write(b" and gone")
    folder.freeze()
    assert folder.cut("all", 1)["files"] == 2
    assert (folder.path / "synced").read_bytes() == b"kept"
    assert (folder.path / "lazy").read_bytes() == b""


@pytest.mark.fuse
def test_names_need_an_fsync_of_their_directory(folder):
    for name in ("old", "stays"):
        write(folder.path / name, name.encode(), sync=True)
    sync_folder(folder.path)
    write(folder.path / "new", b"new", sync=True)
    (folder.path / "old").rename(folder.path / "renamed")
    (folder.path / "stays").unlink()
    folder.freeze()
    assert folder.cut("all", 1)["names"] == 3
    assert sorted(path.name for path in folder.path.iterdir()) == ["old", "stays"]
    assert (folder.path / "stays").read_bytes() == b"stays"


@pytest.mark.fuse
def test_a_replaced_file_comes_back_with_its_bytes(folder):
    write(folder.path / "file", b"first", sync=True)
    sync_folder(folder.path)
    write(folder.path / "draft", b"second", sync=True)
    (folder.path / "draft").rename(folder.path / "file")
    folder.freeze()
    folder.cut("all", 1)
    assert (folder.path / "file").read_bytes() == b"first"


@pytest.mark.fuse
def test_synced_names_stay(folder):
    write(folder.path / "draft", b"second", sync=True)
    (folder.path / "draft").rename(folder.path / "file")
    sync_folder(folder.path)
    folder.freeze()
    folder.cut("all", 1)
    assert [path.name for path in folder.path.iterdir()] == ["file"]


@pytest.mark.fuse
def test_a_full_disk_says_so_and_recovers(folder):
    folder.full(True)
    with pytest.raises(OSError) as caught:
        write(folder.path / "file", b"bytes", sync=True)
    assert caught.value.errno == errno.ENOSPC
    folder.full(False)
    write(folder.path / "file", b"bytes", sync=True)
    assert folder.counts()["enospc"] == 1


@pytest.mark.fuse
def test_the_nth_fsync_fails(folder):
    folder.fail_fsync(2)
    write(folder.path / "file", b"first", sync=True)
    with pytest.raises(OSError) as caught:
        write(folder.path / "file", b"second", sync=True)
    assert caught.value.errno == errno.EIO
    assert folder.counts()["eio"] == 1


@pytest.mark.fuse
def test_a_flipped_bit_is_read_after_the_next_mount(folder):
    write(folder.path / "file", b"AAAA", sync=True)
    sync_folder(folder.path)
    folder.freeze()
    folder.cut("all", 1)
    folder.flip_bit("file", 2, 0)
    assert (folder.path / "file").read_bytes() == b"AA@A"


WRITER = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(10_000)
connection.execute(f"pragma synchronous = {sys.argv[2]}")
for n in range(int(sys.argv[3]), int(sys.argv[3]) + 100):
    connection.execute("insert into rows values (?, ?)", (n, bytes(1000)))
    print(n, flush=True)
sys.stdin.read()
"""


def acknowledged_rows(folder, synchronous, loss):
    """Two processes insert 100 rows each into one database; then the power goes. Returns (acknowledged, survivors)."""
    database = folder.path / "rows.db"
    connection = apsw.Connection(str(database))
    connection.execute(f"pragma synchronous = {synchronous}; pragma journal_mode = wal")
    connection.execute("create table rows (n integer primary key, x blob)")
    connection.close()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(database), synchronous, first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for first in ("0", "100")
    ]
    acknowledged = {int(writer.stdout.readline()) for writer in writers for _ in range(100)}
    folder.freeze()
    for writer in writers:
        writer.kill()
        writer.communicate()
    folder.cut(loss, 7)
    connection = apsw.Connection(str(database))
    try:
        survivors = {n for (n,) in connection.execute("select n from rows")}
        assert connection.execute("pragma integrity_check").get == "ok"
    finally:
        connection.close()
    return acknowledged, survivors


@pytest.mark.fuse
@pytest.mark.parametrize("loss", ["all", "torn"])
def test_sqlite_keeps_200_of_200_rows_with_full(folder, loss):
    acknowledged, survivors = acknowledged_rows(folder, "full", loss)
    assert len(acknowledged) == 200
    assert survivors == acknowledged


@pytest.mark.fuse
def test_sqlite_loses_its_table_with_off(folder):
    with pytest.raises(apsw.SQLError, match="no such table"):
        acknowledged_rows(folder, "off", "all")

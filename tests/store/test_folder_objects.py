"""What only a folder can suffer, and what it must do itself: fsync, a full or read-only disk, a killed writer."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genescale.clock import SystemClock
from genescale.errors import DiskFull, LogBroken
from genescale.store.by_reference import from_document
from genescale.store.folder import FolderBlobs
from genescale.store.object_port import ObjectReference, Objects, ObjectsNotWritable
from genescale.store.objects import GRACE_MIN_S, open_objects
from support.small_disk import make_read_only, small_disk


def opened(folder: Path) -> Objects:
    return open_objects(f"file://{folder}", SystemClock())


def path_of(folder: Path, reference: ObjectReference) -> Path:
    return folder / "objects" / reference.name[:2] / reference.name


def test_bytes_and_every_name_are_on_the_disk_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = opened(tmp_path)
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        order.append(
            "fsync " + str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)).split("/tmp")[0]
        )
        fsync(descriptor)

    def seen_replace(self: Path, target: Any) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    name = objects.put(b"content").name
    assert order == ["fsync staging", "fsync .", "fsync objects", "rename", f"fsync objects/{name[:2]}"]


def test_a_full_disk_refuses_loses_nothing_and_recovers(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        objects = opened(disk / "o")
        first = objects.put(bytes(500_000))
        for _ in range(3):
            with pytest.raises(DiskFull, match="nothing was lost"):
                objects.put(random.Random(1).randbytes(600_000))
        assert objects.get(first) == bytes(500_000)
        assert [line.name for line in objects.list()] == [first.name]
        objects.put(random.Random(2).randbytes(300_000))  # what did not fit left no rest


def test_a_full_temporary_folder_stops_a_large_upload_to_a_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        objects = open_objects("memory://", SystemClock())
        with pytest.raises(DiskFull, match="disk"):
            objects.put(bytes(1_000_000) for _ in range(12))
        assert list(objects.list()) == []


def test_a_read_only_disk_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        objects = opened(disk / "o")
        reference = objects.put(b"before")
        make_read_only(disk)
        with pytest.raises(ObjectsNotWritable, match="disk/o"):
            objects.put(b"after")
        assert objects.get(reference) == b"before"


def test_a_read_only_folder_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with not_root(), pytest.raises(ObjectsNotWritable, match="Change its owner"):
            opened(Path(name) / "o")


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


def test_a_disk_that_does_not_confirm_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = opened(tmp_path)

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(LogBroken):
            objects.put(b"content")
    assert list(objects.list()) == []


def test_a_collector_never_takes_what_is_put_again(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    stop = threading.Event()
    removed: list[int] = []

    def collect() -> None:
        while not stop.is_set():
            removed.append(objects.collect(set(), GRACE_MIN_S).removed)
            time.sleep(0.0005)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(150):
            reference = objects.put(f"content {number % 3}".encode())
            assert objects.get(reference)
            try:
                os.utime(path_of(tmp_path, reference), (1_000, 1_000))  # it is old now, and may go at any moment
            except FileNotFoundError:
                continue
    finally:
        stop.set()
        collector.join()
    assert sum(removed) > 0


@pytest.mark.parametrize("again", [b"same size", b"other ones"])
def test_a_put_between_the_look_and_the_removal_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bytes
) -> None:
    objects = opened(tmp_path)
    reference = objects.put(again)
    path_of(tmp_path, reference).write_bytes(b"same size")  # the other content finds a wrong size and writes anew
    os.utime(path_of(tmp_path, reference), (1_000, 1_000))
    writer = threading.Thread(target=objects.put, args=(again,))
    head = FolderBlobs.head

    def head_and_then_a_put(self: FolderBlobs, path: str) -> tuple[int, int] | None:
        found = head(self, path)
        if threading.current_thread() is not writer:
            writer.start()
            writer.join(0.2)  # time enough for the whole put, if nothing held it back
        return found

    monkeypatch.setattr(FolderBlobs, "head", head_and_then_a_put)
    path = str(path_of(tmp_path, reference).relative_to(tmp_path))
    FolderBlobs(tmp_path).delete_if_older(path, 2_000_000)
    monkeypatch.undo()
    writer.join()
    assert objects.get(reference) == again


def test_the_rest_of_a_dead_writer_is_swept_away(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    old, young = tmp_path / "staging" / "tmp-old", tmp_path / "staging" / "tmp-young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 2 * GRACE_MIN_S,) * 2)
    objects.collect(set(), GRACE_MIN_S)
    assert not old.exists()
    assert young.exists()


WRITER = """
import itertools, random, sys
from genescale.clock import SystemClock
from genescale.store.by_reference import to_document
from genescale.store.objects import open_objects
objects = open_objects(sys.argv[1], SystemClock())
for seed in itertools.count():
    reference = objects.put(random.Random(seed).randbytes(1_500_000))
    print(to_document(reference).decode(), flush=True)
"""


def test_killed_writers_leave_whole_objects_and_all_that_they_reported(tmp_path: Path) -> None:
    dice = random.Random(3)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"file://{tmp_path}"], stdout=subprocess.PIPE) for _ in range(2)
    ]  # the same contents from both at once
    reported: list[ObjectReference] = []
    for writer in writers:
        assert writer.stdout is not None
        reported += [from_document(writer.stdout.readline()) for _ in range(dice.randint(3, 9))]
        time.sleep(dice.random() / 50)
        writer.send_signal(signal.SIGKILL)
        reported += [from_document(line) for line in writer.stdout.read().splitlines()]
        writer.wait(10)
        writer.stdout.close()
    objects = opened(tmp_path)
    for reference in reported:
        assert sum(len(chunk) for chunk in objects.stream(reference)) == 1_500_000
    assert {line.size for line in objects.list()} == {1_500_000}
    assert {reference.name for reference in reported} <= {line.name for line in objects.list()}

"""The data directory: who may open it, who may run on it, and what it says when it cannot be used."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genescale.clock import ManualClock
from genescale.errors import CannotStart, DiskFull, Unsupported
from genescale.store import data_directory
from genescale.store.data_directory import FORMAT_VERSION, LAYOUT_FILE, Holder, hold, open_directory

HOLDER = Holder(pid=4711, portal="http://127.0.0.1:8080", since="2026-01-01T00:00:00.000Z")


def opened(path):
    return open_directory(path, ManualClock(), "0.1.0")


def test_a_new_directory_gets_its_layout_and_opens_again(tmp_path):
    first = opened(tmp_path / "deep" / "data")
    assert json.loads((first.root / LAYOUT_FILE).read_text()) == {
        "format": FORMAT_VERSION,
        "created": "2023-11-14T22:13:20.000Z",
        "program": "0.1.0",
    }
    assert open_directory(first.root, ManualClock(), "0.2.0").layout == first.layout
    assert first.log.is_dir()
    assert first.runtime.is_dir()


def test_a_newer_layout_names_both_versions_and_is_not_touched(tmp_path):
    (tmp_path / LAYOUT_FILE).write_text('{"format": 99, "created": "x", "program": "7.0.0", "extra": 1}')
    with pytest.raises(Unsupported, match=r"layout 99, made by Genescale 7\.0\.0; this is Genescale 0\.1\.0"):
        opened(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [LAYOUT_FILE]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "1"}', "\x00\x00"])
def test_a_damaged_layout_file_is_refused_with_its_repair(tmp_path, content):
    (tmp_path / LAYOUT_FILE).write_text(content)
    with pytest.raises(Unsupported, match="cannot be read"):
        opened(tmp_path)


def test_a_folder_with_somebody_elses_files_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("my only copy")
    with pytest.raises(CannotStart, match=r"thesis\.docx"):
        opened(tmp_path)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(CannotStart, match="a part of the path is a file"):
        opened(tmp_path / "data" / "below")
    with pytest.raises(CannotStart, match="a part of the path is a file"):
        opened(tmp_path / "data")


def test_a_directory_without_the_right_to_write(tmp_path, monkeypatch):
    opened(tmp_path)
    monkeypatch.setattr(data_directory.os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(CannotStart, match="may not write there"):
        opened(tmp_path)


def test_a_full_disk_leaves_no_half_layout(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_directory.os, "fsync", full)
    with pytest.raises(DiskFull, match="Free some space"):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk(tmp_path, monkeypatch):
    opened(tmp_path)
    monkeypatch.setattr(data_directory.os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(CannotStart, match="the disk is read-only"):
        opened(tmp_path)


def test_a_second_platform_is_told_about_the_first(tmp_path):
    directory = opened(tmp_path)
    with hold(directory) as first:
        assert first.left_behind is None
        with pytest.raises(CannotStart, match="another platform is starting"), hold(opened(tmp_path)):
            pass
        first.tell(HOLDER)
        note = r"process 4711, portal http://127\.0\.0\.1:8080"
        with pytest.raises(CannotStart, match=note), hold(opened(tmp_path)):
            pass
    with hold(directory) as second:
        assert second.left_behind is None


def test_the_lock_ends_with_its_process_and_the_note_stays(tmp_path):
    directory = opened(tmp_path)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom genescale.clock import SystemClock\n"
        "from genescale.store.data_directory import Holder, hold, open_directory\n"
        "with hold(open_directory(Path(sys.argv[1]), SystemClock(), '0.1.0')) as held:\n"
        "    held.tell(Holder(1, 'p', 's')); print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(CannotStart, match="process 1, portal p"), hold(directory):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    with hold(directory) as held:
        assert held.left_behind == Holder(1, "p", "s")

import importlib.util
import struct
import sys
import threading
from pathlib import Path
from types import ModuleType

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.store import kernel
from support.require import require

WORDS = st.integers(min_value=0, max_value=0xFFFFFFFF)


@pytest.fixture(scope="module")
def interpreted() -> ModuleType:
    """The same file as plain Python, on a machine without Cython."""
    path = Path(kernel.__file__).parent / "kernel.py"
    spec = importlib.util.spec_from_file_location("interpreted_kernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cython", None)
        spec.loader.exec_module(module)
    assert not module.COMPILED
    return module


@pytest.fixture(params=["installed", "interpreted"])
def either(request: pytest.FixtureRequest, interpreted: ModuleType) -> ModuleType:
    return kernel if request.param == "installed" else interpreted


@pytest.mark.parametrize(("offset", "length"), [(0, 12), (-8, 8), (0, -8), (8, 16)])
def test_a_sum_outside_the_data_is_refused(either: ModuleType, offset: int, length: int):
    with pytest.raises(ValueError, match="whole pairs of words"):
        either.wal_checksum(bytes(16), offset, length, 0, 0, False)


def test_compiled_and_interpreted_sums_agree(interpreted: ModuleType):
    require("the compiled kernel", kernel.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")

    @given(st.binary(min_size=8, max_size=300), st.data(), WORDS, WORDS, st.booleans())
    def agree(data: bytes, draw: st.DataObject, s0: int, s1: int, big_endian: bool):
        offset = draw.draw(st.integers(min_value=0, max_value=len(data) - 8))
        length = draw.draw(st.integers(min_value=0, max_value=(len(data) - offset) // 8)) * 8
        arguments = (offset, length, s0, s1, big_endian)
        expected = interpreted.wal_checksum(data, *arguments)
        assert kernel.wal_checksum(data, *arguments) == expected
        assert kernel.wal_checksum(bytearray(data), *arguments) == expected
        assert kernel.wal_checksum(memoryview(data), *arguments) == expected

    agree()


@given(st.binary(min_size=16, max_size=64).map(lambda data: data[: len(data) // 8 * 8]), WORDS, WORDS, st.booleans())
def test_a_sum_can_be_continued(data: bytes, s0: int, s1: int, big_endian: bool):
    first = kernel.wal_checksum(data, 0, 8, s0, s1, big_endian)

    assert kernel.wal_checksum(data, 8, len(data) - 8, *first, big_endian) == kernel.wal_checksum(
        data, 0, len(data), s0, s1, big_endian
    )


def test_the_sums_of_a_log_that_sqlite_wrote(either: ModuleType, tmp_path: Path):
    path = tmp_path / "topic.db"
    connection = apsw.Connection(str(path))
    connection.execute("pragma journal_mode = wal; create table records(body)").fetchall()
    for number in range(50):
        connection.execute("insert into records values (?)", (bytes([number]) * 300,)).fetchall()
    wal = Path(f"{path}-wal").read_bytes()
    connection.close()

    magic, _, page_bytes = struct.unpack_from(">3I", wal)
    big_endian = bool(magic & 1)
    sums = either.wal_checksum(wal, 0, 24, 0, 0, big_endian)
    assert sums == struct.unpack_from(">2I", wal, 24)
    frames = range(32, len(wal), 24 + page_bytes)
    assert len(frames) > 50
    for frame in frames:
        sums = either.wal_checksum(wal, frame, 8, *sums, big_endian)
        sums = either.wal_checksum(wal, frame + 24, page_bytes, *sums, big_endian)
        assert sums == struct.unpack_from(">2I", wal, frame + 16)


def test_other_threads_run_while_a_sum_is_made():
    require("the compiled kernel", kernel.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")
    data = bytes(64 << 20)
    go = threading.Event()
    seen: list[str] = []
    thread = threading.Thread(target=lambda: (go.wait(), seen.append("the other thread ran")))
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody has to let go of the lock: the other thread runs only if the kernel releases it
    try:
        thread.start()
        go.set()
        for _ in range(500):
            kernel.wal_checksum(data, 0, len(data), 0, 0, False)
            if seen:
                break
        assert seen
    finally:
        sys.setswitchinterval(before)
        thread.join()

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.events import kernel
from support.require import require

# From the tests of Kafka's Java client: the signed hash of each key.
KAFKA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


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


@pytest.mark.parametrize("key", KAFKA_HASHES, ids=lambda key: key.decode())
def test_a_key_goes_where_the_java_client_sends_it(either: ModuleType, key: bytes):
    positive = KAFKA_HASHES[key] & 0x7FFFFFFF

    assert either.partition_of(key, 0x7FFFFFFF) == positive % 0x7FFFFFFF
    assert either.partition_of(key, 24) == positive % 24


def test_an_empty_key_has_a_partition_too(either: ModuleType):
    assert 0 <= either.partition_of(b"", 24) < 24


def test_a_topic_without_partitions_is_refused(either: ModuleType):
    with pytest.raises(ValueError, match="at least one partition"):
        either.partition_of(b"key", 0)


def test_compiled_and_interpreted_keys_agree(interpreted: ModuleType):
    require("the compiled kernel", kernel.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")

    @given(st.lists(st.binary(max_size=70)), st.integers(min_value=1, max_value=2**31 - 1))
    def agree(keys: list[bytes], partitions: int):
        expected = [interpreted.partition_of(key, partitions) for key in keys]
        assert kernel.partitions_of(keys, partitions) == expected
        assert [kernel.partition_of(key, partitions) for key in keys] == expected

    agree()

# cython: boundscheck=False, wraparound=False, initializedcheck=False
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""The event log's hot loop: which partition a key belongs to.

The build compiles this file to machine code where it can; elsewhere the same file runs as plain Python, with the same
answers. `COMPILED` says which of the two is at work. Called by the log adapters only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java client picks for this key, so that every log and every client agree."""
    if partitions < 1:
        raise ValueError(f"a topic has at least one partition, not {partitions}")
    return (_murmur2(key, len(key)) & 0x7FFFFFFF) % partitions


def partitions_of(keys: list[bytes], partitions: int) -> list[int]:
    """`partition_of` for a whole batch."""
    return [partition_of(key, partitions) for key in keys]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _murmur2(key: cython.pointer[cython.const[cython.uchar]], length: cython.Py_ssize_t) -> cython.uint:
    """Austin Appleby's MurmurHash2, with the seed that Kafka's clients use."""
    seed: cython.uint = 0x9747B28C
    multiplier: cython.uint = 0x5BD1E995
    mask: cython.uint = 0xFFFFFFFF
    h: cython.uint = (seed ^ length) & mask
    k: cython.uint
    i: cython.Py_ssize_t
    whole: cython.Py_ssize_t = length - length % 4
    for i in range(0, whole, 4):
        k = key[i + 3]
        k = k << 8 | key[i + 2]
        k = k << 8 | key[i + 1]
        k = k << 8 | key[i]
        k = (k * multiplier) & mask
        k = ((k ^ k >> 24) * multiplier) & mask
        h = ((h * multiplier) & mask) ^ k
    if whole < length:
        k = 0
        for i in range(length - 1, whole - 1, -1):
            k = k << 8 | key[i]
        h = ((h ^ k) * multiplier) & mask
    h = ((h ^ h >> 13) * multiplier) & mask
    return h ^ h >> 15

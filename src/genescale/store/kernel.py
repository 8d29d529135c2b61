# cython: boundscheck=False, wraparound=False, initializedcheck=False
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""SQLite's checksum over its write-ahead log, the hot loop of looking at one after a crash.

The build compiles this file to machine code where it can; elsewhere the same file runs as plain Python, with the same
answers. `COMPILED` says which of the two is at work. Called by `wal` only.
"""

from __future__ import annotations

import sys

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled


def wal_checksum(
    data: bytes | bytearray | memoryview, offset: int, length: int, s0: int, s1: int, big_endian: bool
) -> tuple[int, int]:
    """SQLite's running checksum over `data[offset:offset + length]`, continued from `(s0, s1)`.

    `big_endian` comes from the last bit of the log's magic number. The sums run over pairs of 32-bit words, so `length`
    must be a multiple of 8. From section 4.2 of SQLite's page on its file format.
    """
    octets = memoryview(data).cast("B")
    if length % 8 or offset < 0 or length < 0 or offset + length > len(octets):
        raise ValueError(f"cannot sum {length} bytes at {offset} of {len(octets)}: whole pairs of words only")
    view: cython.const[cython.uint][::1]
    view = octets[offset : offset + length].cast("I")
    count: cython.Py_ssize_t = length // 4
    swap: cython.bint = big_endian != (sys.byteorder == "big")
    mask: cython.uint = 0xFFFFFFFF  # keeps plain Python at 32 bits; compiled, it costs nothing
    x: cython.uint = s0
    y: cython.uint = s1
    first: cython.uint
    second: cython.uint
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(0, count, 2):
            first = view[i]
            second = view[i + 1]
            if swap:
                first = _swapped(first)
                second = _swapped(second)
            x = (x + first + y) & mask
            y = (y + second + x) & mask
    return x, y


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _swapped(word: cython.uint) -> cython.uint:
    return word >> 24 | (word >> 8 & 0xFF00) | (word & 0xFF00) << 8 | (word & 0xFF) << 24

# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# (annotations are Cython's here: `type[::1]` is contiguous memory; the types of `Sequence` are in `normalise.pxd`)

"""How far an insertion or deletion can be rolled along the sequence without changing what it does.

`ACACAC` less one `AC` can be written as three different deletions. The number of bases that a deletion or insertion can
move to the left and to the right tells all spellings: the left-most is VCF's, the right-most HGVS's, and the whole span
between them is that of canonical SPDI and VRS. `Sequence` is also how the other kernels of names read single bases.

A base that is not one of A, C, G and T equals nothing here, not even itself: two unknown bases need not be the same.
So nothing rolls through runs of N, which also bounds the work.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled

# ASCII letter -> BAM's code of a base (A 1, C 2, G 4, T 8), 0 for what equals nothing.
_CODE = bytearray(256)
for _letter, _value in zip(b"ACGTacgt", (1, 2, 4, 8, 1, 2, 4, 8), strict=True):
    _CODE[_letter] = _value
_LETTER = b"-ACMGRSVTWYHKDBN"

NO_LIMIT = 1 << 62


@cython.cclass
class Sequence:
    """The bases of one bundle by contig and 0-based position. Holds views only, so threads may share one."""

    def __init__(self, packed, contig_segment, segment_start, segment_end, segment_base):
        self.packed = packed
        self.contig_segment = contig_segment
        self.segment_start = segment_start
        self.segment_end = segment_end
        self.segment_base = segment_base
        self.code_of = bytes(_CODE)
        self.letter_of = _LETTER
        self.contigs = len(contig_segment) - 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def segment(self, contig: cython.longlong, position: cython.longlong) -> cython.longlong:
        """The stretch of known sequence of `contig` that holds `position` (its end included), or -1."""
        if contig < 0 or contig >= self.contigs:
            return -1
        low: cython.longlong = self.contig_segment[contig]
        high: cython.longlong = self.contig_segment[contig + 1]
        last: cython.longlong = high
        middle: cython.longlong
        while low < high:
            middle = (low + high) // 2
            if self.segment_end[middle] < position:
                low = middle + 1
            else:
                high = middle
        # An insertion between two stretches belongs to the one that it follows, unless that one is not there.
        if low < last and self.segment_start[low] <= position:
            return low
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def code(self, segment: cython.longlong, position: cython.longlong) -> cython.int:
        """BAM's code of the base at `position`; 0 outside of the stretch."""
        if segment < 0 or position < self.segment_start[segment] or position >= self.segment_end[segment]:
            return 0
        index: cython.longlong = self.segment_base[segment] + position - self.segment_start[segment]
        octet: cython.int = self.packed[index >> 1]
        return (octet >> ((index & 1) * 4)) & 15

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def roll_right(
        self,
        segment: cython.longlong,
        start: cython.longlong,
        end: cython.longlong,
        text: cython.const[cython.uchar][::1],
        alt: cython.longlong,
        length: cython.longlong,
        limit: cython.longlong,
    ) -> cython.longlong:
        """By how many bases (at most `limit`) [start, end), or text[alt:alt + length] put there, moves right."""
        steps: cython.longlong = 0
        index: cython.longlong = 0
        base: cython.int
        other: cython.int
        if start == end:
            while steps < limit:
                base = self.code(segment, start + steps)
                if base == 0 or base != self.code_of[text[alt + index]]:
                    break
                steps += 1
                index += 1
                if index == length:
                    index = 0
            return steps
        while steps < limit:
            base = self.code(segment, end + steps)
            other = self.code(segment, start + steps)
            if base != other or (base != 1 and base != 2 and base != 4 and base != 8):
                break
            steps += 1
        return steps

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def roll_left(
        self,
        segment: cython.longlong,
        start: cython.longlong,
        end: cython.longlong,
        text: cython.const[cython.uchar][::1],
        alt: cython.longlong,
        length: cython.longlong,
        limit: cython.longlong,
    ) -> cython.longlong:
        """The same to the left."""
        steps: cython.longlong = 0
        index: cython.longlong = length - 1
        base: cython.int
        other: cython.int
        if start == end:
            while steps < limit:
                base = self.code(segment, start - 1 - steps)
                if base == 0 or base != self.code_of[text[alt + index]]:
                    break
                steps += 1
                index -= 1
                if index < 0:
                    index = length - 1
            return steps
        while steps < limit:
            base = self.code(segment, end - 1 - steps)
            other = self.code(segment, start - 1 - steps)
            if base != other or (base != 1 and base != 2 and base != 4 and base != 8):
                break
            steps += 1
        return steps


def justify(
    sequence: Sequence,
    text: cython.const[cython.uchar][::1],
    contig: cython.const[cython.int][::1],
    position: cython.const[cython.int][::1],
    ref: cython.const[cython.longlong][::1],
    ref_length: cython.const[cython.int][::1],
    alt: cython.const[cython.longlong][::1],
    alt_length: cython.const[cython.int][::1],
    frozen: cython.const[cython.uchar][::1],
    first: cython.longlong[::1],
    last: cython.longlong[::1],
    kept: cython.longlong[::1],
    kept_length: cython.int[::1],
    left: cython.longlong[::1],
    right: cython.longlong[::1],
) -> None:
    """Trim each edit, and say how far it rolls.

    `position` is the 1-based first base of REF (for an insertion, the base after it). Rows with `frozen` set are
    trimmed but never rolled: their REF is not the sequence. Results, one a row: the trimmed interbase span
    [first, last), the trimmed ALT text[kept:kept + kept_length], and the bases that it rolls to the left and right.
    """
    row: cython.Py_ssize_t
    rows: cython.Py_ssize_t = len(contig)
    a: cython.longlong
    b: cython.longlong
    n: cython.longlong
    m: cython.longlong
    start: cython.longlong
    segment: cython.longlong
    limit: cython.longlong = NO_LIMIT
    with cython.nogil:
        for row in range(rows):
            a = ref[row]
            n = ref_length[row]
            b = alt[row]
            m = alt_length[row]
            start = position[row] - 1
            while n > 0 and m > 0 and text[a + n - 1] == text[b + m - 1]:
                n -= 1
                m -= 1
            while n > 0 and m > 0 and text[a] == text[b]:
                a += 1
                b += 1
                n -= 1
                m -= 1
                start += 1
            first[row] = start
            last[row] = start + n
            kept[row] = b
            kept_length[row] = m
            left[row] = 0
            right[row] = 0
            if frozen[row] or (n > 0) == (m > 0):
                continue
            segment = sequence.segment(contig[row], start)
            if segment < 0 or start + n > sequence.segment_end[segment]:
                continue
            left[row] = sequence.roll_left(segment, start, start + n, text, b, m, limit)
            right[row] = sequence.roll_right(segment, start, start + n, text, b, m, limit)

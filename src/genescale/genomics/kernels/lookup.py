# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportInvalidTypeArguments=false, reportIndexIssue=false, reportMissingImports=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""The one spelling of a variant under which facts are stored and found, and the search for it.

A variant can be written in many ways. `Speller` brings each to one: common suffix and prefix trimmed, insertions and
deletions rolled to the left as far as the sequence allows (the parsimonious, left-aligned form that VCF, ClinVar and
gnomAD use, without its anchor base). The result is a 64-bit key:

    start << 32 | ref length << 28 | alt length << 24 | bases, two bits each    up to 12 bases in both together
    start << 32 | 15 << 28 | 28 bits of a hash                                  everything else

`Table` finds keys in the sorted keys of one source. Where the key holds a hash, the full text of both alleles is
compared as well, so a collision can never answer. Called by `knowledge` only.
"""

from __future__ import annotations

from typing import Any

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.genescale.genomics.kernels.normalise import Sequence
else:
    from genescale.genomics.kernels.normalise import Sequence

COMPILED: bool = cython.compiled

# What `Speller.spell` says of each variant. Compiled loops write the numbers themselves: they touch no Python name.
SPELLED = 0
UNKNOWN_CONTIG = 1
OUTSIDE = 2  # some base of it, or of its neighbourhood, lies in no stretch of known sequence
MISMATCH = 3  # REF is not the sequence of the reference
UNCHANGED = 4  # REF and ALT are the same
NO_SEQUENCE = 5  # symbolic, `*`, or empty on both sides

SHORT = 12  # bases of both alleles that fit into a key

_BASES = "ACGTUMRWSYKVHDBN"
# ASCII letter -> the reference's own code of a base (A 1, C 2, G 4, T 8, ambiguity codes by OR), 0 for no base.
_CODE = bytes.maketrans(_BASES.encode(), bytes((1, 2, 4, 8, 8, 3, 5, 9, 6, 10, 12, 7, 11, 13, 14, 15)))
_CODE = bytes(_CODE[i] if chr(i) in _BASES else 0 for i in range(256))
# ASCII letter -> two bits of a key, 4 for what needs the long form.
_BITS = bytes("ACGT".index(chr(i)) if chr(i) in "ACGT" else 4 for i in range(256))


@cython.cclass
class Speller:
    """Spells variants against the sequence of one bundle. Holds views only; any number of threads may share one."""

    sequence: Sequence
    code_of: cython.const[cython.uchar][::1]
    bits_of: cython.const[cython.uchar][::1]
    contigs: cython.Py_ssize_t

    def __init__(self, sequence: Sequence):
        self.sequence = sequence
        self.code_of = memoryview(_CODE)
        self.bits_of = memoryview(_BITS)
        self.contigs = sequence.contigs

    def spell(
        self,
        first: int,
        count: int,
        contig: Any,
        start: Any,
        ref_offset: Any,
        ref_length: Any,
        alt_offset: Any,
        alt_length: Any,
        flags: Any,
        text: Any,
        unusable: int,
        key: Any,
        form: Any,
        status: Any,
    ):
        """Spell the variants `first` to `first + count - 1`; `key`, `form` and `status` are filled from 0.

        The columns are those of `Variants`; a row with a flag of `unusable` gets NO_SEQUENCE. A key of 0 means that
        `status` says why not. `form` has four numbers a row: how many leading bases of both alleles were trimmed, how
        many of REF and of ALT are left, and by how many bases a pure insertion or deletion was turned.
        """
        the_contig: cython.const[cython.int][::1] = contig
        the_start: cython.const[cython.int][::1] = start
        the_ref: cython.const[cython.longlong][::1] = ref_offset
        the_ref_length: cython.const[cython.int][::1] = ref_length
        the_alt: cython.const[cython.longlong][::1] = alt_offset
        the_alt_length: cython.const[cython.int][::1] = alt_length
        the_flags: cython.const[cython.uint][::1] = flags
        the_text: cython.const[cython.uchar][::1] = text
        keys: cython.ulonglong[::1] = key
        forms: cython.int[::1] = form
        statuses: cython.uchar[::1] = status
        mask: cython.uint = unusable
        i: cython.Py_ssize_t
        k: cython.Py_ssize_t
        low: cython.Py_ssize_t = first
        high: cython.Py_ssize_t = first + count
        a: cython.int
        b: cython.int
        ref_code: cython.ulonglong
        word: cython.ulonglong
        with cython.nogil:
            for i in range(low, high):
                k = i - low
                keys[k] = 0
                if the_flags[i] & mask:
                    statuses[k] = 5  # NO_SEQUENCE
                    continue
                if the_ref_length[i] == 1 and the_alt_length[i] == 1 and 0 <= the_contig[i] < self.contigs:
                    # Nine in ten: no need to look at the sequence, because the key holds REF and stored keys are true.
                    a = self.bits_of[the_text[the_ref[i]]]
                    b = self.bits_of[the_text[the_alt[i]]]
                    if a < 4 and b < 4 and a != b:
                        ref_code = (1 << 28) | (1 << 24) | (a << 2) | b
                        word = the_start[i]
                        keys[k] = word << 32 | ref_code
                        forms[4 * k] = 0
                        forms[4 * k + 1] = 1
                        forms[4 * k + 2] = 1
                        forms[4 * k + 3] = 0
                        statuses[k] = 0  # SPELLED
                        continue
                statuses[k] = self._spell_one(
                    the_contig[i],
                    the_start[i],
                    the_text,
                    the_ref[i],
                    the_ref_length[i],
                    the_alt[i],
                    the_alt_length[i],
                    keys,
                    forms,
                    k,
                )

    def check(
        self,
        first: int,
        count: int,
        contig: Any,
        start: Any,
        ref_offset: Any,
        ref_length: Any,
        text: Any,
        status: Any,
    ):
        """Compare REF of single-base variants with the sequence too, as `spell` leaves out; for those who store."""
        the_contig: cython.const[cython.int][::1] = contig
        the_start: cython.const[cython.int][::1] = start
        the_ref: cython.const[cython.longlong][::1] = ref_offset
        the_ref_length: cython.const[cython.int][::1] = ref_length
        the_text: cython.const[cython.uchar][::1] = text
        statuses: cython.uchar[::1] = status
        i: cython.Py_ssize_t
        low: cython.Py_ssize_t = first
        high: cython.Py_ssize_t = first + count
        segment: cython.longlong
        with cython.nogil:
            for i in range(low, high):
                if statuses[i - low] != 0 or the_ref_length[i] != 1:
                    continue
                segment = self.sequence.segment(the_contig[i], the_start[i] - 1)
                if segment < 0 or the_start[i] > self.sequence.segment_end[segment]:
                    statuses[i - low] = 2  # OUTSIDE
                elif self.sequence.code(segment, the_start[i] - 1) != self.code_of[the_text[the_ref[i]]]:
                    statuses[i - low] = 3  # MISMATCH

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _spell_one(
        self,
        contig: cython.int,
        start: cython.longlong,
        text: cython.const[cython.uchar][::1],
        ref: cython.longlong,
        ref_length: cython.longlong,
        alt: cython.longlong,
        alt_length: cython.longlong,
        keys: cython.ulonglong[::1],
        forms: cython.int[::1],
        row: cython.Py_ssize_t,
    ) -> cython.uchar:
        segment: cython.longlong
        prefix: cython.longlong = 0
        turned: cython.longlong = 0
        i: cython.longlong
        if contig < 0 or contig >= self.contigs:
            return 1  # UNKNOWN_CONTIG
        if ref_length == 0 and alt_length == 0:
            return 5  # NO_SEQUENCE
        segment = self.sequence.segment(contig, start - 1)
        if segment < 0 or start - 1 + ref_length > self.sequence.segment_end[segment]:
            return 2  # OUTSIDE
        for i in range(ref_length):
            if self.sequence.code(segment, start - 1 + i) != self.code_of[text[ref + i]]:
                return 3  # MISMATCH
        for i in range(alt_length):
            if self.code_of[text[alt + i]] == 0:
                return 5  # NO_SEQUENCE
        while ref_length and alt_length and text[ref + ref_length - 1] == text[alt + alt_length - 1]:
            ref_length -= 1
            alt_length -= 1
        while ref_length and alt_length and text[ref] == text[alt]:
            ref += 1
            alt += 1
            ref_length -= 1
            alt_length -= 1
            prefix += 1
        if ref_length == 0 and alt_length == 0:
            return 4  # UNCHANGED
        start += prefix
        if ref_length == 0 or alt_length == 0:  # rolled to the left, the allele turns by one base each time
            turned = self.sequence.roll_left(segment, start - 1, start - 1 + ref_length, text, alt, alt_length, start)
            start -= turned
            turned %= ref_length + alt_length
        forms[4 * row] = prefix
        forms[4 * row + 1] = ref_length
        forms[4 * row + 2] = alt_length
        forms[4 * row + 3] = turned
        keys[row] = self._key(start, text, ref, ref_length, alt, alt_length, turned)
        return 0  # SPELLED

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _key(
        self,
        start: cython.longlong,
        text: cython.const[cython.uchar][::1],
        ref: cython.longlong,
        ref_length: cython.longlong,
        alt: cython.longlong,
        alt_length: cython.longlong,
        turned: cython.longlong,
    ) -> cython.ulonglong:
        word: cython.ulonglong = start
        bases: cython.ulonglong = 0
        length: cython.longlong = ref_length + alt_length
        plain: cython.bint = length <= 12  # SHORT
        bits: cython.int
        hashed: cython.ulonglong = 0xCBF29CE484222325  # FNV-1a, 64 bits
        prime: cython.ulonglong = 0x100000001B3
        mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF  # keeps plain Python at 64 bits
        letter: cython.uint
        i: cython.longlong
        if plain:
            for i in range(length):
                bits = self.bits_of[_letter(text, ref, ref_length, alt, alt_length, turned, i)]
                if bits > 3:
                    plain = False
                    break
                bases = bases << 2 | bits
        if plain:
            return word << 32 | ref_length << 28 | alt_length << 24 | bases
        for i in range(length):
            letter = _letter(text, ref, ref_length, alt, alt_length, turned, i)
            if i == ref_length:
                hashed = ((hashed ^ 62) * prime) & mask  # the `>` between the two
            hashed = ((hashed ^ letter) * prime) & mask
        hashed = (hashed >> 36) ^ (hashed & 0xFFFFFFF)
        bases = 15
        return word << 32 | bases << 28 | hashed


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _letter(
    text: cython.const[cython.uchar][::1],
    ref: cython.longlong,
    ref_length: cython.longlong,
    alt: cython.longlong,
    alt_length: cython.longlong,
    turned: cython.longlong,
    i: cython.longlong,
) -> cython.uchar:
    """Letter `i` of REF and ALT written one after the other, a pure insertion or deletion turned into its place."""
    length: cython.longlong = ref_length + alt_length
    if turned:  # then one of the two is empty
        i = i - turned
        if i < 0:
            i += length
        return text[ref + i] if ref_length else text[alt + i]
    return text[ref + i] if i < ref_length else text[alt + i - ref_length]


@cython.cclass
class Table:
    """The sorted keys of one source. `first` says where each contig's keys begin."""

    first: cython.const[cython.longlong][::1]
    key: cython.const[cython.ulonglong][::1]
    long_row: cython.const[cython.longlong][::1]
    long_offset: cython.const[cython.longlong][::1]
    long_text: cython.const[cython.uchar][::1]
    contigs: cython.Py_ssize_t
    longs: cython.Py_ssize_t

    def __init__(self, first: Any, key: Any, long_row: Any, long_offset: Any, long_text: Any):
        self.first = first
        self.key = key
        self.long_row = long_row
        self.long_offset = long_offset
        self.long_text = long_text
        self.contigs = len(first) - 1
        self.longs = len(long_row)

    def find(
        self,
        begin: int,
        count: int,
        contig: Any,
        key: Any,
        form: Any,
        ref_offset: Any,
        alt_offset: Any,
        text: Any,
        row: Any,
    ):
        """Fill `row` with the table's row of each spelled variant, -1 where the source does not have it.

        `key` and `form` are those of `Speller.spell`, counted from 0; the other columns are those of `Variants`,
        counted from `begin`. Sorted input moves a pointer along; any other order costs a binary search each.
        """
        the_contig: cython.const[cython.int][::1] = contig
        keys: cython.const[cython.ulonglong][::1] = key
        forms: cython.const[cython.int][::1] = form
        the_ref: cython.const[cython.longlong][::1] = ref_offset
        the_alt: cython.const[cython.longlong][::1] = alt_offset
        the_text: cython.const[cython.uchar][::1] = text
        rows: cython.longlong[::1] = row
        low: cython.Py_ssize_t = begin
        total: cython.Py_ssize_t = count
        k: cython.Py_ssize_t
        at: cython.longlong = 0
        here: cython.int = -1
        from_row: cython.longlong = 0
        to_row: cython.longlong = 0
        wanted: cython.ulonglong
        with cython.nogil:
            for k in range(total):
                rows[k] = -1
                wanted = keys[k]
                if wanted == 0 or the_contig[low + k] >= self.contigs:
                    continue
                if the_contig[low + k] != here:
                    here = the_contig[low + k]
                    from_row = self.first[here]
                    to_row = self.first[here + 1]
                    at = from_row
                at = self._seek(wanted, at, from_row, to_row)
                if at >= to_row or self.key[at] != wanted:
                    continue
                if (wanted >> 28 & 15) == 15:
                    rows[k] = self._confirmed(
                        wanted,
                        at,
                        to_row,
                        the_text,
                        the_ref[low + k] + forms[4 * k],
                        forms[4 * k + 1],
                        the_alt[low + k] + forms[4 * k],
                        forms[4 * k + 2],
                        forms[4 * k + 3],
                    )
                else:
                    rows[k] = at

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _seek(
        self, wanted: cython.ulonglong, at: cython.longlong, from_row: cython.longlong, to_row: cython.longlong
    ) -> cython.longlong:
        """The first row of [from_row, to_row) whose key is not below `wanted`, sought outwards from `at`."""
        step: cython.longlong = 1
        low: cython.longlong
        high: cython.longlong
        middle: cython.longlong
        if at < to_row and self.key[at] < wanted:
            low = at + 1
            high = at + 1
            while high < to_row and self.key[high] < wanted:
                low = high + 1
                step <<= 1
                high += step
            high = min(high, to_row)
        else:
            high = at
            low = at
            while low > from_row and self.key[low - 1] >= wanted:
                high = low - 1
                low -= step
                step <<= 1
                low = max(low, from_row)
        while low < high:
            middle = (low + high) >> 1
            if self.key[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _confirmed(
        self,
        wanted: cython.ulonglong,
        at: cython.longlong,
        to_row: cython.longlong,
        text: cython.const[cython.uchar][::1],
        ref: cython.longlong,
        ref_length: cython.longlong,
        alt: cython.longlong,
        alt_length: cython.longlong,
        turned: cython.longlong,
    ) -> cython.longlong:
        """The row with this hash whose stored alleles are the same letter for letter, or -1."""
        low: cython.Py_ssize_t = 0
        high: cython.Py_ssize_t = self.longs
        middle: cython.Py_ssize_t
        begin: cython.longlong
        i: cython.longlong
        shift: cython.longlong
        length: cython.longlong = ref_length + alt_length
        while low < high:
            middle = (low + high) >> 1
            if self.long_row[middle] < at:
                low = middle + 1
            else:
                high = middle
        while at < to_row and self.key[at] == wanted and low < self.longs:
            begin = self.long_offset[low]
            if self.long_offset[low + 1] - begin == length + 1 and self.long_text[begin + ref_length] == 62:
                i = 0
                while i < length:
                    shift = 1
                    if i < ref_length:
                        shift = 0
                    if self.long_text[begin + i + shift] != _letter(text, ref, ref_length, alt, alt_length, turned, i):
                        break
                    i += 1
                if i == length:
                    return at
            at += 1
            low += 1
        return -1

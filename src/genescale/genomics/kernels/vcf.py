# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportAssignmentType=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""From the bytes of VCF lines to columns of records and variants, in one pass and with no object per line.

The rules by which an ALT becomes a row are those of `genomics.variants`, which states them plainly; the tests hold the
two together. What is new here is where each column of a line lies, so that the line can be written again with one more
INFO field and every other byte as it was, and the comparison of REF with the reference. Called by `vcf` only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.libc.string import memchr

COMPILED: bool = cython.compiled

# Why a record is not annotated, or not wholly: the values of the column `status`. `vcf.REASONS` names them.
# (Numbers, not names, stand in the code below where C needs constants: 1 few_columns, 2 bad_position, 3 bad_ref,
# 4 bad_alt, 5 unknown_contig, 6 ref_mismatch, 7 outside_reference, 8 past_end, 9 comment or empty line,
# 10 placeholder.)


@cython.cclass
class Scanner:
    """Reads blocks of VCF lines against one reference. It keeps nothing of a block but the name of the last contig."""

    names: cython.const[cython.uchar][::1]
    name_offset: cython.const[cython.longlong][::1]
    name_contig: cython.const[cython.int][::1]
    slots: cython.int[::1]
    slot_mask: cython.uint

    sequence: cython.const[cython.uchar][::1]
    segment_start: cython.const[cython.longlong][::1]
    segment_end: cython.const[cython.longlong][::1]
    segment_base: cython.const[cython.longlong][::1]
    contig_segment: cython.const[cython.int][::1]
    contig_length: cython.const[cython.longlong][::1]
    circle: cython.const[cython.longlong][::1]
    placeholder: cython.const[cython.longlong][::1]
    nibble: cython.const[cython.uchar][::1]

    # the block
    text: cython.const[cython.uchar][::1]

    # columns of records
    line_start: cython.longlong[::1]
    line_end: cython.longlong[::1]
    fields: cython.int[:, ::1]
    record_contig: cython.int[::1]
    record_position: cython.int[::1]
    status: cython.uchar[::1]
    first_row: cython.int[::1]

    # columns of variants
    record: cython.int[::1]
    allele: cython.int[::1]
    contig: cython.int[::1]
    position: cython.int[::1]
    start: cython.int[::1]
    end: cython.int[::1]
    kind: cython.uchar[::1]
    record_kind: cython.uchar[::1]
    sv: cython.uchar[::1]
    ref_offset: cython.longlong[::1]
    ref_length: cython.int[::1]
    alt_offset: cython.longlong[::1]
    alt_length: cython.int[::1]
    flags: cython.uint[::1]
    alleles: cython.uchar[::1]
    raw_alt: cython.longlong[::1]
    raw_alt_length: cython.int[::1]

    # where the last `scan` stopped, and what the last record taught
    records = cython.declare(cython.Py_ssize_t, visibility="public")
    rows = cython.declare(cython.Py_ssize_t, visibility="public")
    alleles_used = cython.declare(cython.Py_ssize_t, visibility="public")
    last_name: cython.longlong
    last_name_length: cython.longlong
    last_contig: cython.int
    segment_low: cython.longlong
    segment_high: cython.longlong
    segment_shift: cython.longlong
    segment_of: cython.int
    info_has_type: cython.bint
    info_type: cython.longlong
    info_type_end: cython.longlong
    info_end: cython.longlong
    info_end_known: cython.bint
    info_length: cython.longlong
    info_length_end: cython.longlong

    def __init__(
        self, names, name_offset, name_contig, slots, sequence, segments, contig_segment, lengths, placeholder, nibble
    ):
        """`names` are the texts of all contig names and aliases, `slots` room for a hash table of a power of two.

        `segments` are the columns start, end and base; `lengths` those of all contigs, and of the circular ones with 0
        for the others; `placeholder` is a position of the contig at which no variant may start, or 0; `nibble` maps an
        upper-case letter to its code in `sequence`, 0 for what is no base.
        """
        self.names = names
        self.name_offset = name_offset
        self.name_contig = name_contig
        self.slots = slots
        self.sequence = sequence
        self.segment_start, self.segment_end, self.segment_base = segments
        self.contig_segment = contig_segment
        self.contig_length, self.circle = lengths
        self.placeholder = placeholder
        self.nibble = nibble
        self.slot_mask = len(slots) - 1
        self.segment_of = -1
        self.records = self.rows = self.alleles_used = 0
        self.info_has_type = self.info_end_known = False
        self.info_end = self.info_end_value = 0
        i: cython.Py_ssize_t
        slot: cython.uint
        for i in range(len(slots)):
            self.slots[i] = -1
        for i in range(len(name_contig)):
            slot = self._hash(self.names, self.name_offset[i], self.name_offset[i + 1]) & self.slot_mask
            while self.slots[slot] >= 0:
                slot = (slot + 1) & self.slot_mask
            self.slots[slot] = i

    def write_to(self, records, variants, raw) -> None:
        """Where the columns go; three tuples in the order of the attributes above."""
        (
            self.line_start,
            self.line_end,
            self.fields,
            self.record_contig,
            self.record_position,
            self.status,
            self.first_row,
        ) = records
        (
            self.record,
            self.allele,
            self.contig,
            self.position,
            self.start,
            self.end,
            self.kind,
            self.record_kind,
            self.sv,
            self.ref_offset,
            self.ref_length,
            self.alt_offset,
            self.alt_length,
            self.flags,
            self.alleles,
        ) = variants
        self.raw_alt, self.raw_alt_length = raw

    def scan(self, text, begin: cython.longlong, stop: cython.longlong) -> int:
        """Read whole lines of `text[begin:stop]` until the columns are full; returns where it stopped.

        A line ends with a line feed or at `stop`. `records`, `rows` and `alleles_used` say how much was filled.
        """
        self.text = text
        reached: cython.longlong
        with cython.nogil:
            reached = self._scan(begin, stop)
        return int(reached)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _scan(self, begin: cython.longlong, stop: cython.longlong) -> cython.longlong:
        at: cython.longlong = begin
        line_end: cython.longlong
        body_end: cython.longlong
        room: cython.Py_ssize_t = self.line_start.shape[0]
        self.records = 0
        self.rows = 0
        self.alleles_used = 0
        self.last_name_length = -1
        self.first_row[0] = 0
        while at < stop and self.records < room:
            line_end = self._find(at, stop, 10)
            body_end = line_end
            if body_end > at and self.text[body_end - 1] == 13:
                body_end -= 1
            if not self._line(at, body_end):
                return at
            self.line_start[self.records] = at
            at = line_end + 1 if line_end < stop else stop
            self.line_end[self.records] = at
            self.records += 1
            self.first_row[self.records] = self.rows
        return at

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _find(self, at: cython.longlong, stop: cython.longlong, byte: cython.int) -> cython.longlong:
        """The next `byte`, or `stop`."""
        if cython.compiled:
            base = cython.cast(cython.p_char, cython.address(self.text[0]))
            found = cython.cast(cython.p_char, memchr(base + at, byte, stop - at))
            return stop if found == cython.NULL else found - base
        while at < stop and self.text[at] != byte:
            at += 1
        return at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _line(self, begin: cython.longlong, stop: cython.longlong) -> cython.bint:
        """One line, its end not included. False when the variants do not fit any more: nothing was written then."""
        n: cython.Py_ssize_t = self.records
        at: cython.longlong = begin
        column: cython.int = 0
        byte: cython.uchar
        tabs: cython.longlong[8]
        if not cython.compiled:
            tabs = [0] * 8
        self.record_contig[n] = -1
        self.record_position[n] = -1
        if begin == stop or self.text[begin] == 35:  # '#'
            self.status[n] = 9
            return True
        while at < stop and column < 7:
            byte = self.text[at]
            if byte == 9:
                tabs[column] = at
                column += 1
            at += 1
        if column < 7:
            self.status[n] = 1
            return True
        tabs[7] = self._find(at, stop, 9)
        for column in range(8):
            self.fields[n, column] = tabs[column] - begin
        return self._record(begin, tabs[0], tabs[1], tabs[2], tabs[3], tabs[4], tabs[6] + 1, tabs[7])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _record(
        self,
        begin: cython.longlong,
        chrom_end: cython.longlong,
        pos_end: cython.longlong,
        id_end: cython.longlong,
        ref_end: cython.longlong,
        alt_end: cython.longlong,
        info: cython.longlong,
        info_end: cython.longlong,
    ) -> cython.bint:
        """A line of enough columns: its position, then its alleles."""
        n: cython.Py_ssize_t = self.records
        ref: cython.longlong = id_end + 1
        alt: cython.longlong = ref_end + 1
        position: cython.longlong = 0
        at: cython.longlong = chrom_end + 1
        digit: cython.int
        bad: cython.bint = at == pos_end or pos_end - at > 10 or chrom_end == begin
        while not bad and at < pos_end:
            digit = self.text[at] - 48
            bad = digit < 0 or digit > 9
            position = position * 10 + digit
            at += 1
        if bad or position + (ref_end - ref) > 2147483647:
            self.status[n] = 2
            return True
        contig: cython.int = self._contig(begin, chrom_end)
        self.record_contig[n] = contig
        self.record_position[n] = position
        self.status[n] = 5 if contig < 0 else 0
        if (
            ref_end - ref == 1
            and alt_end - alt == 1
            and self._is_plain(self.text[ref] & 0xDF)
            and self._is_plain(self.text[alt] & 0xDF)
        ):
            if self.rows >= self.record.shape[0] or self.alleles_used + 2 > self.alleles.shape[0]:
                return False
            self._row(contig, position, 0 if contig >= 0 else 2)
            self.raw_alt[self.rows - 1] = alt
            self.raw_alt_length[self.rows - 1] = 1
            self._sequences(ref, 1, alt, 1, position, 0)
        elif not self._alleles(contig, position, ref, ref_end, alt, alt_end, info, info_end):
            return False
        if contig >= 0:
            self._check(contig, position, ref, ref_end)
        return True

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_plain(self, letter: cython.uchar) -> cython.bint:
        return letter == 65 or letter == 67 or letter == 71 or letter == 84

    # ------------------------------------------------------------------------------------------------- contig names

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _hash(
        self, text: cython.const[cython.uchar][::1], begin: cython.longlong, stop: cython.longlong
    ) -> cython.uint:
        """FNV-1a."""
        value: cython.uint = 2166136261
        prime: cython.uint = 16777619
        mask: cython.uint = 0xFFFFFFFF
        at: cython.longlong
        for at in range(begin, stop):
            value = ((value ^ text[at]) * prime) & mask
        return value

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _contig(self, begin: cython.longlong, stop: cython.longlong) -> cython.int:
        """The index of a contig by name or alias, -1 when the reference has none. Neighbours mostly share it."""
        length: cython.longlong = stop - begin
        at: cython.longlong = 0
        if length == self.last_name_length:
            while at < length and self.text[self.last_name + at] == self.text[begin + at]:
                at += 1
            if at == length:
                return self.last_contig
        slot: cython.uint = self._hash(self.text, begin, stop) & self.slot_mask
        name: cython.longlong
        self.last_contig = -1
        while self.slots[slot] >= 0:
            name = self.name_offset[self.slots[slot]]
            if self.name_offset[self.slots[slot] + 1] - name == length:
                at = 0
                while at < length and self.names[name + at] == self.text[begin + at]:
                    at += 1
                if at == length:
                    self.last_contig = self.name_contig[self.slots[slot]]
                    break
            slot = (slot + 1) & self.slot_mask
        self.last_name = begin
        self.last_name_length = length
        return self.last_contig

    # ------------------------------------------------------------------------------------------------- the reference

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _segment(self, contig: cython.int, at: cython.longlong) -> cython.bint:
        """Make the segment that holds base `at` (0-based) the present one; False when no sequence is known there."""
        if self.segment_of == contig and self.segment_low <= at < self.segment_high:
            return True
        low: cython.int = self.contig_segment[contig]
        high: cython.int = self.contig_segment[contig + 1]
        middle: cython.int
        last: cython.int = high
        while low < high:  # the first segment that ends behind `at`
            middle = (low + high) >> 1
            if self.segment_end[middle] > at:
                high = middle
            else:
                low = middle + 1
        if low >= last or self.segment_start[low] > at:
            return False
        self.segment_of = contig
        self.segment_low = self.segment_start[low]
        self.segment_high = self.segment_end[low]
        self.segment_shift = self.segment_base[low] - self.segment_low
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _check(
        self, contig: cython.int, position: cython.longlong, ref: cython.longlong, ref_end: cython.longlong
    ) -> cython.void:
        """Compare REF with the reference; what does not agree is judged by nobody, and the flags say why.

        IUPAC letters agree when they have a base in common: an N of the reference contradicts nothing.
        """
        n: cython.Py_ssize_t = self.records
        row: cython.Py_ssize_t
        first: cython.Py_ssize_t = self.first_row[n]
        structural: cython.bint = False
        judged: cython.bint = False
        reach: cython.longlong = position
        for row in range(first, self.rows):
            judged |= self.kind[row] != 6
            if self.kind[row] == 5:
                structural = True
                reach = max(reach, self.end[row])
        if not judged:
            return
        length: cython.longlong = self.contig_length[contig]
        flag: cython.uint = 0
        reason: cython.uchar = 0
        at: cython.longlong = position - 1
        base: cython.longlong
        code: cython.uchar
        if position < 1 or (length > 0 and at + (ref_end - ref) > length):
            reason = 8 if position < 1 or structural else self._over_origin(contig, at, ref, ref_end)
            flag = 8 if reason == 8 else 1 if reason else 0
        elif not self._segment(contig, at):
            if not (structural and self._reaches(contig, at, reach)):
                flag = 4
                reason = 7
        else:
            while ref < ref_end:
                if at >= self.segment_high:
                    flag = 4
                    reason = 7
                    break
                base = at + self.segment_shift
                code = (self.sequence[base >> 1] >> ((base & 1) * 4)) & 15
                if not code & self.nibble[self.text[ref]]:
                    flag = 1
                    reason = 6
                    break
                at += 1
                ref += 1
        if flag:
            self.status[n] = reason
            for row in range(first, self.rows):
                self.flags[row] |= flag
                self.kind[row] = 6
        elif self.placeholder[contig]:
            self._pass_over(self.placeholder[contig])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _over_origin(
        self, contig: cython.int, at: cython.longlong, ref: cython.longlong, ref_end: cython.longlong
    ) -> cython.uchar:
        """A REF that goes on at the first base of a circular contig. Returns its status: 0 when it agrees.

        What is left of an allele behind the origin after trimming gets the positions that it has there; what crosses
        the origin ends behind the last base, and has the flag OVER_ORIGIN.
        """
        circle: cython.longlong = self.circle[contig]
        row: cython.Py_ssize_t
        base: cython.longlong
        code: cython.uchar
        if at >= circle or ref_end - ref > circle:
            return 8
        while ref < ref_end:
            if not self._segment(contig, at):
                return 8
            base = at + self.segment_shift
            code = (self.sequence[base >> 1] >> ((base & 1) * 4)) & 15
            if not code & self.nibble[self.text[ref]]:
                return 6
            at = at + 1 if at + 1 < circle else 0
            ref += 1
        for row in range(self.first_row[self.records], self.rows):
            if self.kind[row] > 4:
                continue
            if self.start[row] > circle and not (self.kind[row] == 2 and self.start[row] == circle + 1):
                self.start[row] -= circle
                self.end[row] -= circle
            elif self.end[row] > circle:
                self.flags[row] |= 256
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _pass_over(self, placeholder: cython.longlong) -> cython.void:
        """Judge nothing that starts at a placeholder of the reference: no genome has a base there."""
        row: cython.Py_ssize_t
        same: cython.longlong
        for row in range(self.first_row[self.records], self.rows):
            if self.kind[row] > 4 or self.end[row] < placeholder or self.start[row] > placeholder:
                continue
            same = 0
            while (
                same < min(self.ref_length[row], self.alt_length[row])
                and self.alleles[self.ref_offset[row] + same] == self.alleles[self.alt_offset[row] + same]
            ):
                same += 1
            if self.start[row] + same == placeholder and same < self.ref_length[row]:
                self.kind[row] = 6
                self.flags[row] |= 512
                self.status[self.records] = 10

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _reaches(self, contig: cython.int, low: cython.longlong, high: cython.longlong) -> cython.bint:
        """Whether [low, high) meets any known stretch."""
        i: cython.int
        for i in range(self.contig_segment[contig], self.contig_segment[contig + 1]):
            if self.segment_end[i] > low and self.segment_start[i] < high:
                return True
        return False

    # ------------------------------------------------------------------------------------------------- rows

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _row(self, contig: cython.int, position: cython.longlong, flags: cython.uint) -> cython.void:
        """A row that nobody judges; what follows may make more of it."""
        row: cython.Py_ssize_t = self.rows
        self.record[row] = self.records
        self.allele[row] = row - self.first_row[self.records] + 1
        self.contig[row] = contig
        self.position[row] = position
        self.start[row] = position
        self.end[row] = position
        self.kind[row] = 6
        self.record_kind[row] = 6
        self.sv[row] = 0
        self.ref_offset[row] = self.alleles_used
        self.ref_length[row] = 0
        self.alt_offset[row] = self.alleles_used
        self.alt_length[row] = 0
        self.flags[row] = flags
        self.rows = row + 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sequences(
        self,
        ref: cython.longlong,
        ref_length: cython.longlong,
        alt: cython.longlong,
        alt_length: cython.longlong,
        start: cython.longlong,
        record_kind: cython.uchar,
    ) -> cython.void:
        """Make the last row a sequence variant: upper-case alleles, geometry, kind."""
        row: cython.Py_ssize_t = self.rows - 1
        at: cython.longlong = self.alleles_used
        i: cython.longlong
        letter: cython.uchar
        plain: cython.bint = True
        self.ref_offset[row] = at
        for i in range(ref_length):
            letter = self.text[ref + i] & 0xDF
            plain &= self._is_plain(letter)
            self.alleles[at] = letter
            at += 1
        self.alt_offset[row] = at
        for i in range(alt_length):
            letter = self.text[alt + i] & 0xDF
            plain &= self._is_plain(letter)
            self.alleles[at] = letter
            at += 1
        self.alleles_used = at
        self.ref_length[row] = ref_length
        self.alt_length[row] = alt_length
        self.start[row] = start
        self.end[row] = start + ref_length - 1
        self.kind[row] = self._kind(ref_length, alt_length)
        self.record_kind[row] = record_kind
        if not plain:
            self.flags[row] |= 32

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _kind(self, ref_length: cython.longlong, alt_length: cython.longlong) -> cython.uchar:
        if ref_length == alt_length:
            return 0 if ref_length == 1 else 1 if ref_length else 6
        if ref_length == 0:
            return 2
        return 4 if alt_length else 3

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _letters(self, begin: cython.longlong, stop: cython.longlong) -> cython.int:
        """2: ACGT only, 1: letters, 0: something else, or nothing."""
        at: cython.longlong
        letter: cython.uchar
        answer: cython.int = 2 if begin < stop else 0
        for at in range(begin, stop):
            letter = self.text[at] & 0xDF
            if letter < 65 or letter > 90 or self.text[at] < 65:
                return 0
            if not self._is_plain(letter):
                answer = 1
        return answer

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _skipped(self, begin: cython.longlong, stop: cython.longlong) -> cython.uint:
        """The flag of an ALT that is nobody's variant (`*`, `.`, `<*>`, `<NON_REF>`, nothing), else 0."""
        length: cython.longlong = stop - begin
        if length == 0:
            return 128
        byte: cython.uchar = self.text[begin]
        if length == 1:
            return 16 if byte == 42 else 128 if byte == 46 else 0
        if byte != 60:
            return 0
        if length == 3 and self.text[begin + 1] == 42 and self.text[begin + 2] == 62:
            return 128
        if (
            length == 9
            and self.text[stop - 1] == 62
            and self._begins(begin + 1, stop, 0)
            and self.text[begin + 4] == 95
        ):
            return 128
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _begins(self, begin: cython.longlong, stop: cython.longlong, word: cython.int) -> cython.bint:
        """Whether the text begins, in any case, with a word: 0 NON?REF, 1 DUP:TANDEM, 2 TDUP."""
        a: cython.uint = self._three(begin, stop)
        if word == 0:  # the byte between the two is compared by the caller
            return a == 0x4E4F4E and self._three(begin + 4, stop) == 0x524546
        if word == 1:
            return (
                a == 0x445550
                and stop - begin >= 10
                and self.text[begin + 3] == 58
                and self._three(begin + 4, stop) == 0x54414E
                and self._three(begin + 7, stop) == 0x44454D
            )
        if word == 2:
            return a == 0x544455 and stop - begin >= 4 and self.text[begin + 3] & 0xDF == 0x50
        return False

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _three(self, begin: cython.longlong, stop: cython.longlong) -> cython.uint:
        """Three letters as one number, upper case; 0 when there are fewer."""
        if stop - begin < 3:
            return 0
        return (
            cython.cast(cython.uint, self._upper(self.text[begin])) << 16
            | cython.cast(cython.uint, self._upper(self.text[begin + 1])) << 8
            | cython.cast(cython.uint, self._upper(self.text[begin + 2]))
        )

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _upper(self, byte: cython.uchar) -> cython.uchar:
        return byte - 32 if 97 <= byte <= 122 else byte

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sv_type(self, begin: cython.longlong, stop: cython.longlong) -> cython.uchar:
        """The type that a symbolic name or SVTYPE begins with; 8 for any other."""
        three: cython.uint = self._three(begin, stop)
        if self._begins(begin, stop, 1) or self._begins(begin, stop, 2):
            return 3
        if three == 0x445550:  # DUP
            return 2
        if three == 0x44454C:  # DEL
            return 1
        if three == 0x494E53:  # INS
            return 4
        if three == 0x494E56:  # INV
            return 5
        if stop - begin >= 2 and self._upper(self.text[begin]) == 67 and self._upper(self.text[begin + 1]) == 78:  # CN
            return 6
        if three == 0x424E44:  # BND
            return 7
        return 8

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_breakend(self, begin: cython.longlong, stop: cython.longlong) -> cython.bint:
        at: cython.longlong
        for at in range(begin, stop):
            if self.text[at] == 91 or self.text[at] == 93:
                return True
        return stop - begin > 1 and (self.text[begin] == 46 or self.text[stop - 1] == 46)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _alleles(
        self,
        contig: cython.int,
        position: cython.longlong,
        ref: cython.longlong,
        ref_end: cython.longlong,
        alt: cython.longlong,
        alt_end: cython.longlong,
        info: cython.longlong,
        info_end: cython.longlong,
    ) -> cython.bint:
        """All ALTs of a record that is not a plain SNV. `variants.variants_of_record` has the rules, and their why."""
        always: cython.uint = 0 if contig >= 0 else 2
        length: cython.longlong = ref_end - ref
        ref_letters: cython.int = self._letters(ref, ref_end)
        at: cython.longlong = alt
        next_alt: cython.longlong
        skipped: cython.uint
        letters: cython.int
        present: cython.longlong = 0  # ALTs that are not NON_VARIANT
        judged: cython.longlong = 0
        sequences: cython.longlong = 0
        count: cython.longlong = 0
        star: cython.bint = False
        other_length: cython.bint = False
        same_first: cython.bint = True
        shorter: cython.bint = False  # some sequence is no longer than one base
        longest_equal: cython.bint = True
        need_info: cython.bint = False
        # how the record looks as a whole
        while at <= alt_end:
            next_alt = self._find(at, alt_end, 44)
            count += 1
            skipped = self._skipped(at, next_alt)
            if skipped == 16:
                star = True
            if skipped != 128:
                present += 1
            if not skipped:
                judged += 1
                if next_alt - at != length:
                    other_length = True
                    longest_equal = False
                letters = self._letters(at, next_alt)
                if letters:
                    sequences += 1
                    if next_alt - at == 1:
                        shorter = True
                    if length == 0 or self._upper(self.text[at]) != self._upper(self.text[ref]):
                        same_first = False
                if letters < 2:
                    need_info = True
            at = next_alt + 1
        if self.rows + count > self.record.shape[0]:
            return False
        if self.alleles_used + (count + 1) * 2 + length * 2 + (alt_end - alt) > self.alleles.shape[0]:
            return False
        shift: cython.longlong = 0
        if sequences and other_length and sequences == judged and same_first:
            shift = 1
        self.info_has_type = False
        if need_info:
            self._read_info(info, info_end)
        kind: cython.uchar = self._record_kind(
            length - shift, star or sequences < judged, sequences, longest_equal, shorter and shift == 1
        )
        # one row for each
        ref_at: cython.longlong = -1
        at = alt
        while at <= alt_end:
            next_alt = self._find(at, alt_end, 44)
            self._row(contig, position, always)
            self.raw_alt[self.rows - 1] = at
            self.raw_alt_length[self.rows - 1] = next_alt - at
            skipped = self._skipped(at, next_alt)
            self.end[self.rows - 1] = position + length - 1
            if not ref_letters:
                self._malformed(3)
            elif skipped:
                self.flags[self.rows - 1] |= skipped
            else:
                letters = self._letters(at, next_alt)
                if (
                    self.text[at] == 60
                    or (not letters and self._is_breakend(at, next_alt))
                    or (letters == 1 and self.info_has_type)
                ):
                    self._structural(at, next_alt, letters)
                elif not letters:
                    self._malformed(4)
                elif present == 1:
                    self._trimmed(
                        ref + shift, ref_end, at + shift, next_alt, position + shift, kind, judged == 1 and not star
                    )
                else:
                    ref_at = self._shared_ref(
                        ref + shift, ref_end, at + shift, next_alt, position + shift, kind, ref_at
                    )
            at = next_alt + 1
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _record_kind(
        self,
        left: cython.longlong,
        mixed: cython.bint,
        sequences: cython.longlong,
        equal: cython.bint,
        emptied: cython.bint,
    ) -> cython.uchar:
        """The kind of the record taken whole, for several ALTs; `_trimmed` knows that of a single one."""
        if not sequences or mixed or (left and emptied):
            return 6
        if not left:
            return 6 if emptied else 2
        if equal:
            return 0 if left == 1 else 1
        return 4

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _malformed(self, reason: cython.uchar) -> cython.void:
        self.flags[self.rows - 1] |= 64
        if not self.status[self.records]:
            self.status[self.records] = reason

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _trimmed(
        self,
        ref: cython.longlong,
        ref_end: cython.longlong,
        alt: cython.longlong,
        alt_end: cython.longlong,
        start: cython.longlong,
        record_kind: cython.uchar,
        alone: cython.bint,
    ) -> cython.void:
        """The only ALT: common prefix away, then common suffix, unless the lengths are equal."""
        if ref_end - ref != alt_end - alt:
            while ref < ref_end and alt < alt_end and self._upper(self.text[ref]) == self._upper(self.text[alt]):
                ref += 1
                alt += 1
                start += 1
            while (
                ref < ref_end
                and alt < alt_end
                and self._upper(self.text[ref_end - 1]) == self._upper(self.text[alt_end - 1])
            ):
                ref_end -= 1
                alt_end -= 1
        if alone:
            record_kind = self._kind(ref_end - ref, alt_end - alt)
        self._sequences(ref, ref_end - ref, alt, alt_end - alt, start, record_kind)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _shared_ref(
        self,
        ref: cython.longlong,
        ref_end: cython.longlong,
        alt: cython.longlong,
        alt_end: cython.longlong,
        start: cython.longlong,
        record_kind: cython.uchar,
        ref_at: cython.longlong,
    ) -> cython.longlong:
        """One of several ALTs. Their REF is stored once, or a line of 100,000 ALTs would store it 100,000 times."""
        row: cython.Py_ssize_t = self.rows - 1
        if ref_at < 0:
            ref_at = self.alleles_used
            self._sequences(ref, ref_end - ref, alt, alt_end - alt, start, record_kind)
            return ref_at
        self._sequences(ref, 0, alt, alt_end - alt, start, record_kind)
        self.ref_offset[row] = ref_at
        self.ref_length[row] = ref_end - ref
        self.end[row] = start + (ref_end - ref) - 1
        self.kind[row] = self._kind(ref_end - ref, alt_end - alt)
        if self._letters(ref, ref_end) == 1:
            self.flags[row] |= 32
        return ref_at

    # ------------------------------------------------------------------------------------------------- structural

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _read_info(self, info: cython.longlong, info_end: cython.longlong) -> cython.void:
        """SVTYPE, END and SVLEN of the record; the first of each counts."""
        at: cython.longlong = info
        stop: cython.longlong
        seen_end: cython.bint = False
        self.info_has_type = False
        self.info_type = 0
        self.info_type_end = 0
        self.info_end_known = False
        self.info_length = -1
        while at < info_end:
            stop = self._find(at, info_end, 59)
            if self._key(at, stop, 6) and self._three(at, stop) == 0x535654 and self._three(at + 3, stop) == 0x595045:
                if not self.info_has_type:
                    self.info_has_type = True
                    self.info_type = min(stop, at + 7)
                    self.info_type_end = stop
            elif self._key(at, stop, 3) and self._three(at, stop) == 0x454E44:
                if not seen_end:
                    seen_end = True
                    self.info_end_known = self._number(at + 4, stop)
                    self.info_end = self.info_end_value
            elif (
                self.info_length < 0
                and self._key(at, stop, 5)
                and self._three(at, stop) == 0x53564C
                and self._three(at + 2, stop) == 0x4C454E
            ):
                self.info_length = min(stop, at + 6)
                self.info_length_end = stop
            at = stop + 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _key(self, at: cython.longlong, stop: cython.longlong, length: cython.longlong) -> cython.bint:
        """Whether an INFO item has a key of this length, in upper case (its letters are compared without case)."""
        i: cython.longlong
        if stop - at < length or (stop - at > length and self.text[at + length] != 61):
            return False
        for i in range(at, at + length):
            if self.text[i] < 65 or self.text[i] > 90:
                return False
        return True

    info_end_value: cython.longlong

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _number(self, at: cython.longlong, stop: cython.longlong) -> cython.bint:
        """A whole number of at most ten digits into `info_end_value`; False when it is none."""
        value: cython.longlong = 0
        minus: cython.bint = at < stop and self.text[at] == 45
        if minus:
            at += 1
        if at >= stop or stop - at > 10:
            return False
        while at < stop:
            if self.text[at] < 48 or self.text[at] > 57:
                return False
            value = value * 10 + (self.text[at] - 48)
            at += 1
        self.info_end_value = -value if minus else value
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _structural(self, alt: cython.longlong, alt_end: cython.longlong, letters: cython.int) -> cython.void:
        """A symbolic or breakend ALT, or one in letters of which SVTYPE says that it is structural."""
        row: cython.Py_ssize_t = self.rows - 1
        position: cython.longlong = self.position[row]
        sv: cython.uchar
        end: cython.longlong = -1
        known: cython.bint = True
        at: cython.longlong
        number: cython.int = 1
        if self.text[alt] == 60:
            sv = self._sv_type(alt + 1, alt_end - 1)
        elif not letters:
            sv = 7
        else:
            sv = self._sv_type(self.info_type, self.info_type_end)
        if sv == 7:
            end = position + 1
        elif self.info_end_known and sv != 4:
            end = self.info_end
        elif self.info_length >= 0:
            at = self.info_length
            while number < self.allele[row] and self._find(at, self.info_length_end, 44) < self.info_length_end:
                at = self._find(at, self.info_length_end, 44) + 1
                number += 1
            known = self._number(at, self._find(at, self.info_length_end, 44))
            end = position + (self.info_end_value if self.info_end_value > 0 else -self.info_end_value)
            if sv == 4 and not known:
                known = True
                end = position
        elif sv == 4:
            end = position
        else:
            known = False
        if not known or end < position or end > 2147483646:
            self._malformed(4)
            return
        self.start[row] = position + 1
        self.end[row] = end
        self.kind[row] = 5
        self.record_kind[row] = 5
        self.sv[row] = sv

# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportAssignmentType=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""BCF records as the lines of VCF text that they stand for (VCF specification 4.3, section 6.3).

Every read is checked against the end of its record, so damaged bytes give a refused record and never anything worse.
Numbers are written as htslib writes them, floats with six digits. Called by `bcf` only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled


@cython.cclass
class Decoder:
    """Turns records into lines. `names` and `contigs` are the two dictionaries of the header, as pools."""

    names: cython.const[cython.uchar][::1]
    name_offset: cython.const[cython.longlong][::1]
    contigs: cython.const[cython.uchar][::1]
    contig_offset: cython.const[cython.longlong][::1]
    genotype: cython.longlong  # the number of GT in the dictionary, -1 without
    longest: cython.longlong  # the longest name

    data: cython.const[cython.uchar][::1]
    out: cython.uchar[::1]
    at: cython.longlong
    stop: cython.longlong
    o: cython.longlong
    bad: cython.bint
    # what `_type` found
    kind: cython.int
    count: cython.longlong
    written = cython.declare(cython.longlong, visibility="public")
    records = cython.declare(cython.longlong, visibility="public")
    refused = cython.declare(cython.bint, visibility="public")

    def __init__(self, names, name_offset, contigs, contig_offset, genotype: int, longest: int):
        self.names = names
        self.name_offset = name_offset
        self.contigs = contigs
        self.contig_offset = contig_offset
        self.genotype = genotype
        self.longest = longest

    def decode(self, data, begin: cython.longlong, out) -> int:
        """Write the whole records of `data` from `begin` on into `out`; returns where it stopped.

        It stops at the end of the last whole record, where `out` is full, or at a damaged record (`refused`).
        `written` bytes and `records` lines are in `out` then.
        """
        self.data = data
        self.out = out
        self.o = 0
        self.records = 0
        self.refused = False
        at: cython.longlong = begin
        with cython.nogil:
            at = self._decode(begin)
        self.written = self.o
        return at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _decode(self, begin: cython.longlong) -> cython.longlong:
        end: cython.longlong = self.data.shape[0]
        at: cython.longlong = begin
        shared: cython.longlong
        single: cython.longlong
        first: cython.longlong
        self.bad = False
        while at + 8 <= end:
            self.at = at
            self.stop = end
            shared = self._u32()
            single = self._u32()
            if shared < 24:
                self.refused = True
                return at
            if at + 8 + shared + single > end:
                return at
            if self.o + self._room(at + 8, shared, single) > self.out.shape[0]:
                return at
            first = self.o
            self._record(at + 8, shared, single)
            if self.bad:
                self.o = first
                self.refused = True
                return at
            self.records += 1
            at += 8 + shared + single
        return at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _room(self, at: cython.longlong, shared: cython.longlong, single: cython.longlong) -> cython.longlong:
        """More than the text of this record can take."""
        self.at = at + 16
        infos: cython.longlong = self._u32() & 0xFFFF
        word: cython.longlong = self._u32()
        samples: cython.longlong = word & 0xFFFFFF
        formats: cython.longlong = word >> 24
        names: cython.longlong = (infos + formats + shared + 4) * (self.longest + 2)
        return 256 + 6 * (shared + single) + names + 4 * samples * (formats + 1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _record(self, begin: cython.longlong, shared: cython.longlong, single: cython.longlong) -> cython.void:
        i: cython.longlong
        self.at = begin
        self.stop = begin + shared
        contig: cython.longlong = self._i32()
        position: cython.longlong = self._i32()
        self._i32()  # rlen, which END says as well
        quality: cython.longlong = self._u32()
        counts: cython.longlong = self._u32()
        word: cython.longlong = self._u32()
        infos: cython.longlong = counts & 0xFFFF
        alleles: cython.longlong = counts >> 16
        samples: cython.longlong = word & 0xFFFFFF
        formats: cython.longlong = word >> 24
        if contig < 0 or contig + 1 >= self.contig_offset.shape[0]:
            self.bad = True
            return
        for i in range(self.contig_offset[contig], self.contig_offset[contig + 1]):
            self._put(self.contigs[i])
        self._put(9)
        self._whole(position + 1)
        self._put(9)
        self._value(False)  # ID
        self._put(9)
        for i in range(alleles):
            if i == 1:
                self._put(9)
            elif i:
                self._put(44)
            self._value(False)
        if alleles < 2:
            self._put(9)
            self._put(46)
        self._put(9)
        self._float(quality)
        self._put(9)
        self._filters()
        self._put(9)
        if infos == 0:
            self._put(46)
        for i in range(infos):
            if self.bad:
                return
            if i:
                self._put(59)
            self._name(self._key())
            self._value(True)
        self._formats(begin + shared, single, formats, samples)
        self._put(10)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _filters(self) -> cython.void:
        self._type()
        i: cython.longlong
        if self.count == 0 or self.kind == 0:
            self._put(46)
            return
        kind: cython.int = self.kind
        for i in range(self.count):
            if self.bad:
                return
            if i:
                self._put(59)
            self._name(self._integer(kind))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _formats(
        self, begin: cython.longlong, length: cython.longlong, formats: cython.longlong, samples: cython.longlong
    ) -> cython.void:
        """FORMAT and the samples. The file stores them by field, the text by sample: walk once for each sample."""
        i: cython.longlong
        s: cython.longlong
        key: cython.longlong
        size: cython.longlong
        if samples == 0 or self.bad:
            return
        if formats == 0:
            for _ in range(samples + 1):
                self._put(9)
                self._put(46)
            return
        self.stop = begin + length
        self._put(9)
        self.at = begin
        for i in range(formats):
            key = self._key()
            self._type()
            size = self._size(self.kind) * self.count * samples
            if self.bad or size < 0 or self.at + size > self.stop:
                self.bad = True
                return
            if i:
                self._put(58)
            self._name(key)
            self.at += size
        for s in range(samples):
            self._put(9)
            self.at = begin
            for i in range(formats):
                key = self._key()
                self._type()
                size = self._size(self.kind) * self.count
                if i:
                    self._put(58)
                self._sample(key == self.genotype, self.at + size * s)
                self.at = self.at + size * samples
                if self.bad:
                    return

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sample(self, genotype: cython.bint, at: cython.longlong) -> cython.void:
        """One field of one sample; `at` moves back to where it was."""
        back: cython.longlong = self.at
        kind: cython.int = self.kind
        count: cython.longlong = self.count
        self.at = at
        if genotype and 1 <= kind <= 3:
            self._alleles(kind, count)
        else:
            self._vector(kind, count)
        self.kind = kind
        self.count = count
        self.at = back

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _alleles(self, kind: cython.int, count: cython.longlong) -> cython.void:
        """GT: each number is (allele + 1) << 1 | phased."""
        i: cython.longlong
        value: cython.longlong
        for i in range(count):
            value = self._integer(kind)
            if value == self._end(kind):
                if i == 0:
                    self._put(46)
                return
            if i:
                self._put(124 if value & 1 else 47)
            if value >> 1 <= 0 or value == self._missing(kind):
                self._put(46)
            else:
                self._whole((value >> 1) - 1)
        if count == 0:
            self._put(46)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _value(self, of_info: cython.bint) -> cython.void:
        """A typed value; in INFO with its `=`, which a flag does not have."""
        self._type()
        if of_info:
            if self.kind == 0 or self.count == 0:
                return
            self._put(61)
        self._vector(self.kind, self.count)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _vector(self, kind: cython.int, count: cython.longlong) -> cython.void:
        i: cython.longlong
        value: cython.longlong
        first: cython.longlong = self.o
        if self.bad or self.at + self._size(kind) * count > self.stop:
            self.bad = True
            return
        for i in range(count):
            if kind == 7:
                value = self.data[self.at]
                self.at += 1
                if value == 0:
                    self.at += count - i - 1
                    break
                self._put(46 if value == 7 else value)
                continue
            value = self._u32() if kind == 5 else self._integer(kind)
            if value == self._end(kind):
                break
            if i:
                self._put(44)
            if kind == 5:
                self._float(value)
            elif value == self._missing(kind):
                self._put(46)
            else:
                self._whole(value)
        if self.o == first:
            self._put(46)

    # ------------------------------------------------------------------------------------------------- reading

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _u32(self) -> cython.longlong:
        at: cython.longlong = self.at
        low: cython.longlong
        if at + 4 > self.stop:
            self.bad = True
            return 0
        self.at = at + 4
        low = self.data[at] | self.data[at + 1] << 8 | self.data[at + 2] << 16
        return low | cython.cast(cython.longlong, self.data[at + 3]) << 24

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _i32(self) -> cython.longlong:
        value: cython.longlong = self._u32()
        one: cython.longlong = 1  # a large literal would be a Python number
        return value - (one << 32) if value >> 31 else value

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _integer(self, kind: cython.int) -> cython.longlong:
        """A signed number of 1, 2 or 4 bytes (types 1, 2, 3)."""
        value: cython.longlong
        if kind == 3:
            return self._i32()
        if kind < 1 or kind > 3 or self.at + kind > self.stop:
            self.bad = True
            return 0
        value = self.data[self.at]
        if kind == 1:
            self.at += 1
            return value - 256 if value >= 128 else value
        value |= self.data[self.at + 1] << 8
        self.at += 2
        return value - 65536 if value >= 32768 else value

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _missing(self, kind: cython.int) -> cython.longlong:
        return -128 if kind == 1 else -32768 if kind == 2 else -2147483647 - 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _end(self, kind: cython.int) -> cython.longlong:
        """The number that ends a vector before its time."""
        return 0x7F800002 if kind == 5 else self._missing(kind) + 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _size(self, kind: cython.int) -> cython.longlong:
        return 4 if kind == 3 or kind == 5 else 2 if kind == 2 else 1 if kind == 1 or kind == 7 else 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _type(self) -> cython.void:
        """A type descriptor, into `kind` and `count`."""
        byte: cython.longlong
        if self.at >= self.stop:
            self.bad = True
            self.kind = 0
            self.count = 0
            return
        byte = self.data[self.at]
        self.at += 1
        kind: cython.int = byte & 15
        count: cython.longlong = byte >> 4
        if count == 15:
            if self.at >= self.stop:
                self.bad = True
                return
            byte = self.data[self.at]
            self.at += 1
            count = self._integer(byte & 15)
        if count < 0 or (kind != 0 and self._size(kind) == 0) or (kind and count > self.stop - self.at):
            self.bad = True
            count = 0
        self.kind = kind
        self.count = count

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _key(self) -> cython.longlong:
        """A typed number that stands alone: an index into the dictionary."""
        self._type()
        if self.count != 1:
            self.bad = True
            return 0
        return self._integer(self.kind)

    # ------------------------------------------------------------------------------------------------- writing

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _put(self, byte: cython.longlong) -> cython.void:
        if self.o < self.out.shape[0]:
            self.out[self.o] = byte
            self.o += 1
        else:
            self.bad = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _name(self, key: cython.longlong) -> cython.void:
        i: cython.longlong
        if key < 0 or key + 1 >= self.name_offset.shape[0]:
            self.bad = True
            return
        for i in range(self.name_offset[key], self.name_offset[key + 1]):
            self._put(self.names[i])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _whole(self, value: cython.longlong) -> cython.void:
        limit: cython.longlong = 1
        if value < 0:
            self._put(45)
            value = -value
        while limit * 10 <= value:
            limit *= 10
        while limit:
            self._put(48 + value // limit % 10)
            limit //= 10

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _float(self, bits: cython.longlong) -> cython.void:
        """A 32-bit float in at most six digits, as `%g` has it."""
        exponent: cython.longlong = bits >> 23 & 255
        fraction: cython.longlong = bits & 0x7FFFFF
        value: cython.double
        if bits == 0x7F800001:
            self._put(46)
            return
        if bits >> 31:
            self._put(45)
        if exponent == 255:
            if fraction:
                self._put(110)
                self._put(97)
                self._put(110)
            else:
                self._put(105)
                self._put(110)
                self._put(102)
            return
        if exponent == 0 and fraction == 0:
            self._put(48)
            return
        value = fraction * 2.0**-149.0 if exponent == 0 else (fraction | 0x800000) * 2.0 ** (exponent - 150.0)
        self._six_digits(value)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _six_digits(self, value: cython.double) -> cython.void:
        power: cython.longlong = 0
        scaled: cython.double = value
        digits: cython.longlong
        rest: cython.double
        while scaled >= 10.0:
            scaled /= 10.0
            power += 1
        while scaled < 1.0:
            scaled *= 10.0
            power -= 1
        if -5 < power < 6:  # once more in one step: repeated division gathers rounding errors
            scaled = value * 10.0 ** (5.0 - power)
        else:
            scaled *= 100000.0
        digits = cython.cast(cython.longlong, scaled)
        if not cython.compiled:
            digits = int(scaled)
        rest = scaled - digits
        if rest > 0.5 or (rest == 0.5 and digits & 1):
            digits += 1
        if digits >= 1000000:
            digits //= 10
            power += 1
        self._digits(digits, power)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _digits(self, digits: cython.longlong, power: cython.longlong) -> cython.void:
        """Six digits, the first of them worth 10 ** power."""
        limit: cython.longlong = 100000
        i: cython.longlong
        plain: cython.bint = -5 < power < 6
        if plain and power < 0:
            self._put(48)
            self._put(46)
            for _ in range(-power - 1):
                self._put(48)
            while digits:
                self._put(48 + digits // limit)
                digits %= limit
                limit //= 10
            return
        i = 0
        while digits or (plain and i <= power):
            if i == (power + 1 if plain else 1):
                self._put(46)
            self._put(48 + digits // limit)
            digits %= limit
            limit //= 10
            if limit == 0:
                limit = 1
            i += 1
        if plain:
            return
        self._put(101)
        self._put(45 if power < 0 else 43)
        power = -power if power < 0 else power
        if power < 10:
            self._put(48)
        self._whole(power)

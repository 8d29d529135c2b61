# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""Names of variants on proteins, as text: HGVS p.

No protein is ever made. `Reading` answers which residue stands where, before and after the edit, by looking at three
bases; a name is found by walking both readings until they part, and until the first stop where that is asked for. So
the cost of a name grows with what changed, not with the protein. Called by `names` only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.genescale.genomics.kernels.models import Models
    from cython.cimports.genescale.genomics.kernels.naming import Edit, Genes, Pen, Variants, describe, place
else:
    from genescale.genomics.kernels.models import Models
    from genescale.genomics.kernels.naming import Edit, Genes, Pen, Variants, describe, place

COMPILED: bool = cython.compiled

# How many residues a name lists where an in-frame change reads on behind the stop. `write_protein` leaves the room.
LISTED = cython.declare(cython.longlong, 100)

# Three letters for each of A-Z, as the table of HGVS has them; `*` is written apart.
_THREE = b"AlaAsxCysAspGluPheGlyHisIleXleLysLeuMetAsnPylProGlnArgSerThrSecValTrpXaaTyrGlx"


@cython.final
@cython.cclass
class Reading:
    """The coding sequence of one transcript, with its 3' UTR, before and after one edit.

    Positions count from 0, the bases that stand for an unknown start (`phase`) included. The edit takes `gone` bases
    away at `at` and puts `come` bases there. Codons and residues count from 0 too.
    """

    models: Models
    text: cython.const[cython.uchar][::1]
    three: cython.const[cython.uchar][::1]
    transcript: cython.int
    strict: cython.bint
    misread: cython.bint  # E-31
    misread_table: cython.bint  # E-6
    base: cython.longlong  # where in `mrna` position 0 would be
    phase: cython.longlong
    coding: cython.longlong  # length of the coding sequence
    known: cython.longlong  # with the 3' UTR
    total: cython.longlong  # and with the poly(A) that completes a stop
    tail: cython.longlong  # more bases of poly(A) that are read: a codon's worth where one completes the stop
    at: cython.longlong
    gone: cython.longlong
    come: cython.longlong
    alt: cython.longlong  # the new bases in `text`, on the forward strand, beginning at `turn`
    turn: cython.longlong
    reverse: cython.bint
    table: cython.longlong
    residues: cython.longlong  # of the protein without its stop
    protein: cython.longlong  # where it begins in the pool
    first: cython.longlong  # the window of codons that the edit touches: first, and how many before and after
    before: cython.longlong
    after: cython.longlong
    before_rest: cython.bint  # and whether bases are left over
    after_rest: cython.bint
    begin: cython.longlong  # the part of the window that differs, as offsets from `first`
    before_end: cython.longlong
    after_end: cython.longlong

    def __init__(self, models: Models, text):
        self.models = models
        self.text = text
        self.three = _THREE

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def base_before(self, position: cython.longlong) -> cython.int:
        """The base at `position` before the edit, 0-3, or 4 where it is not known."""
        if position < self.phase:
            return 4
        if position >= self.known:
            return 0
        if self.misread and position >= self.coding:
            return self.base_misread(position)
        return self.models.mrna[self.base + position]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def base_misread(self, position: cython.longlong) -> cython.int:
        """A base of the 3' UTR as VEP sees it on the minus strand (E-31).

        It cuts each exon out of the reverse complement of the whole gene, but at the distance from the gene's start at
        which it lies on the forward strand. With one exon that comes to the same.
        """
        cdna: cython.longlong = self.base + position - self.models.transcript_mrna[self.transcript] + 1
        exon: cython.int = self.models.transcript_exon[self.transcript]
        code: cython.int
        while self.models.exon_cdna[exon] > cdna:
            exon += 1
        code = self.models.code(
            self.models.transcript_contig[self.transcript],
            self.models.transcript_end[self.transcript]
            - (self.models.exon_start[exon] - self.models.transcript_start[self.transcript])
            - (cdna - self.models.exon_cdna[exon]),
        )
        code = self.models.codes[code]
        return 3 - code if code < 4 else 4

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def base_after(self, position: cython.longlong) -> cython.int:
        """The base at `position` after the edit."""
        offset: cython.longlong = position - self.at
        code: cython.int
        if offset < 0:
            return self.base_before(position)
        if offset >= self.come:
            return self.base_before(position - self.come + self.gone)
        offset = (self.come - 1 - offset if self.reverse else offset) + self.turn
        if offset >= self.come:
            offset -= self.come
        code = _code(self.text[self.alt + offset])
        return 3 - code if self.reverse and code < 4 else code

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def codon_before(self, codon: cython.longlong) -> cython.int:
        """The residue of `codon` before the edit; 0 where the coding sequence has no such whole codon."""
        i: cython.longlong = 3 * codon
        if i + 3 > self.coding:
            return 0
        return self.residue(self.base_before(i), self.base_before(i + 1), self.base_before(i + 2), self.table)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def codon_after(self, codon: cython.longlong, table: cython.longlong) -> cython.int:
        """The residue of `codon` after the edit, in the 3' UTR too; 0 where the transcript has no such whole codon."""
        i: cython.longlong = 3 * codon
        if i + 3 > self.total - self.gone + self.come + self.tail:
            return 0
        return self.residue(self.base_after(i), self.base_after(i + 1), self.base_after(i + 2), table)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def residue(self, a: cython.int, b: cython.int, c: cython.int, table: cython.longlong) -> cython.int:
        return self.models.amino_acids[125 * table + 25 * a + 5 * b + c]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def protein_at(self, residue: cython.longlong) -> cython.int:
        """Letter of the reference protein, `*` just after its end, 0 beyond."""
        if residue < 0 or residue > self.residues + 1:
            return 0
        if self.misread_table and 3 * residue + 3 <= self.coding:
            return self.residue(
                self.base_before(3 * residue), self.base_before(3 * residue + 1), self.base_before(3 * residue + 2), 1
            )
        if residue >= self.residues:
            if not self.strict and 3 * residue + 3 > self.coding:
                return 0  # the transcript ends before a stop
            return 42 if residue == self.residues or self.misread_table else 0
        if residue == 0 and self.phase and self.strict and self.may_start():
            return 77
        return self.models.protein[self.protein + residue]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def may_start(self) -> cython.bint:
        """Whether the first codon, of which one or two bases are not known, may be a start: to VEP it then is Met."""
        a: cython.int
        b: cython.int
        for a in range(4):
            for b in range(4):
                if self.models.starts[
                    125 * self.table + 25 * a + 5 * (b if self.phase > 1 else self.base_before(1)) + self.base_before(2)
                ]:
                    return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def first_stop(self, codon: cython.longlong, table: cython.longlong) -> cython.longlong:
        """The first stop after the edit at or after `codon`, or -1."""
        letter: cython.int = self.codon_after(codon, table)
        while letter != 0 and letter != 42:
            codon += 1
            letter = self.codon_after(codon, table)
        return codon if letter == 42 else -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def old(self, index: cython.longlong) -> cython.int:
        """Letter `index` of the window before the edit; X for bases left over."""
        return self.codon_before(self.first + index) if index < self.before else 88

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def new(self, index: cython.longlong) -> cython.int:
        """Letter `index` of the window after the edit; X for bases left over."""
        return self.codon_after(self.first + index, self.table) if index < self.after else 88

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def write(self, pen: Pen, letter: cython.int) -> cython.void:
        """The three letters of a residue."""
        if letter == 42 or (letter == 88 and self.strict):
            pen.put(84)
            pen.put(101)
            pen.put(114)
        elif letter >= 65 and letter <= 90:
            pen.copy(self.three, 3 * (letter - 65), 3 * (letter - 65) + 3)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _code(letter: cython.int) -> cython.int:
    if letter == 65:
        return 0
    if letter == 67:
        return 1
    if letter == 71:
        return 2
    if letter == 84:
        return 3
    return 4


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place_edit(
    models: Models,
    reading: Reading,
    transcript: cython.int,
    start: cython.longlong,
    end: cython.longlong,
) -> cython.bint:
    """Put the interbase span [start, end) of the contig onto the coding sequence. False where an end lies outside."""
    reverse: cython.bint = models.transcript_strand[transcript] < 0
    first: cython.longlong = models.cds_cdna_start[transcript]
    last: cython.longlong = models.cds_cdna_end[transcript]
    gone: cython.longlong = end - start
    five: cython.longlong
    three: cython.longlong
    if gone == 0:
        five = _exonic(models, transcript, start + 1 if reverse else start)
        three = _exonic(models, transcript, start if reverse else start + 1)
        # At the edge of an exon one neighbour is enough.
        if five == 0:
            if three == 0:
                return False
            five = three - 1
        if five < first or five + 1 > last:
            return False
        five += 1
    else:
        five = _exonic(models, transcript, end if reverse else start + 1)
        three = _exonic(models, transcript, start + 1 if reverse else end)
        if five < first or three < first or five > last or three > last:
            return False
        gone = three - five + 1
    reading.at = five - first + reading.phase
    reading.gone = gone
    reading.reverse = reverse
    _open_window(reading)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _exonic(models: Models, transcript: cython.int, position: cython.longlong) -> cython.longlong:
    """The cDNA position of an exonic base, else 0."""
    packed: cython.longlong = place(models, transcript, position)
    return packed >> 31 if (packed & 0x7FFFFFFF) == 0x40000000 else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _load(models: Models, reading: Reading, transcript: cython.int, strict: cython.bint) -> cython.void:
    """Turn `reading` to another transcript."""
    first: cython.longlong = models.cds_cdna_start[transcript]
    flags: cython.longlong = models.transcript_flags[transcript]
    reading.transcript = transcript
    reading.strict = strict
    reading.misread = (
        strict
        and models.transcript_strand[transcript] < 0
        and models.transcript_exon[transcript + 1] - models.transcript_exon[transcript] > 1
    )
    reading.phase = models.transcript_phase[transcript]
    reading.base = models.transcript_mrna[transcript] + first - 1 - reading.phase
    reading.coding = models.cds_cdna_end[transcript] - first + 1 + reading.phase
    reading.known = models.transcript_mrna[transcript + 1] - reading.base
    reading.total = reading.known
    reading.tail = 0
    reading.table = models.transcript_table[transcript]
    reading.misread_table = strict and reading.table != 1
    reading.protein = models.transcript_protein[transcript]
    reading.residues = models.transcript_protein[transcript + 1] - reading.protein
    if not strict and flags & 65536 and reading.coding == reading.known and reading.coding % 3:
        reading.total += 3 - reading.coding % 3
        reading.coding = reading.total
        reading.tail = 3


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _open_window(reading: Reading) -> cython.void:
    """The codons that the edit touches, before and after it."""
    last: cython.longlong
    length: cython.longlong
    reading.first = reading.at // 3
    last = (reading.at + 2) // 3 - 1 if reading.gone == 0 else (reading.at + reading.gone - 1) // 3
    length = 3 * (last + 1)
    if length > reading.coding:
        length = reading.coding
    length -= 3 * reading.first
    if length < 0:
        length = 0
    reading.before = length // 3
    reading.before_rest = length % 3 != 0 and not (reading.before == 1 and reading.codon_before(reading.first) == 42)
    length = 3 * (last - reading.first + 1) + reading.come - reading.gone
    if length > reading.total - reading.gone + reading.come - 3 * reading.first:
        length = reading.total - reading.gone + reading.come - 3 * reading.first
    if length < 0:
        length = 0
    reading.after = length // 3
    reading.after_rest = length % 3 != 0 and not (
        reading.after == 1 and reading.codon_after(reading.first, reading.table) == 42
    )
    reading.begin = 0
    reading.before_end = reading.before + (1 if reading.before_rest else 0)
    reading.after_end = reading.after + (1 if reading.after_rest else 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _clip(reading: Reading) -> cython.void:
    """Take away what both windows begin and end with; nothing when they share a stop."""
    while reading.begin < reading.before_end and reading.begin < reading.after_end:
        if reading.old(reading.begin) != reading.new(reading.begin):
            break
        if reading.old(reading.begin) == 42:
            reading.begin = 0
            return
        reading.begin += 1
    while reading.begin < reading.before_end and reading.begin < reading.after_end:
        if reading.old(reading.before_end - 1) != reading.new(reading.after_end - 1):
            break
        reading.before_end -= 1
        reading.after_end -= 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _same(reading: Reading) -> cython.bint:
    i: cython.longlong
    if reading.before_end != reading.after_end:
        return False
    for i in range(reading.before_end):
        if reading.old(i) != reading.new(i):
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _strict(reading: Reading, pen: Pen, terms: cython.ulonglong) -> cython.bint:
    """Write what VEP writes after `p.`. False where it gives no name."""
    start: cython.longlong = reading.first + 1
    end: cython.longlong = reading.first + reading.before + (1 if reading.before_rest else 0)
    kind: cython.int  # 0 =, 1 substitution, 2 del, 3 ins, 6 delins, 8 frameshift
    old: cython.longlong
    new: cython.longlong
    frameshift: cython.bint = (reading.come - reading.gone) % 3 != 0 and (
        terms & 16 != 0 or terms & 0x140000 == 0  # neither stop_retained nor incomplete_terminal_codon
    )
    if _same(reading):
        kind = 0
    else:
        _clip(reading)
        kind = 6
    start += reading.begin
    old = reading.before_end - reading.begin
    new = reading.after_end - reading.begin
    end = start + old - 1
    if kind and old == 0:
        kind = 3
    elif kind and new == 0:
        kind = 2
    elif kind and old == 1 and new == 1:
        kind = 1
    if frameshift:
        return _strict_frameshift(reading, pen, terms, end)
    if terms & 64:  # start_lost
        if old == 0:  # E-36 again
            reading.write(pen, reading.protein_at(start - 2 if start > 1 else reading.residues - 1))
            reading.write(pen, reading.protein_at(start - 1) if start > 1 else 0)
        _list_old(reading, pen, reading.begin, reading.before_end)
        pen.number(start)
        if start != end:
            pen.put(95)
            pen.put(63)
            pen.number(end)
        else:
            pen.put(63)
        return True
    if kind == 0:
        _list_old(reading, pen, reading.begin, reading.before_end)
        pen.number(start)
        pen.put(61)
        return True
    if terms & 32 and (kind == 1 or kind == 2):  # stop_lost
        _range_old(reading, pen, start, end)
        if kind == 1:
            reading.write(pen, reading.new(reading.begin))
        else:
            _word(pen, 100, 101, 108)
        _extension(reading, pen)
        return True
    if kind == 1:
        reading.write(pen, reading.old(reading.begin))
        pen.number(start)
        reading.write(pen, reading.new(reading.begin))
        return True
    if kind == 2:
        _roll_deletion(reading, old)
        _range_protein(reading, pen, reading.first + reading.begin, old)
        _word(pen, 100, 101, 108)
        return True
    if kind == 3:
        return _strict_insertion(reading, pen, start, new)
    _range_old(reading, pen, start, end)
    _word(pen, 100, 101, 108)
    _word(pen, 105, 110, 115)
    _list_new(reading, pen, reading.begin, reading.after_end)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _word(pen: Pen, a: cython.int, b: cython.int, c: cython.int) -> cython.void:
    pen.put(a)
    pen.put(b)
    pen.put(c)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list_old(reading: Reading, pen: Pen, first: cython.longlong, last: cython.longlong) -> cython.void:
    i: cython.longlong
    for i in range(first, last):
        reading.write(pen, reading.old(i))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list_new(reading: Reading, pen: Pen, first: cython.longlong, last: cython.longlong) -> cython.void:
    """New residues; what follows a stop is not made."""
    i: cython.longlong
    letter: cython.int
    for i in range(first, last):
        letter = reading.new(i)
        reading.write(pen, letter)
        if letter == 42:
            return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _range_old(reading: Reading, pen: Pen, start: cython.longlong, end: cython.longlong) -> cython.void:
    reading.write(pen, reading.old(reading.begin))
    pen.number(start)
    if end > start:
        pen.put(95)
        reading.write(pen, reading.old(reading.before_end - 1))
        pen.number(end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _range_protein(reading: Reading, pen: Pen, first: cython.longlong, length: cython.longlong) -> cython.void:
    """`Ala5` or `Ala5_Cys7`: residues from `first` (counted from 0) of the reference protein."""
    # The first residue is Met whatever codon starts the protein (ATT in MT-ND2); VEP translates that codon like any.
    reading.write(pen, reading.codon_before(first) if first or reading.strict else reading.protein_at(first))
    pen.number(first + 1)
    if length > 1:
        pen.put(95)
        reading.write(pen, reading.codon_before(first + length - 1))
        pen.number(first + length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _extension(reading: Reading, pen: Pen) -> cython.void:
    """`extTer17` or `extTer?`."""
    stop: cython.longlong = reading.first_stop(0, 1)
    _word(pen, 101, 120, 116)
    _word(pen, 84, 101, 114)
    if stop - reading.residues > 0:
        pen.number(stop - reading.residues)
    else:
        pen.put(63)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _roll_deletion(reading: Reading, old: cython.longlong) -> cython.void:
    """Move a deletion to the 3' end, on the protein."""
    first: cython.longlong = reading.first + reading.begin
    while first + old < reading.residues and reading.protein_at(first) == reading.protein_at(first + old):
        first += 1
        reading.begin += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _strict_insertion(reading: Reading, pen: Pen, start: cython.longlong, new: cython.longlong) -> cython.bint:
    """`Ala5_Cys6insGly` or a duplication; `start` is the residue after it."""
    point: cython.longlong = start - 1  # residues before the insertion
    turn: cython.longlong = 0
    i: cython.longlong
    steps: cython.longlong = 0
    has_stop: cython.bint = False
    letter: cython.int
    for i in range(new):
        if reading.new(reading.begin + i) == 42:
            has_stop = True
    while (
        steps <= reading.residues - point - new
        and reading.protein_at(point + steps) == reading.new(reading.begin + steps % new)
        and reading.protein_at(point + steps) != 42
    ):
        steps += 1
    point += steps
    turn = steps % new
    if not has_stop and point >= new:
        i = 0
        while i < new and reading.protein_at(point - new + i) == reading.new(reading.begin + (turn + i) % new):
            i += 1
        if i == new:
            _range_protein(reading, pen, point - new, new)
            _word(pen, 100, 117, 112)
            return True
    if point >= reading.residues and (
        reading.before == 0 or reading.codon_before(reading.first + reading.before - 1) != 42
    ):
        return False  # between the last codon and the stop VEP finds no neighbours
    # Before the first residue VEP finds the last one, on both sides (E-36).
    reading.write(pen, reading.protein_at(point - 1 if point else reading.residues - 1))
    pen.number(point)
    pen.put(95)
    reading.write(pen, reading.protein_at(point or reading.residues - 1))
    pen.number(point + 1)
    _word(pen, 105, 110, 115)
    for i in range(new):
        letter = reading.new(reading.begin + (turn + i) % new)
        reading.write(pen, letter)
        if letter == 42:
            break
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _strict_frameshift(reading: Reading, pen: Pen, terms: cython.ulonglong, end: cython.longlong) -> cython.bint:
    """The first changed residue, and how far the new stop is. VEP reads with the standard table (E-6)."""
    residue: cython.longlong = reading.first
    old: cython.int
    new: cython.int
    stop: cython.longlong
    while True:
        old = reading.protein_at(residue)
        new = reading.codon_after(residue, 1)
        if new == 0 or old != new:
            break
        if old == 42:
            reading.write(pen, 42)
            pen.number(residue + 1)
            pen.put(61)
            return True
        residue += 1
    if terms & 64:
        reading.write(pen, old)
        pen.number(residue + 1)
        if residue + 1 != end:
            pen.put(95)
            pen.put(63)
            pen.number(end)
        else:
            pen.put(63)
        return True
    if new == 0 and residue > reading.first:
        reading.write(pen, reading.protein_at(residue - 1))
        pen.number(residue + 1)
        reading.write(pen, reading.codon_after(residue - 1, 1))
        pen.put(102)
        pen.put(115)
        _word(pen, 84, 101, 114)
        pen.put(63)
        return True
    if new == 0:
        _range_old(reading, pen, residue + 1, end)
        _word(pen, 100, 101, 108)
        if terms & 32:
            _extension(reading, pen)
        return True
    reading.write(pen, old)
    pen.number(residue + 1)
    reading.write(pen, new)
    if new == 42:
        return True
    pen.put(102)
    pen.put(115)
    _word(pen, 84, 101, 114)
    stop = reading.first_stop(0, 1)
    if stop >= residue and residue > 0:
        pen.number(stop - residue + 1)
    else:
        pen.put(63)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _synonymous(reading: Reading, pen: Pen, first: cython.longlong, length: cython.longlong) -> cython.int:
    """`Ser81=`; several residues as a range, where VEP lists them (E-33)."""
    _range_protein(reading, pen, first, length)
    pen.put(61)
    return 33 if length > 1 else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new_residue(reading: Reading, codon: cython.longlong) -> cython.int:
    """A residue after the edit, by the contig's own table; the first is Met where its codon may start a protein."""
    if codon == 0 and reading.phase == 0 and _starts(reading, 0):
        return 77
    return reading.codon_after(codon, reading.table)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _starts(reading: Reading, codon: cython.longlong) -> cython.bint:
    """Whether a protein may start at this codon after the edit, by the contig's own table."""
    i: cython.longlong = 3 * codon
    return (
        reading.models.starts[
            125 * reading.table + 25 * reading.base_after(i) + 5 * reading.base_after(i + 1) + reading.base_after(i + 2)
        ]
        != 0
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _starts_later(reading: Reading, gain: cython.longlong) -> cython.bint:
    """Whether an insertion into the start codon puts bases before it and leaves it whole, `gain` codons further on."""
    i: cython.longlong
    if not _starts(reading, gain):
        return False
    for i in range(1, reading.before):
        if reading.codon_after(gain + i, reading.table) != reading.protein_at(i):
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unknown(pen: Pen) -> cython.int:
    """`p.?`: nobody can tell from the transcript what is made, and HGVS has no form that says more."""
    pen.put(63)
    return 39


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _right(reading: Reading, pen: Pen, terms: cython.ulonglong) -> cython.int:
    """Write what stands after `p.`. Returns the exception if VEP writes this kind otherwise, -1 for no name."""
    residue: cython.longlong = reading.first
    if terms & 64:  # start_lost
        _word(pen, 77, 101, 116)
        pen.put(49)
        pen.put(63)
        return 3
    if (reading.come - reading.gone) % 3:
        return _right_frameshift(reading, pen)
    if reading.before_rest:
        return -1  # nobody knows the codon that the end of the transcript cuts
    if _same(reading):
        if reading.old(0) == 88:
            return -1  # nor the one that its beginning cuts
        return _synonymous(reading, pen, residue, reading.before)
    return _right_in_frame(reading, pen)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _right_frameshift(reading: Reading, pen: Pen) -> cython.int:
    residue: cython.longlong = reading.first
    old: cython.int = reading.protein_at(residue)
    new: cython.int = _new_residue(reading, residue)
    stop: cython.longlong
    while old == new and old != 42 and old != 0:
        residue += 1
        old = reading.protein_at(residue)
        new = reading.codon_after(residue, reading.table)
    if old == 0:
        return -1  # the transcript ends before anything changes
    if old == 42 and old != new:
        return _new_end(reading, pen, residue)
    reading.write(pen, old)
    pen.number(residue + 1)
    if old == new:
        pen.put(61)
        return 5
    if new == 0:
        pen.put(102)
        pen.put(115)
        _word(pen, 84, 101, 114)
        pen.put(63)
        return 5
    reading.write(pen, new)
    if new == 42:
        return 1
    pen.put(102)
    pen.put(115)
    _word(pen, 84, 101, 114)
    stop = reading.first_stop(residue, reading.table)
    if stop >= 0:
        pen.number(stop - residue + 1)
    else:
        pen.put(63)
    return 31


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _right_in_frame(reading: Reading, pen: Pen) -> cython.int:
    """As many residues as codons: walk to the first that differs, then cut the common end away."""
    first: cython.longlong = reading.first
    old_end: cython.longlong = first + reading.before
    new_end: cython.longlong = first + reading.after
    gain: cython.longlong = new_end - old_end
    old: cython.int = reading.protein_at(first)
    new: cython.int = _new_residue(reading, first)
    if first == 0 and gain > 0 and old == 77 and new != 77 and reading.phase == 0 and _starts_later(reading, gain):
        reading.write(pen, 77)
        pen.number(1)
        pen.put(61)
        return 41
    while old == new and old != 42 and old != 0:
        first += 1
        old = reading.protein_at(first)
        new = reading.codon_after(first, reading.table)
    if old == 0:
        return -1
    if old == new and gain == 0:  # another codon that starts a protein: its residue is Met all the same
        return _synonymous(reading, pen, reading.first, reading.before)
    if old == new:
        reading.write(pen, 42)
        pen.number(first + 1)
        pen.put(61)
        return 38
    # Past the window both run in step, so what is left there is the insertion or deletion itself.
    if gain < 0 and first >= new_end:
        old_end = first - gain
        new_end = first
    elif gain > 0 and first >= old_end:
        old_end = first
        new_end = first + gain
    else:
        while (
            old_end > first
            and new_end > first
            and reading.protein_at(old_end - 1) == reading.codon_after(new_end - 1, reading.table)
        ):
            old_end -= 1
            new_end -= 1
    return _right_change(reading, pen, first, old_end, new_end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _right_change(
    reading: Reading, pen: Pen, first: cython.longlong, old_end: cython.longlong, new_end: cython.longlong
) -> cython.int:
    """Residues [first, old_end) become [first, new_end)."""
    old: cython.longlong = old_end - first
    new: cython.longlong = new_end - first
    i: cython.longlong = first
    stopped: cython.bint
    while i < new_end and reading.codon_after(i, reading.table) != 42:
        i += 1
    stopped = i < new_end
    if stopped and i == first:
        reading.write(pen, reading.protein_at(first))  # a stop at once is nonsense, however it came
        pen.number(first + 1)
        reading.write(pen, 42)
        return 0 if old == 1 and new == 1 else 40
    if old_end > reading.residues and not stopped:
        return _read_on(reading, pen, first, new)
    if old == 0:
        if not stopped and _repeats(reading, first, new):
            _range_protein(reading, pen, first - new, new)
            _word(pen, 100, 117, 112)
            return 36
        reading.write(pen, reading.protein_at(first - 1))
        pen.number(first)
        pen.put(95)
        reading.write(pen, reading.protein_at(first))
        pen.number(first + 1)
        _word(pen, 105, 110, 115)
        _list_after(reading, pen, first, new_end)
        return 36
    _range_protein(reading, pen, first, old)
    if old == 1 and new == 1:
        reading.write(pen, reading.codon_after(first, reading.table))
        return 0
    _word(pen, 100, 101, 108)
    if new:
        _word(pen, 105, 110, 115)
        _list_after(reading, pen, first, new_end)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _read_on(reading: Reading, pen: Pen, first: cython.longlong, new: cython.longlong) -> cython.int:
    """The stop is lost in frame, and residues change from `first` on, `new` of them in the codons of the edit.

    Where the stop is the first that changes, this is an extension. Where residues before it go too, HGVS has no form of
    its own, but the two proteins differ as in any deletion or insertion: all is listed up to the new stop.
    """
    old_end: cython.longlong = reading.residues
    new_end: cython.longlong
    if first == old_end:
        _new_end(reading, pen, first)
        return 11 if new > 1 else 31 if new == 1 else 39
    new_end = reading.first_stop(first, reading.table)
    if new_end < 0 or new_end - first > LISTED:
        return _unknown(pen)
    while (
        old_end > first
        and new_end > first
        and reading.protein_at(old_end - 1) == reading.codon_after(new_end - 1, reading.table)
    ):
        old_end -= 1
        new_end -= 1
    if new_end == first and reading.codon_after(first, reading.table) == 42:
        new_end += 1  # the stop follows at once, behind what is deleted
    _right_change(reading, pen, first, old_end, new_end)
    return 39


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new_end(reading: Reading, pen: Pen, first: cython.longlong) -> cython.int:
    """`Ter277LeuextTer17`: the stop at `first` becomes a residue, and the protein ends so many residues later."""
    letter: cython.int = reading.codon_after(first, reading.table)
    if letter == 0:
        return _unknown(pen)
    reading.write(pen, 42)
    pen.number(first + 1)
    reading.write(pen, letter)
    _right_extension(reading, pen, first)
    return 39


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _repeats(reading: Reading, first: cython.longlong, length: cython.longlong) -> cython.bint:
    """Whether the residues inserted at `first` repeat those just before."""
    i: cython.longlong
    if first < length:
        return False
    for i in range(length):
        if reading.protein_at(first - length + i) != reading.codon_after(first + i, reading.table):
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list_after(reading: Reading, pen: Pen, first: cython.longlong, last: cython.longlong) -> cython.void:
    """New residues; what follows a stop is not made."""
    i: cython.longlong
    letter: cython.int
    for i in range(first, last):
        letter = reading.codon_after(i, reading.table)
        reading.write(pen, letter)
        if letter == 42:
            return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _right_extension(reading: Reading, pen: Pen, first: cython.longlong) -> cython.void:
    stop: cython.longlong = reading.first_stop(first, reading.table)
    _word(pen, 101, 120, 116)
    _word(pen, 84, 101, 114)
    if stop > reading.residues:
        pen.number(stop - reading.residues)
    else:
        pen.put(63)


def write_protein(
    genes: Genes,
    variants: Variants,
    pair_variant,
    pair_transcript,
    pair_terms,
    pair_vep_terms,
    pairs: int,
    strict: bool,
    brackets: bool,
    escape: bool,
    out,
    offsets,
    notes,
    first: int,
) -> int:
    """HGVS p. of pairs from `first` on; an empty name where there is none. Returns how far `out` sufficed.

    `notes` receives the number of the exception where VEP writes another name; nothing is noted in strict mode.
    """
    models: Models = genes.models
    pen: Pen = Pen(out)
    reading: Reading = Reading(models, variants.text)
    forward: Edit = Edit()
    backward: Edit = Edit()
    vep_forward: Edit = Edit()
    vep_backward: Edit = Edit()
    which_variant: cython.const[cython.int][::1] = pair_variant
    which_transcript: cython.const[cython.int][::1] = pair_transcript
    right: cython.const[cython.ulonglong][::1] = pair_terms
    vep: cython.const[cython.ulonglong][::1] = pair_vep_terms
    ends: cython.longlong[::1] = offsets
    noted: cython.uchar[::1] = notes
    exact: cython.bint = strict
    in_brackets: cython.bint = brackets
    in_escape: cython.bint = escape
    pair: cython.Py_ssize_t = first
    count: cython.Py_ssize_t = pairs
    transcript: cython.int
    row: cython.longlong
    begin: cython.Py_ssize_t
    middle: cython.Py_ssize_t
    note: cython.int
    pen.at = ends[first]
    with cython.nogil:
        while pair < count:
            transcript = which_transcript[pair]
            row = which_variant[pair]
            noted[pair] = 0
            if transcript >= 0 and models.cds_cdna_start[transcript] and _may_change(models, variants, row, transcript):
                if pen.room - pen.at < 500 + 4 * (variants.alt_length[row] + variants.ref_length[row]) + (
                    genes.protein_name_offset[transcript + 1] - genes.protein_name_offset[transcript]
                ):
                    break
                begin = pen.at
                _prefix(genes, pen, transcript, in_brackets)
                middle = pen.at
                note = 0
                if exact:
                    if not (
                        _hold(genes, variants, reading, forward, backward, row, transcript, True)
                        and _strict(reading, pen, vep[pair])
                    ):
                        note = -1
                else:
                    note = -1
                    if _hold(genes, variants, reading, forward, backward, row, transcript, False) or right[pair] & 64:
                        note = _right(reading, pen, right[pair])
                    if note < 0:
                        pen.at = middle
                    if note < 0 or _may_differ(variants, row, right[pair] | vep[pair]):
                        noted[pair] = _difference(
                            genes,
                            variants,
                            reading,
                            pen,
                            vep_forward,
                            vep_backward,
                            row,
                            transcript,
                            vep[pair],
                            middle,
                            note,
                        )
                if note < 0:
                    pen.at = begin
                else:
                    _finish(pen, middle, in_brackets, in_escape)
            pair += 1
            ends[pair] = pen.at
    return pair


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _may_differ(variants: Variants, row: cython.longlong, terms: cython.ulonglong) -> cython.bint:
    """Whether VEP's name may be another one. A plain substitution within the protein is named alike."""
    if variants.kind[row] > 0:
        return True
    return terms & 0x1C0060 != 0  # start or stop lost or retained, incomplete terminal codon


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _difference(
    genes: Genes,
    variants: Variants,
    reading: Reading,
    pen: Pen,
    forward: Edit,
    backward: Edit,
    row: cython.longlong,
    transcript: cython.int,
    terms: cython.ulonglong,
    begin: cython.Py_ssize_t,
    note: cython.int,
) -> cython.int:
    """The exception under which VEP's name differs from the one that was written from `begin` on; 0 for none.

    VEP's name is written behind ours, compared and taken back.
    """
    end: cython.Py_ssize_t = pen.at
    length: cython.Py_ssize_t
    i: cython.Py_ssize_t = 0
    placed: cython.bint = _hold(genes, variants, reading, forward, backward, row, transcript, True)
    named: cython.bint = placed and _strict(reading, pen, terms)
    length = pen.at - end if named else 0
    pen.at = end
    if length == end - begin:
        while i < length and pen.out[begin + i] == pen.out[end + i]:
            i += 1
        if i == length:
            return 0
    if terms & 64:
        if note == 3:
            return 3 if named else 37
        return 14 if reading.table != 1 else 8
    if note >= 0 and reading.first == 0 and reading.phase == 0 and _unusual_start(reading):
        return 14
    if terms & 0x40000 and note >= 0:  # incomplete_terminal_codon: poly(A) completes it
        return 15
    if backward.clipped if reading.reverse else forward.clipped:
        return 17
    if not placed:
        return 37
    if note < 0:
        return 34
    if note == 1 and (reading.come - reading.gone) % 3 and terms & 0x100000:
        return 1
    if note >= 39:
        return note
    if reading.table != 1:
        return 6
    if reading.turn == 0 and reading.gone == 0 and reading.reverse and note != 36 and backward.steps > backward.length:
        return 35
    if note == 1 or note == 0:
        return 37
    return note


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unusual_start(reading: Reading) -> cython.bint:
    """Whether the protein starts with a codon other than ATG, which VEP reads as any other codon."""
    first: cython.int = reading.base_before(0)
    second: cython.int = reading.base_before(1)
    third: cython.int = reading.base_before(2)
    if first == 0 and second == 3 and third == 2:
        return False
    return reading.models.starts[125 * reading.table + 25 * first + 5 * second + third] != 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _prefix(genes: Genes, pen: Pen, transcript: cython.int, brackets: cython.bint) -> cython.void:
    """The accession of the protein; where the annotation has none, that of its transcript, as HGVS allows."""
    if genes.protein_name_offset[transcript] < genes.protein_name_offset[transcript + 1]:
        pen.copy(genes.protein_name, genes.protein_name_offset[transcript], genes.protein_name_offset[transcript + 1])
    else:
        pen.copy(genes.name, genes.name_offset[transcript], genes.name_offset[transcript + 1])
    pen.put(58)
    pen.put(112)
    pen.put(46)
    if brackets:
        pen.put(40)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _finish(pen: Pen, begin: cython.Py_ssize_t, brackets: cython.bint, escape: cython.bint) -> cython.void:
    if brackets and pen.at == begin + 1 and pen.out[begin] == 63:
        pen.at = begin - 1  # what is not known is no prediction: p.?
        pen.put(63)
        return
    if escape and pen.out[pen.at - 1] == 61:
        pen.at -= 1
        _word(pen, 37, 51, 68)  # %3D
    if brackets:
        pen.put(41)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hold(
    genes: Genes,
    variants: Variants,
    reading: Reading,
    forward: Edit,
    backward: Edit,
    row: cython.longlong,
    transcript: cython.int,
    strict: cython.bint,
) -> cython.bint:
    """Read transcript and variant. False where the variant has no two ends in the coding sequence, or no name."""
    if genes.models.transcript_strand[transcript] < 0:
        if backward.variant != row:
            describe(genes, backward, variants, row, True, strict, not strict, -1, 0)
        return _hold_edit(genes, variants, reading, backward, row, transcript, strict)
    if forward.variant != row:
        describe(genes, forward, variants, row, False, strict, not strict, 0, 0x7FFFFFFFFFFF)
    return _hold_edit(genes, variants, reading, forward, row, transcript, strict)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hold_edit(
    genes: Genes,
    variants: Variants,
    reading: Reading,
    edit: Edit,
    row: cython.longlong,
    transcript: cython.int,
    strict: cython.bint,
) -> cython.bint:
    start: cython.longlong = edit.start
    end: cython.longlong = edit.end
    steps: cython.longlong
    reverse: cython.bint = genes.models.transcript_strand[transcript] < 0
    if edit.kind == 0:
        return False
    _load(genes.models, reading, transcript, strict)
    reading.alt = edit.alt
    reading.come = edit.length
    reading.turn = edit.turn
    if strict:
        if edit.steps > edit.length and reverse:
            reading.turn = 0  # E-35
        if variants.ref_length[row] and variants.alt_length[row]:
            start = variants.start[row] - 1
            end = start + variants.ref_length[row]
            reading.alt = variants.alt[row]
            reading.come = variants.alt_length[row]
    if edit.kind == 4 and edit.copies == 0:  # a duplication inserts behind the bases that it copies
        if reverse:
            end = start
        else:
            start = end
    if not strict and edit.steps:
        # What happens to the protein does not depend on where in a repeat the variant is put. It is read where it was
        # given, as its consequence is, and only if that is outside of the coding sequence where it is named.
        reading.turn = 0
        steps = -edit.steps if reverse else edit.steps
        if _place_edit(genes.models, reading, transcript, start - steps, end - steps):
            return True
        reading.turn = edit.turn
        # A variant before the start codon may be named within it, and leaves it what it was.
        return _place_edit(genes.models, reading, transcript, start, end) and reading.at >= reading.phase + 3
    return _place_edit(genes.models, reading, transcript, start, end)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _may_change(models: Models, variants: Variants, row: cython.longlong, transcript: cython.int) -> cython.bint:
    """Whether the variant, or a neighbour of an insertion, overlaps an exon and the coding region."""
    low: cython.int = variants.start[row]
    high: cython.int = low + variants.ref_length[row] - 1
    slack: cython.int = 12 if models.transcript_flags[transcript] & 2048 else 0
    exon: cython.int
    if high < models.transcript_start[transcript] or low > models.transcript_end[transcript]:
        return False
    if high < low:
        high = low
        low -= 1
    if low > models.coding_end[transcript] or high < models.coding_start[transcript]:
        return False
    exon = models.exon_before(transcript, high + slack)
    return exon >= models.transcript_exon[transcript] and models.exon_end[exon] + slack >= low

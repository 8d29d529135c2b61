# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# (annotations are Cython's here: `type[::1]` is contiguous memory; the types of the classes are in `naming.pxd`)
# ruff: noqa: SIM108 (C's idioms, not Python's)
"""Names of variants on the genome and on transcripts, as text: HGVS g., m., c. and n., and SPDI.

A name is made in two steps. `describe` looks at one variant in one direction: it rolls it to the 3' end and finds its
type (substitution, deletion, duplication ...). That is done once for each variant and strand. `write_coding` then turns
the two ends into transcript positions, once for each transcript, and writes the text. Nothing here makes an object per
variant. Called by `names` only.

`strict` follows Ensembl VEP 115 to the letter; `docs/reference/hgvs-names.md` lists where that differs.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.genescale.genomics.kernels.models import Models
    from cython.cimports.genescale.genomics.kernels.normalise import Sequence
else:
    from genescale.genomics.kernels.models import Models
    from genescale.genomics.kernels.normalise import Sequence

COMPILED: bool = cython.compiled

NO_LIMIT = 1 << 62

# Types of an edit. Compiled loops write the numbers themselves: they touch no Python name.
NOTHING = 0
SUBSTITUTION = 1
DELETION = 2
INSERTION = 3
DUPLICATION = 4
INVERSION = 5
DELINS = 6
REPEAT = 7

_COMPLEMENT = bytearray(range(256))
for _one, _other in zip(b"ACGTUMRWSYKVHDBN", b"TGCAAKYWSRMBDHVN", strict=True):
    _COMPLEMENT[_one] = _other


@cython.cclass
class Genes:
    """One bundle as naming reads it: its gene models and its names. Holds views only, so threads may share one."""

    def __init__(self, models: Models, sequence: Sequence, texts: dict):
        self.models = models
        self.sequence = sequence
        self.name = texts["transcript_name_text"]
        self.name_offset = texts["transcript_name_offset"]
        self.protein_name = texts["protein_name_text"]
        self.protein_name_offset = texts["protein_name_offset"]
        self.contig_name = texts["contig_name_text"]
        self.contig_name_offset = texts["contig_name_offset"]
        self.contig_mitochondrial = texts["contig_mitochondrial"]
        self.contig_circle = texts["contig_circle"]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def place(models: Models, transcript: cython.int, position: cython.longlong) -> cython.longlong:
    """Where a genomic position (1-based) lies on a transcript: cDNA position << 31 | intron offset + 2**30.

    An intron base counts from the nearer exon end, and from the upstream one at a tie. 0 outside of the transcript.
    """
    low: cython.int = models.transcript_exon[transcript]
    high: cython.int = models.transcript_exon[transcript + 1]
    first: cython.int = low
    end: cython.int = high
    middle: cython.int
    before: cython.longlong
    after: cython.longlong
    cdna: cython.longlong
    offset: cython.longlong = 0
    while low < high:  # the first exon that ends at or after the position
        middle = (low + high) >> 1
        if models.exon_end[middle] < position:
            low = middle + 1
        else:
            high = middle
    if low == end:
        return 0
    if models.exon_start[low] <= position:
        if models.transcript_strand[transcript] > 0:
            cdna = models.exon_cdna[low] + (position - models.exon_start[low])
        else:
            cdna = models.exon_cdna[low] + (models.exon_end[low] - position)
    elif low == first:
        return 0
    else:
        before = position - models.exon_end[low - 1]
        after = models.exon_start[low] - position
        if models.transcript_strand[transcript] > 0:
            if before <= after:
                cdna = models.exon_cdna[low - 1] + (models.exon_end[low - 1] - models.exon_start[low - 1])
                offset = before
            else:
                cdna = models.exon_cdna[low]
                offset = -after
        elif after <= before:
            cdna = models.exon_cdna[low] + (models.exon_end[low] - models.exon_start[low])
            offset = after
        else:
            cdna = models.exon_cdna[low - 1]
            offset = -before
    return (cdna << 31) + offset + 0x40000000


@cython.cclass
class Variants:
    """The columns of one batch that naming reads."""

    def __init__(self, columns: dict):
        self.record = columns["record"]
        self.contig = columns["contig"]
        self.start = columns["start"]
        self.kind = columns["kind"]
        self.flags = columns["flags"]
        self.ref = columns["ref_offset"]
        self.ref_length = columns["ref_length"]
        self.alt = columns["alt_offset"]
        self.alt_length = columns["alt_length"]
        self.text = columns["text"]
        self.count = columns["count"]


@cython.cclass
class Edit:
    """One variant seen in one direction: its type, and its interbase span [start, end) on the forward strand.

    The new bases are text[alt + (turn + i) % length] on the forward strand. `steps` is how far it was rolled. A
    duplication's span is that of the copied bases; for an insertion start = end.
    """

    def __init__(self):
        self.variant = -1
        self.kind = 0


@cython.cclass
class Pen:
    """Where names are written. Callers see to it that there is room."""

    def __init__(self, out):
        self.out = out
        self.at = 0
        self.room = len(out)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def put(self, letter: cython.int) -> cython.void:
        self.out[self.at] = letter
        self.at += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def number(self, value: cython.longlong) -> cython.void:
        digits: cython.int = 1
        rest: cython.longlong
        i: cython.int
        if value < 0:
            self.put(45)  # -
            value = -value
        rest = value
        while rest >= 10:
            rest = rest // 10
            digits += 1
        for i in range(digits):
            self.out[self.at + digits - 1 - i] = 48 + value % 10
            value = value // 10
        self.at += digits

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def copy(self, text: cython.const[cython.uchar][::1], first: cython.longlong, last: cython.longlong) -> cython.void:
        i: cython.longlong
        at: cython.Py_ssize_t = self.at
        for i in range(first, last):
            self.out[at] = text[i]
            at += 1
        self.at = at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _complement(letter: cython.int) -> cython.int:
    if letter == 65:
        return 84
    if letter == 67:
        return 71
    if letter == 71:
        return 67
    if letter == 84:
        return 65
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_plain(text: cython.const[cython.uchar][::1], first: cython.longlong, length: cython.longlong) -> cython.bint:
    i: cython.longlong
    for i in range(first, first + length):
        if _complement(text[i]) == 0:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def describe(
    genes: Genes,
    edit: Edit,
    variants: Variants,
    row: cython.longlong,
    reverse: cython.bint,
    strict: cython.bint,
    whole: cython.bint,
    low: cython.longlong,
    high: cython.longlong,
) -> cython.void:
    """Fill `edit` with variant `row` as it is named in one direction.

    `whole` trims alleles of unequal length before their type is judged, as HGVS asks. VEP does that for g., not for c.

    It is rolled to its 3' end, but stays within the 0-based bases [low, high). `edit.kind` 0 means that it has no name:
    structural, ambiguous bases, nothing changed, or on no known contig.
    """
    text: cython.const[cython.uchar][::1] = variants.text
    ref: cython.longlong = variants.ref[row]
    n: cython.longlong = variants.ref_length[row]
    alt: cython.longlong = variants.alt[row]
    m: cython.longlong = variants.alt_length[row]
    start: cython.longlong = variants.start[row] - 1
    kind: cython.int = 0
    clip: cython.bint = whole
    i: cython.longlong
    segment: cython.longlong

    edit.variant = row
    edit.kind = 0
    edit.turn = 0
    edit.steps = 0
    edit.copies = 0
    edit.single = n == 1 and m == 1
    edit.clipped = False
    if variants.kind[row] >= 5 or variants.contig[row] < 0 or variants.flags[row] & 64:
        return
    if not _is_plain(text, alt, m) or (not strict and not _is_plain(text, ref, n)):
        return
    if n == m:
        i = 0
        while i < n and text[ref + i] == text[alt + i]:
            i += 1
        if i == n:
            return  # nothing changed
        if n == 1:
            kind = 1
        else:
            i = 0
            while i < n and _complement(text[ref + i]) == text[alt + n - 1 - i]:
                i += 1
            kind = 5 if i == n else 6
            clip = True
    elif n > 0 and m > 0:
        kind = 6
        if not whole and m % n == 0:
            i = 0
            while i < m and text[alt + i] == text[ref + i % n]:
                i += 1
            if i == m:
                kind = 4 if m == 2 * n else 7
                edit.copies = m // n
        clip = kind == 6
    if clip:
        if reverse:
            while n > 0 and m > 0 and text[ref + n - 1] == text[alt + m - 1]:
                n -= 1
                m -= 1
            while n > 0 and m > 0 and text[ref] == text[alt]:
                ref += 1
                alt += 1
                n -= 1
                m -= 1
                start += 1
        else:
            while n > 0 and m > 0 and text[ref] == text[alt]:
                ref += 1
                alt += 1
                n -= 1
                m -= 1
                start += 1
            while n > 0 and m > 0 and text[ref + n - 1] == text[alt + m - 1]:
                n -= 1
                m -= 1
        if kind == 6 and n == 1 and m == 1:
            kind = 1
    edit.start = start
    edit.end = start + n
    edit.alt = alt
    edit.length = m
    if n > 0 and m > 0:
        edit.kind = kind
        return
    segment = genes.sequence.segment(variants.contig[row], start)
    # VEP judges the type before it clips: what becomes an insertion or deletion only then is not rolled.
    edit.clipped = kind != 0
    if kind == 0 or whole:
        _roll(genes.sequence, segment, edit, text, reverse, strict, low, high)
    edit.kind = 3 if n == 0 else 2
    if n == 0:
        _find_duplication(genes.sequence, segment, edit, text, reverse)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _roll(
    sequence: Sequence,
    segment: cython.longlong,
    edit: Edit,
    text: cython.const[cython.uchar][::1],
    reverse: cython.bint,
    strict: cython.bint,
    low: cython.longlong,
    high: cython.longlong,
) -> cython.void:
    """Move an insertion or deletion to its 3' end; VEP looks 1,000 bases far."""
    width: cython.longlong = edit.end - edit.start
    limit: cython.longlong
    steps: cython.longlong
    reach: cython.longlong
    if reverse:
        limit = edit.start - low - (1 if width == 0 else 0)
    else:
        limit = high - edit.end - (1 if width == 0 else 0)
    if strict:
        reach = 1000 - (width + edit.length)
        if reach < 0:
            reach = 1000
        if limit > reach + 1:
            limit = reach + 1
    if segment < 0 or limit <= 0:
        return
    if reverse:
        steps = sequence.roll_left(segment, edit.start, edit.end, text, edit.alt, edit.length, limit)
        edit.start -= steps
        edit.end -= steps
        if width == 0:
            edit.turn = (edit.length - steps % edit.length) % edit.length
    else:
        steps = sequence.roll_right(segment, edit.start, edit.end, text, edit.alt, edit.length, limit)
        edit.start += steps
        edit.end += steps
        if width == 0:
            edit.turn = steps % edit.length
    edit.steps = steps


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _find_duplication(
    sequence: Sequence,
    segment: cython.longlong,
    edit: Edit,
    text: cython.const[cython.uchar][::1],
    reverse: cython.bint,
) -> cython.void:
    """An insertion that repeats the bases just before it, in the direction of the name, duplicates them."""
    i: cython.longlong
    base: cython.longlong = edit.start if reverse else edit.start - edit.length
    index: cython.longlong = edit.turn
    code: cython.int
    for i in range(edit.length):
        code = sequence.code(segment, base + i)
        if code == 0 or code != sequence.code_of[text[edit.alt + index]]:
            return
        index += 1
        if index == edit.length:
            index = 0
    edit.kind = 4
    edit.start = base
    edit.end = base + edit.length


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _bases(pen: Pen, text: cython.const[cython.uchar][::1], edit: Edit, reverse: cython.bint) -> cython.void:
    """The new bases, in the direction of the name."""
    _: cython.longlong
    index: cython.longlong = edit.turn
    if reverse:
        for _ in range(edit.length):
            index -= 1
            if index < 0:
                index = edit.length - 1
            pen.put(_complement(text[edit.alt + index]))
    else:
        for _ in range(edit.length):
            pen.put(text[edit.alt + index])
            index += 1
            if index == edit.length:
                index = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _edit_text(pen: Pen, text: cython.const[cython.uchar][::1], edit: Edit, reverse: cython.bint) -> cython.void:
    """What follows the position: `del`, `dup`, `insAC` ... A substitution writes its own."""
    kind: cython.int = edit.kind
    if kind == 2 or kind == 6:
        pen.put(100)
        pen.put(101)
        pen.put(108)
        if kind == 6:
            pen.put(105)
            pen.put(110)
            pen.put(115)
            _bases(pen, text, edit, reverse)
    elif kind == 3:
        pen.put(105)
        pen.put(110)
        pen.put(115)
        _bases(pen, text, edit, reverse)
    elif kind == 4:
        pen.put(100)
        pen.put(117)
        pen.put(112)
    elif kind == 5:
        pen.put(105)
        pen.put(110)
        pen.put(118)
    elif kind == 7:
        pen.put(91)
        pen.number(edit.copies)
        pen.put(93)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _substitution(
    pen: Pen, text: cython.const[cython.uchar][::1], ref: cython.int, edit: Edit, reverse: cython.bint
) -> cython.void:
    alt: cython.int = text[edit.alt]
    pen.put(_complement(ref) if reverse else ref)
    pen.put(62)
    pen.put(_complement(alt) if reverse else alt)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _ref_letter(variants: Variants, row: cython.longlong, edit: Edit) -> cython.int:
    """The reference base of a substitution, as the variant gives it."""
    return variants.text[variants.ref[row] + edit.start - (variants.start[row] - 1)]


def write_genomic(
    genes: Genes,
    variants: Variants,
    strict: bool,
    out,
    offsets,
    steps,
    first: int,
) -> int:
    """HGVS g. or m. of variants from `first` on; an empty name where there is none. Returns how far `out` sufficed.

    `offsets[row]` to `offsets[row + 1]` is the name of a row; `offsets[first]` says where to begin. `steps` receives
    how far each was rolled.
    """
    pen: Pen = Pen(out)
    edit: Edit = Edit()
    ends: cython.longlong[::1] = offsets
    rolled: cython.int[::1] = steps
    exact: cython.bint = strict
    row: cython.Py_ssize_t = first
    count: cython.Py_ssize_t = variants.count
    contig: cython.int
    segment: cython.longlong
    low: cython.longlong
    high: cython.longlong
    text: cython.const[cython.uchar][::1] = variants.text
    pen.at = ends[first]
    with cython.nogil:
        while row < count:
            contig = variants.contig[row]
            rolled[row] = 0
            if contig >= 0:
                if (
                    pen.room - pen.at
                    < 100
                    + variants.alt_length[row]
                    + genes.contig_name_offset[contig + 1]
                    - genes.contig_name_offset[contig]
                ):
                    break
                segment = genes.sequence.segment(contig, variants.start[row] - 1)
                low = 0
                high = 0
                if segment >= 0:
                    low = genes.sequence.segment_start[segment]
                    high = genes.sequence.segment_end[segment] + (1 if variants.ref_length[row] == 0 else 0)
                describe(genes, edit, variants, row, False, exact, True, low, high)
                if exact and edit.kind and _has_siblings(variants, row, count):
                    _leave_alt_whole(variants, edit, row)
                if edit.kind:
                    rolled[row] = edit.steps
                    _genomic_name(
                        genes, variants, pen, edit, row, contig, text, 0 if exact else genes.contig_circle[contig]
                    )
            row += 1
            ends[row] = pen.at
    return row


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _leave_alt_whole(variants: Variants, edit: Edit, row: cython.longlong) -> cython.void:
    """VEP on one of several ALTs as long as REF: it trims REF, but not ALT, and judges again (strict mode only)."""
    text: cython.const[cython.uchar][::1] = variants.text
    alt: cython.longlong = variants.alt[row]
    m: cython.longlong = variants.alt_length[row]
    if m < 2 or m != variants.ref_length[row] or (edit.kind == 6 and edit.length == m):
        return
    ref: cython.longlong = variants.ref[row] + edit.start - (variants.start[row] - 1)
    n: cython.longlong = edit.end - edit.start
    while n > 0 and text[ref] == text[alt]:
        ref += 1
        alt += 1
        n -= 1
        m -= 1
        edit.start += 1
    while n > 0 and text[ref + n - 1] == text[alt + m - 1]:
        n -= 1
        m -= 1
    edit.end = edit.start + n
    edit.alt = alt
    edit.length = m
    edit.kind = 6 if n else 3


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _genomic_name(
    genes: Genes,
    variants: Variants,
    pen: Pen,
    edit: Edit,
    row: cython.longlong,
    contig: cython.int,
    text: cython.const[cython.uchar][::1],
    circle: cython.longlong,
) -> cython.void:
    """The name on the genome. `circle` is the length of a circular contig, whose last base is followed by the first."""
    pen.copy(genes.contig_name, genes.contig_name_offset[contig], genes.contig_name_offset[contig + 1])
    pen.put(58)
    pen.put(109 if genes.contig_mitochondrial[contig] else 103)
    pen.put(46)
    if edit.kind == 3:
        pen.number(edit.start)
        pen.put(95)
        pen.number(_around(edit.start + 1, circle))
    else:
        pen.number(_around(edit.start + 1, circle))
        if edit.end > edit.start + 1:
            pen.put(95)
            pen.number(_around(edit.end, circle))
    if edit.kind == 1:
        _substitution(pen, text, _ref_letter(variants, row, edit), edit, False)
    else:
        _edit_text(pen, text, edit, False)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _around(position: cython.longlong, circle: cython.longlong) -> cython.longlong:
    """A position that has passed the end of a circular contig; `circle` is 0 for a linear one."""
    return position - circle if 0 < circle < position else position


def write_coding(
    genes: Genes,
    variants: Variants,
    pair_variant,
    pair_transcript,
    pairs: int,
    strict: bool,
    out,
    offsets,
    steps,
    notes,
    first: int,
) -> int:
    """HGVS c. or n. of pairs from `first` on; an empty name where there is none. Returns how far `out` sufficed.

    `steps` receives how far each variant was rolled, negative on the minus strand. `notes` receives the number of the
    exception (E-7, E-10 ...) where VEP writes another name; nothing is noted in strict mode.
    """
    pen: Pen = Pen(out)
    forward: Edit = Edit()
    backward: Edit = Edit()
    bounded: Edit = Edit()
    which_variant: cython.const[cython.int][::1] = pair_variant
    which_transcript: cython.const[cython.int][::1] = pair_transcript
    ends: cython.longlong[::1] = offsets
    rolled: cython.int[::1] = steps
    noted: cython.uchar[::1] = notes
    exact: cython.bint = strict
    pair: cython.Py_ssize_t = first
    count: cython.Py_ssize_t = pairs
    transcript: cython.int
    row: cython.longlong
    pen.at = ends[first]
    with cython.nogil:
        while pair < count:
            transcript = which_transcript[pair]
            row = which_variant[pair]
            rolled[pair] = 0
            noted[pair] = 0
            if transcript >= 0 and _within(genes, variants, row, transcript):
                if (
                    pen.room - pen.at
                    < 100 + variants.alt_length[row] + genes.name_offset[transcript + 1] - genes.name_offset[transcript]
                ):
                    break
                if genes.models.transcript_strand[transcript] > 0:
                    if forward.variant != row:
                        describe(genes, forward, variants, row, False, exact, not exact, 0, 0x7FFFFFFFFFFF)
                    noted[pair] = _named(genes, variants, pen, forward, bounded, row, transcript, exact)
                    rolled[pair] = forward.steps
                else:
                    if backward.variant != row:
                        describe(genes, backward, variants, row, True, exact, not exact, -1, 0)
                    noted[pair] = _named(genes, variants, pen, backward, bounded, row, transcript, exact)
                    rolled[pair] = -backward.steps
            pair += 1
            ends[pair] = pen.at
    return pair


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _within(genes: Genes, variants: Variants, row: cython.longlong, transcript: cython.int) -> cython.bint:
    """Whether both ends of the variant, as given, lie in the transcript."""
    start: cython.longlong = variants.start[row]
    length: cython.longlong = variants.ref_length[row]
    if length == 0:
        return start > genes.models.transcript_start[transcript] and start <= genes.models.transcript_end[transcript]
    return (
        start >= genes.models.transcript_start[transcript]
        and start + length - 1 <= genes.models.transcript_end[transcript]
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _named(
    genes: Genes,
    variants: Variants,
    pen: Pen,
    edit: Edit,
    bounded: Edit,
    row: cython.longlong,
    transcript: cython.int,
    strict: cython.bint,
) -> cython.uchar:
    """Write the name of one pair. Returns the exception under which VEP's name is another one, or 0."""
    reverse: cython.bint = genes.models.transcript_strand[transcript] < 0
    low: cython.longlong = genes.models.transcript_start[transcript] - 1
    high: cython.longlong = genes.models.transcript_end[transcript]
    note: cython.uchar
    if edit.kind == 0:
        return 0
    if _inside(edit, low, high):
        note = _write_name(genes, variants, pen, edit, row, transcript, strict)
        if edit.clipped and edit.steps and not strict:
            return 17  # VEP trims the alleles of a multi-allelic site too late to move them
        return note
    if not strict:
        # Rolled out of the transcript, where VEP gives no name: the 3' end of this sequence is the transcript's end.
        describe(genes, bounded, variants, row, reverse, False, True, low, high)
        if _inside(bounded, low, high):
            edit.steps = bounded.steps
            edit.variant = -1
            _write_name(genes, variants, pen, bounded, row, transcript, strict)
            return 32
    edit.steps = 0
    edit.variant = -1
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _inside(edit: Edit, low: cython.longlong, high: cython.longlong) -> cython.bint:
    """Whether the edit, and both neighbours of an insertion, lie within the 0-based bases [low, high)."""
    if edit.kind == 3:
        return edit.start > low and edit.start < high
    return edit.start >= low and edit.end <= high


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _write_name(
    genes: Genes,
    variants: Variants,
    pen: Pen,
    edit: Edit,
    row: cython.longlong,
    transcript: cython.int,
    strict: cython.bint,
) -> cython.uchar:
    """Write the name; returns the exception under which VEP numbers its position otherwise, or 0."""
    note: cython.int
    last: cython.int
    reverse: cython.bint = genes.models.transcript_strand[transcript] < 0
    five: cython.longlong
    three: cython.longlong
    begin: cython.Py_ssize_t = pen.at
    if edit.kind == 3:
        five = edit.start + 1 if reverse else edit.start
        three = edit.start if reverse else edit.start + 1
    elif reverse:
        five = edit.end
        three = edit.start + 1
    else:
        five = edit.start + 1
        three = edit.end
    pen.copy(genes.name, genes.name_offset[transcript], genes.name_offset[transcript + 1])
    pen.put(58)
    pen.put(99 if genes.models.cds_cdna_start[transcript] else 110)
    pen.put(46)
    note = _position(genes, pen, transcript, five, strict, edit.single)
    if three != five and note >= 0:
        pen.put(95)
        last = _position(genes, pen, transcript, three, strict, False)
        note = last or note
    if note < 0:
        pen.at = begin
        return 0
    if edit.kind == 1:
        _substitution(pen, variants.text, _ref_letter(variants, row, edit), edit, reverse)
    else:
        _edit_text(pen, variants.text, edit, reverse)
    return note


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _position(
    genes: Genes,
    pen: Pen,
    transcript: cython.int,
    position: cython.longlong,
    strict: cython.bint,
    single: cython.bint,
) -> cython.int:
    """Write one c. or n. position. Returns the exception where VEP counts otherwise, 0 for none, -1 for no position."""
    note: cython.int = 0
    packed: cython.longlong = place(genes.models, transcript, position)
    cdna: cython.longlong = packed >> 31
    offset: cython.longlong = (packed & 0x7FFFFFFF) - 0x40000000
    start: cython.longlong = genes.models.cds_cdna_start[transcript]
    end: cython.longlong = genes.models.cds_cdna_end[transcript]
    if packed == 0:
        return -1
    if start == 0:
        pen.number(cdna)
    elif cdna > end:
        pen.put(42)
        pen.number(cdna - end)
    elif strict and cdna == end and offset > 0:
        pen.put(42)  # E-10: VEP counts the intron after the stop codon as untranslated bases
        pen.number(offset)
        return 0
    elif cdna >= start:
        if cdna == end and offset > 0:
            note = 10
        cdna += 1 - start
        if single and offset == 0 and genes.models.transcript_phase[transcript]:
            note = 7  # and in single substitutions the bases at the start that nobody knows
            if strict:
                cdna += genes.models.transcript_phase[transcript]
        pen.number(cdna)
    else:
        pen.number(cdna - start)
    if offset > 0:
        pen.put(43)
        pen.number(offset)
    elif offset < 0:
        pen.number(offset)
    return 0 if strict else note


def write_spdi(
    genes: Genes,
    variants: Variants,
    strict: bool,
    out,
    offsets,
    first: int,
) -> int:
    """SPDI of variants as they were given, not justified. VEP writes none for one of several ALTs (strict).

    A deletion of more than 20 bases states its length in place of the bases, as VEP does.
    """
    pen: Pen = Pen(out)
    ends: cython.longlong[::1] = offsets
    exact: cython.bint = strict
    row: cython.Py_ssize_t = first
    count: cython.Py_ssize_t = variants.count
    contig: cython.int
    text: cython.const[cython.uchar][::1] = variants.text
    pen.at = ends[first]
    with cython.nogil:
        while row < count:
            contig = variants.contig[row]
            if contig >= 0 and variants.kind[row] < 5 and not (exact and _has_siblings(variants, row, count)):
                if (
                    pen.room - pen.at
                    < 100
                    + variants.alt_length[row]
                    + variants.ref_length[row]
                    + genes.contig_name_offset[contig + 1]
                    - genes.contig_name_offset[contig]
                ):
                    break
                pen.copy(genes.contig_name, genes.contig_name_offset[contig], genes.contig_name_offset[contig + 1])
                pen.put(58)
                pen.number(variants.start[row] - 1)
                pen.put(58)
                if variants.alt_length[row] == 0 and variants.ref_length[row] > 20:
                    pen.number(variants.ref_length[row])
                else:
                    pen.copy(text, variants.ref[row], variants.ref[row] + variants.ref_length[row])
                pen.put(58)
                pen.copy(text, variants.alt[row], variants.alt[row] + variants.alt_length[row])
            row += 1
            ends[row] = pen.at
    return row


def write_spdi_canonical(genes: Genes, variants: Variants, usable, out, offsets, first: int) -> int:
    """SPDI over the whole stretch on which each variant can be moved, for rows with `usable` set."""
    pen: Pen = Pen(out)
    ends: cython.longlong[::1] = offsets
    named: cython.const[cython.uchar][::1] = usable
    sequence: Sequence = genes.sequence
    text: cython.const[cython.uchar][::1] = variants.text
    row: cython.Py_ssize_t = first
    count: cython.Py_ssize_t = variants.count
    contig: cython.int
    segment: cython.longlong
    start: cython.longlong
    ref: cython.longlong
    n: cython.longlong
    alt: cython.longlong
    m: cython.longlong
    left: cython.longlong
    right: cython.longlong
    limit: cython.longlong = NO_LIMIT
    pen.at = ends[first]
    with cython.nogil:
        while row < count:
            if named[row]:
                contig = variants.contig[row]
                start = variants.start[row] - 1
                ref = variants.ref[row]
                n = variants.ref_length[row]
                alt = variants.alt[row]
                m = variants.alt_length[row]
                while n > 0 and m > 0 and text[ref + n - 1] == text[alt + m - 1]:
                    n -= 1
                    m -= 1
                while n > 0 and m > 0 and text[ref] == text[alt]:
                    ref += 1
                    alt += 1
                    n -= 1
                    m -= 1
                    start += 1
                left = 0
                right = 0
                segment = sequence.segment(contig, start)
                if (n == 0) != (m == 0) and segment >= 0:
                    left = sequence.roll_left(segment, start, start + n, text, alt, m, limit)
                    right = sequence.roll_right(segment, start, start + n, text, alt, m, limit)
                if pen.room - pen.at < 100 + 2 * (left + right) + n + m + (
                    genes.contig_name_offset[contig + 1] - genes.contig_name_offset[contig]
                ):
                    break
                pen.copy(genes.contig_name, genes.contig_name_offset[contig], genes.contig_name_offset[contig + 1])
                pen.put(58)
                pen.number(start - left)
                pen.put(58)
                _known(sequence, pen, segment, start - left, start)
                pen.copy(text, ref, ref + n)
                _known(sequence, pen, segment, start + n, start + n + right)
                pen.put(58)
                _known(sequence, pen, segment, start - left, start)
                pen.copy(text, alt, alt + m)
                _known(sequence, pen, segment, start + n, start + n + right)
            row += 1
            ends[row] = pen.at
    return row


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _known(
    sequence: Sequence, pen: Pen, segment: cython.longlong, first: cython.longlong, last: cython.longlong
) -> cython.void:
    """Write bases of the reference."""
    i: cython.longlong
    for i in range(first, last):
        pen.put(sequence.letter_of[sequence.code(segment, i)])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _has_siblings(variants: Variants, row: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.bint:
    record: cython.int = variants.record[row]
    return (row > 0 and variants.record[row - 1] == record) or (row + 1 < count and variants.record[row + 1] == record)

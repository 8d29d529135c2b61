# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false
# (annotations are Cython's here; the types of the attributes are in `models.pxd`)
"""A bundle's gene models and sequence as machine arrays: what every other kernel asks about the genome.

`Models` holds views of the arrays, under their names in the bundle, and a few questions about them that run without
the interpreter lock: which base is here, which exon, which cDNA position, which transcripts may be near. Positions are
1-based and inclusive. Contigs and transcripts are indices. A `Models` is read-only but for one remembered segment,
which is checked at each use; so threads may share it. Made by `genomics.models.models_of(bundle)`.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled

ARRAYS = (
    "sequence",
    "segment_contig",
    "segment_start",
    "segment_end",
    "segment_base",
    "contig_segment",
    "contig_length",
    "contig_circular",
    "transcript_contig",
    "transcript_start",
    "transcript_end",
    "transcript_strand",
    "transcript_order",
    "transcript_biotype",
    "transcript_flags",
    "transcript_gene",
    "transcript_exon",
    "exon_start",
    "exon_end",
    "exon_cdna",
    "transcript_cdna_length",
    "coding_start",
    "coding_end",
    "cds_cdna_start",
    "cds_cdna_end",
    "transcript_phase",
    "transcript_table",
    "transcript_mrna",
    "transcript_protein",
    "mrna",
    "protein",
    "transcript_pick_before",
    "transcript_pick_after",
    "contig_cell",
    "cell_start",
    "cell_transcript_first",
    "cell_transcript",
    "mature_transcript",
    "mature_start",
    "mature_end",
)

# By the code of a base in `sequence` (the code of BAM: one bit for each of A, C, G, T):
_LETTERS = b"=ACMGRSVTWYHKDBN"  # the letter
_CODES = bytes((4, 0, 1, 4, 2, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4))  # 0-3 as in `mrna`, 4 for what is not one base


@cython.final
@cython.cclass
class Models:
    """The arrays of one bundle.

    `arrays` gives each of `ARRAYS` as a buffer; `amino_acids` and `starts` hold the genetic codes, 125 bytes for each
    table number from 0 (see `codons`).
    """

    def __init__(self, arrays, amino_acids: bytes, starts: bytes) -> None:
        self.sequence = arrays["sequence"]
        self.segment_contig = arrays["segment_contig"]
        self.segment_start = arrays["segment_start"]
        self.segment_end = arrays["segment_end"]
        self.segment_base = arrays["segment_base"]
        self.contig_segment = arrays["contig_segment"]
        self.contig_length = arrays["contig_length"]
        self.contig_circular = arrays["contig_circular"]
        self.transcript_contig = arrays["transcript_contig"]
        self.transcript_start = arrays["transcript_start"]
        self.transcript_end = arrays["transcript_end"]
        self.transcript_strand = arrays["transcript_strand"]
        self.transcript_order = arrays["transcript_order"]
        self.transcript_biotype = arrays["transcript_biotype"]
        self.transcript_flags = arrays["transcript_flags"]
        self.transcript_gene = arrays["transcript_gene"]
        self.transcript_exon = arrays["transcript_exon"]
        self.exon_start = arrays["exon_start"]
        self.exon_end = arrays["exon_end"]
        self.exon_cdna = arrays["exon_cdna"]
        self.transcript_cdna_length = arrays["transcript_cdna_length"]
        self.coding_start = arrays["coding_start"]
        self.coding_end = arrays["coding_end"]
        self.cds_cdna_start = arrays["cds_cdna_start"]
        self.cds_cdna_end = arrays["cds_cdna_end"]
        self.transcript_phase = arrays["transcript_phase"]
        self.transcript_table = arrays["transcript_table"]
        self.transcript_mrna = arrays["transcript_mrna"]
        self.transcript_protein = arrays["transcript_protein"]
        self.mrna = arrays["mrna"]
        self.protein = arrays["protein"]
        self.transcript_pick_before = arrays["transcript_pick_before"]
        self.transcript_pick_after = arrays["transcript_pick_after"]
        self.contig_cell = arrays["contig_cell"]
        self.cell_start = arrays["cell_start"]
        self.cell_transcript_first = arrays["cell_transcript_first"]
        self.cell_transcript = arrays["cell_transcript"]
        self.mature_transcript = arrays["mature_transcript"]
        self.mature_start = arrays["mature_start"]
        self.mature_end = arrays["mature_end"]
        self.amino_acids = amino_acids
        self.starts = starts
        self.letters = _LETTERS
        self.codes = _CODES
        self.contig_count = len(arrays["contig_segment"]) - 1
        self.transcript_count = len(arrays["transcript_start"])
        self.remembered = 0

    # ---- sequence

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def segment_of(self, contig: cython.int, pos: cython.int) -> cython.int:
        """The segment that holds base `pos` of `contig`, -1 where the sequence is not known."""
        k: cython.int = self.remembered
        low: cython.int = self.contig_segment[contig]
        high: cython.int = self.contig_segment[contig + 1]
        if low <= k < high and self.segment_start[k] < pos <= self.segment_end[k]:
            return k
        high -= 1
        while low <= high:
            k = (low + high) >> 1
            if pos <= self.segment_start[k]:
                high = k - 1
            elif pos > self.segment_end[k]:
                low = k + 1
            else:
                self.remembered = k
                return k
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def code(self, contig: cython.int, pos: cython.int) -> cython.int:
        """The base at `pos` as one bit for each of A, C, G, T (15 = N); 0 where the sequence is not known."""
        k: cython.int = self.segment_of(contig, pos)
        if k < 0:
            return 0
        i: cython.longlong = self.segment_base[k] + pos - 1 - self.segment_start[k]
        return (self.sequence[i >> 1] >> ((i & 1) << 2)) & 15

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def letter(self, contig: cython.int, pos: cython.int) -> cython.int:
        """The base at `pos` as an upper-case ASCII letter; 0 where the sequence is not known."""
        code: cython.int = self.code(contig, pos)
        return self.letters[code] if code else 0

    # ---- transcripts

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def exon_before(self, t: cython.int, pos: cython.int) -> cython.int:
        """The last exon of `t`, in genomic order, that begins at or before `pos`: an index into the exon arrays.

        One less than the first exon of `t` when all of them begin later.
        """
        low: cython.int = self.transcript_exon[t]
        high: cython.int = self.transcript_exon[t + 1]
        middle: cython.int
        while low < high:
            middle = (low + high) >> 1
            if self.exon_start[middle] <= pos:
                low = middle + 1
            else:
                high = middle
        return low - 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def cdna_at(self, t: cython.int, pos: cython.int) -> cython.int:
        """The cDNA position of genomic `pos` in `t`, counted from 1; 0 where no exon covers it."""
        e: cython.int = self.exon_before(t, pos)
        if e < self.transcript_exon[t] or pos > self.exon_end[e]:
            return 0
        if self.transcript_strand[t] > 0:
            return self.exon_cdna[e] + pos - self.exon_start[e]
        return self.exon_cdna[e] + self.exon_end[e] - pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def genomic_at(self, t: cython.int, cdna: cython.int) -> cython.int:
        """The genomic position of cDNA position `cdna` of `t`; 0 outside 1 to the length of the transcript."""
        if cdna < 1 or cdna > self.transcript_cdna_length[t]:
            return 0
        low: cython.int = self.transcript_exon[t]
        high: cython.int = self.transcript_exon[t + 1]
        middle: cython.int
        forward: cython.bint = self.transcript_strand[t] > 0
        # On the plus strand cDNA positions rise with the exon index, on the minus strand they fall.
        while high - low > 1:
            middle = (low + high) >> 1
            if forward:
                if self.exon_cdna[middle] <= cdna:
                    low = middle
                else:
                    high = middle
            elif self.exon_cdna[middle - 1] <= cdna:
                high = middle
            else:
                low = middle
        if forward:
            return self.exon_start[low] + cdna - self.exon_cdna[low]
        return self.exon_end[low] - (cdna - self.exon_cdna[low])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def exon_number(self, t: cython.int, e: cython.int) -> cython.int:
        """The number of exon `e` (an index into the exon arrays) counted from 1 in the direction of the transcript.

        The intron that follows exon `e` in genomic order has, in that direction, the number of exon `e` on the plus
        strand and the number of exon `e + 1` on the minus strand.
        """
        if self.transcript_strand[t] > 0:
            return e - self.transcript_exon[t] + 1
        return self.transcript_exon[t + 1] - e

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def cell_at(self, contig: cython.int, pos: cython.int, hint: cython.int) -> cython.int:
        """The cell of the interval index that covers `pos` (taken as 0 when less); `hint` is any guess.

        The transcripts near `pos` are `cell_transcript[cell_transcript_first[cell] : cell_transcript_first[cell + 1]]`.
        -1 when the contig has no cells.
        """
        low: cython.int = self.contig_cell[contig]
        end: cython.int = self.contig_cell[contig + 1]
        high: cython.int = end
        middle: cython.int
        _step: cython.int
        if low == high:
            return -1
        pos = max(pos, 0)
        if low <= hint < high and self.cell_start[hint] <= pos:
            # Sorted input: the answer is the hint or one of the next few.
            for _step in range(4):
                if hint + 1 >= high or self.cell_start[hint + 1] > pos:
                    return hint
                hint += 1
            low = hint
        while high - low > 1:
            middle = (low + high) >> 1
            if self.cell_start[middle] <= pos:
                low = middle
            else:
                high = middle
        return low

    # ---- genetic codes

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def amino_acid(self, table: cython.int, a: cython.int, b: cython.int, c: cython.int) -> cython.int:
        """The letter of codon abc (bases coded 0-4) in a genetic code; X where its readings differ."""
        return self.amino_acids[125 * table + 25 * a + 5 * b + c]

# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportAssignmentType=false, reportReturnType=false
# ruff: noqa: SIM102, SIM108 (C's idioms, not Python's)
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""What a variant does to each transcript near it: the hot loop of consequences.

`Judge.run` walks over the columns of `Variants` and appends to those of `Pairs`, with no object for a variant or pair.
The rules are those of `docs/reference/consequences.md`; names of functions and states follow it. Where VEP and the
right answer differ, a bit of `rules` says which of the two a function computes: 0 is VEP, to the letter. Genomic
positions are 1-based; an insertion between p and p + 1 has start p + 1 and end p, in cDNA and CDS coordinates as well.
Called by `genomics.consequence` only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.genescale.genomics.kernels.models import Models
else:
    from genescale.genomics.kernels.models import Models

COMPILED: bool = cython.compiled

# Terms: bit `rank - 1` of `terms.tsv`; a test compares the two.
TRANSCRIPT_ABLATION = cython.declare(cython.ulonglong, 1 << 0)
SPLICE_ACCEPTOR = cython.declare(cython.ulonglong, 1 << 1)
SPLICE_DONOR = cython.declare(cython.ulonglong, 1 << 2)
STOP_GAINED = cython.declare(cython.ulonglong, 1 << 3)
FRAMESHIFT = cython.declare(cython.ulonglong, 1 << 4)
STOP_LOST = cython.declare(cython.ulonglong, 1 << 5)
START_LOST = cython.declare(cython.ulonglong, 1 << 6)
TRANSCRIPT_AMPLIFICATION = cython.declare(cython.ulonglong, 1 << 7)
FEATURE_ELONGATION = cython.declare(cython.ulonglong, 1 << 8)
FEATURE_TRUNCATION = cython.declare(cython.ulonglong, 1 << 9)
INFRAME_INSERTION = cython.declare(cython.ulonglong, 1 << 10)
INFRAME_DELETION = cython.declare(cython.ulonglong, 1 << 11)
MISSENSE = cython.declare(cython.ulonglong, 1 << 12)
PROTEIN_ALTERING = cython.declare(cython.ulonglong, 1 << 13)
SPLICE_DONOR_5TH_BASE = cython.declare(cython.ulonglong, 1 << 14)
SPLICE_REGION = cython.declare(cython.ulonglong, 1 << 15)
SPLICE_DONOR_REGION = cython.declare(cython.ulonglong, 1 << 16)
SPLICE_POLYPYRIMIDINE = cython.declare(cython.ulonglong, 1 << 17)
INCOMPLETE_TERMINAL_CODON = cython.declare(cython.ulonglong, 1 << 18)
START_RETAINED = cython.declare(cython.ulonglong, 1 << 19)
STOP_RETAINED = cython.declare(cython.ulonglong, 1 << 20)
SYNONYMOUS = cython.declare(cython.ulonglong, 1 << 21)
CODING_SEQUENCE = cython.declare(cython.ulonglong, 1 << 22)
MATURE_MIRNA = cython.declare(cython.ulonglong, 1 << 23)
UTR_5 = cython.declare(cython.ulonglong, 1 << 24)
UTR_3 = cython.declare(cython.ulonglong, 1 << 25)
NON_CODING_EXON = cython.declare(cython.ulonglong, 1 << 26)
INTRON = cython.declare(cython.ulonglong, 1 << 27)
NMD_TRANSCRIPT = cython.declare(cython.ulonglong, 1 << 28)
NON_CODING_TRANSCRIPT = cython.declare(cython.ulonglong, 1 << 29)
CODING_TRANSCRIPT = cython.declare(cython.ulonglong, 1 << 30)
UPSTREAM = cython.declare(cython.ulonglong, 1 << 31)
DOWNSTREAM = cython.declare(cython.ulonglong, 1 << 32)
INTERGENIC = cython.declare(cython.ulonglong, 1 << 39)
SEQUENCE_VARIANT = cython.declare(cython.ulonglong, 1 << 40)

# Rules that correct VEP, one bit for each entry of the adjudicated list that changes terms
RULE_PREMATURE_STOP = cython.declare(cython.uint, 1 << 1)  # E-1
RULE_UTR_IN_PLACE = cython.declare(cython.uint, 1 << 4)  # E-4
RULE_INCOMPLETE_ENDS = cython.declare(cython.uint, 1 << 8)  # E-8
RULE_EVERY_INTRON = cython.declare(cython.uint, 1 << 9)  # E-9
RULE_STRUCTURAL_START = cython.declare(cython.uint, 1 << 12)  # E-12
RULE_REF_SPAN = cython.declare(cython.uint, 1 << 13)  # E-13
RULE_GENETIC_CODE = cython.declare(cython.uint, 1 << 14)  # E-14
RULE_POLYA_STOP = cython.declare(cython.uint, 1 << 15)  # E-15
RULE_NO_TERM = cython.declare(cython.uint, 1 << 16)  # E-16
RULE_ARTEFACT_INTRON = cython.declare(cython.uint, 1 << 20)  # E-20
RULE_STOP_PUSHED = cython.declare(cython.uint, 1 << 23)  # E-23
RULE_SWALLOWED_ENDS = cython.declare(cython.uint, 1 << 24)  # E-24
RULE_START_WITHOUT_UTR = cython.declare(cython.uint, 1 << 25)  # E-25
RULE_WHOLE_CODONS = cython.declare(cython.uint, 1 << 26)  # E-26
RULE_WHOLE_PROTEIN = cython.declare(cython.uint, 1 << 27)  # E-27
RULE_SELENOCYSTEINE = cython.declare(cython.uint, 1 << 28)  # E-28
# E-17, alleles judged with their padding, and E-19, where a symbolic insertion lies, are decided before any rule.
PADDED = cython.declare(cython.longlong, 17)
INSERTION_SPAN = cython.declare(cython.longlong, 19)
ALL_RULES = cython.declare(cython.uint, 0x1F91F312)

# transcript_flags
CODING = cython.declare(cython.uint, 1)
PROTEIN_CODING = cython.declare(cython.uint, 2)
NMD = cython.declare(cython.uint, 4)
CDS_START_NF = cython.declare(cython.uint, 64)
CDS_END_NF = cython.declare(cython.uint, 128)
HAS_FRAMESHIFT_INTRON = cython.declare(cython.uint, 2048)
SELENO = cython.declare(cython.uint, 16384)
INCOMPLETE_STOP = cython.declare(cython.uint, 65536)

# Variants.kind, Variants.sv and Variants.flags
SNV = cython.declare(cython.longlong, 0)
SUBSTITUTION = cython.declare(cython.longlong, 1)
INSERTION = cython.declare(cython.longlong, 2)
DELETION = cython.declare(cython.longlong, 3)
INDEL = cython.declare(cython.longlong, 4)
STRUCTURAL = cython.declare(cython.longlong, 5)
OTHER = cython.declare(cython.longlong, 6)
SV_DEL = cython.declare(cython.longlong, 1)
SV_DUP = cython.declare(cython.longlong, 2)
SV_TANDEM_DUP = cython.declare(cython.longlong, 3)
SV_INS = cython.declare(cython.longlong, 4)
REF_MISMATCH = cython.declare(cython.uint, 1)
UNKNOWN_CONTIG = cython.declare(cython.uint, 2)
OUTSIDE_REFERENCE = cython.declare(cython.uint, 4)
PAST_END = cython.declare(cython.uint, 8)
OVER_ORIGIN = cython.declare(cython.uint, 256)

# Pairs.notes
NMD_PREDICTED = cython.declare(cython.uint, 1)
NMD_ESCAPE = cython.declare(cython.uint, 2)
LOF_HIGH = cython.declare(cython.uint, 4)
LOF_LOW = cython.declare(cython.uint, 8)
LAST_PART = cython.declare(cython.uint, 16)
INCOMPLETE_CDS = cython.declare(cython.uint, 32)
UTR_INTRON = cython.declare(cython.uint, 64)
SHORT_INTRON = cython.declare(cython.uint, 128)
NO_STOP = cython.declare(cython.uint, 256)

# Why `run` stopped before the last variant
MORE_ROWS = cython.declare(cython.longlong, 1)
MORE_TEXT = cython.declare(cython.longlong, 2)
MORE_SCRATCH = cython.declare(cython.longlong, 3)
REASONS = ("", "rows", "text", "scratch")  # names of these numbers

_BASE_CODES = bytes({65: 0, 67: 1, 71: 2, 84: 3}.get(letter, 4) for letter in range(256))
_IUPAC = b"=ACMGRSVTWYHKDBN"
_IUPAC_CODES = bytes(max(_IUPAC.find(letter), 0) for letter in range(256))


@cython.final
@cython.cclass
class Judge:
    """The work of one batch. Made for one bundle, then given columns by `variants_are` and `pairs_are`, then run."""

    models: Models
    strict: cython.bint
    shift: cython.bint
    flank: cython.int
    circular_flanks: cython.bint
    check_reference: cython.bint
    strict_table: cython.const[cython.uchar][::1]  # by contig: the genetic code that VEP would use there
    base_codes: cython.const[cython.uchar][::1]
    iupac_codes: cython.const[cython.uchar][::1]

    # Variants
    variant_count: cython.Py_ssize_t
    v_contig: cython.const[cython.int][::1]
    v_start: cython.const[cython.int][::1]
    v_end: cython.const[cython.int][::1]
    v_kind: cython.const[cython.uchar][::1]
    v_sv: cython.const[cython.uchar][::1]
    v_ref_offset: cython.const[cython.longlong][::1]
    v_ref_length: cython.const[cython.int][::1]
    v_alt_offset: cython.const[cython.longlong][::1]
    v_alt_length: cython.const[cython.int][::1]
    v_flags: cython.uint[::1]
    v_text: cython.const[cython.uchar][::1]

    # Pairs
    count = cython.declare(cython.Py_ssize_t, visibility="public")
    text_length = cython.declare(cython.Py_ssize_t, visibility="public")
    wanted = cython.declare(cython.Py_ssize_t, visibility="public")
    why = cython.declare(cython.longlong, visibility="public")
    p_variant: cython.int[::1]
    p_transcript: cython.int[::1]
    p_terms: cython.ulonglong[::1]
    p_vep_terms: cython.ulonglong[::1]
    p_exception: cython.uchar[::1]
    p_distance: cython.int[::1]
    p_exon_first: cython.int[::1]
    p_exon_last: cython.int[::1]
    p_intron_first: cython.int[::1]
    p_intron_last: cython.int[::1]
    p_cdna_start: cython.int[::1]
    p_cdna_end: cython.int[::1]
    p_cds_start: cython.int[::1]
    p_cds_end: cython.int[::1]
    p_protein_start: cython.int[::1]
    p_protein_end: cython.int[::1]
    p_peptide_offset: cython.int[::1]
    p_ref_peptide_length: cython.int[::1]
    p_alt_peptide_length: cython.int[::1]
    p_codon_offset: cython.int[::1]
    p_ref_codon_length: cython.int[::1]
    p_alt_codon_length: cython.int[::1]
    p_overlap_bp: cython.int[::1]
    p_overlap_pc: cython.float[::1]
    p_notes: cython.uint[::1]
    text: cython.uchar[::1]

    # Scratch
    candidates: cython.int[::1]
    seen: cython.int[::1]
    generation: cython.int
    cell: cython.int
    longest: cython.Py_ssize_t
    letters: cython.uchar[::1]

    # The variant at hand
    variant: cython.int
    contig: cython.int
    start: cython.int
    end: cython.int
    low: cython.int
    high: cython.int
    reach: cython.int  # the last base that a differing region can touch under VEP's reading (E-13)
    kind: cython.int
    sv: cython.int
    ref_at: cython.longlong
    alt_at: cython.longlong
    ref_length: cython.int
    alt_length: cython.int
    alt_is_plain: cython.int  # -1 until somebody asks
    given_start: cython.int  # where the input puts it; `start` may lie further 3' when `shift` is asked for
    to_right: cython.int  # how far it can be moved along the genome without changing the edited sequence
    to_left: cython.int
    turn: cython.int  # by how many bases the alternative allele is rotated after the move
    steps: cython.int  # how far it has been moved, to the right when positive
    was_intron: cython.ulonglong  # E-22: what VEP remembers of the place before the move
    start_from: cython.int
    start_to: cython.int
    altered: cython.int  # the exception by which its place or alleles differ from what VEP judges, or 0
    v_place_start: cython.int  # the place and alleles that VEP judges
    v_place_end: cython.int
    prefix: cython.int
    suffix: cython.int

    # The transcript at hand
    t: cython.int
    first_exon: cython.int
    end_exon: cython.int
    forward: cython.bint
    flags: cython.uint
    m0: cython.longlong  # where its mRNA begins
    u5: cython.int  # length of the 5' UTR
    phase: cython.int
    t_length: cython.int  # T: phase Ns and CDS (and the As that complete a stop)
    tu_length: cython.int  # T and 3' UTR
    mirrorable: cython.bint  # on the minus strand, with several exons: VEP reads the UTRs elsewhere (E-4)
    mirrored: cython.bint  # and here they are read so
    mrna_left: cython.int  # bases of T and 3' UTR that the mRNA has; what lies beyond is poly(A)
    table: cython.int
    protein_at: cython.longlong
    protein_length: cython.int

    # The pair at hand
    cdna_start: cython.int
    cdna_end: cython.int
    cds_start: cython.int
    cds_end: cython.int
    protein_start: cython.int
    protein_end: cython.int
    cut_from: cython.int  # the edit of T, 0-based: bases [cut_from, cut_to) become the alternative allele
    cut_to: cython.int
    in_frameshift_intron: cython.bint
    has_peptides: cython.bint
    ref_from: cython.int
    ref_to: cython.int
    alt_to: cython.int
    rp: cython.int  # lengths of the two peptides in `letters`, and where the second begins
    ap: cython.int
    ap_at: cython.int
    alternatives: cython.bint  # whether a correction of VEP could change the terms

    def __init__(self, models, strict_table: bytes, longest_transcript: int) -> None:
        self.models = models
        self.longest = longest_transcript
        self.strict_table = strict_table
        self.base_codes = _BASE_CODES
        self.iupac_codes = _IUPAC_CODES
        self.generation = 0
        self.cell = -1
        self.rp = 0
        self.ap = 0
        self.ap_at = 0
        self.strict = False
        self.shift = False
        self.flank = 5000
        self.circular_flanks = False
        self.check_reference = True

    def options(self, strict: bool, shift: bool, flank: int, circular_flanks: bool, check_reference: bool) -> None:
        """How to judge the next batch."""
        self.strict = strict
        self.shift = shift
        self.flank = flank
        self.circular_flanks = circular_flanks
        self.check_reference = check_reference

    def scratch_is(self, candidates, seen, letters) -> None:
        """Working memory: two numbers for each transcript of the bundle, and letters for two peptides."""
        self.candidates = candidates
        self.seen = seen
        self.letters = letters

    def variants_are(self, count, contig, start, end, kind, sv, ref, ref_length, alt, alt_length, flags, text) -> None:
        """The columns of a batch of `Variants`."""
        self.variant_count = count
        self.v_contig = contig
        self.v_start = start
        self.v_end = end
        self.v_kind = kind
        self.v_sv = sv
        self.v_ref_offset = ref
        self.v_ref_length = ref_length
        self.v_alt_offset = alt
        self.v_alt_length = alt_length
        self.v_flags = flags
        self.v_text = text

    def pairs_are(self, count, text_length, columns, text) -> None:
        """The columns of `Pairs`, by name, of which `count` rows and `text_length` bytes are in use."""
        self.count = count
        self.text_length = text_length
        self.p_variant = columns["variant"]
        self.p_transcript = columns["transcript"]
        self.p_terms = columns["terms"]
        self.p_vep_terms = columns["vep_terms"]
        self.p_exception = columns["exception"]
        self.p_distance = columns["distance"]
        self.p_exon_first = columns["exon_first"]
        self.p_exon_last = columns["exon_last"]
        self.p_intron_first = columns["intron_first"]
        self.p_intron_last = columns["intron_last"]
        self.p_cdna_start = columns["cdna_start"]
        self.p_cdna_end = columns["cdna_end"]
        self.p_cds_start = columns["cds_start"]
        self.p_cds_end = columns["cds_end"]
        self.p_protein_start = columns["protein_start"]
        self.p_protein_end = columns["protein_end"]
        self.p_peptide_offset = columns["peptide_offset"]
        self.p_ref_peptide_length = columns["ref_peptide_length"]
        self.p_alt_peptide_length = columns["alt_peptide_length"]
        self.p_codon_offset = columns["codon_offset"]
        self.p_ref_codon_length = columns["ref_codon_length"]
        self.p_alt_codon_length = columns["alt_codon_length"]
        self.p_overlap_bp = columns["overlap_bp"]
        self.p_overlap_pc = columns["overlap_pc"]
        self.p_notes = columns["notes"]
        self.text = text

    def run(self, first: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Judge the variants from `first` on; the first one not judged, or their number.

        Where a variant did not fit, `why` says which memory was too small and `wanted` how much it needs; nothing of
        that variant is left in the columns.
        """
        v: cython.Py_ssize_t = first
        done: cython.bint = True
        self.why = 0
        with cython.nogil:
            while v < self.variant_count:
                done = self._variant(v)
                if not done:
                    break
                v += 1
        return v

    # ------------------------------------------------------------------ one variant

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _variant(self, v: cython.Py_ssize_t) -> cython.bint:
        """All rows of one variant. False when they do not fit."""
        self.kind = self.v_kind[v]
        self.contig = self.v_contig[v]
        if self.kind == OTHER:
            return True
        if self.contig < 0 or self.contig >= self.models.contig_count:
            self.v_flags[v] |= UNKNOWN_CONTIG
            return True
        self.variant = v
        self.start = self.v_start[v]
        self.end = self.v_end[v]
        self.low = self.start
        self.high = self.end
        if self.low > self.high:
            self.low = self.end
            self.high = self.start
        self.sv = self.v_sv[v]
        self.ref_at = self.v_ref_offset[v]
        self.ref_length = self.v_ref_length[v]
        self.alt_at = self.v_alt_offset[v]
        self.alt_length = self.v_alt_length[v]
        if not self._is_inside(v):
            return not (self.v_flags[v] & PAST_END) or self._over_origin(v)
        rows_before: cython.Py_ssize_t = self.count
        if not self._rows():
            return False
        if self.count == rows_before and not (self.v_flags[v] & OUTSIDE_REFERENCE):
            self._row(-1, INTERGENIC)
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _over_origin(self, v: cython.Py_ssize_t) -> cython.bint:
        """A change that ends behind the last base of a circular contig: it goes on at the first. False: no room.

        No transcript lies across the origin, so each meets one part of the change, which is judged alone. Inserted
        bases stand before the origin, but for substitutions, which are shared out base by base.
        """
        length: cython.longlong = self.models.contig_length[self.contig]
        ref_length: cython.longlong = self.ref_length
        alt_length: cython.longlong = self.alt_length
        left: cython.longlong = length - self.start + 1
        rows_before: cython.Py_ssize_t = self.count
        text_before: cython.Py_ssize_t = self.text_length
        flanks: cython.bint = self.circular_flanks
        shift: cython.bint = self.shift
        fits: cython.bint
        if not self.models.contig_circular[self.contig] or self.kind == STRUCTURAL or self.start < 1 or left < 0:
            return True
        if left == 0 or ref_length > length or self.end <= length:
            return True
        self.v_flags[v] &= ~PAST_END
        self.v_flags[v] |= OVER_ORIGIN
        # flanks would meet most transcripts twice, and a part is not to be moved away from the other
        self.circular_flanks = False
        self.shift = False
        self._part(self.start, length, self.ref_at, self.alt_at, left if alt_length == ref_length else alt_length)
        fits = self._is_inside(v) and self._rows()
        if self.why == 0:
            if alt_length == ref_length:
                self._part(1, ref_length - left, self.ref_at + left, self.alt_at + left, ref_length - left)
            else:
                self._part(1, ref_length - left, self.ref_at + left, self.alt_at, 0)
            fits = self._is_inside(v) and self._rows()
        self.circular_flanks = flanks
        self.shift = shift
        if self.why:
            self.count = rows_before
            self.text_length = text_before
            return False
        if not fits and self.v_flags[v] & (REF_MISMATCH | OUTSIDE_REFERENCE) and not self.strict:
            self.count = rows_before
            self.text_length = text_before
        elif self.count == rows_before:
            self._row(-1, INTERGENIC)
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _part(
        self,
        start: cython.longlong,
        end: cython.longlong,
        ref_at: cython.longlong,
        alt_at: cython.longlong,
        alt_length: cython.longlong,
    ) -> cython.void:
        """Make one part of a change over the origin the one that is judged."""
        self.start = start
        self.end = end
        self.low = start
        self.high = end
        self.ref_at = ref_at
        self.ref_length = end - start + 1
        self.alt_at = alt_at
        self.alt_length = alt_length
        self.kind = DELETION if alt_length == 0 else INDEL
        if self.ref_length == alt_length:
            self.kind = SNV if alt_length == 1 else SUBSTITUTION

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _rows(self) -> cython.bint:
        """The rows of what is judged, on all transcripts that it meets. False when they do not fit."""
        self.alt_is_plain = -1
        self.turn = 0
        self.altered = 0
        if not self.strict:
            if self.kind == STRUCTURAL:
                if self.sv == SV_INS and self.end >= self.start:
                    self.altered = INSERTION_SPAN
                    self.v_place_start = self.start
                    self.v_place_end = self.end
                    self.end = self.start - 1
            elif self.ref_length and self.alt_length and self.ref_length + self.alt_length > 2:
                self._trim()
        self._span()
        self.to_right = 0
        self.to_left = 0
        self.steps = 0
        self.was_intron = 0
        self.given_start = self.start
        if self.shift and (self.kind == INSERTION or self.kind == DELETION):
            self._roll()

        if self.longest + self.alt_length + 256 > self.letters.shape[0]:
            self.why = MORE_SCRATCH
            self.wanted = self.longest + self.alt_length + 256
            return False
        found: cython.Py_ssize_t = self._near()
        if self.count + found + 1 > self.p_variant.shape[0]:
            self.why = MORE_ROWS
            self.wanted = self.count + found + 1
            return False
        rows_before: cython.Py_ssize_t = self.count
        text_before: cython.Py_ssize_t = self.text_length
        i: cython.Py_ssize_t
        for i in range(found):
            if not self._pair(self.candidates[i]):
                self.count = rows_before
                self.text_length = text_before
                return False
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_inside(self, v: cython.Py_ssize_t) -> cython.bint:
        """Whether the reference is known here and says what REF says. Sets the flags of the variant."""
        length: cython.longlong = self.models.contig_length[self.contig]
        insertion: cython.bint = self.start > self.end
        if length > 0 and (self.end > length or self.low > length):
            self.v_flags[v] |= PAST_END
            return False
        k: cython.int = self.models.segment_of(self.contig, self.low)
        if insertion:
            # Before the first base or after the last one, one neighbour is enough.
            if k < 0 and self.models.segment_of(self.contig, self.high) < 0:
                self.v_flags[v] |= OUTSIDE_REFERENCE
                return False
            return True
        if k < 0 or self.high > self.models.segment_end[k]:
            self.v_flags[v] |= OUTSIDE_REFERENCE
            # Structural variants are judged by coordinates: a gene that lies in known sequence can be lost with more.
            return self.kind == STRUCTURAL and self._reaches_known()
        if self.check_reference:
            i: cython.int
            at: cython.longlong = self.models.segment_base[k] + self.start - 1 - self.models.segment_start[k]
            for i in range(self.ref_length):
                if (
                    not (self.models.sequence[at >> 1] >> ((at & 1) << 2))
                    & self.iupac_codes[self.v_text[self.ref_at + i]]
                ):
                    self.v_flags[v] |= REF_MISMATCH
                    break
                at += 1
        return self.strict or not (self.v_flags[v] & REF_MISMATCH)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _reaches_known(self) -> cython.bint:
        """Whether some of the variant lies in known sequence."""
        k: cython.int
        for k in range(self.models.contig_segment[self.contig], self.models.contig_segment[self.contig + 1]):
            if self.models.segment_start[k] < self.high and self.low <= self.models.segment_end[k]:
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _span(self) -> cython.void:
        """`low`, `high` and `reach` from the place and the alleles."""
        self.low = self.start
        self.high = self.end
        if self.low > self.high:
            self.low = self.end
            self.high = self.start
        self.reach = self.high
        if self.ref_length > 1 and self.alt_length > self.ref_length:
            self.reach = self.start + self.alt_length - 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _trim(self) -> cython.void:
        """Drop what both alleles share at their ends, prefix first: the change is the same, however it is padded."""
        n: cython.int = min(self.alt_length, self.ref_length)
        self.prefix = 0
        self.suffix = 0
        while self.prefix < n and self.v_text[self.ref_at + self.prefix] == self.v_text[self.alt_at + self.prefix]:
            self.prefix += 1
        if self.prefix == self.ref_length and self.prefix == self.alt_length:
            return  # no change at all: nothing would be left to judge
        n -= self.prefix
        while (
            self.suffix < n
            and self.v_text[self.ref_at + self.ref_length - 1 - self.suffix]
            == self.v_text[self.alt_at + self.alt_length - 1 - self.suffix]
        ):
            self.suffix += 1
        if self.prefix or self.suffix:
            self.altered = PADDED
            self._pad(-1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _pad(self, way: cython.int) -> cython.void:
        """Take the shared ends away (-1) or give them back (1)."""
        self.start -= way * self.prefix
        self.end += way * self.suffix
        self.ref_at -= way * self.prefix
        self.alt_at -= way * self.prefix
        self.ref_length += way * (self.prefix + self.suffix)
        self.alt_length += way * (self.prefix + self.suffix)
        if self.ref_length == 0:
            self.kind = INSERTION
        elif self.alt_length == 0:
            self.kind = DELETION
        elif self.ref_length == self.alt_length:
            self.kind = 0 if self.ref_length == 1 else 1
        else:
            self.kind = 4

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _as_vep_places_it(self, t: cython.int) -> cython.ulonglong:
        """VEP's terms where VEP judges another place or other alleles; 0 where it has no row."""
        start: cython.int = self.start
        end: cython.int = self.end
        turn: cython.int = self.turn
        before: cython.bint
        terms: cython.ulonglong = 0
        self.turn = 0
        if self.altered == PADDED:
            self.end += self.given_start - self.start
            self.start = self.given_start
            self._pad(1)
        else:
            self.start = self.v_place_start
            self.end = self.v_place_end
        self._span()
        if self.start > self.models.transcript_end[t] or self.end < self.models.transcript_start[t]:
            before = self.end < self.models.transcript_start[t]
            if self.end >= self.models.transcript_start[t] - self.flank and (
                self.start <= self.models.transcript_end[t] + self.flank
            ):
                terms = UPSTREAM if before == (self.models.transcript_strand[t] > 0) else DOWNSTREAM
        else:
            self._take(t)
            self._place()
            terms = self._terms(0)
        if self.altered == PADDED:
            self._pad(-1)
        self.start = start
        self.end = end
        self.turn = turn
        self._span()
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _roll(self) -> cython.void:
        """How far an insertion or deletion can move to either side: VEP stops at 1,000 bases."""
        n: cython.int
        base: cython.int
        while self.to_right < 1000:
            base = self.models.code(self.contig, self.end + 1 + self.to_right)
            if self.kind == INSERTION:
                n = self.to_right % self.alt_length
                if base != self.iupac_codes[self.v_text[self.alt_at + n]]:
                    break
            elif base != self.models.code(self.contig, self.start + self.to_right):
                break
            if base == 0:
                break
            self.to_right += 1
        while self.to_left < 1000:
            base = self.models.code(self.contig, self.start - 1 - self.to_left)
            if self.kind == INSERTION:
                n = self.alt_length - 1 - self.to_left % self.alt_length
                if base != self.iupac_codes[self.v_text[self.alt_at + n]]:
                    break
            elif base != self.models.code(self.contig, self.end - self.to_left):
                break
            if base == 0:
                break
            self.to_left += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _move(self, steps: cython.int) -> cython.void:
        """Put the variant `steps` bases to the right of where the input has it (to the left when negative)."""
        self.end += self.given_start + steps - self.start
        self.start = self.given_start + steps
        self.steps = steps
        self._span()
        self.turn = 0
        # E-22: on the minus strand VEP does not turn an allele that moves further than its own length.
        if self.alt_length and not (self.strict and -steps > self.alt_length):
            self.turn = steps % self.alt_length
            if self.turn < 0:
                self.turn += self.alt_length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _near(self) -> cython.Py_ssize_t:
        """Fill `candidates` with the transcripts that may be within the flank, in file order; how many there are."""
        found: cython.Py_ssize_t = 0
        self.cell = self.models.cell_at(self.contig, self.low - self.to_left, self.cell)
        if self.cell < 0:
            return 0
        last: cython.int = self.cell
        cells_end: cython.int = self.models.contig_cell[self.contig + 1]
        if self.circular_flanks and self.models.contig_circular[self.contig]:
            self.cell = self.models.contig_cell[self.contig]  # everything on a circle may be near
            last = cells_end - 1
        while last + 1 < cells_end and self.models.cell_start[last + 1] <= self.high + self.to_right:
            last += 1
        j: cython.longlong
        t: cython.int
        if last == self.cell:
            for j in range(
                self.models.cell_transcript_first[self.cell], self.models.cell_transcript_first[self.cell + 1]
            ):
                self.candidates[found] = self.models.cell_transcript[j]
                found += 1
            return found
        self.generation += 1
        c: cython.int
        for c in range(self.cell, last + 1):
            for j in range(self.models.cell_transcript_first[c], self.models.cell_transcript_first[c + 1]):
                t = self.models.cell_transcript[j]
                if self.seen[t] != self.generation:
                    self.seen[t] = self.generation
                    self.candidates[found] = t
                    found += 1
        self._sort(found)
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sort(self, n: cython.Py_ssize_t) -> cython.void:
        """Shell sort of the candidates by their place in the source file."""
        gap: cython.Py_ssize_t = 1
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        t: cython.int
        key: cython.int
        while gap < n // 3:
            gap = 3 * gap + 1
        while gap > 0:
            for i in range(gap, n):
                t = self.candidates[i]
                key = self.models.transcript_order[t]
                j = i
                while j >= gap and self.models.transcript_order[self.candidates[j - gap]] > key:
                    self.candidates[j] = self.candidates[j - gap]
                    j -= gap
                self.candidates[j] = t
            gap //= 3

    # ------------------------------------------------------------------ one pair

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _row(self, t: cython.int, terms: cython.ulonglong) -> cython.Py_ssize_t:
        """A new row with no positions."""
        row: cython.Py_ssize_t = self.count
        self.p_variant[row] = self.variant
        self.p_transcript[row] = t
        self.p_terms[row] = terms
        self.p_vep_terms[row] = terms
        self.p_exception[row] = 0
        self.p_distance[row] = -1
        self.p_exon_first[row] = 0
        self.p_exon_last[row] = 0
        self.p_intron_first[row] = 0
        self.p_intron_last[row] = 0
        self.p_cdna_start[row] = 0
        self.p_cdna_end[row] = 0
        self.p_cds_start[row] = 0
        self.p_cds_end[row] = 0
        self.p_protein_start[row] = 0
        self.p_protein_end[row] = 0
        self.p_peptide_offset[row] = 0
        self.p_ref_peptide_length[row] = 0
        self.p_alt_peptide_length[row] = 0
        self.p_codon_offset[row] = 0
        self.p_ref_codon_length[row] = 0
        self.p_alt_codon_length[row] = 0
        self.p_overlap_bp[row] = 0
        self.p_overlap_pc[row] = 0
        self.p_notes[row] = 0
        self.count = row + 1
        return row

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _pair(self, t: cython.int) -> cython.bint:
        """The row of one transcript, if it has one. False when its text does not fit."""
        if self.to_right or self.to_left:
            self._move(self.to_right if self.models.transcript_strand[t] > 0 else -self.to_left)
        tx_start: cython.int = self.models.transcript_start[t]
        tx_end: cython.int = self.models.transcript_end[t]
        row: cython.Py_ssize_t = self.count
        if self.start > tx_end or self.end < tx_start:
            self._flank(t, tx_start, tx_end)
        elif not self._overlapped(t):
            return False
        if self.altered and self.count > row:
            vep: cython.ulonglong = self._as_vep_places_it(t)
            self.p_vep_terms[row] = vep
            if vep == self.p_terms[row]:
                self.p_exception[row] = 0
            elif self.p_exception[row] == 0:
                self.p_exception[row] = self.altered
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _overlapped(self, t: cython.int) -> cython.bint:
        """The row of a transcript that the variant overlaps. False when its text does not fit."""
        flags: cython.uint = self.models.transcript_flags[t]
        first: cython.int = self.models.transcript_exon[t]
        k: cython.int = self.models.exon_before(t, self.low)
        row: cython.Py_ssize_t
        terms: cython.ulonglong
        # Deep in an intron, beyond the reach of every splice term: nothing else can be said.
        if k >= first and k + 1 < self.models.transcript_exon[t + 1] and self.kind != STRUCTURAL:
            if self.low > self.models.exon_end[k] + 20 and self.reach + 20 < self.models.exon_start[k + 1]:
                terms = INTRON
                if flags & NMD:
                    terms |= NMD_TRANSCRIPT
                if not flags & (CODING | PROTEIN_CODING):
                    terms |= NON_CODING_TRANSCRIPT
                row = self._row(t, terms)
                k = (
                    self.models.exon_number(t, k)
                    if self.models.transcript_strand[t] > 0
                    else self.models.exon_number(t, k + 1)
                )
                self.p_intron_first[row] = k
                self.p_intron_last[row] = k
                return True
        return self._within(t)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _flank(self, t: cython.int, tx_start: cython.int, tx_end: cython.int) -> cython.void:
        """upstream_gene_variant or downstream_gene_variant, if the variant is near enough."""
        before: cython.bint = self.end < tx_start
        turn: cython.int = 0
        if self.circular_flanks and self.models.contig_circular[self.contig]:
            # The other way round may be shorter.
            turn = self.models.contig_length[self.contig]
            if before and tx_start - self.end > self.start + turn - tx_end:
                tx_start -= turn
                tx_end -= turn
                before = False
            elif not before and self.start - tx_end > tx_start + turn - self.end:
                tx_start += turn
                tx_end += turn
                before = True
        # To VEP a variant that has moved away is still as near as it was.
        back: cython.int = self.steps if self.strict else 0
        if before:
            if self.end < tx_start - self.flank and self.end - back < tx_start - self.flank:
                return
        elif self.start > tx_end + self.flank and self.start - back > tx_end + self.flank:
            return
        if not self.strict and not turn:
            if self.models.contig_circular[self.contig] and not self.circular_flanks:
                return
            if self.models.contig_segment[self.contig + 1] - self.models.contig_segment[self.contig] > 1 and (
                self.models.segment_of(self.contig, tx_start if before else tx_end)
                != self.models.segment_of(self.contig, self.low if before else self.high)
            ):
                return  # unknown sequence lies between the two
        forward: cython.bint = self.models.transcript_strand[t] > 0
        row: cython.Py_ssize_t = self._row(t, UPSTREAM if before == forward else DOWNSTREAM)
        distance: cython.int
        # The shortest way between an end of the variant and an end of the transcript.
        if before:
            distance = tx_start - (max(self.start, self.end))
            if distance < 0:
                distance = -distance
            distance = min(distance, tx_start - self.end)
        else:
            distance = self.start - tx_end
            distance = min(distance, self.end - tx_end)
            if distance < 0:
                distance = -distance
        self.p_distance[row] = distance

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _within(self, t: cython.int) -> cython.bint:
        """The row of a transcript in whose exons, or near them, the variant lies."""
        self._take(t)
        self._place()
        if self.strict and self.shift:
            self._remember()
        row: cython.Py_ssize_t = self._row(t, 0)
        if self.kind == STRUCTURAL:
            self._measure(row)
        else:
            self._number(row)
        terms: cython.ulonglong
        vep: cython.ulonglong
        rules: cython.uint = 0 if self.strict else ALL_RULES
        self.alternatives = False
        terms = self._terms(rules)
        if self.has_peptides and not self._write_peptides(row):
            return False
        self.p_cdna_start[row] = self.cdna_start
        self.p_cdna_end[row] = self.cdna_end
        self.p_cds_start[row] = self.cds_start
        self.p_cds_end[row] = self.cds_end
        self.p_protein_start[row] = self.protein_start
        self.p_protein_end[row] = self.protein_end
        if terms & (STOP_GAINED | FRAMESHIFT | SPLICE_DONOR | SPLICE_ACCEPTOR | TRANSCRIPT_ABLATION):
            self.p_notes[row] = self._notes(terms)
        vep = terms
        if self.alternatives and not self.strict:
            vep = self._terms(0)
            if vep != terms:
                self.p_exception[row] = self._exception(terms, vep)
        self.p_terms[row] = terms
        self.p_vep_terms[row] = vep
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _exception(self, terms: cython.ulonglong, vep: cython.ulonglong) -> cython.int:
        """The first correction that alone changes VEP's answer; where it takes several, the last that ours needs."""
        bit: cython.int
        for bit in range(1, 32):
            if (ALL_RULES >> bit) & 1 and self._terms(1 << bit) != vep:
                return bit
        for bit in range(31, 0, -1):
            if (ALL_RULES >> bit) & 1 and self._terms(ALL_RULES & ~(1 << bit)) != terms:
                return bit
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _take(self, t: cython.int) -> cython.void:
        """Look at transcript `t`."""
        self.t = t
        self.first_exon = self.models.transcript_exon[t]
        self.end_exon = self.models.transcript_exon[t + 1]
        self.forward = self.models.transcript_strand[t] > 0
        self.flags = self.models.transcript_flags[t]
        self.m0 = self.models.transcript_mrna[t]
        self.protein_at = self.models.transcript_protein[t]
        self.protein_length = self.models.transcript_protein[t + 1] - self.models.transcript_protein[t]
        self.phase = self.models.transcript_phase[t]
        self.u5 = self.models.cds_cdna_start[t] - 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _place(self) -> cython.void:
        """cDNA positions of both ends, in the direction of the transcript; 0 where undefined."""
        p: cython.int
        if self.start > self.end:
            p = self.models.cdna_at(self.t, self.low if self.forward else self.high)
            if p:
                self.cdna_start = p + 1
                self.cdna_end = p
            else:
                p = self.models.cdna_at(self.t, self.high if self.forward else self.low)
                self.cdna_start = p
                self.cdna_end = p - 1 if p else 0
        else:
            self.cdna_start = self.models.cdna_at(self.t, self.start if self.forward else self.end)
            self.cdna_end = self.cdna_start
            if self.start != self.end:
                self.cdna_end = self.models.cdna_at(self.t, self.end if self.forward else self.start)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _remember(self) -> cython.void:
        """E-22: after a move VEP still counts an intron that it has left, and adds the way to undefined positions."""
        steps: cython.int = self.steps
        way: cython.int = steps if steps > 0 else -steps
        self.was_intron = 0
        if steps:
            self._move(0)
            self._place()
            self.was_intron = self._intron_terms(0, self._touches_exon()) & INTRON
        self.start_from = self.cdna_start + way
        self.start_to = self.cdna_end + way
        if steps:
            self._move(steps)
            self._place()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _measure(self, row: cython.Py_ssize_t) -> cython.void:
        """How much of the transcript a structural variant overlaps. One that covers it all has no exon numbers."""
        tx_start: cython.int = self.models.transcript_start[self.t]
        tx_end: cython.int = self.models.transcript_end[self.t]
        if self.start > tx_start or self.end < tx_end:
            self._number(row)
        low: cython.int = max(tx_start, self.start)
        high: cython.int = min(tx_end, self.end)
        if low <= high:
            self.p_overlap_bp[row] = high - low + 1
            self.p_overlap_pc[row] = 100.0 * (high - low + 1) / (tx_end - tx_start + 1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _number(self, row: cython.Py_ssize_t) -> cython.void:
        """Numbers of the exons and introns that the variant overlaps."""
        a: cython.int = self.models.exon_before(self.t, self.start)
        b: cython.int = self.models.exon_before(self.t, self.end)
        # exons from..to overlap [start, end]; introns lie after exon number i
        first: cython.int = a if a >= self.first_exon and self.models.exon_end[a] >= self.start else a + 1
        if self.start > self.end:
            # An insertion overlaps an exon when both neighbours lie in it.
            first = (
                b
                if b >= self.first_exon
                and self.start <= self.models.exon_end[b]
                and self.models.exon_start[b] <= self.end
                else b + 1
            )
        if first <= b:
            if self.forward:
                self.p_exon_first[row] = self.models.exon_number(self.t, first)
                self.p_exon_last[row] = self.models.exon_number(self.t, b)
            else:
                self.p_exon_first[row] = self.models.exon_number(self.t, b)
                self.p_exon_last[row] = self.models.exon_number(self.t, first)
        # The intron after exon i is [exon_end[i] + 1, exon_start[i + 1] - 1].
        low: cython.int = self.first_exon
        high: cython.int = self.end_exon - 2
        low = max(low, a - 1)
        while low <= high and self.models.exon_start[low + 1] <= self.start:
            low += 1
        high = min(high, b)
        while high >= low and self.models.exon_end[high] >= self.end:
            high -= 1
        if low <= high:
            if self.forward:
                self.p_intron_first[row] = self.models.exon_number(self.t, low)
                self.p_intron_last[row] = self.models.exon_number(self.t, high)
            else:
                self.p_intron_first[row] = self.models.exon_number(self.t, high + 1)
                self.p_intron_last[row] = self.models.exon_number(self.t, low + 1)

    # ------------------------------------------------------------------ terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _terms(self, rules: cython.uint) -> cython.ulonglong:
        """The terms of the pair at hand under `rules`, most severe tier only."""
        terms: cython.ulonglong
        self.has_peptides = False
        self.cds_start = 0
        self.cds_end = 0
        self.protein_start = 0
        self.protein_end = 0
        self.in_frameshift_intron = False
        covered: cython.bint = (
            self.start <= self.models.transcript_start[self.t] and self.end >= self.models.transcript_end[self.t]
        )
        if self.kind == STRUCTURAL:
            terms = self._structural(rules, covered)
        else:
            terms = self._sequence(rules, covered)
        if self.flags & NMD:
            terms |= NMD_TRANSCRIPT
        if terms & (TRANSCRIPT_ABLATION | TRANSCRIPT_AMPLIFICATION):
            return terms & (TRANSCRIPT_ABLATION | TRANSCRIPT_AMPLIFICATION)
        if terms & MATURE_MIRNA:
            return MATURE_MIRNA
        if terms == 0:
            self.alternatives = True
            return SEQUENCE_VARIANT if rules & RULE_NO_TERM else INTERGENIC
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sequence(self, rules: cython.uint, covered: cython.bint) -> cython.ulonglong:
        """Terms of a variant whose alleles are known."""
        t: cython.int = self.t
        exonic: cython.bint = self._touches_exon()
        terms: cython.ulonglong = self._intron_terms(rules, exonic) | self.was_intron
        if covered:
            if self.alt_length < self.ref_length:
                return TRANSCRIPT_ABLATION
            terms &= ~INTRON
            if self.flags & PROTEIN_CODING:
                terms |= CODING_TRANSCRIPT
        if not self.flags & CODING:
            return terms | self._non_coding_terms(covered)
        if self.low <= self.models.coding_end[t] and self.high >= self.models.coding_start[t] and exonic:
            terms |= self._coding_terms(rules, covered)
        else:
            self._read(rules)
        if exonic and not covered and (self.low < self.models.coding_start[t] or self.high > self.models.coding_end[t]):
            terms |= self._utr_terms()
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _touches_exon(self) -> cython.bint:
        """The exon gate: either neighbour or any base lies in an exon, taken 12 wider where introns are artefacts."""
        wider: cython.int = 12 if self.flags & HAS_FRAMESHIFT_INTRON else 0
        k: cython.int = self.models.exon_before(self.t, self.high + wider)
        return k >= self.first_exon and self.models.exon_end[k] + wider >= self.low

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _covers_exon_base(self, low: cython.int, high: cython.int) -> cython.bint:
        """Whether an exon has a base in [low, high]."""
        k: cython.int = self.models.exon_before(self.t, high)
        return low <= high and k >= self.first_exon and self.models.exon_end[k] >= low

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _utr_terms(self) -> cython.ulonglong:
        t: cython.int = self.t
        terms: cython.ulonglong = 0
        insertion: cython.bint = self.start > self.end
        if not self.in_frameshift_intron:
            if insertion or self.kind == STRUCTURAL:
                if not (self.cdna_start or self.cdna_end or self._covers_exon_base(self.start, self.end)):
                    return 0
            elif not self._covers_exon_base(self.start, self.end):
                return 0
        if (self.end >= self.models.transcript_start[t] and self.start < self.models.coding_start[t]) or (
            insertion and self.start == self.models.coding_start[t]
        ):
            terms |= UTR_5 if self.forward else UTR_3
        if (self.start <= self.models.transcript_end[t] and self.end > self.models.coding_end[t]) or (
            insertion and self.end == self.models.coding_end[t]
        ):
            terms |= UTR_3 if self.forward else UTR_5
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _non_coding_terms(self, covered: cython.bint) -> cython.ulonglong:
        if self.flags & PROTEIN_CODING:
            return 0
        if self._is_mature_mirna():
            return MATURE_MIRNA
        b: cython.int = self.models.exon_before(self.t, self.end)
        if not covered and b >= self.first_exon and self.models.exon_end[b] >= self.start:
            return NON_CODING_EXON
        return NON_CODING_TRANSCRIPT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_mature_mirna(self) -> cython.bint:
        """Whether a mature miRNA of this transcript is hit. The ranges are sorted by transcript."""
        low: cython.Py_ssize_t = 0
        high: cython.Py_ssize_t = self.models.mature_transcript.shape[0]
        middle: cython.Py_ssize_t
        one: cython.int
        other: cython.int
        if high == 0 or self.kind == STRUCTURAL:
            return False
        while low < high:
            middle = (low + high) >> 1
            if self.models.mature_transcript[middle] < self.t:
                low = middle + 1
            else:
                high = middle
        while low < self.models.mature_transcript.shape[0] and self.models.mature_transcript[low] == self.t:
            one = self.models.genomic_at(self.t, self.models.mature_start[low])
            other = self.models.genomic_at(self.t, self.models.mature_end[low])
            if self.end >= min(one, other) and self.start <= max(one, other):
                return True
            low += 1
        return False

    # ------------------------------------------------------------------ introns and splice sites

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _intron_terms(self, rules: cython.uint, exonic: cython.bint) -> cython.ulonglong:
        """Splice terms and intron_variant, over each run of differing bases."""
        terms: cython.ulonglong = 0
        # The introns that the gates let through lie after exons from..to.
        low: cython.int = self.models.exon_before(self.t, self.low - 4)
        high: cython.int = self.models.exon_before(self.t, self.reach + 4)
        if low > self.first_exon:
            low -= 1
        low = max(low, self.first_exon)
        high = min(high, self.end_exon - 2)
        if low > high:
            return 0
        i: cython.int
        s: cython.int
        longer: cython.int
        shorter: cython.int
        if self.ref_length <= 1 or self.alt_length <= 1:
            terms = self._region(terms, low, high, self.start, self.start + self.ref_length - 1, exonic, rules)
        else:
            longer = max(self.alt_length, self.ref_length)
            shorter = min(self.alt_length, self.ref_length)
            if longer > self.ref_length:
                self.alternatives = True  # E-13
                if rules & RULE_REF_SPAN:
                    longer = self.ref_length
            i = 0
            while i < longer:
                if i < shorter and self.v_text[self.ref_at + i] == self.v_text[self.alt_at + i]:
                    i += 1
                    continue
                s = i
                while i < longer and not (i < shorter and self.v_text[self.ref_at + i] == self.v_text[self.alt_at + i]):
                    i += 1
                terms = self._region(terms, low, high, self.start + s, self.start + i - 1, exonic, rules)
        if terms & (SPLICE_ACCEPTOR | SPLICE_DONOR | SPLICE_DONOR_REGION | SPLICE_DONOR_5TH_BASE):
            terms &= ~SPLICE_REGION
        if terms & SPLICE_DONOR_5TH_BASE:
            terms &= ~SPLICE_DONOR_REGION
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _region(
        self,
        terms: cython.ulonglong,
        low: cython.int,
        high: cython.int,
        s: cython.int,
        e: cython.int,
        exonic: cython.bint,
        rules: cython.uint,
    ) -> cython.ulonglong:
        """What the region [s, e] does to the introns after exons `low` to `high`, added to `terms`."""
        i: cython.int
        first: cython.int
        last: cython.int
        insertion: cython.bint = s > e
        near: cython.bint
        looked: cython.int = 0
        k: cython.int
        for k in range(high - low + 1):
            i = low + k if self.forward else high - k  # in the direction of the transcript
            first = self.models.exon_end[i] + 1
            last = self.models.exon_start[i + 1] - 1
            if last < first:
                continue
            if last - first <= 12:
                if s <= last and e >= first:
                    self.in_frameshift_intron = True
                    continue
                self.alternatives = True  # E-20
                if rules & RULE_ARTEFACT_INTRON:
                    continue
            if self.low <= last + 3 and self.high >= first - 3:
                if s <= first + 1 and e >= first:
                    terms |= SPLICE_DONOR if self.forward else SPLICE_ACCEPTOR
                if s <= last and e >= last - 1:
                    terms |= SPLICE_ACCEPTOR if self.forward else SPLICE_DONOR
                if (s <= last - 2 and e >= first + 2) or (insertion and (s == first + 2 or e == last - 2)):
                    terms |= INTRON
                if self.forward:
                    if s <= first + 4 and e >= first + 4:
                        terms |= SPLICE_DONOR_5TH_BASE
                    if s <= first + 5 and e >= first + 2:
                        terms |= SPLICE_DONOR_REGION
                    if not exonic and (
                        (s <= last - 2 and e >= last - 16)
                        or (insertion and (last - 16 <= s <= last - 2 or last - 16 <= e <= last - 2))
                    ):
                        terms |= SPLICE_POLYPYRIMIDINE
                else:
                    if s <= last - 4 and e >= last - 4:
                        terms |= SPLICE_DONOR_5TH_BASE
                    if s <= last - 2 and e >= last - 5:
                        terms |= SPLICE_DONOR_REGION
                    if not exonic and (
                        (s <= first + 16 and e >= first + 2)
                        or (insertion and (first + 2 <= s <= first + 16 or first + 2 <= e <= first + 16))
                    ):
                        terms |= SPLICE_POLYPYRIMIDINE
            if (self.low <= first + 7 and self.high >= first - 3) or (self.low <= last + 3 and self.high >= last - 7):
                near = (
                    (s <= first + 7 and e >= first + 2)
                    or (s <= last - 2 and e >= last - 7)
                    or (s <= first - 1 and e >= first - 3)
                    or (s <= last + 3 and e >= last + 1)
                    or (insertion and (s == first or e == last or s == first + 2 or e == last - 2))
                )
                looked += 1
                if looked > 1 or terms & SPLICE_REGION:
                    self.alternatives = True  # E-9
                if near:
                    terms |= SPLICE_REGION
                elif not rules & RULE_EVERY_INTRON:
                    terms &= ~SPLICE_REGION
        return terms

    # ------------------------------------------------------------------ sequences

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _read(self, rules: cython.uint) -> cython.void:
        """CDS and protein positions, and what the coding sequence of this transcript is under `rules`."""
        t: cython.int = self.t
        cds: cython.int = self.models.cds_cdna_start[t]
        cds_end: cython.int = self.models.cds_cdna_end[t]
        self.t_length = cds_end - cds + 1 + self.phase
        self.mrna_left = self.models.transcript_cdna_length[t] - cds + 1 + self.phase
        self.tu_length = self.mrna_left
        self.table = self.models.transcript_table[t]
        if self.table != self.strict_table[self.contig]:
            self.alternatives = True  # E-14
            if not rules & RULE_GENETIC_CODE:
                self.table = self.strict_table[self.contig]
        if self.flags & INCOMPLETE_STOP:
            self.alternatives = True  # E-15
            if rules & RULE_POLYA_STOP:
                self.t_length += (3 - self.t_length % 3) % 3
                self.tu_length = self.t_length + 150

        self.mirrorable = not self.forward and self.models.transcript_exon[t + 1] - self.models.transcript_exon[t] > 1
        self.mirrored = self.mirrorable and not rules & RULE_UTR_IN_PLACE

        first: cython.int = self.cdna_start
        last: cython.int = self.cdna_end
        self.cds_start = 0
        self.cds_end = 0
        if first > last and last:
            # An insertion has CDS positions only between two bases of the CDS.
            if last >= cds and first <= cds_end:
                self.cds_start = first - cds + 1 + self.phase
                self.cds_end = last - cds + 1 + self.phase
        else:
            if cds <= first <= cds_end:
                self.cds_start = first - cds + 1 + self.phase
            if cds <= last <= cds_end:
                self.cds_end = last - cds + 1 + self.phase
        self.protein_start = (self.cds_start + 2) // 3
        self.protein_end = (self.cds_end + 2) // 3

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _t_base(self, i: cython.int) -> cython.int:
        """Base `i` (from 0) of T and what follows it."""
        if i < self.phase:
            return 4
        if i >= self.mrna_left:
            return 0  # poly(A)
        if self.mirrorable and i >= self.t_length:
            self.alternatives = True  # E-4
            if self.mirrored:
                return self._mirrored_base(self.u5 + i - self.phase)
        return self.models.mrna[self.m0 + self.u5 + i - self.phase]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _mirrored_base(self, i: cython.int) -> cython.int:
        """Base `i` (from 0) of the cDNA as VEP reads the UTRs of minus-strand transcripts with several exons (E-4).

        It cuts each exon out of the reverse complement of the whole gene, but at the distance from the gene's start at
        which it lies on the forward strand.
        """
        t: cython.int = self.t
        exon: cython.int = self.models.transcript_exon[t]
        while self.models.exon_cdna[exon] > i + 1:
            exon += 1
        code: cython.int = self.models.codes[
            self.models.code(
                self.contig,
                self.models.transcript_end[t]
                - (self.models.exon_start[exon] - self.models.transcript_start[t])
                - (i + 1 - self.models.exon_cdna[exon]),
            )
        ]
        return 3 - code if code < 4 else 4

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _alt_base(self, i: cython.int) -> cython.int:
        """Base `i` (from 0) of the alternative allele on the strand of the transcript."""
        if not self.forward:
            i = self.alt_length - 1 - i
        if self.turn:
            i = (i + self.turn) % self.alt_length
        i = self.base_codes[self.v_text[self.alt_at + i]]
        return i if self.forward or i > 3 else 3 - i

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _edited_t(self, i: cython.int) -> cython.int:
        """Base `i` (from 0) of T and what follows, after the edit."""
        if i < self.cut_from:
            return self._t_base(i)
        i -= self.cut_from
        if i < self.alt_length:
            return self._alt_base(i)
        return self._t_base(i - self.alt_length + self.cut_to)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _v_base(self, i: cython.int) -> cython.int:
        """Base `i` (from 0) of the 5' UTR and T."""
        if i >= self.u5:
            return self._t_base(i - self.u5)
        if self.mirrorable:
            self.alternatives = True  # E-4
            if self.mirrored:
                return self._mirrored_base(i)
        return self.models.mrna[self.m0 + i]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _edited_v(self, i: cython.int) -> cython.int:
        """The same after the edit at the cDNA position."""
        if i < self.cdna_start - 1:
            return self._v_base(i)
        i -= self.cdna_start - 1
        if i < self.alt_length:
            return self._alt_base(i)
        return self._v_base(i - self.alt_length + self.cdna_end)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_plain(self) -> cython.bint:
        """Whether the alternative allele has no letters but A, C, G, T."""
        i: cython.int
        if self.alt_is_plain < 0:
            self.alt_is_plain = 1
            for i in range(self.alt_length):
                if self.base_codes[self.v_text[self.alt_at + i]] > 3:
                    self.alt_is_plain = 0
                    break
        return self.alt_is_plain == 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _translate(self, i: cython.int, end: cython.int, edited: cython.bint, out: cython.int) -> cython.int:
        """Write the peptide of bases [i, end) into `letters` from `out` on; its length.

        Left-over bases make an X, unless the whole codons are exactly a stop.
        """
        at: cython.int = out
        while i + 2 < end:
            if edited:
                self.letters[at] = self.models.amino_acid(
                    self.table, self._edited_t(i), self._edited_t(i + 1), self._edited_t(i + 2)
                )
            else:
                self.letters[at] = self.models.amino_acid(
                    self.table, self._t_base(i), self._t_base(i + 1), self._t_base(i + 2)
                )
            at += 1
            i += 3
        if i < end and not (at == out + 1 and self.letters[out] == 42):
            self.letters[at] = 88
            at += 1
        return at - out

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _peptides(self, rules: cython.uint) -> cython.void:
        """Reference and alternative peptide (S-1, S-2), if both CDS ends are defined and the allele is plain."""
        width: cython.int
        if not (self.cds_start and self.cds_end and self._is_plain()):
            return
        self.has_peptides = True
        self.cut_from = self.cds_start - 1
        self.cut_to = self.cds_end
        self.ref_from = 3 * (self.protein_start - 1)
        width = 3 * (self.protein_end - self.protein_start + 1)
        self.ref_to = self.ref_from + width
        self.ref_to = min(self.ref_to, self.t_length)
        width += self.alt_length - (self.cds_end - self.cds_start + 1)
        self.alt_to = self.ref_from + width
        self.alt_to = min(self.alt_to, self.tu_length + self.alt_length - (self.cut_to - self.cut_from))
        self.alt_to = max(self.alt_to, self.ref_from)
        self.rp = self._translate(self.ref_from, self.ref_to, False, 0)
        self.ap_at = self.rp
        self.ap = self._translate(self.ref_from, self.alt_to, True, self.ap_at)
        if self.flags & SELENO:
            self.alternatives = True  # E-28
            if rules & RULE_SELENOCYSTEINE:
                self._write_selenocysteines()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _write_selenocysteines(self) -> cython.void:
        """U for each TGA inside of T that is no stop of the reference, in both peptides; a new TGA stays a stop."""
        k: cython.int
        i: cython.int
        for k in range(self.rp):
            i = self.ref_from + 3 * k
            if self.letters[k] == 42 and self._is_inner_tga(i):
                self.letters[k] = 85
        for k in range(self.ap):
            i = self.ref_from + 3 * k
            if self.letters[self.ap_at + k] != 42:
                continue
            if i >= self.cut_from + self.alt_length:
                i += self.cut_to - self.cut_from - self.alt_length
            elif i + 3 > self.cut_from:
                continue
            if i % 3 == 0 and self._is_inner_tga(i):
                self.letters[self.ap_at + k] = 85

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_inner_tga(self, i: cython.int) -> cython.bint:
        """Whether the codon of T that begins at `i` is TGA and not the last one."""
        return i + 3 < self.t_length and self._t_base(i) == 3 and self._t_base(i + 1) == 2 and self._t_base(i + 2) == 0

    # ------------------------------------------------------------------ coding terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _coding_terms(self, rules: cython.uint, covered: cython.bint) -> cython.ulonglong:
        """Every predicate of the coding sequence (3.5), in an order in which each finds what it asks for."""
        self._read(rules)
        self._peptides(rules)
        terms: cython.ulonglong = 0
        t: cython.int = self.t
        substitution: cython.bint = self.ref_length == self.alt_length
        indel: cython.bint = not substitution
        rp: cython.int = self.rp if self.has_peptides else 0
        ap: cython.int = self.ap if self.has_peptides else 0
        ref_stop: cython.int = self._stop_in(0, rp)
        alt_stop: cython.int = self._stop_in(self.ap_at, ap)
        left: cython.int = self.t_length - 3 * (self.protein_start - 1)
        partial: cython.bint = self.protein_start > 0 and 0 < left < 3
        if partial:
            terms |= INCOMPLETE_TERMINAL_CODON
        over_start: cython.bint = False
        over_stop: cython.bint = False
        if self.cdna_start and self.cdna_end:
            over_start = (
                self.cdna_start <= self.models.cds_cdna_start[t] + 2 and self.cdna_end >= self.models.cds_cdna_start[t]
            )
            over_stop = self.cdna_start <= self.models.cds_cdna_end[t] and self.cdna_end >= self.models.cds_cdna_end[
                t
            ] - 2 + self.t_length - (self.models.cds_cdna_end[t] - self.u5 + self.phase)
            if over_start and (self.flags & CDS_START_NF or self.phase):
                self.alternatives = True  # E-8
                if rules & RULE_INCOMPLETE_ENDS:
                    over_start = False
            if over_stop and self.flags & CDS_END_NF:
                self.alternatives = True  # E-8
                if rules & RULE_INCOMPLETE_ENDS:
                    over_stop = False

        if self.strict and self.steps:
            over_start = (
                self.start_from <= self.models.cds_cdna_start[t] + 2 and self.start_to >= self.models.cds_cdna_start[t]
            )
        stop_altered: cython.bint = indel and over_stop and self._stop_altered()
        if substitution and over_stop and not self.has_peptides and self.t_length % 3 == 0 and self._stop_altered():
            self.alternatives = True  # E-24
            if rules & RULE_SWALLOWED_ENDS:
                stop_altered = True
        swallowed: cython.bint = not self.has_peptides and self.alt_length < self.ref_length
        if swallowed and not (self.cds_start and self.cdna_end) and not self.flags & CDS_END_NF:
            # The stop codon goes with the sequence around it.
            if self._hits_cdna(self.models.cds_cdna_end[t] - 2):
                self.alternatives = True  # E-24
                if rules & RULE_SWALLOWED_ENDS:
                    stop_altered = True
        if self.has_peptides:
            if ref_stop >= 0 and alt_stop < 0:
                terms |= STOP_LOST
        elif stop_altered:
            terms |= STOP_LOST
        if not partial and not terms & STOP_LOST:
            if self.has_peptides and ap:
                if self._stop_stays(rules, ref_stop, alt_stop):
                    terms |= STOP_RETAINED
            elif indel and over_stop and not stop_altered:
                terms |= STOP_RETAINED

        if (
            self.has_peptides
            and (ref_stop >= 0 or alt_stop >= 0)
            and not partial
            and not terms & STOP_RETAINED
            and self._protein_is_the_same()
        ):
            self.alternatives = True  # E-27
            if rules & RULE_WHOLE_PROTEIN:
                terms = (terms & ~STOP_LOST) | STOP_RETAINED
        shift: cython.int = self.alt_length - (self.cds_end - self.cds_start + 1)
        if indel and not partial and not terms & STOP_RETAINED and self.cds_start and self.cds_end and shift % 3:
            terms |= FRAMESHIFT
        in_frame: cython.bint = self.has_peptides and not terms & FRAMESHIFT
        deletion: cython.bint = in_frame and not partial and self._is_inframe_deletion()
        earlier: cython.bint = ref_stop > alt_stop >= 0 and not deletion and not terms & STOP_RETAINED
        if earlier:
            self.alternatives = True  # E-27
            if not rules & RULE_WHOLE_PROTEIN:
                earlier = False
            elif in_frame and shift < 0 and shift % 3 == 0 and self._is_suffix():
                deletion = True
                earlier = False
        start_altered: cython.bint = indel and over_start and self._start_altered()
        if over_start and (not start_altered if indel else self._starts_with_atg(rules)):
            terms |= START_RETAINED
        insertion: cython.bint = in_frame and self._is_inframe_insertion(terms, alt_stop)
        if over_start and self._start_is_lost(rules, start_altered, insertion or deletion):
            terms |= START_LOST
        elif swallowed and not (self.cdna_start and self.cdna_end) and not (self.flags & CDS_START_NF or self.phase):
            if self._hits_cdna(self.models.cds_cdna_start[t]):
                self.alternatives = True  # E-24
                if rules & RULE_SWALLOWED_ENDS:
                    terms |= START_LOST
        if insertion and not terms & START_LOST:
            if shift % 3:
                self.alternatives = True  # E-26
            if not (shift % 3 and rules & RULE_WHOLE_CODONS):
                terms |= INFRAME_INSERTION
        if deletion and not (shift % 3 and rules & RULE_WHOLE_CODONS):
            terms |= INFRAME_DELETION

        if self.has_peptides:
            terms |= self._peptide_terms(terms, substitution, partial, -1 if earlier else ref_stop, alt_stop)
            if self.table != 1 and rules & RULE_GENETIC_CODE and self.protein_end == 1 and terms & START_RETAINED:
                terms &= ~MISSENSE  # whatever the start codon, the first residue is Met
        if (
            not covered
            and (not self.has_peptides or self._has_x(0, rp) or self._has_x(self.ap_at, ap))
            and not terms
            & (
                FRAMESHIFT
                | INFRAME_DELETION
                | PROTEIN_ALTERING
                | START_RETAINED
                | START_LOST
                | STOP_RETAINED
                | STOP_LOST
            )
            and self._hits_cds()
        ):
            terms |= CODING_SEQUENCE
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _peptide_terms(
        self,
        terms: cython.ulonglong,
        substitution: cython.bint,
        partial: cython.bint,
        ref_stop: cython.int,
        alt_stop: cython.int,
    ) -> cython.ulonglong:
        """stop_gained, missense, protein_altering and synonymous, from the two peptides and the terms so far."""
        out: cython.ulonglong = 0
        rp: cython.int = self.rp
        ap: cython.int = self.ap
        same: cython.bint = rp == ap and self._begins(rp)
        if not terms & STOP_RETAINED and alt_stop >= 0 and ref_stop < 0:
            out |= STOP_GAINED
        if (
            substitution
            and rp == ap
            and not same
            and not partial
            and not (terms | out) & (START_LOST | STOP_LOST | STOP_GAINED | STOP_RETAINED)
        ):
            out |= MISSENSE
        if (
            rp != ap
            and ref_stop != 0
            and alt_stop != 0
            and not self._begins(rp)
            and not self._ends(rp, ap)
            and not terms & (INFRAME_DELETION | START_LOST | FRAMESHIFT)
        ):
            out |= PROTEIN_ALTERING
        if same and rp and not self._has_x(0, rp) and not terms & (STOP_RETAINED | START_RETAINED):
            out |= SYNONYMOUS
        return out

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _stop_in(self, at: cython.int, length: cython.int) -> cython.int:
        """Index of the first stop in a peptide, -1 without one."""
        i: cython.int
        for i in range(length):
            if self.letters[at + i] == 42:
                return i
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _has_x(self, at: cython.int, length: cython.int) -> cython.bint:
        i: cython.int
        for i in range(length):
            if self.letters[at + i] == 88:
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _begins(self, length: cython.int) -> cython.bint:
        """Whether the alternative peptide begins with the reference peptide, `length` letters long."""
        i: cython.int
        if length > self.ap:
            return False
        for i in range(length):
            if self.letters[i] != self.letters[self.ap_at + i]:
                return False
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _ends(self, length: cython.int, whole: cython.int) -> cython.bint:
        """Whether the first `whole` letters of the alternative peptide end with the reference peptide."""
        i: cython.int
        if length > whole:
            return False
        for i in range(length):
            if self.letters[i] != self.letters[self.ap_at + whole - length + i]:
                return False
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _stop_stays(self, rules: cython.uint, ref_stop: cython.int, alt_stop: cython.int) -> cython.bint:
        """stop_retained for a variant with peptides."""
        first: cython.int = self.letters[self.ap_at]
        if self.rp == 1 and self.ap == 1 and self.letters[0] == 88 and first == 88:
            return False
        if alt_stop == 0 and self.protein_start > self.protein_length:
            return True
        if alt_stop >= 0 and ref_stop == alt_stop:
            return True
        if self.rp == 1 and self.letters[0] == first and alt_stop >= 0:
            if ref_stop == 0:
                return True
            self.alternatives = True  # E-1
            if not rules & RULE_PREMATURE_STOP:
                return True
        return self._protein_stays(rules)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _protein_stays(self, rules: cython.uint) -> cython.bint:
        """Whether P with the reference peptide replaced begins with all of P and is one or two residues longer."""
        at: cython.int = self.protein_start - 1
        rest: cython.int = at + self.rp
        j: cython.int
        residue: cython.int
        longer: cython.int
        if at > self.protein_length:
            return False
        rest = min(rest, self.protein_length)
        longer = self.ap - (rest - at)
        if longer < 1 or longer > 2:
            return False
        for j in range(at, self.protein_length):
            if j - at < self.ap:
                residue = self.letters[self.ap_at + j - at]
            else:
                residue = self.models.protein[self.protein_at + rest + j - at - self.ap]
            if residue != self.models.protein[self.protein_at + j]:
                return False
        if (self.alt_length - (self.cut_to - self.cut_from)) % 3 == 0:
            return True
        # The protein goes on in another frame: the stop is kept only if the first new residue is one.
        j = self.protein_length - at
        if j < self.ap and self.letters[self.ap_at + j] == 42:
            return True
        self.alternatives = True  # E-23
        return not rules & RULE_STOP_PUSHED

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _protein_is_the_same(self) -> cython.bint:
        """Whether the edited sequence, read on to its stop, is translated to the very protein that was there."""
        i: cython.int = self.ref_from
        k: cython.int = self.protein_start - 1
        end: cython.int = self.tu_length - (self.cut_to - self.cut_from) + self.alt_length
        residue: cython.int
        while i + 2 < end and k <= self.protein_length:
            residue = self.models.amino_acid(
                self.table, self._edited_t(i), self._edited_t(i + 1), self._edited_t(i + 2)
            )
            if k == self.protein_length:
                return residue == 42
            if residue != self.models.protein[self.protein_at + k]:
                return False
            if residue == 42 and self.flags & SELENO and (self._edited_t(i + 1) != 2 or self._edited_t(i + 2) != 0):
                return False  # a selenocysteine has become a stop
            i += 3
            k += 1
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_suffix(self) -> cython.bint:
        """Whether the reference peptide ends with the alternative one."""
        i: cython.int
        if self.ap > self.rp:
            return False
        for i in range(self.ap):
            if self.letters[self.rp - self.ap + i] != self.letters[self.ap_at + i]:
                return False
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _stop_altered(self) -> cython.bint:
        """S-6: after the edit the codon that ends T is no stop any more. False where the CDS start is undefined."""
        if not self.cds_start or not self._is_plain():
            return False
        self.cut_from = self.cds_start - 1
        self.cut_to = self.cut_from + self.cdna_end - self.cdna_start + 1
        if self.tu_length - (self.cut_to - self.cut_from) + self.alt_length < self.t_length:
            return True
        i: cython.int = self.t_length - 3
        if i < 0:
            return True
        return self.models.amino_acid(self.table, self._edited_t(i), self._edited_t(i + 1), self._edited_t(i + 2)) != 42

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _start_altered(self) -> cython.bint:
        """S-5: an indel over the start codon changes T as read from its end."""
        i: cython.int
        same: cython.bint = self.u5 > 0
        length: cython.int = self.u5 + self.t_length - (self.cdna_end - self.cdna_start + 1) + self.alt_length
        if not (self.cdna_start and self.cdna_end and self._is_plain()):
            return False
        if same:
            i = self.cdna_start - 1
            while i < self.u5 and same:
                same = i < length and self._edited_v(i) == self._v_base(i)
                i += 1
            if same and length >= self.u5 + 3 and self._is_atg(self.u5):
                return False
        if length < self.t_length:
            return True
        for i in range(self.t_length):
            if self._edited_v(length - self.t_length + i) != self._t_base(i):
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_atg(self, i: cython.int) -> cython.bint:
        """Whether the edited 5' UTR and T has ATG at `i`."""
        return self._edited_v(i) == 0 and self._edited_v(i + 1) == 3 and self._edited_v(i + 2) == 2

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _starts_with_atg(self, rules: cython.uint) -> cython.bint:
        """start_retained of a substitution."""
        if self.table != 1:
            self.alternatives = True  # E-14
            if rules & RULE_GENETIC_CODE:
                return self._is_plain() and self._is_start(self.u5)
        return self._is_plain() and self._is_atg(self.u5)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_start(self, i: cython.int) -> cython.bint:
        """Whether the edited 5' UTR and T has, at `i`, a start codon of its own genetic code."""
        if self.table == 1:
            return self._is_atg(i)
        codon: cython.int = 25 * self._edited_v(i) + 5 * self._edited_v(i + 1) + self._edited_v(i + 2)
        return self.models.starts[125 * self.table + codon] != 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _begins_with_start(self) -> cython.bint:
        """Whether T begins with a start codon: ATG, or in another code than the standard any of its own."""
        a: cython.int = self._t_base(0)
        b: cython.int = self._t_base(1)
        c: cython.int = self._t_base(2)
        if self.table == 1:
            return a == 0 and b == 3 and c == 2
        return self.models.starts[125 * self.table + 25 * a + 5 * b + c] != 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _hits_cdna(self, cdna: cython.int) -> cython.bint:
        """Whether the variant covers one of the three bases from cDNA position `cdna` on."""
        i: cython.int
        at: cython.int
        for i in range(cdna, cdna + 3):
            at = self.models.genomic_at(self.t, i)
            if at and self.start <= at <= self.end:
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _start_is_lost(self, rules: cython.uint, altered: cython.bint, in_frame: cython.bint) -> cython.bint:
        """start_lost of a variant over the start codon."""
        if altered and in_frame and self.u5 == 0 and self._begins_with_start() and not self._is_start(0):
            self.alternatives = True  # E-25
            if rules & RULE_START_WITHOUT_UTR:
                return True
        if self.table != 1 and rules & RULE_GENETIC_CODE and self.ref_length == self.alt_length:
            return self._is_plain() and not self._is_start(self.u5)
        if altered and not in_frame:
            return True
        if self.u5 > 0 and self.cdna_start and self.cdna_end and self._is_plain() and not self._is_atg(self.u5):
            return True
        return (
            self.has_peptides
            and self.rp > 0
            and self.ap > 0
            and not (self.ap == 1 and self.letters[self.ap_at] == 88)
            and self.protein_start == 1
            and not self._begins(self.rp)
            and not self._ends(self.rp, self.ap)
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_inframe_insertion(self, terms: cython.ulonglong, alt_stop: cython.int) -> cython.bint:
        """inframe_insertion, apart from the question of the start."""
        if self.alt_length <= self.ref_length or self.alt_to - self.ref_from <= self.ref_to - self.ref_from:
            return False
        if terms & START_RETAINED and self._ends(self.rp, self.ap):
            return False
        whole: cython.int = self.ap if alt_stop < 0 else alt_stop + 1
        return (self.rp <= whole and self._begins(self.rp)) or self._ends(self.rp, whole)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_inframe_deletion(self) -> cython.bint:
        """inframe_deletion: what is left of the codons is their beginning or end, or whole codons went."""
        ref: cython.int = self.ref_to - self.ref_from
        alt: cython.int = self.alt_to - self.ref_from
        prefix: cython.int = 0
        suffix: cython.int = 0
        if self.alt_length >= self.ref_length or alt >= ref:
            return False
        while prefix < alt and self._t_base(self.ref_from + prefix) == self._edited_t(self.ref_from + prefix):
            prefix += 1
        while suffix < alt and self._t_base(self.ref_to - 1 - suffix) == self._edited_t(self.alt_to - 1 - suffix):
            suffix += 1
        if prefix == alt or suffix == alt:
            return True
        return prefix + suffix >= alt and (ref - alt) % 3 == 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _hits_cds(self) -> cython.bint:
        """Whether some base of the variant is CDS, or lies in a frameshift intron of the coding region."""
        low: cython.int = self.start
        high: cython.int = self.end
        if low > high:
            if self.cds_start:
                return True
            return (
                self.in_frameshift_intron
                and high >= self.models.coding_start[self.t]
                and low <= self.models.coding_end[self.t]
            )
        low = max(low, self.models.coding_start[self.t])
        high = min(high, self.models.coding_end[self.t])
        if low > high:
            return False
        return self.in_frameshift_intron or self._covers_exon_base(low, high)

    # ------------------------------------------------------------------ structural variants

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _structural(self, rules: cython.uint, covered: cython.bint) -> cython.ulonglong:
        """Terms of a structural variant: by coordinates, without sequence."""
        t: cython.int = self.t
        terms: cython.ulonglong = 0
        loss: cython.bint = self.sv == SV_DEL
        gain: cython.bint = self.sv == SV_DUP or self.sv == SV_TANDEM_DUP
        if covered:
            if loss:
                return TRANSCRIPT_ABLATION
            if gain:
                return TRANSCRIPT_AMPLIFICATION
            if self.flags & CODING:
                return CODING_TRANSCRIPT if self.flags & PROTEIN_CODING else 0
            return self._non_coding_terms(covered)
        inside: cython.bint = (
            self.start >= self.models.transcript_start[t] and self.end <= self.models.transcript_end[t]
        )
        insertion: cython.bint = self.start > self.end
        exonic: cython.bint
        if insertion:
            exonic = self.cdna_start > 0
        else:
            exonic = self._covers_exon_base(self.start, self.end)
        if exonic:
            if inside and (gain or self.sv == SV_INS):
                terms |= FEATURE_ELONGATION
            if loss:
                terms |= FEATURE_TRUNCATION
        terms |= self._structural_intron()
        if not self.flags & CODING:
            return terms | self._non_coding_terms(covered)
        self._read(rules)
        if self.low <= self.models.coding_end[t] and self.high >= self.models.coding_start[t]:
            terms |= self._structural_coding(rules, loss)
        if exonic and (self.low < self.models.coding_start[t] or self.high > self.models.coding_end[t]):
            terms |= self._utr_terms()
        self.cds_start = 0
        self.cds_end = 0
        self.protein_start = 0
        self.protein_end = 0
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _structural_intron(self) -> cython.ulonglong:
        """intron_variant of a structural variant."""
        i: cython.int = self.models.exon_before(self.t, self.low - 4)
        first: cython.int
        last: cython.int
        terms: cython.ulonglong = 0
        i = max(i, self.first_exon)
        while i + 1 < self.end_exon and self.models.exon_end[i] < self.high:
            first = self.models.exon_end[i] + 1
            last = self.models.exon_start[i + 1] - 1
            if last - first <= 12 and self.start <= last and self.end >= first:
                self.in_frameshift_intron = True
            elif (self.start <= last - 2 and self.end >= first + 2) or (
                self.start > self.end and (self.start == first + 2 or self.end == last - 2)
            ):
                terms = INTRON
            i += 1
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _structural_coding(self, rules: cython.uint, loss: cython.bint) -> cython.ulonglong:
        t: cython.int = self.t
        terms: cython.ulonglong = 0
        stop_low: cython.int = self.models.coding_end[t] - 2 if self.forward else self.models.coding_start[t]
        if loss:
            if self.cdna_start and self.cdna_end:
                if (
                    self.cdna_start <= self.models.cds_cdna_start[t] + 2
                    and self.cdna_end >= self.models.cds_cdna_start[t]
                ):
                    if not ((self.flags & CDS_START_NF or self.phase) and rules & RULE_INCOMPLETE_ENDS):
                        terms |= START_LOST
                        self.alternatives = True  # E-12
                        if not rules & RULE_STRUCTURAL_START:
                            terms |= START_RETAINED
            if self.start <= stop_low + 2 and self.end >= stop_low:
                if not (self.flags & CDS_END_NF and rules & RULE_INCOMPLETE_ENDS):
                    terms |= STOP_LOST
            if self.flags & (CDS_START_NF | CDS_END_NF) or self.phase:
                self.alternatives = True
            if self._within_one_exon():
                if (self.end - self.start + 1) % 3:
                    terms |= FRAMESHIFT
                else:
                    terms |= INFRAME_DELETION
        if self._hits_cds() and not terms & (FRAMESHIFT | INFRAME_DELETION):
            terms |= CODING_SEQUENCE
        return terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _within_one_exon(self) -> cython.bint:
        k: cython.int = self.models.exon_before(self.t, self.start)
        return k >= self.first_exon and self.end <= self.models.exon_end[k] and self.start <= self.end

    # ------------------------------------------------------------------ notes

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _notes(self, terms: cython.ulonglong) -> cython.uint:
        """Nonsense-mediated decay by the 50-base rule, and how sure a loss of function is."""
        notes: cython.uint = 0
        stop: cython.int = -1
        if terms & (STOP_GAINED | FRAMESHIFT) and self.has_peptides:
            stop = self._next_stop()
            if stop >= 0:
                notes |= NMD_PREDICTED if self._decays(stop) else NMD_ESCAPE
        if not self.flags & PROTEIN_CODING or self.flags & NMD:
            return notes
        reasons: cython.uint = 0
        if terms & (STOP_GAINED | FRAMESHIFT):
            if self.has_peptides and stop < 0:
                reasons |= NO_STOP
            if notes & NMD_ESCAPE and 10 * (self.protein_length - self.protein_start + 1) < self.protein_length:
                reasons |= LAST_PART
        elif terms & (SPLICE_DONOR | SPLICE_ACCEPTOR):
            reasons |= self._splice_reasons()
        if self.flags & (CDS_START_NF | CDS_END_NF):
            reasons |= INCOMPLETE_CDS
        return notes | reasons | (LOF_LOW if reasons else LOF_HIGH)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _next_stop(self) -> cython.int:
        """Where the first stop codon of the edited T begins, from the first changed codon on; -1 without one."""
        self.cut_from = self.cds_start - 1
        self.cut_to = self.cds_end
        i: cython.int = self.ref_from
        end: cython.int = self.tu_length - (self.cut_to - self.cut_from) + self.alt_length
        while i + 2 < end:
            if (
                self.models.amino_acid(self.table, self._edited_t(i), self._edited_t(i + 1), self._edited_t(i + 2))
                == 42
            ):
                return i
            i += 3
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _decays(self, stop: cython.int) -> cython.bint:
        """Whether a stop codon at `stop` lies more than 50 bases before the last exon junction.

        Stops within the first 150 coding bases are known to escape, and so do transcripts of one exon.
        """
        last: cython.int = self.end_exon - 1 if self.forward else self.first_exon
        junction: cython.int = self.models.exon_cdna[last] - 1 - self.u5 + self.phase
        if self.end_exon - self.first_exon < 2 or stop - self.phase < 150:
            return False
        if junction >= self.cut_to:
            junction += self.alt_length - (self.cut_to - self.cut_from)
        elif junction > self.cut_from:
            junction = self.cut_from + self.alt_length
        return junction - (stop + 3) > 50

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _splice_reasons(self) -> cython.uint:
        """Why the loss of a splice site need not matter: every intron hit lies in a UTR, or is too short to be one."""
        i: cython.int = self.models.exon_before(self.t, self.low)
        first: cython.int
        last: cython.int
        in_utr: cython.bint = True
        short: cython.bint = True
        i = max(i, self.first_exon)
        while i + 1 < self.end_exon and self.models.exon_end[i] < self.reach:
            first = self.models.exon_end[i] + 1
            last = self.models.exon_start[i + 1] - 1
            if self.low <= last and self.reach >= first:
                if first <= self.models.coding_end[self.t] and last >= self.models.coding_start[self.t]:
                    in_utr = False
                if last - first + 1 >= 30:
                    short = False
            i += 1
        return (UTR_INTRON if in_utr else 0) | (SHORT_INTRON if short else 0)

    # ------------------------------------------------------------------ text

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _write_peptides(self, row: cython.Py_ssize_t) -> cython.bint:
        """Append both peptides and both codon strings, changed bases in upper case. False when they do not fit."""
        ref: cython.int = self.ref_to - self.ref_from
        alt: cython.int = self.alt_to - self.ref_from
        need: cython.Py_ssize_t = self.text_length + self.rp + self.ap + ref + alt
        at: cython.Py_ssize_t = self.text_length
        i: cython.int
        if need > self.text.shape[0]:
            self.why = MORE_TEXT
            self.wanted = need
            return False
        self.p_peptide_offset[row] = at
        self.p_ref_peptide_length[row] = self.rp
        self.p_alt_peptide_length[row] = self.ap
        for i in range(self.rp + self.ap):
            self.text[at] = self.letters[i]
            at += 1
        self.cut_from = self.cds_start - 1
        self.cut_to = self.cds_end
        self.p_codon_offset[row] = at
        self.p_ref_codon_length[row] = ref
        self.p_alt_codon_length[row] = alt
        for i in range(self.ref_from, self.ref_to):
            # VEP marks as many bases as the variant has on the genome, introns included (E-18).
            self.text[at] = self._shown(
                self._t_base(i), self.cut_from <= i < (self.cut_from + self.ref_length if self.strict else self.cut_to)
            )
            at += 1
        for i in range(self.ref_from, self.alt_to):
            self.text[at] = self._shown(self._edited_t(i), self.cut_from <= i < self.cut_from + self.alt_length)
            at += 1
        self.text_length = at
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _shown(self, code: cython.int, changed: cython.bint) -> cython.int:
        """The letter of a base: upper case where it is changed."""
        letter: cython.int = 78
        if code == 0:
            letter = 65
        elif code == 1:
            letter = 67
        elif code == 2:
            letter = 71
        elif code == 3:
            letter = 84
        return letter if changed else letter + 32

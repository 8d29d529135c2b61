# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportMissingImports=false, reportPossiblyUnboundVariable=false
# pyright: reportInvalidTypeArguments=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportAssignmentType=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""From columns of pairs to lines of text: VCF with CSQ or ANN, tab-separated rows, JSON lines.

What a line looks like is a *plan*: a list of fields, each with the text before it, behind it, and in place of an empty
one. `genomics.render` makes the plan; here it is carried out, pair by pair, into one buffer. What depends on the
transcript alone is written once and copied from then on; so is the text of each distinct set of consequence terms. That
is what makes a row cost tens of nanoseconds. Called by `render` only.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

if cython.compiled:
    from cython.cimports.libc.string import memcpy

COMPILED: bool = cython.compiled


@cython.cclass
class Strings:
    """One text for each row: `text[begin[i]:end[i]]`. Without rows, every text is empty."""

    text: cython.const[cython.uchar][::1]
    begin: cython.const[cython.longlong][::1]
    end: cython.const[cython.longlong][::1]

    def __init__(self, text, begin, end):
        self.text = text
        self.begin = begin
        self.end = end


@cython.cclass
class Plan:
    """A list of fields: a code, and three pieces of `text` for each (before, behind, instead of nothing)."""

    code: cython.const[cython.int][::1]
    pieces: cython.const[cython.int][:, ::1]
    text: cython.const[cython.uchar][::1]
    # by fragment and transcript: where its text lies in the arena, 0 when not yet there
    cached: cython.longlong[:, ::1]
    count: cython.int
    # the plan for each kind of row, made when the first such row comes: neighbouring empty fields are one text
    merged: cython.int[:, ::1]  # by kind of row: first step, how many (0: not yet made)
    steps: cython.int[:, ::1]  # a field, or -1 and a stretch of `literals`
    literals: cython.uchar[::1]
    steps_used: cython.int
    literals_used: cython.int

    def __init__(self, code, pieces, text, cached, merged, steps, literals):
        self.code = code
        self.pieces = pieces
        self.text = text
        self.cached = cached
        self.count = len(code)
        self.merged = merged
        self.steps = steps
        self.literals = literals
        self.steps_used = self.literals_used = 0


@cython.cclass
class Renderer:
    """Writes the lines of one output. One for each thread: it keeps a cache and the place in its buffer."""

    # the bundle
    transcript_place: cython.const[cython.int][::1]  # in the order of the names
    transcript_gene: cython.const[cython.int][::1]
    transcript_exon: cython.const[cython.int][::1]
    transcript_flags: cython.const[cython.uint][::1]
    transcript_strand: cython.const[cython.schar][::1]
    transcript_biotype: cython.const[cython.uchar][::1]
    transcript_tsl: cython.const[cython.uchar][::1]
    transcript_appris: cython.const[cython.uchar][::1]
    transcript_version: cython.const[cython.uchar][::1]
    cdna_length: cython.const[cython.int][::1]
    cds_start: cython.const[cython.int][::1]
    cds_end: cython.const[cython.int][::1]
    phase: cython.const[cython.uchar][::1]
    protein: cython.const[cython.longlong][::1]
    transcript_name: Strings
    protein_name: Strings
    ccds_name: Strings
    gene_id: Strings
    gene_symbol: Strings
    hgnc: Strings

    # words
    terms: Strings
    separator: Strings
    impacts: Strings
    impact_of: cython.const[cython.uchar][::1]
    biotypes: Strings
    sv_names: Strings
    classes: Strings
    exceptions: Strings
    notes: Strings
    reasons: Strings
    keys: Strings  # 0 the INFO key with its =, 1 the key of the reason with its =, 2 between rows
    escape: Strings  # 256 replacements; an empty one means: as it is
    special: cython.const[cython.uchar][::1]  # 1 for the bytes that have one

    # plans
    row_plan: Plan
    variant_plan: Plan
    closing: Strings
    layout: cython.int  # 0 VCF, 1 one line a row, 2 one line an allele
    sorted_rows: cython.bint
    strip: cython.bint
    drop: cython.const[cython.uchar][::1]
    row_room: cython.longlong

    # caches
    arena: cython.uchar[::1]
    arena_used: cython.longlong
    mask_key: cython.ulonglong[::1]
    mask_begin: cython.longlong[::1]
    mask_end: cython.longlong[::1]
    mask_count: cython.longlong[::1]
    mask_rank: cython.uchar[::1]
    mask_slots: cython.uint
    last_mask: cython.ulonglong
    last_slot: cython.longlong

    # the batch
    text: cython.const[cython.uchar][::1]
    line_start: cython.const[cython.longlong][::1]
    line_end: cython.const[cython.longlong][::1]
    fields: cython.const[cython.int][:, ::1]
    status: cython.const[cython.uchar][::1]
    first_row: cython.const[cython.int][::1]
    records: cython.longlong
    v_allele: cython.const[cython.int][::1]
    v_start: cython.const[cython.int][::1]
    v_end: cython.const[cython.int][::1]
    v_position: cython.const[cython.int][::1]
    v_kind: cython.const[cython.uchar][::1]
    v_record_kind: cython.const[cython.uchar][::1]
    v_sv: cython.const[cython.uchar][::1]
    v_ref_offset: cython.const[cython.longlong][::1]
    v_ref_length: cython.const[cython.int][::1]
    v_alt_offset: cython.const[cython.longlong][::1]
    v_alt_length: cython.const[cython.int][::1]
    v_text: cython.const[cython.uchar][::1]
    raw_alt: cython.const[cython.longlong][::1]
    raw_alt_length: cython.const[cython.int][::1]
    p_variant: cython.const[cython.int][::1]
    p_transcript: cython.const[cython.int][::1]
    p_terms: cython.const[cython.ulonglong][::1]
    p_vep_terms: cython.const[cython.ulonglong][::1]
    p_exception: cython.const[cython.uchar][::1]
    p_distance: cython.const[cython.int][::1]
    p_exon_first: cython.const[cython.int][::1]
    p_exon_last: cython.const[cython.int][::1]
    p_intron_first: cython.const[cython.int][::1]
    p_intron_last: cython.const[cython.int][::1]
    p_cdna_start: cython.const[cython.int][::1]
    p_cdna_end: cython.const[cython.int][::1]
    p_cds_start: cython.const[cython.int][::1]
    p_cds_end: cython.const[cython.int][::1]
    p_protein_start: cython.const[cython.int][::1]
    p_protein_end: cython.const[cython.int][::1]
    p_peptide: cython.const[cython.int][::1]
    p_ref_peptide: cython.const[cython.int][::1]
    p_alt_peptide: cython.const[cython.int][::1]
    p_codon: cython.const[cython.int][::1]
    p_ref_codon: cython.const[cython.int][::1]
    p_alt_codon: cython.const[cython.int][::1]
    p_text: cython.const[cython.uchar][::1]
    p_overlap_bp: cython.const[cython.int][::1]
    p_overlap_pc: cython.const[cython.float][::1]
    p_notes: cython.const[cython.uint][::1]
    pairs: cython.longlong
    keep: cython.const[cython.uchar][::1]
    picked: cython.const[cython.uchar][::1]
    has_names: cython.bint
    has_facts: cython.bint
    has_keep: cython.bint
    has_picked: cython.bint
    hgvsc: Strings
    hgvsp: Strings
    hgvsg: Strings
    spdi: Strings
    spdi_canonical: Strings
    vrs: Strings
    known: Strings
    extra: Strings
    facts: Strings
    facts_width: cython.longlong
    facts_step: cython.longlong

    # scratch
    record_at: cython.longlong  # the record of the variant that was written last
    pair_first: cython.longlong[::1]
    order: cython.longlong[::1]
    spare: cython.longlong[::1]
    out: cython.uchar[::1]
    at = cython.declare(cython.longlong, visibility="public")
    lines = cython.declare(cython.longlong, visibility="public")
    rows = cython.declare(cython.longlong, visibility="public")

    def __init__(self, columns, names, words, caches):
        """`columns`, `names`, `words` and `caches` are tuples in the order of the attributes above."""
        (
            self.transcript_place,
            self.transcript_gene,
            self.transcript_exon,
            self.transcript_flags,
            self.transcript_strand,
            self.transcript_biotype,
            self.transcript_tsl,
            self.transcript_appris,
            self.transcript_version,
            self.cdna_length,
            self.cds_start,
            self.cds_end,
            self.phase,
            self.protein,
        ) = columns
        (
            self.transcript_name,
            self.protein_name,
            self.ccds_name,
            self.gene_id,
            self.gene_symbol,
            self.hgnc,
        ) = names
        (
            self.terms,
            self.separator,
            self.impacts,
            self.impact_of,
            self.biotypes,
            self.sv_names,
            self.classes,
            self.exceptions,
            self.notes,
            self.reasons,
            self.keys,
            self.escape,
            self.special,
        ) = words
        self.arena, self.mask_key, self.mask_begin, self.mask_end, self.mask_count, self.mask_rank = caches
        self.last_mask = self.last_slot = 0
        self.mask_slots = len(self.mask_key) - 1
        self.record_at = 0
        self.arena_used = 1  # 0 means: not yet there
        self.at = self.lines = self.rows = 0

    def follow(self, layout: int, row_plan, variant_plan, closing, drop, sorted_rows: bool, strip: bool, row_room: int):
        """How the lines look. `row_room` bounds the bytes of a row beside its alleles, peptides, codons and names."""
        self.layout = layout
        self.row_plan = row_plan
        self.variant_plan = variant_plan
        self.closing = closing
        self.drop = drop
        self.sorted_rows = sorted_rows
        self.strip = strip
        self.row_room = row_room

    def load(
        self,
        text,
        records,
        record_count,
        variants,
        pairs,
        pair_count,
        strings,
        facts_width: int,
        facts_step: int,
        keep,
        picked,
        scratch,
    ) -> None:
        """One batch; tuples in the order of the attributes. `keep` and `picked` may be None: all, none."""
        self.text = text
        self.records = record_count
        self.pairs = pair_count
        self.line_start, self.line_end, self.fields, self.status, self.first_row = records
        (
            self.v_allele,
            self.v_start,
            self.v_end,
            self.v_position,
            self.v_kind,
            self.v_record_kind,
            self.v_sv,
            self.v_ref_offset,
            self.v_ref_length,
            self.v_alt_offset,
            self.v_alt_length,
            self.v_text,
            self.raw_alt,
            self.raw_alt_length,
        ) = variants
        (
            self.p_variant,
            self.p_transcript,
            self.p_terms,
            self.p_vep_terms,
            self.p_exception,
            self.p_distance,
            self.p_exon_first,
            self.p_exon_last,
            self.p_intron_first,
            self.p_intron_last,
            self.p_cdna_start,
            self.p_cdna_end,
            self.p_cds_start,
            self.p_cds_end,
            self.p_protein_start,
            self.p_protein_end,
            self.p_peptide,
            self.p_ref_peptide,
            self.p_alt_peptide,
            self.p_codon,
            self.p_ref_codon,
            self.p_alt_codon,
            self.p_text,
            self.p_overlap_bp,
            self.p_overlap_pc,
            self.p_notes,
        ) = pairs
        (
            self.hgvsc,
            self.hgvsp,
            self.hgvsg,
            self.spdi,
            self.spdi_canonical,
            self.vrs,
            self.known,
            self.extra,
            self.facts,
        ) = strings
        self.facts_width = facts_width
        self.has_names = self._any(self.hgvsc, self.hgvsp, self.hgvsg) or self._any(
            self.spdi, self.spdi_canonical, self.vrs
        )
        self.has_facts = self._any(self.known, self.extra, self.facts)
        self.facts_step = facts_step
        self.has_keep = keep is not None
        self.has_picked = picked is not None
        if keep is not None:
            self.keep = keep
        if picked is not None:
            self.picked = picked
        self.pair_first, self.order, self.spare = scratch
        variants_used: cython.longlong = self.first_row[record_count] if record_count else 0
        with cython.nogil:
            self._find_pairs(variants_used)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _any(self, one: Strings, two: Strings, three: Strings) -> cython.bint:
        return one.end.shape[0] + two.end.shape[0] + three.end.shape[0] > 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _find_pairs(self, variants: cython.longlong) -> cython.void:
        """Where the pairs of each variant begin; the pairs lie in the order of the variants."""
        v: cython.longlong
        p: cython.longlong = 0
        for v in range(variants):
            self.pair_first[v] = p
            while p < self.pairs and self.p_variant[p] == v:
                p += 1
        self.pair_first[variants] = p

    def render(self, out, at: cython.longlong, record: cython.longlong) -> int:
        """Write the lines of the records from `record` on into `out`, from `at` on; returns the next record.

        When that is not the number of records, `out` was full: write it out and call again. `self.at` is where the
        text ends. A call that gets no further needs a larger `out`.
        """
        self.out = out
        self.at = at
        r: cython.longlong = record
        end: cython.longlong
        with cython.nogil:
            while r < self.records:
                end = self._record(r, self.at)
                if end < 0:
                    break
                self.at = end
                r += 1
        return r

    # ------------------------------------------------------------------------------------------------- one record

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _record(self, r: cython.longlong, o: cython.longlong) -> cython.longlong:
        """All lines of one record; -1 when they do not fit."""
        if self.drop[self.status[r]]:
            return o
        if self.layout == 0:
            return self._vcf_line(r, o)
        if self.layout == 1:
            return self._row_lines(r, o)
        return self._allele_lines(r, o)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _vcf_line(self, r: cython.longlong, o: cython.longlong) -> cython.longlong:
        begin: cython.longlong = self.line_start[r]
        end: cython.longlong = self.line_end[r]
        reason: cython.uchar = self.status[r]
        n: cython.longlong = 0
        i: cython.longlong
        info: cython.longlong
        info_end: cython.longlong
        out: cython.p_uchar = self._out()
        text: cython.p_const_uchar = self._text()
        if o + (end - begin) + 128 > self.out.shape[0]:
            return -1
        self.lines += 1
        if reason != 9 and reason != 1:
            n = self._ordered(self.first_row[r], self.first_row[r + 1])
        if reason == 9 or reason == 1 or (n == 0 and reason == 0 and not self.strip):
            o = self._copy(out, o, text, begin, end)
            return self._line_feed(o)
        info = begin + self.fields[r, 6] + 1
        info_end = begin + self.fields[r, 7]
        o = self._copy(out, o, text, begin, info)
        i = o
        if self.strip:
            o = self._stripped_info(o, info, info_end)
        elif info_end - info != 1 or text[info] != 46:
            o = self._copy(out, o, text, info, info_end)
        if n:
            if o > i:
                out[o] = 59
                o += 1
            o = self._words(o, self.keys, 0)
            o = self._rows(o, n)
            if o < 0:
                self.lines -= 1
                return -1
        if o + (end - info_end) + 64 > self.out.shape[0]:
            self.lines -= 1
            self.rows -= n
            self._uncount(n)
            return -1
        if reason:
            if o > i:
                out[o] = 59
                o += 1
            o = self._words(o, self.keys, 1)
            o = self._words(o, self.reasons, reason)
        if o == i:
            out[o] = 46
            o += 1
        o = self._copy(out, o, text, info_end, end)
        return self._line_feed(o)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _rows(self, o: cython.longlong, n: cython.longlong) -> cython.longlong:
        """The rows of `order`, with the text between them; -1 when they do not fit."""
        i: cython.longlong
        p: cython.longlong
        for i in range(n):
            p = self.order[i]
            if o + self._need(p) > self.out.shape[0]:
                self._uncount(i)
                return -1
            if i:
                o = self._words(o, self.keys, 2)
            o = self._fields(o, self.row_plan, self.p_variant[p], p)
            self._count(p, 1)
        self.rows += n
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _row_lines(self, r: cython.longlong, o: cython.longlong) -> cython.longlong:
        if self.status[r] == 9 or self.status[r] == 1:
            return o
        n: cython.longlong = self._ordered(self.first_row[r], self.first_row[r + 1])
        i: cython.longlong
        p: cython.longlong
        room: cython.longlong = self.line_end[r] - self.line_start[r]
        for i in range(n):
            p = self.order[i]
            if o + self._need(p) + 6 * room > self.out.shape[0]:
                self._uncount(i)
                return -1
            o = self._fields(o, self.row_plan, self.p_variant[p], p)
            self._count(p, 1)
        self.rows += n
        self.lines += n
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _allele_lines(self, r: cython.longlong, o: cython.longlong) -> cython.longlong:
        """One line for each allele, its rows inside."""
        if self.status[r] == 9 or self.status[r] == 1:
            return o
        v: cython.longlong
        n: cython.longlong
        room: cython.longlong = 6 * (self.line_end[r] - self.line_start[r]) + self.row_room + 320
        for v in range(self.first_row[r], self.first_row[r + 1]):
            n = self._ordered(v, v + 1)
            if n == 0 and (self.has_keep or (self.v_kind[v] == 6 and self.status[r] == 0)):
                continue
            if (
                o + room + 12 * (self.v_alt_length[v] + self.v_ref_length[v]) + 6 * self._known_length(v)
                > self.out.shape[0]
            ):
                return self._take_back(self.first_row[r], v)
            o = self._fields(o, self.variant_plan, v, -1)
            if self.status[r]:
                o = self._words(o, self.keys, 1)
                o = self._words(o, self.reasons, self.status[r])
            o = self._words(o, self.closing, 0)
            o = self._rows(o, n)
            if o < 0:
                return self._take_back(self.first_row[r], v)
            self.lines += 1
            if o + 64 > self.out.shape[0]:
                return self._take_back(self.first_row[r], v + 1)
            o = self._words(o, self.closing, 1)
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _take_back(self, low: cython.longlong, high: cython.longlong) -> cython.longlong:
        """Forget the lines of these alleles, since their record did not fit; returns -1, which says so."""
        v: cython.longlong
        n: cython.longlong
        for v in range(low, high):
            n = self._ordered(v, v + 1)
            if n == 0 and (self.has_keep or (self.v_kind[v] == 6 and self.status[self._record_of(v)] == 0)):
                continue
            self._uncount(n)
            self.rows -= n
            self.lines -= 1
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _stripped_info(self, o: cython.longlong, info: cython.longlong, stop: cython.longlong) -> cython.longlong:
        """INFO without the field that is about to be written anew, and without our earlier reason."""
        out: cython.p_uchar = self._out()
        text: cython.p_const_uchar = self._text()
        at: cython.longlong = info
        end: cython.longlong
        first: cython.longlong = o
        if stop - info == 1 and text[info] == 46:
            return o
        while at < stop:
            end = at
            while end < stop and text[end] != 59:
                end += 1
            if not self._is_key(at, end, 0) and not self._is_key(at, end, 1):
                if o > first:
                    out[o] = 59
                    o += 1
                o = self._copy(out, o, text, at, end)
            at = end + 1
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_key(self, at: cython.longlong, end: cython.longlong, key: cython.int) -> cython.bint:
        i: cython.longlong
        begin: cython.longlong = self.keys.begin[key]
        length: cython.longlong = self.keys.end[key] - begin
        if end - at < length or length == 0:
            return False
        for i in range(length):
            if self.text[at + i] != self.keys.text[begin + i]:
                return False
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _line_feed(self, o: cython.longlong) -> cython.longlong:
        """Only the last line of a file may lack its line feed; the output has one."""
        if o == 0 or self.out[o - 1] != 10:
            self.out[o] = 10
            o += 1
        return o

    # ------------------------------------------------------------------------------------------------- order of rows

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _ordered(self, low: cython.longlong, high: cython.longlong) -> cython.longlong:
        """The kept pairs of variants `low` to `high` into `order`: by name of transcript, then by allele, as VEP does.

        With `sorted_rows` the most severe come first. A sort key holds the number of the pair in its lower half, so
        equals keep their order.
        """
        n: cython.longlong = 0
        p: cython.longlong
        key: cython.longlong
        last: cython.longlong = -1
        in_order: cython.bint = True
        for p in range(self.pair_first[low], self.pair_first[high]):
            if self.has_keep and not self.keep[p]:
                continue
            key = self.transcript_place[self.p_transcript[p]] if self.p_transcript[p] >= 0 else 0x1FFFFFF
            if self.sorted_rows:
                key |= cython.cast(cython.longlong, self._known_rank(self.p_terms[p])) << 25
            key = key << 32 | p
            in_order &= key > last
            last = key
            self.order[n] = key
            n += 1
        if not in_order:
            self._sort(n)
        for p in range(n):
            self.order[p] &= 0xFFFFFFFF
        return n

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sort(self, n: cython.longlong) -> cython.void:
        """Sort the first `n` keys of `order`: short runs by insertion, then merged pairwise."""
        run: cython.longlong = 24
        low: cython.longlong
        middle: cython.longlong
        high: cython.longlong
        i: cython.longlong
        j: cython.longlong
        k: cython.longlong
        key: cython.longlong
        for low in range(0, n, 24):
            high = low + run if low + run < n else n
            for i in range(low + 1, high):
                key = self.order[i]
                j = i
                while j > low and self.order[j - 1] > key:
                    self.order[j] = self.order[j - 1]
                    j -= 1
                self.order[j] = key
        while run < n:
            low = 0
            while low + run < n:
                middle = low + run
                high = middle + run if middle + run < n else n
                for i in range(low, middle):
                    self.spare[i] = self.order[i]
                i = low
                j = middle
                k = low
                while i < middle and j < high:
                    if self.spare[i] <= self.order[j]:
                        self.order[k] = self.spare[i]
                        i += 1
                    else:
                        self.order[k] = self.order[j]
                        j += 1
                    k += 1
                while i < middle:
                    self.order[k] = self.spare[i]
                    i += 1
                    k += 1
                low += 2 * run
            run *= 2

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _rank(self, mask: cython.ulonglong) -> cython.int:
        """The lowest set bit, which is that of the most severe term; 63 when there is none."""
        bit: cython.int = 0
        while bit < 63 and not mask >> bit & 1:
            bit += 1
        return bit

    # ------------------------------------------------------------------------------------------------- one row

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _need(self, p: cython.longlong) -> cython.longlong:
        """More bytes than this row can take."""
        v: cython.longlong = self.p_variant[p]
        varying: cython.longlong = (
            self.v_alt_length[v]
            + self.v_ref_length[v]
            + self.raw_alt_length[v]
            + self.p_ref_peptide[p]
            + self.p_alt_peptide[p]
            + self.p_ref_codon[p]
            + self.p_alt_codon[p]
        )
        if self.has_names:
            varying += (
                self._length(self.hgvsc, p)
                + self._length(self.hgvsp, p)
                + self._length(self.hgvsg, v)
                + self._length(self.spdi, v)
                + self._length(self.spdi_canonical, v)
                + self._length(self.vrs, v)
            )
        if self.has_facts:
            varying += self._known_length(v)
        return self.row_room + 6 * varying

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _known_length(self, v: cython.longlong) -> cython.longlong:
        """Bytes of all known facts about a variant."""
        length: cython.longlong = self._length(self.known, v) + self._length(self.extra, v)
        k: cython.longlong
        for k in range(self.facts_width):
            length += self.facts.end[k * self.facts_step + v] - self.facts.begin[k * self.facts_step + v]
        return length

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _length(self, strings: Strings, i: cython.longlong) -> cython.longlong:
        return strings.end[i] - strings.begin[i] if strings.end.shape[0] else 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fields(self, o: cython.longlong, plan: Plan, v: cython.longlong, p: cython.longlong) -> cython.longlong:
        """One plan carried out, for variant `v` and, where it is not -1, pair `p`."""
        k: cython.int
        code: cython.int
        step: cython.int
        last: cython.int
        begin: cython.longlong
        length: cython.longlong
        t: cython.longlong = self.p_transcript[p] if p >= 0 else -1
        present: cython.int = self._present(v, p)
        before: cython.longlong
        value: cython.longlong
        out: cython.p_uchar = self._out()
        if plan.merged[present, 1] == 0:
            self._merge(plan, present)
        step = plan.merged[present, 0]
        last = step + plan.merged[present, 1]
        while step < last:
            k = plan.steps[step, 0]
            if k < 0:
                begin = plan.steps[step, 1]
                length = plan.steps[step, 2]
                if cython.compiled:
                    if length <= 16:
                        memcpy(out + o, cython.address(plan.literals[begin]), 16)
                    else:
                        memcpy(out + o, cython.address(plan.literals[begin]), length)
                    o += length
                else:
                    o = self._copy(out, o, plan.literals, begin, begin + length)
                step += 1
                continue
            step += 1
            code = plan.code[k]
            if code >= 1000:  # a run of fields of the transcript alone: fragment number code - 1000
                o = self._fragment(o, plan, k, t)
                continue
            before = o
            o = self._piece(out, o, plan, k, 0)
            value = o
            o = self._value(o, code, v, p, t)
            o = self._piece(out, before, plan, k, 4) if o == value else self._piece(out, o, plan, k, 2)
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _merge(self, plan: Plan, present: cython.int) -> cython.void:
        """Make the steps for rows that have these kinds of fields. There is room for all kinds (`render._plan`)."""
        k: cython.int = 0
        i: cython.int
        step: cython.int = plan.steps_used
        first: cython.int = step
        while k < plan.count:
            if plan.pieces[k, 7] & ~present:  # known to be empty: most fields of most rows are
                if step == first or plan.steps[step - 1, 0] >= 0:
                    plan.steps[step, 0] = -1
                    plan.steps[step, 1] = plan.literals_used
                    step += 1
                for i in range(plan.pieces[k, 5]):
                    plan.literals[plan.literals_used] = plan.text[plan.pieces[k, 4] + i]
                    plan.literals_used += 1
                plan.steps[step - 1, 2] = plan.literals_used - plan.steps[step - 1, 1]
                k += plan.pieces[k, 6]
            elif plan.code[k] == 999:  # a run of fields that could have been empty together
                k += 1
            else:
                plan.steps[step, 0] = k
                step += 1
                k += plan.pieces[k, 6]
        plan.steps_used = step
        plan.merged[present, 0] = first
        plan.merged[present, 1] = step - first

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _present(self, v: cython.longlong, p: cython.longlong) -> cython.int:
        """Which kinds of fields this row has at all; the bits are those of `render._PRESENCE`."""
        present: cython.int = 0
        if self.has_facts and self._length(self.known, v):
            present |= 256
        if p < 0:
            return present
        if self.p_exon_first[p]:
            present |= 2
        if self.p_intron_first[p]:
            present |= 4
        if self.p_cdna_start[p] | self.p_cdna_end[p]:
            present |= 32
        if self.p_distance[p] >= 0:
            present |= 64
        if self.p_exception[p]:
            present |= 128
        if self.has_names:
            if self._length(self.hgvsc, p):
                present |= 8
            if self._length(self.hgvsp, p):
                present |= 16
        return present

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _piece(
        self, out: cython.p_uchar, o: cython.longlong, plan: Plan, k: cython.int, which: cython.int
    ) -> cython.longlong:
        begin: cython.longlong = plan.pieces[k, which]
        length: cython.longlong = plan.pieces[k, which + 1]
        if length == 0:
            return o
        if length == 1:
            out[o] = plan.text[begin]
            return o + 1
        if cython.compiled:
            return self._copy(out, o, cython.address(plan.text[0]), begin, begin + length)
        return self._copy(out, o, plan.text, begin, begin + length)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fragment(self, o: cython.longlong, plan: Plan, k: cython.int, t: cython.longlong) -> cython.longlong:
        """The fields of a transcript: from the arena, or written now and put there."""
        fragment: cython.longlong = plan.code[k] - 1000
        cell: cython.longlong
        length: cython.longlong
        begin: cython.longlong = o
        value: cython.longlong
        before: cython.longlong
        i: cython.int
        out: cython.p_uchar = self._out()
        cell = plan.cached[fragment, t + 1]
        if cell:
            length = cell & 0xFFFFF
            cell = cell >> 20
            if cython.compiled:
                if length <= 32:
                    memcpy(out + o, cython.address(self.arena[cell]), 32)
                elif length <= 64:
                    memcpy(out + o, cython.address(self.arena[cell]), 64)
                else:
                    memcpy(out + o, cython.address(self.arena[cell]), length)
                return o + length
            return self._copy(out, o, self.arena, cell, cell + length)
        for i in range(k + 1, k + plan.pieces[k, 6]):
            before = o
            o = self._piece(out, o, plan, i, 0)
            value = o
            o = self._constant(o, plan.code[i], t)
            o = self._piece(out, before, plan, i, 4) if o == value else self._piece(out, o, plan, i, 2)
        length = o - begin
        if self.arena_used + length + 64 <= self.arena.shape[0] and length < 0xFFFFF:
            if cython.compiled:
                memcpy(cython.address(self.arena[self.arena_used]), out + begin, length)
            else:
                self.arena[self.arena_used : self.arena_used + length] = out[begin:o]
            plan.cached[fragment, t + 1] = self.arena_used << 20 | length
            self.arena_used += length
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _constant(self, o: cython.longlong, code: cython.int, t: cython.longlong) -> cython.longlong:
        """A field that depends on the transcript alone. The codes are those of `render.CONSTANTS`."""
        if t < 0:
            return o
        flags: cython.uint = self.transcript_flags[t]
        gene: cython.longlong = self.transcript_gene[t]
        if code == 1:
            return self._escaped(o, self.gene_symbol, gene, 0)
        if code == 2:
            return self._escaped(o, self.gene_id, gene, 0)
        if code == 3:
            return self._words(o, self.notes, 0)  # Transcript
        if code == 4:
            return self._escaped(o, self.transcript_name, t, self.transcript_version[t])
        if code == 5:
            return self._words(o, self.biotypes, self.transcript_biotype[t])
        if code == 6:
            return self._number(o, self.transcript_strand[t])
        if code == 7:
            if flags & 64:
                o = self._words(o, self.notes, 1)  # cds_start_NF
            if flags & 128:
                if flags & 64:
                    o = self._words(o, self.separator, 0)
                o = self._words(o, self.notes, 2)  # cds_end_NF
            return o
        if code == 8:
            return self._words(o, self.notes, 3) if self._length(self.hgnc, gene) else o  # HGNC
        if code == 9:
            return self._escaped(o, self.hgnc, gene, 0)
        if code == 10:
            return self._words(o, self.notes, 4) if flags & 32 else o  # YES
        if code == 11:
            return self._words(o, self.notes, 5 if flags & 8 else 6) if flags & 24 else o  # MANE_...
        if code == 14:
            return self._number(o, self.transcript_tsl[t]) if self.transcript_tsl[t] else o
        if code == 15:
            return self._appris(o, self.transcript_appris[t])
        if code == 16:
            return self._escaped(o, self.ccds_name, t, 0)
        if code == 17:
            return self._escaped(o, self.protein_name, t, 0)
        if code == 18:
            return self._escaped(o, self.transcript_name, t, 0)
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _appris(self, o: cython.longlong, value: cython.int) -> cython.longlong:
        """P1 to P5 principal, A1 and A2 alternative; the bundle adds ten for the latter."""
        if value == 0:
            return o
        self.out[o] = 80 if value < 10 else 65
        return self._number(o + 1, value if value < 10 else value - 10)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _value(
        self, o: cython.longlong, code: cython.int, v: cython.longlong, p: cython.longlong, t: cython.longlong
    ) -> cython.longlong:
        """One field. The codes are those of `render.FIELDS`; one long choice, which becomes a jump table."""
        if code >= 64:
            return self._of_variant(o, code, v)
        if p < 0:
            return o
        if code == 32:
            o = self._terms(o, self.p_terms[p])
        elif code == 33:
            o = self._words(o, self.impacts, self.impact_of[self._known_rank(self.p_terms[p])])
        elif code == 34:
            if self.p_exon_first[p] and t >= 0:
                o = self._range(o, self.p_exon_first[p], self.p_exon_last[p])
                o = self._of(o, self.transcript_exon[t + 1] - self.transcript_exon[t])
        elif code == 35:
            if self.p_intron_first[p] and t >= 0:
                o = self._range(o, self.p_intron_first[p], self.p_intron_last[p])
                o = self._of(o, self.transcript_exon[t + 1] - self.transcript_exon[t] - 1)
        elif code == 36:
            o = self._escaped(o, self.hgvsc, p, 0)
        elif code == 37:
            o = self._escaped(o, self.hgvsp, p, 0)
        elif code == 38:
            o = self._range(o, self.p_cdna_start[p], self.p_cdna_end[p])
        elif code == 39:
            o = self._range(o, self.p_cds_start[p], self.p_cds_end[p])
        elif code == 40:
            o = self._range(o, self.p_protein_start[p], self.p_protein_end[p])
        elif code == 41:
            o = self._change(o, self.p_peptide[p], self.p_ref_peptide[p], self.p_alt_peptide[p])
        elif code == 42:
            o = self._change(o, self.p_codon[p], self.p_ref_codon[p], self.p_alt_codon[p])
        elif code == 43:
            o = self._number(o, self.p_distance[p]) if self.p_distance[p] >= 0 else o
        elif code == 44:
            if self.has_picked and self.picked[p]:
                self.out[o] = 49
                o += 1
        else:
            o = self._rarer(o, code, p, t)
        return o

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _of(self, o: cython.longlong, total: cython.longlong) -> cython.longlong:
        """`/12`: of how many."""
        self.out[o] = 47
        return self._number(o + 1, total)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _rarer(self, o: cython.longlong, code: cython.int, p: cython.longlong, t: cython.longlong) -> cython.longlong:
        """Fields that VEP's default output does not have."""
        out: cython.p_uchar = self._out()
        number: cython.longlong
        if code == 45:
            return self._number(o, self.p_overlap_bp[p]) if self.p_overlap_bp[p] > 0 else o
        if code == 46:
            if self.p_overlap_bp[p] <= 0:
                return o
            number = cython.cast(cython.longlong, self.p_overlap_pc[p] * 100 + 0.5)
            if not cython.compiled:
                number = int(self.p_overlap_pc[p] * 100 + 0.5)
            o = self._number(o, number // 100)
            out[o] = 46
            out[o + 1] = 48 + number // 10 % 10
            out[o + 2] = 48 + number % 10
            return o + 3
        if code == 47:
            return self._terms(o, self.p_vep_terms[p]) if self.p_exception[p] else o
        if code == 48:
            return self._words(o, self.exceptions, self.p_exception[p]) if self.p_exception[p] else o
        if code == 49:  # NMD predicted, or escaped
            return self._words(o, self.notes, 7 if self.p_notes[p] & 1 else 8) if self.p_notes[p] & 3 else o
        if code == 50:
            return self._words(o, self.notes, 9 if self.p_notes[p] & 4 else 10) if self.p_notes[p] & 12 else o
        if code == 53:  # ANN: exon, else intron
            return self._value(o, 34 if self.p_exon_first[p] else 35, 0, p, t)
        if t < 0:
            return o
        if code == 54:
            return self._of_total(o, self._first(self.p_cdna_start[p], self.p_cdna_end[p]), self.cdna_length[t])
        number = self.cds_end[t] - self.cds_start[t] + 1 + self.phase[t]
        if code == 55:
            return self._of_total(o, self._first(self.p_cds_start[p], self.p_cds_end[p]), number)
        if code == 56:
            number = self.protein[t + 1] - self.protein[t]
            return self._of_total(o, self._first(self.p_protein_start[p], self.p_protein_end[p]), number)
        if code == 57:
            return self._after_colon(o, self.hgvsc, p)
        if code == 58:
            return self._after_colon(o, self.hgvsp, p)
        return o

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _first(self, start: cython.longlong, end: cython.longlong) -> cython.longlong:
        """The lower of two positions of which either may be unknown (0)."""
        return end if start == 0 or 0 < end < start else start

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _of_total(self, o: cython.longlong, value: cython.longlong, total: cython.longlong) -> cython.longlong:
        if value == 0:
            return o
        o = self._number(o, value)
        self.out[o] = 47
        return self._number(o + 1, total)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _of_variant(self, o: cython.longlong, code: cython.int, v: cython.longlong) -> cython.longlong:
        """A field that all transcripts of an allele share."""
        r: cython.longlong
        begin: cython.longlong
        if code == 64:
            return self._allele(o, v)
        r = self._record_of(v)
        begin = self.line_start[r]
        if code == 65:
            o = self._number(o, self.v_allele[v])
        elif code == 66:
            if self.fields[r, 2] - self.fields[r, 1] == 2 and self.text[begin + self.fields[r, 1] + 1] == 46:
                o = self._made_name(o, r, v)
            else:
                o = self._column(o, begin + self.fields[r, 1] + 1, begin + self.fields[r, 2])
        elif code == 67:
            o = self._column(o, begin, begin + self.fields[r, 0])
            self.out[o] = 58
            o = self._range(o + 1, self.v_start[v], self.v_end[v])
        elif code == 68:
            o = self._column(o, begin, begin + self.fields[r, 0])
        elif code == 69:
            o = self._number(o, self.v_position[v])
        elif code == 70:
            o = self._column(o, begin + self.fields[r, 2] + 1, begin + self.fields[r, 3])
        elif code == 71:
            o = self._column(o, self.raw_alt[v], self.raw_alt[v] + self.raw_alt_length[v])
        elif code == 72:
            if self.v_sv[v]:
                o = self._words(o, self.sv_names, self.v_sv[v])
            else:
                o = self._words(o, self.classes, self.v_record_kind[v])
        elif code == 73:
            o = self._escaped(o, self.hgvsg, v, 0)
        elif code == 74:
            o = self._escaped(o, self.spdi, v, 0)
        elif code == 75:
            o = self._escaped(o, self.spdi_canonical, v, 0)
        elif code == 76:
            o = self._escaped(o, self.vrs, v, 0)
        elif code == 77:
            o = self._escaped(o, self.known, v, 0)
        elif code == 78:
            o = self._escaped(o, self.extra, v, 0)
        elif code >= 128:  # known facts, one text after the other
            o = self._escaped(o, self.facts, (code - 128) * self.facts_step + v, 0)
        return o

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _record_of(self, v: cython.longlong) -> cython.longlong:
        """The record of a variant. Rows are written in order, so it is the last one or a little behind it."""
        r: cython.longlong = self.record_at
        if r >= self.records or self.first_row[r] > v:
            r = 0
        while self.first_row[r + 1] <= v:
            r += 1
        self.record_at = r
        return r

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _allele(self, o: cython.longlong, v: cython.longlong) -> cython.longlong:
        """The allele as VEP names it: trimmed, `-` for nothing, the kind of event for a structural one."""
        out: cython.p_uchar = self._out()
        length: cython.longlong = self.v_alt_length[v]
        if self.v_kind[v] < 5:
            if length == 1:
                out[o] = self.v_text[self.v_alt_offset[v]]
                return o + 1
            if length == 0:
                out[o] = 45
                return o + 1
            if cython.compiled:
                return self._copy(
                    out, o, cython.address(self.v_text[0]), self.v_alt_offset[v], self.v_alt_offset[v] + length
                )
            return self._copy(out, o, self.v_text, self.v_alt_offset[v], self.v_alt_offset[v] + length)
        if 0 < self.v_sv[v] < 7:
            return self._words(o, self.sv_names, self.v_sv[v])
        return self._column(o, self.raw_alt[v], self.raw_alt[v] + self.raw_alt_length[v])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _made_name(self, o: cython.longlong, r: cython.longlong, v: cython.longlong) -> cython.longlong:
        """A name for what has none: contig_start_ref/alt, of the judged allele."""
        out: cython.p_uchar = self._out()
        begin: cython.longlong = self.line_start[r]
        i: cython.longlong
        o = self._column(o, begin, begin + self.fields[r, 0])
        out[o] = 95
        o = self._number(o + 1, self.v_start[v])
        out[o] = 95
        o += 1
        if self.v_ref_length[v] == 0 and self.v_kind[v] < 5:
            out[o] = 45
            o += 1
        for i in range(self.v_ref_length[v]):
            out[o] = self.v_text[self.v_ref_offset[v] + i]
            o += 1
        out[o] = 47
        return self._allele(o + 1, v)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _change(
        self, o: cython.longlong, begin: cython.longlong, ref: cython.longlong, alt: cython.longlong
    ) -> cython.longlong:
        """Two neighbouring texts, before and after: `R/C`, `-/AAT`, one alone when nothing changes."""
        out: cython.p_uchar = self._out()
        i: cython.longlong
        same: cython.bint = ref == alt
        if ref + alt == 0:
            return o
        i = 0
        while same and i < ref:
            same = self.p_text[begin + i] == self.p_text[begin + ref + i]
            i += 1
        if ref == 0:
            out[o] = 45
            o += 1
        for i in range(ref):
            out[o] = self.p_text[begin + i]
            o += 1
        if same:
            return o
        out[o] = 47
        o += 1
        if alt == 0:
            out[o] = 45
            o += 1
        for i in range(alt):
            out[o] = self.p_text[begin + ref + i]
            o += 1
        return o

    # ------------------------------------------------------------------------------------------------- terms

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _slot(self, mask: cython.ulonglong) -> cython.longlong:
        """The place of a set of terms in the table, -1 when the table is full. Sets are few: a few hundred."""
        if mask == self.last_mask and mask:
            return self.last_slot
        high: cython.ulonglong = mask >> 23
        slot: cython.uint = (mask ^ high ^ (mask >> 11)) & self.mask_slots
        steps: cython.int = 0
        while self.mask_key[slot] != mask and self.mask_key[slot] != 0:
            slot = (slot + 1) & self.mask_slots
            steps += 1
            if steps > 200:
                return -1
        if self.mask_key[slot] == 0:
            self.mask_key[slot] = mask
            self.mask_begin[slot] = 0
            self.mask_end[slot] = 0
            self.mask_rank[slot] = self._rank(mask)
        self.last_mask = mask
        self.last_slot = slot
        return slot

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _count(self, p: cython.longlong, times: cython.longlong) -> cython.void:
        slot: cython.longlong = self._slot(self.p_terms[p])
        if slot >= 0:
            self.mask_count[slot] += times

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _uncount(self, n: cython.longlong) -> cython.void:
        """Take back the first `n` rows of `order`: their record did not fit and will be written again."""
        i: cython.longlong
        for i in range(n):
            self._count(self.order[i], -1)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _known_rank(self, mask: cython.ulonglong) -> cython.int:
        """As `_rank`, from the table."""
        slot: cython.longlong = self._slot(mask)
        return self.mask_rank[slot] if slot >= 0 else self._rank(mask)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _terms(self, o: cython.longlong, mask: cython.ulonglong) -> cython.longlong:
        """The terms of a set in the order of their rank."""
        slot: cython.longlong = self._slot(mask)
        begin: cython.longlong = o
        bit: cython.int
        out: cython.p_uchar = self._out()
        if slot >= 0 and self.mask_end[slot]:
            if cython.compiled:
                return self._copy(out, o, cython.address(self.arena[0]), self.mask_begin[slot], self.mask_end[slot])
            return self._copy(out, o, self.arena, self.mask_begin[slot], self.mask_end[slot])
        for bit in range(64):
            if mask >> bit & 1:
                if o > begin:
                    o = self._words(o, self.separator, 0)
                o = self._words(o, self.terms, bit)
        if slot >= 0 and self.arena_used + (o - begin) + 64 <= self.arena.shape[0]:
            self.mask_begin[slot] = self.arena_used
            if cython.compiled:
                memcpy(cython.address(self.arena[self.arena_used]), out + begin, o - begin)
            else:
                self.arena[self.arena_used : self.arena_used + (o - begin)] = out[begin:o]
            self.arena_used += o - begin
            self.mask_end[slot] = self.arena_used
        return o

    # ------------------------------------------------------------------------------------------------- writing

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _out(self) -> cython.p_uchar:
        if cython.compiled:
            return cython.address(self.out[0])
        return self.out

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _text(self) -> cython.p_const_uchar:
        if cython.compiled:
            return cython.address(self.text[0])
        return self.text

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _special(self) -> cython.p_const_uchar:
        if cython.compiled:
            return cython.address(self.special[0])
        return self.special

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _text_of(self, strings: Strings) -> cython.p_const_uchar:
        if cython.compiled:
            return cython.address(strings.text[0])
        return strings.text

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _copy(
        self,
        out: cython.p_uchar,
        o: cython.longlong,
        text: cython.p_const_uchar,
        begin: cython.longlong,
        end: cython.longlong,
    ) -> cython.longlong:
        if cython.compiled:
            memcpy(out + o, text + begin, end - begin)
        else:
            out[o : o + end - begin] = text[begin:end]
        return o + (end - begin)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _words(self, o: cython.longlong, strings: Strings, i: cython.longlong) -> cython.longlong:
        """A text as it is."""
        if strings.end.shape[0] == 0 or strings.end[i] == strings.begin[i]:
            return o
        if cython.compiled:
            return self._copy(self._out(), o, cython.address(strings.text[0]), strings.begin[i], strings.end[i])
        return self._copy(self.out, o, strings.text, strings.begin[i], strings.end[i])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _escaped(
        self, o: cython.longlong, strings: Strings, i: cython.longlong, cut: cython.longlong
    ) -> cython.longlong:
        """A text in which the bytes that mean something in this format are replaced; `cut` bytes at its end go."""
        out: cython.p_uchar = self._out()
        text: cython.p_const_uchar = self._text_of(strings)
        special: cython.p_const_uchar = self._special()
        at: cython.longlong
        byte: cython.uchar
        if strings.end.shape[0] == 0:
            return o
        for at in range(strings.begin[i], strings.end[i] - cut):
            byte = text[at]
            if special[byte]:
                o = self._words(o, self.escape, byte)
            else:
                out[o] = byte
                o += 1
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _after_colon(self, o: cython.longlong, strings: Strings, i: cython.longlong) -> cython.longlong:
        """What stands behind the accession: `c.5G>A` of `NM_1.2:c.5G>A`."""
        first: cython.longlong = o
        out: cython.p_uchar = self._out()
        at: cython.longlong = o
        o = self._escaped(o, strings, i, 0)
        while at < o and out[at] != 58:
            at += 1
        if at == o:
            return o
        at += 1
        while at < o:
            out[first] = out[at]
            first += 1
            at += 1
        return first

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _column(self, o: cython.longlong, begin: cython.longlong, end: cython.longlong) -> cython.longlong:
        """Bytes of the input line, escaped."""
        out: cython.p_uchar = self._out()
        text: cython.p_const_uchar = self._text()
        special: cython.p_const_uchar = self._special()
        at: cython.longlong
        byte: cython.uchar
        for at in range(begin, end):
            byte = text[at]
            if special[byte]:
                o = self._words(o, self.escape, byte)
            else:
                out[o] = byte
                o += 1
        return o

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _range(self, o: cython.longlong, start: cython.longlong, end: cython.longlong) -> cython.longlong:
        """`5`, `5-7`, `?-7`, `5-?`, nothing; an insertion (end before start) is written lower end first."""
        swap: cython.longlong
        out: cython.p_uchar = self._out()
        if start == end:
            return self._number(o, start) if start else o
        if 0 < end < start:
            swap = start
            start = end
            end = swap
        if start:
            o = self._number(o, start)
        else:
            out[o] = 63
            o += 1
        out[o] = 45
        o += 1
        if end:
            return self._number(o, end)
        out[o] = 63
        return o + 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _number(self, o: cython.longlong, value: cython.longlong) -> cython.longlong:
        out: cython.p_uchar = self._out()
        digits: cython.longlong = 1
        limit: cython.longlong = 10
        at: cython.longlong
        if value < 0:
            out[o] = 45
            o += 1
            value = -value
        while value >= limit:
            digits += 1
            limit *= 10
        at = o + digits
        while at > o:
            at -= 1
            out[at] = 48 + value % 10
            value //= 10
        return o + digits

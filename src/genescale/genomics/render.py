"""What the lines of an annotation look like: VCF with CSQ (VEP) or ANN (SnpEff), tab-separated rows, JSON lines.

A `Layout` is chosen by name; it knows its fields and how each is written, and becomes a plan that `kernels.render`
carries out. `Renderer` holds one such plan together with the texts of an open bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics.bundle import Bundle
from genescale.genomics.field_names import told
from genescale.genomics.kernels.render import Plan, Strings
from genescale.genomics.kernels.render import Renderer as Kernel
from genescale.genomics.terms import IMPACTS, TERMS
from genescale.genomics.variants import SV_CLASSES, VARIANT_CLASSES
from genescale.genomics.vcf import REASONS, Scanner

if TYPE_CHECKING:  # a bundle without facts does without their code
    from genescale.genomics.knowledge_fields import FactField, FactTexts


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be written of a row. `code` is the kernel's; `csq` the name in the header of a VCF."""

    name: str
    code: int
    csq: str
    meaning: str
    numeric: bool = False
    listed: bool = False


_ALL: Final = (
    # of the transcript alone
    Field("symbol", 1, "SYMBOL", "symbol of the gene"),
    Field("gene", 2, "Gene", "stable identifier of the gene"),
    Field("feature_type", 3, "Feature_type", "`Transcript`, or nothing for an intergenic variant"),
    Field("feature", 4, "Feature", "identifier of the transcript as VEP writes it (Ensembl's without version)"),
    Field("transcript", 18, "Transcript", "identifier of the transcript with its version"),
    Field("biotype", 5, "BIOTYPE", "biotype of the transcript"),
    Field("strand", 6, "STRAND", "strand of the transcript: 1 or -1", numeric=True),
    Field("flags", 7, "FLAGS", "`cds_start_NF`, `cds_end_NF`: that end of the CDS is not known", listed=True),
    Field("symbol_source", 8, "SYMBOL_SOURCE", "`HGNC` where the gene has an HGNC number"),
    Field("hgnc_id", 9, "HGNC_ID", "HGNC number of the gene"),
    Field("canonical", 10, "CANONICAL", "`YES` for the canonical transcript of the gene"),
    Field("mane", 11, "MANE", "`MANE_Select` or `MANE_Plus_Clinical`"),
    Field("tsl", 14, "TSL", "transcript support level, 1 the best", numeric=True),
    Field("appris", 15, "APPRIS", "`P1` to `P5` principal, `A1` and `A2` alternative isoform"),
    Field("ccds", 16, "CCDS", "identifier in CCDS"),
    Field("ensp", 17, "ENSP", "identifier of the protein with its version"),
    # of the pair
    Field("consequence", 32, "Consequence", "terms of the Sequence Ontology, most severe first", listed=True),
    Field("impact", 33, "IMPACT", "`HIGH`, `MODERATE`, `LOW` or `MODIFIER`, of the most severe term"),
    Field("exon", 34, "EXON", "number of the exon, or range, of how many"),
    Field("intron", 35, "INTRON", "number of the intron, or range, of how many"),
    Field("hgvsc", 36, "HGVSc", "HGVS name on the transcript"),
    Field("hgvsp", 37, "HGVSp", "HGVS name on the protein"),
    Field("cdna_position", 38, "cDNA_position", "position in the spliced transcript; `?` for an end outside it"),
    Field("cds_position", 39, "CDS_position", "position in the coding sequence"),
    Field("protein_position", 40, "Protein_position", "position in the protein"),
    Field("amino_acids", 41, "Amino_acids", "reference and alternative peptide"),
    Field("codons", 42, "Codons", "reference and alternative codons, changed bases in capitals"),
    Field("distance", 43, "DISTANCE", "bases between the variant and the transcript, up- or downstream", numeric=True),
    Field("pick", 44, "PICK", "`1` for the row that `--pick` would keep"),
    Field("overlap_bp", 45, "OverlapBP", "bases of the transcript that a structural variant covers", numeric=True),
    Field("overlap_pc", 46, "OverlapPC", "the same in percent of the transcript", numeric=True),
    Field(
        "vep_consequence", 47, "VEP_Consequence", "what VEP 115 says, where that is another set of terms", listed=True
    ),
    Field(
        "exception", 48, "EXCEPTION", "the adjudicated difference from VEP, as docs/reference/vep-differences.md counts"
    ),
    Field("nmd", 49, "NMD", "`predicted` or `escape`: nonsense-mediated decay by the 50-base rule"),
    Field("lof", 50, "LOF", "loss of function: `HC` with high confidence, `LC` with low"),
    # of the allele
    Field("allele", 64, "Allele", "the ALT allele as VEP writes it: trimmed, `-` for a deletion"),
    Field("allele_num", 65, "ALLELE_NUM", "number of the ALT allele, counted from 1", numeric=True),
    Field("id", 66, "Uploaded_variation", "column ID, or contig_start_ref/alt where that is `.`"),
    Field("location", 67, "Location", "contig:start-end of the judged span"),
    Field("contig", 68, "Contig", "column CHROM"),
    Field("pos", 69, "POS", "column POS", numeric=True),
    Field("ref", 70, "REF", "column REF"),
    Field("alt", 71, "ALT", "this allele of column ALT"),
    Field("variant_class", 72, "VARIANT_CLASS", "class of the variant in the Sequence Ontology"),
    Field("hgvsg", 73, "HGVSg", "HGVS name on the genome"),
    Field("spdi", 74, "SPDI", "SPDI as given"),
    Field("spdi_canonical", 75, "SPDI_canonical", "SPDI in its fully justified form"),
    Field("vrs", 76, "VRS", "computed identifier of GA4GH VRS 2.0"),
    Field("existing_variation", 77, "Existing_variation", "dbSNP numbers that a source in the reference gives"),
    Field("clinical_significance", 78, "CLIN_SIG", "clinical significance that a source in the reference gives"),
)
FIELDS: Final[Mapping[str, Field]] = {field.name: field for field in _ALL}
_BY_ANY_NAME: Final = {name.lower(): field for field in _ALL for name in (field.name, field.csq)}

CSQ_FIELDS: Final = (
    *("allele", "consequence", "impact", "symbol", "gene", "feature_type", "feature", "biotype", "exon", "intron"),
    *("hgvsc", "hgvsp", "cdna_position", "cds_position", "protein_position", "amino_acids", "codons"),
    *("existing_variation", "distance", "strand", "flags", "symbol_source", "hgnc_id"),
)
# Where VEP puts a field of ours in CSQ, when it is asked for: its own order, ours at the end.
_OURS: Final = ("canonical", "mane", "vep_consequence", "exception")
TSV_FIELDS: Final = (
    *("id", "location", "allele", "consequence", "impact", "symbol", "gene", "transcript", "biotype", "exon", "intron"),
    *("hgvsc", "hgvsp", "cdna_position", "cds_position", "protein_position", "amino_acids", "codons", "distance"),
    *("strand", "flags", "canonical", "mane", "existing_variation", "clinical_significance"),
)
JSON_VARIANT: Final = (
    *("id", "contig", "pos", "ref", "alt", "allele_num", "allele", "variant_class", "hgvsg", "spdi", "spdi_canonical"),
    *("existing_variation", "clinical_significance"),
)
JSON_ROW: Final = (
    *("consequence", "impact", "symbol", "gene", "transcript", "biotype", "strand", "flags", "canonical", "mane"),
    *("exon", "intron", "hgvsc", "hgvsp", "cdna_position", "cds_position", "protein_position", "amino_acids", "codons"),
    *("distance", "overlap_bp", "overlap_pc", "vep_consequence", "exception", "nmd", "lof"),
)
_ANN_CODES: Final = (71, 32, 33, 1, 2, 3, 18, 5, 53, 57, 58, 54, 55, 56, 43, 48)
_ANN_TITLE: Final = (
    "Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID | Feature_Type | Feature_ID | Transcript_BioType | "
    "Rank | HGVS.c | HGVS.p | cDNA.pos / cDNA.length | CDS.pos / CDS.length | AA.pos / AA.length | Distance | "
    "ERRORS / WARNINGS / INFO"
)

SKIPPED: Final = "GENESCALE_SKIPPED"
HAPLOTYPES: Final = "GENESCALE_HAPLOTYPES"  # written by `phased`
FORMATS: Final = ("vcf", "ann", "tsv", "json")
_CONSTANTS: Final = range(1, 19)  # codes of fields that depend on the transcript alone
_EXONIC: Final = (38, 39, 40, 41, 42)  # codes of fields that only exonic pairs have
# Codes of fields that only some rows have, by a bit for the kind of row; 999 stands for a run of exonic ones.
_PRESENCE: Final = {
    34: 2,
    35: 4,
    36: 8,
    57: 8,
    37: 16,
    58: 16,
    43: 64,
    47: 128,
    48: 128,
    77: 256,
    **dict.fromkeys((*_EXONIC, 999), 32),
}
_FACT: Final = 128  # code of the first field of known facts
_ROOM: Final = 3_000  # of all words of one row: terms twice, numbers, types


class Pairs(Protocol):
    """The columns of `consequence.Pairs` that are written."""

    count: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How an output looks: a format of `FORMATS` and the fields of a row."""

    format: str
    fields: tuple[Field, ...]
    variant_fields: tuple[Field, ...] = ()

    @classmethod
    def of(
        cls,
        form: str,
        fields: Sequence[str] = (),
        *,
        strict: bool = False,
        pick: bool = False,
        facts: Iterable[FactField] = (),
    ) -> Layout:
        """The layout of a format, with its usual fields or those named.

        `strict` leaves out what VEP's own output does not have; `pick` adds PICK to CSQ. `facts` are the fields that
        the reference has beside those of `FIELDS`.
        """
        if form not in FORMATS:
            raise InvalidInput(f"there is no output format {form!r}; there are {', '.join(FORMATS)}", code="bad_option")
        if form == "ann" and fields:
            raise InvalidInput("ANN has a fixed list of fields; leave out --fields, or write CSQ", code="bad_option")
        chosen = named_fields(fields, facts)
        if form == "vcf" and not chosen:
            names = list(CSQ_FIELDS)
            if pick:
                names.insert(names.index("flags") + 1, "pick")
            chosen = named_fields([*names, *(() if strict else _OURS)])
        elif form == "tsv" and not chosen:
            chosen = named_fields([*TSV_FIELDS, *(() if strict else ("vep_consequence", "exception"))])
        elif form == "json":
            rows = chosen or named_fields(JSON_ROW)
            return cls(
                form,
                tuple(field for field in rows if field.code < 64),
                tuple(field for field in chosen if field.code >= 64) or named_fields(JSON_VARIANT),
            )
        return cls(form, chosen)

    @property
    def codes(self) -> frozenset[int]:
        """The kernel's codes of all that is written."""
        if self.format == "ann":
            return frozenset(_ANN_CODES)
        return frozenset(field.code for field in (*self.fields, *self.variant_fields))

    def wants(self, name: str) -> bool:
        """Whether a field is written; what nobody reads need not be computed."""
        codes = self.codes
        return FIELDS[name].code in codes or {"hgvsc": 57, "hgvsp": 58}.get(name) in codes

    @property
    def facts(self) -> list[str]:
        """The names of the known facts that are written, in the order of their codes."""
        chosen = {one.code: one.name for one in (*self.fields, *self.variant_fields) if one.code >= _FACT}
        return [chosen[code] for code in sorted(chosen)]

    def declaration(self, version: str, reference: str) -> list[str]:
        """The header lines of a VCF that say what is in INFO."""
        skipped = (
            f'##INFO=<ID={SKIPPED},Number=1,Type=String,Description="Why this line, or an allele of it, was not '
            f'annotated: {", ".join(sorted({reason for reason in REASONS if reason}))}">'
        )
        if self.format == "ann":
            info = f"##INFO=<ID=ANN,Number=.,Type=String,Description=\"Functional annotations: '{_ANN_TITLE}'\">"
        else:
            names = "|".join(field.csq for field in self.fields)
            info = (
                '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Genescale in the form '
                f'of Ensembl VEP. Format: {names}">'
            )
        return [f'##genescale="v{version}" reference="{reference}"', info, skipped]

    @property
    def info(self) -> str:
        """The INFO key of a VCF output, empty for the others."""
        return {"vcf": "CSQ", "ann": "ANN"}.get(self.format, "")


def named_fields(names: Iterable[str], facts: Iterable[FactField] = ()) -> tuple[Field, ...]:
    """Fields by their own name or that of CSQ, or of facts that the reference knows, in any case."""
    known = {one.name.lower(): one for one in facts}
    codes: dict[str, int] = {}
    found: list[Field] = []
    for name in names:
        key = name.strip().lower()
        field, fact = _BY_ANY_NAME.get(key), known.get(key)
        if fact is not None:
            code = codes.setdefault(fact.name, _FACT + len(codes))
            field = Field(fact.name, code, fact.name, fact.meaning, numeric=fact.numeric)
        if field is None:
            there = told([*FIELDS, *(one.name for one in known.values())], name)
            raise InvalidInput(f"there is no field {name!r}; there are {there}", code="unknown_field")
        found.append(field)
    return tuple(found)


@dataclass(slots=True)
class Texts:
    """Names that others wrote for this batch, as pools (`names.Texts`); None where nobody asked."""

    hgvsc: Any = None
    hgvsp: Any = None
    hgvsg: Any = None
    spdi: Any = None
    spdi_canonical: Any = None
    vrs: Any = None
    existing_variation: Any = None
    clinical_significance: Any = None
    facts: FactTexts | None = None


_TEXTS: Final = (
    *("hgvsc", "hgvsp", "hgvsg", "spdi", "spdi_canonical", "vrs"),
    *("existing_variation", "clinical_significance", "facts"),
)
_PAIR_COLUMNS: Final = (
    *("variant", "transcript", "terms", "vep_terms", "exception", "distance"),
    *("exon_first", "exon_last", "intron_first", "intron_last", "cdna_start", "cdna_end", "cds_start", "cds_end"),
    *("protein_start", "protein_end", "peptide_offset", "ref_peptide_length", "alt_peptide_length"),
    *("codon_offset", "ref_codon_length", "alt_codon_length", "text", "overlap_bp", "overlap_pc", "notes"),
)
_VARIANT_COLUMNS: Final = (
    *("allele", "start", "end", "position", "kind", "record_kind", "sv"),
    *("ref_offset", "ref_length", "alt_offset", "alt_length", "text"),
)
_TRANSCRIPT_COLUMNS: Final = (
    *("transcript_gene", "transcript_exon", "transcript_flags", "transcript_strand"),
    *("transcript_biotype", "transcript_tsl", "transcript_appris", "transcript_version_size"),
    *("transcript_cdna_length", "cds_cdna_start", "cds_cdna_end", "transcript_phase", "transcript_protein"),
)
_POOLS: Final = ("transcript_name", "protein_name", "ccds_name", "gene_id", "gene_symbol", "hgnc")


class Renderer:
    """Writes batches in one layout. Not for two threads at once: it keeps a cache of texts and one buffer."""

    def __init__(
        self, bundle: Bundle, layout: Layout, *, drop: Iterable[int] = (), strip: bool = False, room: int = 1 << 18
    ) -> None:
        """`drop` are the values of `Records.status` whose lines are left out.

        `strip` takes out of INFO what is about to be written anew: set it when the header of the input declares it.
        """
        self.layout = layout
        self._room = room
        self._out = np.empty(room, np.uint8)
        self._empty = _strings(())
        transcripts = len(bundle.array("transcript_order"))
        self._mask_key = np.zeros(1 << 14, np.uint64)
        self._mask_count = np.zeros(1 << 14, np.int64)
        caches = (
            np.empty(min(1 << 26, 4096 + 600 * (transcripts + 64)), np.uint8),
            self._mask_key,
            np.zeros(1 << 14, np.int64),
            np.zeros(1 << 14, np.int64),
            self._mask_count,
            np.zeros(1 << 14, np.uint8),
        )
        pools = tuple(
            Strings(
                _view(bundle.array(f"{pool}_text")),
                bundle.array(f"{pool}_offset").data[:-1],
                bundle.array(f"{pool}_offset").data[1:],
            )
            for pool in _POOLS
        )
        self._kernel: Any = Kernel(
            (_places(bundle).data, *(bundle.array(name).data for name in _TRANSCRIPT_COLUMNS)),
            pools,
            self._words(bundle),
            tuple(cache.data for cache in caches),
        )
        row_plan, room_of_row = _plan(self._row_pieces(), transcripts)
        variant_plan, room_of_variant = _plan(self._variant_pieces(), transcripts)
        dropped = np.zeros(16, np.uint8)
        dropped[list(drop)] = 1
        longest = max(int(np.diff(bundle.array(f"{pool}_offset")).max(initial=0)) for pool in _POOLS)
        self._kernel.follow(
            {"vcf": 0, "ann": 0, "tsv": 1, "json": 2}[layout.format],
            row_plan,
            variant_plan,
            _strings(_JSON_CLOSING),
            dropped.data,
            layout.format == "ann",
            strip,
            _ROOM + room_of_row + room_of_variant + 36 * longest,
        )
        self._scratch = _scratch(16_384, 65_536)

    def take_counts(self) -> tuple[int, int]:
        """How many rows and lines were written since the last call, the header not included."""
        done = int(self._kernel.rows), int(self._kernel.lines)
        self._kernel.rows = self._kernel.lines = 0
        return done

    def take_terms(self) -> dict[int, int]:
        """How often each set of terms was written since the last call; the keys are masks (`terms.names`)."""
        used = np.flatnonzero(self._mask_count)
        found = {int(self._mask_key[i]): int(self._mask_count[i]) for i in used}
        self._mask_count[:] = 0
        return found

    def render(
        self,
        block: bytes | memoryview,
        scanner: Scanner,
        pairs: Any,
        texts: Texts,
        *,
        keep: NDArray[np.uint8] | None = None,
        picked: NDArray[np.uint8] | None = None,
    ) -> Iterator[memoryview]:
        """The lines of one batch, in pieces; each piece is good until the next is asked for.

        `keep` and `picked` are one byte for each pair: which rows are written, and which carry PICK.
        """
        records, variants = scanner.records, scanner.variants
        if len(self._scratch[0]) <= variants.count or len(self._scratch[1]) < pairs.count:
            self._scratch = _scratch(2 * variants.count, 2 * pairs.count)
        self._kernel.load(
            memoryview(block),
            tuple(
                column.data
                for column in (records.line_start, records.line_end, records.fields, records.status, records.first_row)
            ),
            records.count,
            (
                *(getattr(variants, name).data for name in _VARIANT_COLUMNS),
                scanner.raw_alt.data,
                scanner.raw_alt_length.data,
            ),
            tuple(getattr(pairs, name).data for name in _PAIR_COLUMNS),
            pairs.count,
            tuple(self._pool(getattr(texts, name)) for name in _TEXTS),
            texts.facts.width if texts.facts else 0,
            variants.count,
            None if keep is None else keep.data,
            None if picked is None else picked.data,
            tuple(array.data for array in self._scratch),
        )
        record = 0
        while record < records.count:
            out = self._out.data
            done: int = self._kernel.render(out, 0, record)
            if done == record:  # one record of many alleles, larger than the whole buffer
                self._out = np.empty(2 * len(self._out), np.uint8)
                continue
            record = done
            yield out[: self._kernel.at]
        if len(self._out) > 16 * self._room:
            self._out = np.empty(self._room, np.uint8)

    def _pool(self, texts: Any) -> Strings:
        if texts is None:
            return self._empty
        if hasattr(texts, "begin"):  # known facts: fields that lie one behind the other
            return Strings(_view(texts.pool), texts.begin.data, texts.end.data)
        offset = texts.offset.data
        return Strings(_view(texts.pool), offset[:-1], offset[1:])

    def _words(self, bundle: Bundle) -> tuple[Any, ...]:
        form = self.layout.format
        escape = _ESCAPES[form]
        separator = {"vcf": "&", "ann": "&", "tsv": ",", "json": '","'}[form]
        terms = [""] * 64
        impact_of = np.full(64, IMPACTS.index("MODIFIER"), np.uint8)
        for term in TERMS:
            terms[term.rank - 1] = term.term
            impact_of[term.rank - 1] = IMPACTS.index(term.impact)
        kind = "transcript" if form == "ann" else "Transcript"
        notes = (
            *(kind, "cds_start_NF", "cds_end_NF", "HGNC", "YES", "MANE_Select", "MANE_Plus_Clinical"),
            *("predicted", "escape", "HC", "LC"),
        )
        quote = '"' if form == "json" else ""
        keys = {"vcf": ("CSQ=", f"{SKIPPED}=", ","), "ann": ("ANN=", f"{SKIPPED}=", ",")}.get(
            form, ("", ',"skipped":"', ",")
        )
        return (
            _strings(terms),
            _strings([separator]),
            _strings(IMPACTS),
            impact_of.data,
            _strings([_escaped(biotype, escape) for biotype in bundle.biotypes]),
            _strings(SV_CLASSES),
            _strings(VARIANT_CLASSES),
            _strings([f"E-{number}" if number else "" for number in range(256)]),
            _strings(notes),
            _strings([reason + quote for reason in REASONS]),
            _strings(keys),
            _strings([escape.get(chr(byte), "") for byte in range(256)]),
            memoryview(bytes(chr(byte) in escape for byte in range(256))),
        )

    def _row_pieces(self) -> list[_Piece]:
        form = self.layout.format
        if form == "json":
            return _json_pieces(self.layout.fields, last="}")
        if form == "ann":
            codes, between, last, nothing = list(_ANN_CODES), "|", "", ""
        else:
            codes = [field.code for field in self.layout.fields]
            between, last, nothing = ("|", "", "") if form == "vcf" else ("\t", "\n", "-")
        behind = [*[between] * (len(codes) - 1), last]
        return [_Piece(code, "", end, nothing + end) for code, end in zip(codes, behind, strict=True)]

    def _variant_pieces(self) -> list[_Piece]:
        return _json_pieces(self.layout.variant_fields) if self.layout.format == "json" else []


@dataclass(frozen=True, slots=True)
class _Piece:
    """One step of a plan: a field, the text before and behind it, and what stands there when it is empty."""

    code: int
    before: str
    behind: str
    empty: str


def _json_pieces(fields: Sequence[Field], last: str = "") -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, field in enumerate(fields):
        opening = ("{" if number == 0 else ",") + f'"{field.name}":'
        closing = last if number == len(fields) - 1 else ""
        before, behind = ('["', '"]') if field.listed else ("", "") if field.numeric else ('"', '"')
        nothing = "[]" if field.listed else "null" if field.numeric else '""'
        empty = opening + nothing if number == 0 else ""
        pieces.append(_Piece(field.code, opening + before, behind + closing, empty + closing))
    return pieces


def _plan(pieces: Sequence[_Piece], transcripts: int) -> tuple[Plan, int]:
    """The kernel's form of a plan, and how many bytes its fixed texts take.

    Runs of fields of the transcript alone become fragments, which are cached as one text; a run of fields that only
    exonic pairs have can be skipped as one.
    """
    steps: list[tuple[int, str, str, str, int]] = []
    fragments = 0
    at = 0
    while at < len(pieces):
        kind = _run_kind(pieces[at].code)
        end = at
        while end < len(pieces) and _run_kind(pieces[end].code) == kind:
            end += 1
        run = pieces[at:end]
        if kind == "constant":
            steps.append((1000 + fragments, "", "", "", len(run) + 1))
            fragments += 1
        elif kind == "exonic" and len(run) > 1:
            steps.append((999, "", "", "".join(piece.empty for piece in run), len(run) + 1))
        steps += [(piece.code, piece.before, piece.behind, piece.empty, 1) for piece in run]
        at = end
    text = ""
    table = np.zeros((max(len(steps), 1), 8), np.int32)
    for k, (code, before, behind, empty, skip) in enumerate(steps):
        for column, piece in ((0, before), (2, behind), (4, empty)):
            table[k, column], table[k, column + 1] = len(text), len(piece)
            text += piece
        table[k, 6], table[k, 7] = skip, _PRESENCE.get(code, 0)
    codes = np.array([step[0] for step in steps], np.int32)
    cached = np.zeros((max(fragments, 1), transcripts + 1), np.int64)
    kinds = 512  # of rows: one for each set of bits of `_PRESENCE`
    merged = np.zeros((kinds, 2), np.int32)
    room = (np.zeros((kinds * (len(steps) + 1), 3), np.int32), np.zeros(kinds * (len(text) + 1) + 64, np.uint8))
    return Plan(*(part.data for part in (codes, table, _bytes(text), cached, merged, *room))), len(text)


def _run_kind(code: int) -> str:
    return "constant" if code in _CONSTANTS else "exonic" if code in _EXONIC else f"other {code}"


_JSON_CLOSING: Final = (',"transcripts":[', "]}\n")
_INFO_ESCAPE: Final = {"|": "&", ",": "&", ";": "%3B", "=": "%3D", " ": "_", "\t": "_", "\n": "_", "\r": "_"}
_ESCAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "vcf": _INFO_ESCAPE,
    "ann": _INFO_ESCAPE,
    "tsv": {"\t": " ", "\n": " ", "\r": " "},
    "json": {'"': '\\"', "\\": "\\\\", **{chr(byte): f"\\u{byte:04x}" for byte in range(32)}},
}


def _escaped(text: str, escape: Mapping[str, str]) -> str:
    return "".join(escape.get(letter, letter) for letter in text)


def _strings(texts: Sequence[str]) -> Strings:
    encoded = [text.encode() for text in texts]
    offset = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offset[1:])
    ends = offset.data
    return Strings(memoryview(b"".join(encoded) + b"\0"), ends[:-1], ends[1:])


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode() + b"\0", np.uint8)


def _view(pool: NDArray[Any]) -> memoryview:
    return pool.data if len(pool) else memoryview(b"\0")


def _scratch(variants: int, pairs: int) -> tuple[NDArray[np.int64], ...]:
    return np.empty(variants + 1, np.int64), np.empty(pairs + 1, np.int64), np.empty(pairs + 1, np.int64)


def _places(bundle: Bundle) -> NDArray[np.int32]:
    """For each transcript its place among all names in their order: VEP writes the rows of a variant so."""
    by_name = bundle.array("transcript_name_sorted")
    places = np.empty(len(by_name), np.int32)
    places[by_name] = np.arange(len(by_name), dtype=np.int32)
    return places

"""GFF3 and GTF in, the rows that make up genes out: one pass over the file, columns instead of objects for exons.

Both formats, in the flavours of Ensembl, GENCODE and RefSeq, become the same `Annotation`. It keeps what the file says;
`gene_models` judges it. Rows that carry no gene structure (UTRs, which follow from exons and CDS; regions; alignments)
are counted, and what cannot be read is listed with its line.
"""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from genescale.errors import InvalidInput
from genescale.genomics.fasta import blocks

LINES_KEPT: Final = 20  # of every reason; the rest is counted


@dataclass(slots=True)
class Dropped:
    """What was not taken, by reason: how often, and the first lines."""

    counts: Counter[str] = field(default_factory=Counter[str])
    lines: dict[str, list[tuple[int, str]]] = field(default_factory=dict[str, list[tuple[int, str]]])

    def add(self, reason: str, line: int, what: str) -> None:
        """Line `line` of the annotation, where `what` is, was dropped for `reason`."""
        self.counts[reason] += 1
        kept = self.lines.setdefault(reason, [])
        if len(kept) < LINES_KEPT:
            kept.append((line, what))


@dataclass(slots=True)
class Feature:
    """A gene or transcript row, or one that exons imply."""

    line: int
    type: str
    contig: str
    start: int
    end: int
    strand: str
    source: str
    name: str = ""  # with version
    version_size: int = 0  # how many characters of the name are a version that stood apart
    parent: str = ""
    biotype: str = ""
    symbol: str = ""
    hgnc: str = ""
    ccds: str = ""
    tags: frozenset[str] = frozenset()
    tsl: int = 0
    appris: int = 0  # principal 1 to 5, alternative 11 and 12


@dataclass(slots=True)
class Coding:
    """What the CDS rows of one transcript say besides their places."""

    protein: str = ""
    ccds: str = ""
    table: int = 0  # the genetic code, 0 where none is named
    open_low: bool = False  # the CDS goes on below its lowest base (start_range), and above its highest (end_range)
    open_high: bool = False
    selenocysteine: bool = False
    differs: bool = False  # the record's own protein is not the translation of the assembly


@dataclass(slots=True)
class ContigNote:
    """What the annotation says about a contig."""

    length: int = 0
    names: list[str] = field(default_factory=list[str])
    circular: bool = False
    mitochondrial: bool = False
    line: int = 0


@dataclass(slots=True)
class Parts:
    """Exon or CDS rows as columns. `owner` numbers the ids in order of first mention."""

    owner: "array[int]" = field(default_factory=lambda: array("i"))
    start: "array[int]" = field(default_factory=lambda: array("i"))
    end: "array[int]" = field(default_factory=lambda: array("i"))
    strand: "array[int]" = field(default_factory=lambda: array("b"))
    contig: "array[int]" = field(default_factory=lambda: array("i"))
    phase: "array[int]" = field(default_factory=lambda: array("b"))
    line: "array[int]" = field(default_factory=lambda: array("i"))

    def add(self, owner: int, contig: int, start: int, end: int, strand: str, phase: int, line: int) -> None:
        """One row."""
        self.owner.append(owner)
        self.contig.append(contig)
        self.start.append(start)
        self.end.append(end)
        self.strand.append(1 if strand == "+" else -1 if strand == "-" else 0)
        self.phase.append(phase)
        self.line.append(line)


@dataclass(slots=True)
class Annotation:
    """An annotation file, read. Ids are the file's own (`transcript:ENST...`, `rna-NM_...`)."""

    path: Path
    features: dict[str, Feature] = field(default_factory=dict[str, Feature])
    owners: dict[str, int] = field(default_factory=dict[str, int])  # ids that exons and CDS name as their parent
    coding: dict[str, Coding] = field(default_factory=dict[str, Coding])
    selenocysteine: set[str] = field(default_factory=set[str])  # ids that a row of its own says to have one
    contigs: dict[str, int] = field(default_factory=dict[str, int])  # contig names in order of first mention
    notes: dict[str, ContigNote] = field(default_factory=dict[str, ContigNote])
    exons: Parts = field(default_factory=Parts)
    cds: Parts = field(default_factory=Parts)
    dropped: Dropped = field(default_factory=Dropped)
    ignored: Counter[str] = field(default_factory=Counter[str])  # rows by type that carry no gene structure
    assembly: str = ""
    lines: int = 0

    def contig_number(self, name: str) -> int:
        """The number of a contig, in order of first mention."""
        return self.contigs.setdefault(name, len(self.contigs))


_EXON: Final = "exon"
_CODING: Final = frozenset({"CDS", "stop_codon"})
_WHOLE_CONTIG: Final = frozenset({"region", "chromosome", "supercontig", "scaffold", "contig"})
_IGNORED_WORDS: Final = """
    five_prime_UTR three_prime_UTR UTR five_prime_utr three_prime_utr start_codon intron match cDNA_match
    biological_region enhancer silencer promoter protein_binding_site transcriptional_cis_regulatory_region
    stop_codon_redefined_as_selenocysteine codon D_loop origin_of_replication repeat_region inverted_repeat
"""
_IGNORED: Final = frozenset(_IGNORED_WORDS.split())
_BROWSER_LINES: Final = ("track ", "browser ")  # for UCSC's genome browser
_PHASES: Final = {"0": 0, "1": 1, "2": 2}
_DIGITS_MAX: Final = 10  # a larger number is no place, and Python would think long about it
_LINE_BLOCKS_MAX: Final = 16
_GENE_LIKE: Final = re.compile("gene|RNA|transcript|segment", re.IGNORECASE)


def read_annotation(path: Path, progress: Callable[[int], None] | None = None) -> Annotation:
    """Read a GFF3 or GTF file, plain or gzipped; which of the two is seen from its first feature.

    Raises `InvalidInput` where the file is neither.
    """
    annotation = Annotation(path)
    take: Callable[[Annotation, int, list[str]], None] | None = None
    for number, line in _lines(path, progress):
        annotation.lines = number
        if line.startswith("#"):
            if line.startswith("##FASTA"):
                break
            _directive(annotation, number, line)
            continue
        row = line.split("\t")
        if len(row) == 9:
            if take is None:
                take = _gtf_row if re.match(r'\s*\w+ "', row[8]) else _gff3_row
            problem = _fault(row)
            if problem:
                annotation.dropped.add(problem, number, row[2][:40])
            else:
                take(annotation, number, row)
        elif line.strip() and not line.startswith(_BROWSER_LINES):
            if take is None:
                raise InvalidInput(
                    f"this is no GFF3 or GTF file: a line has {len(row)} columns separated by tabs, not 9",
                    code="not_gff",
                    place=f"{path}, line {number}",
                )
            annotation.dropped.add("not 9 columns", number, f"{len(row)} columns")
    if take is None:
        raise InvalidInput("the file has no feature; give the gene annotation", code="not_gff", place=str(path))
    return annotation


def _lines(path: Path, progress: Callable[[int], None] | None) -> Iterator[tuple[int, str]]:
    number = 0
    rest: list[bytes] = []
    for block in blocks(path, progress):
        whole, newline, last = block.rpartition(b"\n")
        if not newline:
            rest.append(block)
            if len(rest) > _LINE_BLOCKS_MAX:
                raise InvalidInput("a line of many megabytes: this is no GFF3 or GTF", code="not_gff", place=str(path))
            continue
        text = b"".join((*rest, whole)).decode("utf-8", "replace")
        rest = [last]
        for line in text.removeprefix("\ufeff").split("\n") if number == 0 else text.split("\n"):
            number += 1
            yield number, line.removesuffix("\r")
    tail = b"".join(rest)
    if tail:
        yield number + 1, tail.decode("utf-8", "replace").rstrip("\r")


def _directive(annotation: Annotation, number: int, line: str) -> None:
    words = line.split()
    if words[0] in ("#!genome-version", "#!genome-build", "##genome-build") and len(words) > 1:
        annotation.assembly = annotation.assembly or words[-1]
    elif (
        words[0] == "##sequence-region"
        and len(words) == 4
        and words[2] == "1"
        and words[3].isdecimal()
        and len(words[3]) <= _DIGITS_MAX
    ):
        note = annotation.notes.setdefault(words[1], ContigNote())
        note.length, note.line = int(words[3]), number


def _fault(row: list[str]) -> str:
    start, end = row[3], row[4]
    if not (start.isdecimal() and end.isdecimal()) or len(start) > _DIGITS_MAX or len(end) > _DIGITS_MAX:
        return "start or end is no number"
    if not 1 <= int(start) <= int(end) < 1 << 31:
        return "start after end, or too large"
    return ""


# ---- GFF3 ----


def _gff3_row(annotation: Annotation, number: int, row: list[str]) -> None:
    contig, source, kind, start, end, _, strand, phase, text = row
    if kind == _EXON or kind in _CODING:
        parents = _attribute(text, "Parent=")
        if not parents:
            annotation.dropped.add(f"{kind} without Parent", number, contig)
            return
        parts = annotation.exons if kind == _EXON else annotation.cds
        seen = annotation.contig_number(contig)
        for parent in parents.split(",") if "," in parents else (parents,):
            owner = annotation.owners.setdefault(parent, len(annotation.owners))
            parts.add(owner, seen, int(start), int(end), strand, _PHASES.get(phase, 0), number)
            if kind == "CDS" and (parent not in annotation.coding or "_range=" in text):
                _coding(annotation, parent, _attributes(text))
    elif kind in _IGNORED:
        annotation.ignored[kind] += 1
    elif kind in _WHOLE_CONTIG:
        annotation.ignored[kind] += 1
        _note_contig(annotation, number, contig, int(start), int(end), _attributes(text))
    elif "ID=" in text and ("Parent=" in text or _GENE_LIKE.search(kind)):
        given = _attributes(text)
        ident = given.get("ID", "")
        if ident in annotation.features:
            annotation.dropped.add("ID used twice", number, ident)
            return
        feature = Feature(number, kind, contig, int(start), int(end), strand, source, parent=given.get("Parent", ""))
        plain = ident.removeprefix("gene:").removeprefix("transcript:").removeprefix("gene-").removeprefix("rna-")
        if _is_transcript(feature, given):
            own = given.get("transcript_id") or plain
        else:
            own = given.get("gene_id") or _cross_reference(given, "GeneID") or plain
        _describe(feature, own, given, given["tag"].split(",") if "tag" in given else [])
        annotation.features[ident] = feature
    else:
        annotation.ignored[kind] += 1


def _attribute(text: str, key: str) -> str:
    """One attribute of a GFF3 row, without a look at the others: exons are most of a file."""
    if text.startswith(key):
        at = 0
    else:
        at = text.find(";" + key) + 1
        if at == 0:
            at = text.find("; " + key) + 2
            if at == 1:
                return ""
    at += len(key)
    end = text.find(";", at)
    found = text[at:] if end < 0 else text[at:end]
    return unquote(found) if "%" in found else found


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(";"):
        key, _, value = part.strip().partition("=")
        if key and key not in found:
            found[key] = unquote(value) if "%" in value and key != "Parent" else value
    if "%" in found.get("Parent", ""):
        found["Parent"] = unquote(found["Parent"])
    return found


def _note_contig(
    annotation: Annotation, number: int, contig: str, start: int, end: int, given: Mapping[str, str]
) -> None:
    """Rows about a whole contig: Ensembl's `chromosome` with Alias, RefSeq's `region` with chromosome and genome."""
    if start != 1 or given.get("Parent"):
        return
    note = annotation.notes.setdefault(contig, ContigNote())
    if not note.length:
        note.length, note.line = end, number
    note.circular |= given.get("Is_circular", "").lower() == "true"
    note.mitochondrial |= given.get("genome") == "mitochondrion"
    if given.get("genome") == "chromosome" and given.get("chromosome"):
        note.names.append(given["chromosome"])
    note.names += [name for name in given.get("Alias", "").split(",") if name]


def _cross_reference(given: Mapping[str, str], database: str) -> str:
    for one in given.get("Dbxref", given.get("db_xref", "")).split(","):
        if one.startswith(database + ":"):
            return one[len(database) + 1 :]
    return ""


# ---- what both formats say about genes, transcripts and CDS ----

_APPRIS: Final = re.compile(r"appris_(principal|alternative)_?(\d?)")
_HGNC: Final = re.compile(r"Acc:(?:HGNC:)?(\d+)\]")


def _is_transcript(feature: Feature, given: Mapping[str, str]) -> bool:
    """Whether a row is about a transcript. Old GENCODE files give their gene rows a transcript_id too."""
    named = "transcript_id" in given or feature.type.endswith(("RNA", "transcript"))
    return bool(feature.parent) or (named and not feature.type.endswith("gene"))


def _describe(feature: Feature, own: str, given: Mapping[str, str], tags: list[str]) -> None:
    """Names, tags and numbers from the attributes of a gene or transcript row."""
    is_transcript = _is_transcript(feature, given)
    version = given.get("transcript_version") or given.get("version", "") if is_transcript else ""
    feature.name = f"{own}.{version}" if version else own
    feature.version_size = len(feature.name) - len(own)
    feature.biotype = _biotype(feature, given, is_transcript)
    feature.symbol = given.get("gene_name") or given.get("Name") or given.get("gene", "") if not is_transcript else ""
    feature.hgnc = _hgnc(given)
    feature.ccds = given.get("ccdsid") or given.get("ccds_id", "")
    feature.tags = frozenset(tags)
    level = given.get("transcript_support_level", "")[:1]
    feature.tsl = int(level) if level.isdecimal() else 0
    for tag in tags:
        appris = _APPRIS.fullmatch(tag)
        if appris is not None:
            feature.appris = int(appris[2] or 1) + (10 if appris[1] == "alternative" else 0)


def _hgnc(given: Mapping[str, str]) -> str:
    found = given.get("hgnc_id") or given.get("HGNC") or _cross_reference(given, "HGNC")
    if not found:
        named = _HGNC.search(given.get("description", ""))
        found = named[1] if named is not None and "HGNC" in given["description"] else ""
    return f"HGNC:{found.removeprefix('HGNC:')}" if found else ""


# RefSeq names no biotype of a transcript; its type does. VEP takes these from `gbkey`, which says less.
_REFSEQ_BIOTYPES: Final = {
    "mRNA": "protein_coding",
    "lnc_RNA": "lncRNA",
    "antisense_RNA": "antisense",
    "primary_transcript": "miRNA",
    "vault_RNA": "vault_RNA",
}
_SEGMENT: Final = re.compile(r"([CDJV])_(?:gene_)?segment")
# Old Ensembl files of GTF say the biotype of a transcript in the column of the source, and nowhere else.
_SOURCE_BIOTYPES_WORDS: Final = """
    protein_coding processed_transcript pseudogene processed_pseudogene unprocessed_pseudogene unitary_pseudogene
    polymorphic_pseudogene transcribed_processed_pseudogene transcribed_unprocessed_pseudogene lincRNA antisense
    retained_intron nonsense_mediated_decay non_stop_decay sense_intronic sense_overlapping miRNA misc_RNA snRNA
    snoRNA rRNA Mt_tRNA Mt_rRNA IG_C_gene IG_D_gene IG_J_gene IG_V_gene IG_V_pseudogene IG_C_pseudogene
    IG_J_pseudogene TR_C_gene TR_D_gene TR_J_gene TR_V_gene TR_V_pseudogene TR_J_pseudogene
    3prime_overlapping_ncrna
"""
_SOURCE_BIOTYPES: Final = frozenset(_SOURCE_BIOTYPES_WORDS.split())


def _biotype(feature: Feature, given: Mapping[str, str], is_transcript: bool) -> str:
    """The biotype that a row states or its type implies; "" leaves it to the gene."""
    if not is_transcript:
        stated = given.get("biotype") or given.get("gene_biotype") or given.get("gene_type", "")
        return _segment_biotype(stated, given) or stated
    stated = given.get("biotype") or given.get("transcript_biotype") or given.get("transcript_type", "")
    if stated:
        return _REFSEQ_BIOTYPES.get(stated, stated)
    if feature.source in _SOURCE_BIOTYPES:
        return feature.source
    return _biotype_of_type(feature.type, given)


def _biotype_of_type(word: str, given: Mapping[str, str]) -> str:
    segment = _segment_biotype(word, given)
    if segment:
        return segment
    if word == "ncRNA":
        return given.get("ncrna_class", "ncRNA")
    if word.endswith("RNA") or word in _REFSEQ_BIOTYPES:
        return _REFSEQ_BIOTYPES.get(word, word)
    if given.get("transcript_id", "").startswith(("NM_", "XM_")):
        return "protein_coding"
    return "misc_RNA" if given.get("gbkey") == "misc_RNA" and "pseudo" not in given else ""


def _segment_biotype(word: str, given: Mapping[str, str]) -> str:
    """V_gene_segment, V_segment: an IG_ or TR_ gene by the name of its gene."""
    segment = _SEGMENT.fullmatch(word)
    if segment is None:
        return ""
    family = "TR" if (given.get("gene") or given.get("gene_name", "")).startswith("TR") else "IG"
    return f"{family}_{segment[1]}_gene"


_NO_DIFFERENCE: Final = ("ribosomal slippage", "trans-splicing", "RNA editing")


def _coding(annotation: Annotation, owner: str, given: Mapping[str, str]) -> None:
    """What the first CDS row of a transcript says, and the open ends that any of them may say."""
    coding = annotation.coding.get(owner)
    if coding is None:
        coding = annotation.coding[owner] = Coding()
        name = given.get("protein_id", "")
        version = given.get("protein_version") or given.get("version", "")
        coding.protein = f"{name}.{version}" if name and version else name
        coding.ccds = _cross_reference(given, "CCDS")
        table = given.get("transl_table", "")
        coding.table = int(table) if table.isdecimal() and len(table) < _DIGITS_MAX else 0
        coding.selenocysteine = "aa:Sec" in given.get("transl_except", "")
        exception = given.get("exception", "")
        coding.differs = bool(exception and exception not in _NO_DIFFERENCE) or "protein has" in given.get("Note", "")
    coding.open_low |= given.get("start_range", "").startswith(".")
    coding.open_high |= given.get("end_range", "").endswith(".")


# ---- GTF ----

_GTF_PAIR: Final = re.compile(r'(\w+)\s+(?:"([^"]*)"|([^;"\s]+))')
_GTF_GENE: Final = re.compile(r'gene_id "([^"]*)"')
_GTF_TRANSCRIPT: Final = re.compile(r'transcript_id "([^"]*)"')


def _gtf_row(annotation: Annotation, number: int, row: list[str]) -> None:
    contig, source, kind, start, end, _, strand, phase, text = row
    named = _GTF_TRANSCRIPT.search(text)
    gene = _GTF_GENE.search(text)
    if kind == _EXON or kind in _CODING:
        if named is None or not named[1]:
            annotation.dropped.add(f"{kind} without transcript_id", number, contig)
            return
        key = f"{named[1]}\t{contig}"  # the two pseudoautosomal regions may share a name
        if key not in annotation.features:
            given, tags = _gtf_attributes(text)
            _gtf_transcript(annotation, key, Feature(number, "", contig, 0, 0, strand, source), given, tags)
        parts = annotation.exons if kind == _EXON else annotation.cds
        owner = annotation.owners.setdefault(key, len(annotation.owners))
        seen = annotation.contig_number(contig)
        parts.add(owner, seen, int(start), int(end), strand, _PHASES.get(phase, 0), number)
        if kind == "CDS" and key not in annotation.coding:
            _coding(annotation, key, _gtf_attributes(text)[0])
    elif kind == "gene" and gene is not None:
        given, tags = _gtf_attributes(text)
        feature = Feature(number, kind, contig, int(start), int(end), strand, source)
        _describe(feature, _gtf_gene_name(given), given, tags)
        _once(annotation, f"{gene[1]}\tgene\t{contig}", feature)
    elif kind == "transcript" and named is not None and named[1]:
        given, tags = _gtf_attributes(text)
        feature = Feature(number, kind, contig, int(start), int(end), strand, source)
        _gtf_transcript(annotation, f"{named[1]}\t{contig}", feature, given, tags)
    elif kind == "Selenocysteine" and named is not None:
        annotation.selenocysteine.add(f"{named[1]}\t{contig}")
    else:
        annotation.ignored[kind] += 1


def _gtf_gene_name(given: Mapping[str, str]) -> str:
    return _cross_reference(given, "GeneID") or given.get("gene_id", "")


def _gtf_transcript(
    annotation: Annotation, key: str, feature: Feature, given: Mapping[str, str], tags: list[str]
) -> None:
    """A transcript row, or the first exon of a transcript that has none (`type` is "" then)."""
    feature.parent = f"{given.get('gene_id', '')}\tgene\t{feature.contig}"
    _describe(feature, given.get("transcript_id", ""), given, tags)
    if feature.parent not in annotation.features:  # and if its row comes later, that takes the place of this one
        gene = Feature(feature.line, "", feature.contig, 0, 0, feature.strand, feature.source)
        _describe(gene, _gtf_gene_name(given), {k: v for k, v in given.items() if k != "transcript_id"}, [])
        annotation.features[feature.parent] = gene
    _once(annotation, key, feature)


def _once(annotation: Annotation, key: str, feature: Feature) -> None:
    before = annotation.features.get(key)
    if before is not None and before.type:
        annotation.dropped.add("id used twice", feature.line, feature.name)
        return
    annotation.features[key] = feature


def _gtf_attributes(text: str) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    tags: list[str] = []
    references: list[str] = []
    for key, quoted, bare in _GTF_PAIR.findall(text):
        value = quoted or bare
        if key == "tag":
            tags.append(value)
        elif key in ("db_xref", "Dbxref"):
            references.append(value)
        else:
            given.setdefault(key, value)
    if references:
        given["db_xref"] = ",".join(references)
    return given, tags

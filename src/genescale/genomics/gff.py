"""GFF3 and GTF in, the rows that make up genes out: one pass over the file, columns instead of objects for exons.

Both formats become the same `Annotation`. It keeps what the file says; `gene_models` judges it. Rows that carry no gene
structure (UTRs, which follow from exons and CDS; regions; alignments) are counted, and what cannot be read is listed
with its line.
"""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
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
    name: str = ""  # with version
    version_size: int = 0  # how many characters of the name are a version that stood apart
    parent: str = ""
    biotype: str = ""
    symbol: str = ""
    hgnc: str = ""
    protein: str = ""
    ccds: str = ""
    tags: frozenset[str] = frozenset()
    tsl: int = 0
    appris: int = 0
    source: str = ""
    description: str = ""
    note: str = ""  # exception and partial, as the file says them


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
    contigs: dict[str, int] = field(default_factory=dict[str, int])  # contig names in order of first mention
    exons: Parts = field(default_factory=Parts)
    cds: Parts = field(default_factory=Parts)
    dropped: Dropped = field(default_factory=Dropped)
    ignored: Counter[str] = field(default_factory=Counter[str])  # rows by type that carry no gene structure
    assembly: str = ""
    lines: int = 0


_EXON: Final = "exon"
_CODING: Final = frozenset({"CDS", "stop_codon"})
_IGNORED: Final = frozenset(
    "five_prime_UTR three_prime_UTR UTR five_prime_utr three_prime_utr start_codon Selenocysteine intron "
    "region chromosome supercontig scaffold contig biological_region match cDNA_match".split()
)


def read_annotation(path: Path, progress: Callable[[int], None] | None = None) -> Annotation:
    """Read a GFF3 or GTF file, plain or gzipped; which of the two is seen from its first feature.

    Raises `InvalidInput` where the file is neither.
    """
    annotation = Annotation(path)
    reader: Callable[[Annotation, int, list[str]], None] | None = None
    for number, line in _lines(path, progress):
        annotation.lines = number
        if line.startswith("#"):
            if line.startswith("##FASTA"):
                break
            _directive(annotation, line)
            continue
        row = line.split("\t")
        if len(row) == 9:
            if reader is None:
                reader = _gtf_row if _looks_like_gtf(row[8]) else _gff3_row
            problem = _fault(row)
            if problem:
                annotation.dropped.add(problem, number, row[2][:40])
            else:
                reader(annotation, number, row)
        elif line.strip():
            if reader is None:
                raise InvalidInput(
                    f"this is no GFF3 or GTF file: a line has {len(row)} columns separated by tabs, not 9",
                    code="not_gff",
                    place=f"{path}, line {number}",
                )
            annotation.dropped.add("not 9 columns", number, line[:40])
    if reader is None:
        raise InvalidInput("the file has no feature; give the gene annotation", code="not_gff", place=str(path))
    return annotation


def _lines(path: Path, progress: Callable[[int], None] | None) -> Iterator[tuple[int, str]]:
    number = 0
    rest = b""
    for block in blocks(path, progress):
        whole, _, last = block.rpartition(b"\n")
        if not _:
            rest += block
            continue
        text = (rest + whole).decode("utf-8", "replace")
        rest = last
        for line in text.split("\n"):
            number += 1
            yield number, line[:-1] if line.endswith("\r") else line
    if rest:
        yield number + 1, rest.decode("utf-8", "replace").rstrip("\r")


def _directive(annotation: Annotation, line: str) -> None:
    for word in ("#!genome-version", "#!genome-build"):
        if line.startswith(word) and not annotation.assembly:
            annotation.assembly = line[len(word) :].split()[-1] if line[len(word) :].split() else ""


def _looks_like_gtf(attributes: str) -> bool:
    return re.match(r'\s*\w+ "', attributes) is not None


def _fault(row: list[str]) -> str:
    if not (row[3].isdecimal() and row[4].isdecimal()):
        return "start or end is no number"
    if not 1 <= int(row[3]) <= int(row[4]) < 1 << 31:
        return "start after end"
    return ""


# ---- GFF3 ----


def _gff3_row(annotation: Annotation, number: int, row: list[str]) -> None:
    contig, source, kind, start, end, _, strand, phase, text = row
    if kind in _IGNORED:
        annotation.ignored[kind] += 1
    elif kind == _EXON or kind in _CODING:
        parent = _attribute(text, "Parent=")
        if not parent:
            annotation.dropped.add(f"{kind} without Parent", number, "")
            return
        parts = annotation.exons if kind == _EXON else annotation.cds
        for one in parent.split(","):
            owner = annotation.owners.setdefault(one, len(annotation.owners))
            seen = annotation.contigs.setdefault(contig, len(annotation.contigs))
            parts.add(owner, seen, int(start), int(end), strand, int(phase) if phase in "012" else 0, number)
            if kind == "CDS":
                _protein_of_cds(annotation, one, text)
    elif "ID=" in text:
        given = _attributes(text)
        if given["ID"] in annotation.features:
            annotation.dropped.add("ID used twice", number, given["ID"])
            return
        feature = Feature(number, kind, contig, int(start), int(end), strand, source=source)
        _describe(feature, given)
        annotation.features[given["ID"]] = feature
    else:
        annotation.ignored[kind] += 1


def _attribute(text: str, key: str) -> str:
    at = 0 if text.startswith(key) else text.find(";" + key) + 1
    if at == 0 and not text.startswith(key):
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
            found[key] = unquote(value) if "%" in value else value
    return found


_proteins_seen: Final = "protein_id="


def _protein_of_cds(annotation: Annotation, parent: str, text: str) -> None:
    feature = annotation.features.get(parent)
    if feature is None or feature.protein:
        return
    name = _attribute(text, "protein_id=")
    version = _attribute(text, "version=")
    feature.protein = f"{name}.{version}" if name and version else name


def _describe(feature: Feature, given: dict[str, str]) -> None:
    """Names, tags and numbers from the attributes of a gene or transcript row."""
    own = given.get("transcript_id") or given.get("gene_id") or given["ID"].rpartition(":")[2]
    version = given.get("version", "")
    is_transcript = "transcript_id" in given or "Parent" in given
    feature.name = f"{own}.{version}" if version and is_transcript else own
    feature.version_size = len(feature.name) - len(own)
    feature.parent = given.get("Parent", "")
    feature.biotype = given.get("biotype", "")
    feature.symbol = given.get("Name", "")
    feature.hgnc = given.get("HGNC", "")
    feature.tags = frozenset(given["tag"].split(",")) if "tag" in given else frozenset()
    feature.ccds = given.get("ccdsid", "")


# ---- GTF ----

_GTF_PAIR: Final = re.compile(r'(\w+) "?([^";]*)"?;?')


def _gtf_row(annotation: Annotation, number: int, row: list[str]) -> None:
    contig, source, kind, start, end, _, strand, phase, text = row
    if kind in _IGNORED:
        annotation.ignored[kind] += 1
        return
    pairs = _GTF_PAIR.findall(text)
    given: dict[str, str] = {}
    tags: list[str] = []
    for key, value in pairs:
        if key == "tag":
            tags.append(value)
        given.setdefault(key, value)
    if kind == "gene":
        feature = Feature(number, kind, contig, int(start), int(end), strand, source=source)
        feature.name = given.get("gene_id", "")
        feature.symbol = given.get("gene_name", "")
        feature.biotype = given.get("gene_biotype") or given.get("gene_type", "")
        annotation.features[f"gene:{given.get('gene_id', '')}"] = feature
        return
    key = f"transcript:{given.get('transcript_id', '')}"
    if kind == "transcript":
        feature = Feature(number, kind, contig, int(start), int(end), strand, source=source)
        version = given.get("transcript_version", "")
        own = given.get("transcript_id", "")
        feature.name = f"{own}.{version}" if version else own
        feature.version_size = len(feature.name) - len(own)
        feature.parent = f"gene:{given.get('gene_id', '')}"
        feature.biotype = given.get("transcript_biotype") or given.get("transcript_type", "")
        feature.tags = frozenset(tags)
        annotation.features[key] = feature
        return
    if kind == _EXON or kind in _CODING:
        owner = annotation.owners.setdefault(key, len(annotation.owners))
        seen = annotation.contigs.setdefault(contig, len(annotation.contigs))
        parts = annotation.exons if kind == _EXON else annotation.cds
        parts.add(owner, seen, int(start), int(end), strand, int(phase) if phase in "012" else 0, number)
        feature = annotation.features.get(key)
        if kind == "CDS" and feature is not None and not feature.protein:
            name, version = given.get("protein_id", ""), given.get("protein_version", "")
            feature.protein = f"{name}.{version}" if name and version else name

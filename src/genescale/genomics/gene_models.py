"""From the rows of an annotation to gene models as columns: which transcripts there are, their exons, CDS and names.

The rules are VEP's for gene files: UTRs follow from exons and CDS, CDS and stop codon lines are one, the phase of the
first CDS counts, a transcript without exons is dropped. Whatever is dropped is listed with line and reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics import bundle as b
from genescale.genomics.gff import Annotation, Coding, Feature, Parts

Array = npt.NDArray[Any]

_MAX_FRAMESHIFT_INTRON: Final = 13
_MAX_BIOTYPES: Final = 256


@dataclass(frozen=True, slots=True)
class Places:
    """What the annotation is judged against: the contigs, and which of their bases are known."""

    contig: Callable[[str], int]  # index of a contig name, -1 where it has no sequence
    covers: Callable[[Array, Array, Array], Array]  # contig, start, end -> whether all these bases are known
    mitochondrial: Array
    regions: bool


@dataclass(slots=True)
class GeneModels:
    """Arrays of the bundle format that need no sequence, and the names that go into string pools."""

    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    pools: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    biotypes: list[str] = field(default_factory=list[str])
    uneven: list[str] = field(default_factory=list[str])  # the CDS leaves out bases of the exons between its ends


@dataclass(slots=True)
class _Transcript:
    ident: str
    feature: Feature
    owner: int
    contig: int
    strand: int
    gene: str
    biotype: str


def gene_models(annotation: Annotation, places: Places) -> GeneModels:
    """Judge an annotation: what is sound becomes columns, what is not is listed in `annotation.dropped`."""
    exons, cds = _exons(annotation), _Rows.of(annotation.cds, len(annotation.owners))
    chosen = [*_transcripts(annotation, places, cds)]
    chosen = _sound(annotation, places, chosen, exons, cds)
    layout = _Layout.of(chosen, exons, cds)
    broken = (layout.coding_start > 0) & ((layout.cds_start == 0) | (layout.cds_end == 0))
    for i in np.flatnonzero(broken).tolist():
        annotation.dropped.add("CDS outside its exons", chosen[i].feature.line, chosen[i].feature.name)
    chosen = [t for t, bad in zip(chosen, broken.tolist(), strict=True) if not bad]
    chosen.sort(key=lambda t: (t.contig, exons.low(t.owner), exons.high(t.owner), t.feature.line))
    return _columns(annotation, chosen, _Layout.of(chosen, exons, cds), places)


@dataclass(slots=True)
class _Rows:
    """Parts ordered by owner and start; `first[o]` to `first[o + 1]` are those of owner o."""

    first: Array
    owner: Array
    start: Array
    end: Array
    strand: Array
    contig: Array
    phase: Array
    line: Array

    @classmethod
    def of(cls, parts: Parts, owners: int) -> "_Rows":
        owner, start = np.asarray(parts.owner, np.int32), np.asarray(parts.start, np.int32)
        end = np.asarray(parts.end, np.int32)
        order = np.lexsort((end, start, owner))
        owner, start, end = owner[order], start[order], end[order]
        fresh = np.ones(owner.size, bool)  # a row that is there twice counts once
        fresh[1:] = (owner[1:] != owner[:-1]) | (start[1:] != start[:-1]) | (end[1:] != end[:-1])
        order, owner, start, end = order[fresh], owner[fresh], start[fresh], end[fresh]
        first = np.zeros(owners + 1, np.int64)
        np.cumsum(np.bincount(owner, minlength=owners), out=first[1:])
        strand, contig = np.asarray(parts.strand, np.int8), np.asarray(parts.contig, np.int32)
        phase, line = np.asarray(parts.phase, np.int8), np.asarray(parts.line, np.int32)
        return cls(first, owner, start, end, strand[order], contig[order], phase[order], line[order])

    def low(self, owner: int) -> int:
        return int(self.start[self.first[owner]])

    def high(self, owner: int) -> int:
        return int(self.end[self.first[owner + 1] - 1])


def _exons(annotation: Annotation) -> _Rows:
    """The exons; where a transcript has only CDS rows, as in bacteria and mitochondria, these are its exons."""
    parts, cds = annotation.exons, annotation.cds
    owners = len(annotation.owners)
    has = np.bincount(np.asarray(parts.owner, np.int32), minlength=owners)
    lonely = np.flatnonzero(has[np.asarray(cds.owner, np.int32)] == 0) if len(cds.owner) else np.zeros(0, np.int64)
    rows = sorted((cds.owner[i], cds.start[i], cds.end[i], i) for i in lonely.tolist())
    merged: list[list[int]] = []
    for owner, start, end, i in rows:
        if merged and merged[-1][0] == owner and start <= merged[-1][2] + 1:  # the stop codon on a row of its own
            merged[-1][2] = max(merged[-1][2], end)
        else:
            merged.append([owner, start, end, i])
    for owner, start, end, i in merged:
        parts.owner.append(owner)
        parts.start.append(start)
        parts.end.append(end)
        parts.strand.append(cds.strand[i])
        parts.contig.append(cds.contig[i])
        parts.phase.append(0)
        parts.line.append(cds.line[i])
    return _Rows.of(parts, owners)


# ---- which transcripts there are ----


def _transcripts(annotation: Annotation, places: Places, cds: _Rows) -> Iterator[_Transcript]:
    """Features that own exons or CDS, with gene, biotype and contig settled."""
    features, dropped = annotation.features, annotation.dropped
    index = {feature.contig: places.contig(feature.contig) for feature in features.values()}
    parents = {feature.parent for feature in features.values()}
    for ident, owner in annotation.owners.items():
        feature = features.get(ident)
        if feature is None:
            dropped.add("exons of a transcript that has no line", 0, ident)
        elif not _is_mature(features, feature):
            gene = _gene_of(features, ident)
            codes = cds.first[owner] < cds.first[owner + 1]
            biotype = feature.biotype or features[gene].biotype or ("protein_coding" if codes else "")
            if not biotype:
                dropped.add("no biotype on transcript or gene", feature.line, feature.name)
            elif index[feature.contig] < 0:
                dropped.add("contig without sequence", feature.line, f"{feature.name} on {feature.contig}")
            elif feature.strand not in "+-":
                dropped.add("transcript without strand", feature.line, feature.name)
            else:
                strand = 1 if feature.strand == "+" else -1
                yield _Transcript(ident, feature, owner, index[feature.contig], strand, gene, biotype)
    for ident, feature in features.items():
        if ident not in annotation.owners and ident not in parents:
            dropped.add("no exons", feature.line, feature.name)


def _gene_of(features: dict[str, Feature], ident: str) -> str:
    for _ in range(8):
        above = features[ident].parent.partition(",")[0]
        if not above or above not in features:
            return ident
        ident = above
    return ident


def _is_mature(features: dict[str, Feature], feature: Feature) -> bool:
    """RefSeq's miRNA rows lie below the primary transcript and say which part of it is the mature RNA."""
    above = features.get(feature.parent)
    return feature.type == "miRNA" and above is not None and above.type == "primary_transcript"


def _sound(
    annotation: Annotation, places: Places, chosen: list[_Transcript], exons: _Rows, cds: _Rows
) -> list[_Transcript]:
    """Without those whose exons cannot be those of one transcript."""
    owners = len(annotation.owners)
    contig = np.full(owners, -1, np.int64)
    strand = np.zeros(owners, np.int8)
    number = np.array([places.contig(name) for name in annotation.contigs] or [-1], np.int64)
    for t in chosen:
        contig[t.owner], strand[t.owner] = t.contig, t.strand
    none = exons.first[1:] == exons.first[:-1]
    apart = np.zeros(owners, bool)
    for rows in (exons, cds):
        apart[rows.owner[(number[rows.contig] != contig[rows.owner]) | (rows.strand != strand[rows.owner])]] = True
    overlap = np.zeros(owners, bool)
    neighbours = exons.owner[1:] == exons.owner[:-1]
    overlap[exons.owner[1:][neighbours & (exons.start[1:] <= exons.end[:-1])]] = True
    known = np.ones(exons.owner.size, bool)
    ours = contig[exons.owner] >= 0
    known[ours] = places.covers(contig[exons.owner][ours], exons.start[ours], exons.end[ours])
    outside = np.zeros(owners, np.int64)
    outside[exons.owner[~known]] = exons.line[~known]
    where = "exon outside the regions of the genome file" if places.regions else "exon outside the contig"
    found: list[_Transcript] = []
    for t in chosen:
        line, name = t.feature.line, t.feature.name
        if none[t.owner]:
            annotation.dropped.add("no exons", line, name)
        elif apart[t.owner]:
            annotation.dropped.add("exons on more than one strand or contig", line, name)
        elif overlap[t.owner]:
            annotation.dropped.add("exons overlap", line, name)
        elif outside[t.owner]:
            annotation.dropped.add(where, int(outside[t.owner]), name)
        else:
            found.append(t)
    return found


# ---- columns ----


@dataclass(slots=True)
class _Layout:
    """Exons of the chosen transcripts in CSR form, and where the CDS begins and ends."""

    first: Array
    transcript: Array  # of each exon
    exon_start: Array
    exon_end: Array
    exon_cdna: Array
    cdna_length: Array
    coding_start: Array  # genomic, ascending, 0 = no CDS
    coding_end: Array
    phase: Array
    cds_start: Array  # on the cDNA
    cds_end: Array
    covered: Array  # how many bases the CDS rows cover

    @classmethod
    def of(cls, chosen: list[_Transcript], exons: _Rows, cds: _Rows) -> "_Layout":
        count = len(chosen)
        owner = np.fromiter((t.owner for t in chosen), np.int64, count)
        strand = np.fromiter((t.strand for t in chosen), np.int8, count)
        sizes = exons.first[owner + 1] - exons.first[owner]
        first = np.zeros(count + 1, np.int64)
        np.cumsum(sizes, out=first[1:])
        rows = ranges(exons.first[owner], sizes)
        start, end = exons.start[rows], exons.end[rows]
        of = np.repeat(np.arange(count), sizes)
        length = (end - start + 1).astype(np.int64)
        running = np.concatenate(([0], np.cumsum(length)))
        total = running[first[1:]] - running[first[:-1]]
        before = running[:-1] - running[first[:-1]][of]
        cdna = np.where(strand[of] > 0, before, total[of] - before - length) + 1
        coding_start, coding_end, phase, covered = _coding(owner, strand, cds)
        low = _cdna_of(coding_start, start, end, cdna, strand, of)
        high = _cdna_of(coding_end, start, end, cdna, strand, of)
        cds_start, cds_end = np.minimum(low, high), np.maximum(low, high)
        return cls(first, of, start, end, cdna, total, coding_start, coding_end, phase, cds_start, cds_end, covered)


def ranges(first: Array, sizes: Array) -> Array:
    """first[0], first[0] + 1, ... (sizes[0] of them), then the same for first[1], and so on."""
    return np.arange(int(sizes.sum())) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)


def _coding(owner: Array, strand: Array, cds: _Rows) -> tuple[Array, Array, Array, Array]:
    """Genomic start and end of the CDS (0 = none), how many Ns stand before it, how many bases its rows cover."""
    reach = _running_end(cds)
    edge = np.concatenate(([-1], np.where(cds.owner[1:] == cds.owner[:-1], reach[:-1], -1))) if reach.size else reach
    fresh = np.maximum(cds.end - np.maximum(cds.start - 1, edge), 0)
    running = np.concatenate(([0], np.cumsum(fresh)))
    first, last = cds.first[owner], cds.first[owner + 1]
    has = last > first
    start, end = np.zeros(owner.size, np.int32), np.zeros(owner.size, np.int32)
    phase = np.zeros(owner.size, np.uint8)
    start[has] = cds.start[first[has]]
    end[has] = reach[last[has] - 1]
    begin = np.where(strand > 0, first, last - 1)
    phase[has] = (3 - cds.phase[begin[has]]) % 3
    return start, end, phase, running[last] - running[first]


def _running_end(cds: _Rows) -> Array:
    """The highest end so far within each owner: a stop codon's row may lie inside the last CDS row, or after it."""
    shift = cds.owner.astype(np.int64) << 32
    return (np.maximum.accumulate(shift + cds.end) - shift).astype(np.int32)


def _cdna_of(position: Array, start: Array, end: Array, cdna: Array, strand: Array, of: Array) -> Array:
    """The cDNA position of one genomic position per transcript; 0 where it is 0 or in no exon."""
    at = np.flatnonzero((position[of] >= start) & (position[of] <= end))
    t = of[at]
    found = np.zeros(strand.size, np.int64)
    found[t] = cdna[at] + np.where(strand[t] > 0, position[t] - start[at], end[at] - position[t])
    return found


def _columns(annotation: Annotation, chosen: list[_Transcript], layout: _Layout, places: Places) -> GeneModels:
    count = len(chosen)
    models = GeneModels()
    out = models.arrays
    line = np.fromiter((t.feature.line for t in chosen), np.int64, count)
    order = np.empty(count, np.int32)
    order[np.argsort(line, kind="stable")] = np.arange(count, dtype=np.int32)
    contig = np.fromiter((t.contig for t in chosen), np.int32, count)
    out["transcript_contig"] = contig
    out["transcript_start"] = layout.exon_start[layout.first[:-1]]
    out["transcript_end"] = layout.exon_end[layout.first[1:] - 1]
    out["transcript_strand"] = np.fromiter((t.strand for t in chosen), np.int8, count)
    out["transcript_order"] = order
    out["transcript_exon"] = layout.first.astype(np.int32)
    out["exon_start"], out["exon_end"] = layout.exon_start, layout.exon_end
    out["exon_cdna"] = layout.exon_cdna.astype(np.int32)
    out["transcript_cdna_length"] = layout.cdna_length.astype(np.int32)
    out["coding_start"], out["coding_end"], out["transcript_phase"] = (
        layout.coding_start,
        layout.coding_end,
        layout.phase,
    )
    out["cds_cdna_start"], out["cds_cdna_end"] = layout.cds_start.astype(np.int32), layout.cds_end.astype(np.int32)
    number = _biotypes(annotation, chosen, models)
    flags = np.fromiter((_flags(t, annotation) for t in chosen), np.uint32, count)
    flags |= np.where(layout.coding_start > 0, b.CODING, 0).astype(np.uint32)
    flags |= np.where(_has_frameshift_intron(layout, count), b.HAS_FRAMESHIFT_INTRON, 0).astype(np.uint32)
    flags |= np.where(places.mitochondrial[contig], b.MITOCHONDRIAL, 0).astype(np.uint32)
    out["transcript_flags"] = flags
    out["transcript_tsl"] = np.fromiter((t.feature.tsl for t in chosen), np.uint8, count)
    out["transcript_appris"] = np.fromiter((t.feature.appris for t in chosen), np.uint8, count)
    cds = np.where(layout.coding_start > 0, layout.cds_end - layout.cds_start + 1, 0)
    length = np.where(cds > 0, cds + layout.phase, layout.cdna_length)
    out["transcript_pick_before"], out["transcript_pick_after"] = pick_keys(
        flags, out["transcript_tsl"], out["transcript_appris"], length
    )
    nothing = Coding()
    coding = [annotation.coding.get(t.ident, nothing) for t in chosen]
    models.pools["transcript_name"] = [_name(t) for t in chosen]
    models.pools["protein_name"] = [c.protein for c in coding]
    models.pools["ccds_name"] = [t.feature.ccds or c.ccds for t, c in zip(chosen, coding, strict=True)]
    out["transcript_version_size"] = np.fromiter((t.feature.version_size for t in chosen), np.uint8, count)
    models.uneven = [chosen[i].feature.name for i in np.flatnonzero(layout.covered != cds).tolist()]
    _mature(annotation, chosen, layout, out)
    _genes(annotation, chosen, models, number, places)
    return models


def _name(t: _Transcript) -> str:
    """The name of a transcript. A gene that is its own transcript has its number as name; the id says more there."""
    return t.ident.removeprefix("gene-") if t.ident == t.gene and t.ident.startswith("gene-") else t.feature.name


def _has_frameshift_intron(layout: _Layout, count: int) -> Array:
    found = np.zeros(count, bool)
    introns = layout.exon_start[1:] - layout.exon_end[:-1] - 1
    found[
        layout.transcript[1:][(layout.transcript[1:] == layout.transcript[:-1]) & (introns <= _MAX_FRAMESHIFT_INTRON)]
    ] = True
    return found


def _biotypes(annotation: Annotation, chosen: list[_Transcript], models: GeneModels) -> dict[str, int]:
    names = {t.biotype for t in chosen} | {annotation.features[t.gene].biotype or t.biotype for t in chosen}
    if len(names) > _MAX_BIOTYPES:
        raise InvalidInput(
            f"{len(names)} different biotypes, and a bundle can hold {_MAX_BIOTYPES}: is `biotype` free text here?",
            code="too_many_biotypes",
            place=str(annotation.path),
        )
    models.biotypes = sorted(names)
    number = {name: i for i, name in enumerate(models.biotypes)}
    models.arrays["transcript_biotype"] = np.fromiter((number[t.biotype] for t in chosen), np.uint8, len(chosen))
    return number


_TAG_FLAGS: Final = {
    "MANE_Select": b.MANE_SELECT,
    "MANE Select": b.MANE_SELECT,
    "MANE_Plus_Clinical": b.MANE_PLUS_CLINICAL,
    "MANE Plus Clinical": b.MANE_PLUS_CLINICAL,
    "Ensembl_canonical": b.CANONICAL,
    "RefSeq Select": b.CANONICAL,
    "cds_start_NF": b.CDS_START_NF,
    "cds_end_NF": b.CDS_END_NF,
    "basic": b.BASIC,
    "gencode_basic": b.BASIC,
    "CCDS": b.CCDS,
    "seleno": b.SELENO,
}
_REFSEQ_NAMES: Final = ("NM_", "NR_", "XM_", "XR_", "NP_", "YP_")
_REFSEQ_SOURCES: Final = frozenset({"BestRefSeq", "Gnomon", "RefSeq", "Curated Genomic", "BestRefSeq%2CGnomon"})
_ENSEMBL_SOURCES: Final = frozenset({"ensembl", "havana", "ensembl_havana", "ENSEMBL", "HAVANA", "havana_tagene"})


def _flags(t: _Transcript, annotation: Annotation) -> int:
    flags = 0
    for tag in t.feature.tags:
        flags |= _TAG_FLAGS.get(tag, 0)
    if t.biotype == "protein_coding":
        flags |= b.PROTEIN_CODING
    elif t.biotype == "nonsense_mediated_decay":
        flags |= b.NMD
    elif t.biotype == "miRNA":
        flags |= b.MIRNA
    if t.feature.name.startswith(_REFSEQ_NAMES) or t.feature.source in _REFSEQ_SOURCES:
        flags |= b.REFSEQ
    elif t.feature.name.startswith("ENS") or t.feature.source in _ENSEMBL_SOURCES:
        flags |= b.ENSEMBL
    coding = annotation.coding.get(t.ident)
    if coding is not None:
        open_start, open_end = coding.open_low, coding.open_high
        if t.strand < 0:
            open_start, open_end = open_end, open_start
        flags |= b.CDS_START_NF if open_start else 0
        flags |= b.CDS_END_NF if open_end else 0
        flags |= b.SELENO if coding.selenocysteine else 0
        flags |= b.PROTEIN_DIFFERS if coding.differs else 0
        flags |= b.CCDS if coding.ccds else 0
    flags |= b.CCDS if t.feature.ccds else 0
    return flags | (b.SELENO if t.ident in annotation.selenocysteine else 0)


def pick_keys(flags: Array, tsl: Array, appris: Array, length: Array) -> tuple[Array, Array]:
    """`transcript_pick_before` and `transcript_pick_after`; a smaller key is picked first.

    `length` is that of the CDS with its phase Ns where there is one, else that of the cDNA.
    """

    def lacks(flag: int, shift: int) -> Array:
        return np.where(flags & np.uint32(flag), 0, 1 << shift).astype(np.int64)

    before = lacks(b.MANE_SELECT, b.PICK_MANE_SELECT_SHIFT)
    before += lacks(b.MANE_PLUS_CLINICAL, b.PICK_MANE_PLUS_CLINICAL_SHIFT)
    before += lacks(b.CANONICAL, b.PICK_CANONICAL_SHIFT)
    before += np.where(appris == 0, b.PICK_APPRIS_NONE, appris).astype(np.int64) << b.PICK_APPRIS_SHIFT
    before += np.where(tsl == 0, b.PICK_TSL_NONE, tsl).astype(np.int64) << b.PICK_TSL_SHIFT
    before += lacks(b.PROTEIN_CODING, b.PICK_BIOTYPE_SHIFT) + lacks(b.CCDS, b.PICK_CCDS_SHIFT)
    after = ((1 << 32) - length.astype(np.int64)) << 2
    after += lacks(b.ENSEMBL, 1) + lacks(b.REFSEQ, 0)
    return before, after


def _mature(annotation: Annotation, chosen: list[_Transcript], layout: _Layout, out: dict[str, Array]) -> None:
    """Where the mature RNA of a miRNA lies on its primary transcript."""
    index: dict[str, int] | None = None
    found: list[tuple[int, int, int]] = []
    for feature in annotation.features.values():
        if not _is_mature(annotation.features, feature):
            continue
        if index is None:
            index = {t.ident: i for i, t in enumerate(chosen)}
        i = index.get(feature.parent)
        if i is None:
            continue
        a, z = int(layout.first[i]), int(layout.first[i + 1])
        ends: list[int] = []
        for position in (feature.start, feature.end):
            for e in range(a, z):
                start, end = int(layout.exon_start[e]), int(layout.exon_end[e])
                if start <= position <= end:
                    step = position - start if chosen[i].strand > 0 else end - position
                    ends.append(int(layout.exon_cdna[e]) + step)
        if len(ends) == 2:
            found.append((i, min(ends), max(ends)))
    found.sort()
    for column, name in enumerate(("mature_transcript", "mature_start", "mature_end")):
        out[name] = np.array([row[column] for row in found], np.int32)


def _genes(
    annotation: Annotation, chosen: list[_Transcript], models: GeneModels, number: dict[str, int], places: Places
) -> None:
    """Genes that have transcripts, in order of place; a transcript without a gene is its own."""
    members: dict[tuple[int, str], list[int]] = {}
    for i, t in enumerate(chosen):
        members.setdefault((t.contig, t.gene), []).append(i)
    start, end = models.arrays["transcript_start"], models.arrays["transcript_end"]
    rows: list[tuple[int, int, int, int, str]] = []
    for (contig, gene), inside in members.items():
        feature = annotation.features[gene]
        low, high = int(start[inside].min()), int(end[inside].max())
        if feature.start and places.contig(feature.contig) == contig:
            low, high = min(low, feature.start), max(high, feature.end)
        rows.append((contig, low, high, feature.line, gene))
    rows.sort()
    of = np.zeros(len(chosen), np.int32)
    for i, row in enumerate(rows):
        of[members[row[0], row[4]]] = i
    genes = [annotation.features[row[4]] for row in rows]
    firsts = [chosen[members[row[0], row[4]][0]] for row in rows]
    models.arrays["transcript_gene"] = of
    models.arrays["gene_contig"] = np.array([row[0] for row in rows], np.int32)
    models.arrays["gene_start"] = np.array([row[1] for row in rows], np.int32)
    models.arrays["gene_end"] = np.array([row[2] for row in rows], np.int32)
    models.arrays["gene_strand"] = np.array([t.strand for t in firsts], np.int8)
    models.arrays["gene_biotype"] = np.array(
        [number[gene.biotype or t.biotype] for gene, t in zip(genes, firsts, strict=True)], np.uint8
    )
    models.pools["gene_id"] = [gene.name for gene in genes]
    models.pools["gene_symbol"] = [gene.symbol for gene in genes]
    models.pools["hgnc"] = [gene.hgnc for gene in genes]

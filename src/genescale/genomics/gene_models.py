"""From the rows of an annotation to gene models as columns: which transcripts there are, their exons, CDS and names.

The rules are VEP's for gene files: UTRs follow from exons and CDS, CDS and stop codon lines are one, the phase of the
first CDS counts, a transcript without exons is dropped. Whatever is dropped is listed with line and reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genescale.genomics import bundle as b
from genescale.genomics.gff import Annotation, Feature

Array = npt.NDArray[Any]


@dataclass(slots=True)
class GeneModels:
    """Arrays of the bundle format that need no sequence, and the names that go into string pools."""

    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    pools: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    biotypes: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Transcript:
    feature: Feature
    owner: int
    contig: int
    strand: int
    gene: str
    biotype: str


def gene_models(
    annotation: Annotation, contig: Callable[[str], int], lengths: list[int], mito: list[bool]
) -> GeneModels:
    """Judge an annotation. `contig` gives the index of a contig name (-1: no sequence), `lengths` 0 where unknown."""
    chosen = _transcripts(annotation, contig)
    exons = _sorted_parts(annotation, "exons")
    cds = _sorted_parts(annotation, "cds")
    chosen = [t for t in chosen if _sound(annotation, t, exons, cds, contig, lengths)]
    chosen.sort(key=lambda t: (t.contig, _start(t, exons), _end(t, exons), t.feature.line))
    return _columns(annotation, chosen, exons, cds, mito)


@dataclass(slots=True)
class _Sorted:
    """Parts ordered by owner and start; `first[o]` to `first[o + 1]` are those of owner o."""

    first: Array
    start: Array
    end: Array
    strand: Array
    contig: Array
    phase: Array
    line: Array


def _sorted_parts(annotation: Annotation, which: str) -> _Sorted:
    parts = annotation.exons if which == "exons" else annotation.cds
    owner = np.asarray(parts.owner, np.int32)
    start = np.asarray(parts.start, np.int32)
    order = np.lexsort((start, owner))
    first = np.zeros(len(annotation.owners) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(annotation.owners)), out=first[1:])
    return _Sorted(
        first,
        start[order],
        np.asarray(parts.end, np.int32)[order],
        np.asarray(parts.strand, np.int8)[order],
        np.asarray(parts.contig, np.int32)[order],
        np.asarray(parts.phase, np.int8)[order],
        np.asarray(parts.line, np.int32)[order],
    )


def _transcripts(annotation: Annotation, contig: Callable[[str], int]) -> list[_Transcript]:
    """Features that own exons or CDS, with gene, biotype and contig settled."""
    features, dropped = annotation.features, annotation.dropped
    index = {name: contig(name) for name in annotation.contigs}
    found: list[_Transcript] = []
    parents = {feature.parent for feature in features.values()}
    for ident, owner in annotation.owners.items():
        feature = features.get(ident)
        if feature is None:
            dropped.add("exons of a transcript that has no line", 0, ident)
            continue
        gene = _gene_of(features, ident)
        biotype = feature.biotype or _biotype_of_type(feature) or features[gene].biotype
        if not biotype:
            dropped.add("no biotype on transcript or gene", feature.line, ident)
        elif index[feature.contig] < 0:
            dropped.add("contig without sequence", feature.line, f"{ident} on {feature.contig}")
        elif feature.strand not in "+-":
            dropped.add("transcript without strand", feature.line, ident)
        else:
            strand = 1 if feature.strand == "+" else -1
            found.append(_Transcript(feature, owner, index[feature.contig], strand, gene, biotype))
    for ident, feature in features.items():
        if ident not in annotation.owners and ident not in parents:
            dropped.add("no exons", feature.line, ident)
    return found


def _gene_of(features: dict[str, Feature], ident: str) -> str:
    for _ in range(8):
        above = features[ident].parent
        if not above or above not in features:
            return ident
        ident = above
    return ident


def _biotype_of_type(feature: Feature) -> str:
    return "protein_coding" if feature.type == "mRNA" else ""


def _start(t: _Transcript, exons: _Sorted) -> int:
    return int(exons.start[exons.first[t.owner]])


def _end(t: _Transcript, exons: _Sorted) -> int:
    return int(exons.end[exons.first[t.owner + 1] - 1])


def _sound(
    annotation: Annotation,
    t: _Transcript,
    exons: _Sorted,
    cds: _Sorted,
    contig: Callable[[str], int],
    lengths: list[int],
) -> bool:
    del contig, cds
    dropped = annotation.dropped
    a, z = int(exons.first[t.owner]), int(exons.first[t.owner + 1])
    if a == z:
        dropped.add("CDS without exons", t.feature.line, t.feature.name)
        return False
    if (exons.start[a + 1 : z] <= exons.end[a : z - 1]).any():
        dropped.add("exons overlap", t.feature.line, t.feature.name)
        return False
    if lengths[t.contig] and int(exons.end[z - 1]) > lengths[t.contig]:
        dropped.add("exon outside the contig", int(exons.line[z - 1]), t.feature.name)
        return False
    return True


_MAX_FRAMESHIFT_INTRON: Final = 13


def _columns(
    annotation: Annotation, chosen: list[_Transcript], exons: _Sorted, cds: _Sorted, mito: list[bool]
) -> GeneModels:
    count = len(chosen)
    models = GeneModels()
    out = models.arrays
    owner = np.fromiter((t.owner for t in chosen), np.int64, count)
    contig = np.fromiter((t.contig for t in chosen), np.int32, count)
    strand = np.fromiter((t.strand for t in chosen), np.int8, count)
    line = np.fromiter((t.feature.line for t in chosen), np.int64, count)
    order = np.empty(count, np.int32)
    order[np.argsort(line, kind="stable")] = np.arange(count, dtype=np.int32)

    sizes = exons.first[owner + 1] - exons.first[owner]
    first = np.zeros(count + 1, np.int64)
    np.cumsum(sizes, out=first[1:])
    pick = _gather(exons.first[owner], sizes)
    exon_start, exon_end = exons.start[pick], exons.end[pick]
    of = np.repeat(np.arange(count), sizes)
    length = (exon_end - exon_start + 1).astype(np.int64)
    before = np.cumsum(length) - length
    before -= before[first[:-1]][of] if count else 0
    total = np.add.reduceat(length, first[:-1]) if count else np.zeros(0, np.int64)
    exon_cdna = np.where(strand[of] > 0, before + 1, total[of] - before - length + 1)

    coding = _coding(chosen, owner, cds)
    out["transcript_contig"] = contig
    out["transcript_start"] = exon_start[first[:-1]] if count else np.zeros(0, np.int32)
    out["transcript_end"] = exon_end[first[1:] - 1] if count else np.zeros(0, np.int32)
    out["transcript_strand"] = strand
    out["transcript_order"] = order
    out["transcript_exon"] = first.astype(np.int32)
    out["exon_start"], out["exon_end"], out["exon_cdna"] = exon_start, exon_end, exon_cdna.astype(np.int32)
    out["transcript_cdna_length"] = total.astype(np.int32)
    out["coding_start"], out["coding_end"], out["transcript_phase"] = coding
    low = _cdna_of(coding[0], first, exon_start, exon_end, exon_cdna, strand, of)
    high = _cdna_of(coding[1], first, exon_start, exon_end, exon_cdna, strand, of)
    out["cds_cdna_start"] = np.minimum(low, high).astype(np.int32)
    out["cds_cdna_end"] = np.maximum(low, high).astype(np.int32)

    frameshift = np.zeros(count, bool)
    gap = exon_start[1:] - exon_end[:-1] - 1
    inside = (of[1:] == of[:-1]) & (gap <= _MAX_FRAMESHIFT_INTRON)
    frameshift[of[1:][inside]] = True
    biotypes = sorted({t.biotype for t in chosen} | {annotation.features[t.gene].biotype or t.biotype for t in chosen})
    models.biotypes = biotypes
    number = {name: i for i, name in enumerate(biotypes)}
    out["transcript_biotype"] = np.fromiter((number[t.biotype] for t in chosen), np.uint8, count)
    flags = np.fromiter((_flags(t) for t in chosen), np.uint32, count)
    flags |= np.where(coding[0] > 0, b.CODING, 0).astype(np.uint32)
    flags |= np.where(frameshift, b.HAS_FRAMESHIFT_INTRON, 0).astype(np.uint32)
    flags |= np.where(np.asarray(mito, bool)[contig], b.MITOCHONDRIAL, 0).astype(np.uint32)
    out["transcript_flags"] = flags
    out["transcript_tsl"] = np.fromiter((t.feature.tsl for t in chosen), np.uint8, count)
    out["transcript_appris"] = np.fromiter((t.feature.appris for t in chosen), np.uint8, count)
    cds_length = np.where(out["cds_cdna_end"] > 0, out["cds_cdna_end"] - out["cds_cdna_start"] + 1, 0)
    out["transcript_pick_before"], out["transcript_pick_after"] = _pick_keys(
        flags, out["transcript_tsl"], out["transcript_appris"], np.where(cds_length > 0, cds_length + coding[2], total)
    )
    out["mature_transcript"] = out["mature_start"] = out["mature_end"] = np.zeros(0, np.int32)
    models.pools["transcript_name"] = [t.feature.name for t in chosen]
    out["transcript_version_size"] = np.fromiter((t.feature.version_size for t in chosen), np.uint8, count)
    models.pools["protein_name"] = [t.feature.protein for t in chosen]
    models.pools["ccds_name"] = [t.feature.ccds for t in chosen]
    _genes(annotation, chosen, models, number)
    return models


def _gather(first: Array, sizes: Array) -> Array:
    """Indices first[0] .. first[0]+sizes[0]-1, first[1] .. and so on."""
    total = int(sizes.sum())
    begin = np.cumsum(sizes) - sizes
    return np.arange(total) + np.repeat(first - begin, sizes)


def _coding(chosen: list[_Transcript], owner: Array, cds: _Sorted) -> tuple[Array, Array, Array]:
    """Genomic start and end of the CDS (0 = none), and how many Ns stand before it."""
    first, last = cds.first[owner], cds.first[owner + 1]
    has = last > first
    start = np.zeros(owner.size, np.int32)
    end = np.zeros(owner.size, np.int32)
    phase = np.zeros(owner.size, np.uint8)
    start[has] = cds.start[first[has]]
    end[has] = np.maximum(cds.end[last[has] - 1], cds.end[np.maximum(last[has] - 2, first[has])])
    strand = np.fromiter((t.strand for t in chosen), np.int8, owner.size)
    begin = np.where(strand > 0, first, last - 1)
    phase[has] = (3 - cds.phase[begin[has]]) % 3
    return start, end, phase


def _cdna_of(position: Array, first: Array, start: Array, end: Array, cdna: Array, strand: Array, of: Array) -> Array:
    """The cDNA position of one genomic position per transcript; 0 where it is 0 or in no exon."""
    hit = (position[of] >= start) & (position[of] <= end)
    found = np.zeros(strand.size, np.int64)
    at = np.flatnonzero(hit)
    t = of[at]
    found[t] = cdna[at] + np.where(strand[t] > 0, position[t] - start[at], end[at] - position[t])
    del first
    return found


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


def _flags(t: _Transcript) -> int:
    flags = 0
    for tag in t.feature.tags:
        flags |= _TAG_FLAGS.get(tag, 0)
    if t.biotype == "protein_coding":
        flags |= b.PROTEIN_CODING
    elif t.biotype == "nonsense_mediated_decay":
        flags |= b.NMD
    elif t.biotype == "miRNA":
        flags |= b.MIRNA
    if t.feature.name[:3] in ("NM_", "NR_", "XM_", "XR_", "NP_", "YP_"):
        flags |= b.REFSEQ
    elif t.feature.name.startswith("ENS"):
        flags |= b.ENSEMBL
    if t.feature.ccds:
        flags |= b.CCDS
    return flags


def _pick_keys(flags: Array, tsl: Array, appris: Array, length: Array) -> tuple[Array, Array]:
    def lacks(flag: int, shift: int) -> Array:
        return np.where(flags & np.uint32(flag), 0, 1 << shift).astype(np.int64)

    before = lacks(b.MANE_SELECT, b.PICK_MANE_SELECT_SHIFT) + lacks(
        b.MANE_PLUS_CLINICAL, b.PICK_MANE_PLUS_CLINICAL_SHIFT
    )
    before += lacks(b.CANONICAL, b.PICK_CANONICAL_SHIFT)
    before += np.where(appris == 0, b.PICK_APPRIS_NONE, appris).astype(np.int64) << b.PICK_APPRIS_SHIFT
    before += np.where(tsl == 0, b.PICK_TSL_NONE, tsl).astype(np.int64) << b.PICK_TSL_SHIFT
    before += lacks(b.PROTEIN_CODING, b.PICK_BIOTYPE_SHIFT) + lacks(b.CCDS, b.PICK_CCDS_SHIFT)
    after = ((1 << 32) - length.astype(np.int64)) << 2
    after += lacks(b.ENSEMBL, 1) + lacks(b.REFSEQ, 0)
    return before, after


def _genes(annotation: Annotation, chosen: list[_Transcript], models: GeneModels, number: dict[str, int]) -> None:
    """Genes that have transcripts, in order of place; a transcript without a gene is its own."""
    members: dict[str, list[int]] = {}
    for i, t in enumerate(chosen):
        members.setdefault(f"{t.contig}\t{t.gene}", []).append(i)
    start, end = models.arrays["transcript_start"], models.arrays["transcript_end"]
    rows: list[tuple[int, int, int, int, str, str]] = []
    for key, inside in members.items():
        gene = key.partition("\t")[2]
        feature = annotation.features[gene]
        low, high = int(start[inside].min()), int(end[inside].max())
        rows.append(
            (chosen[inside[0]].contig, min(low, feature.start), max(high, feature.end), feature.line, gene, key)
        )
    rows.sort()
    of = np.zeros(len(chosen), np.int32)
    for i, row in enumerate(rows):
        of[members[row[5]]] = i
    genes = [annotation.features[row[4]] for row in rows]
    firsts = [chosen[members[row[5]][0]] for row in rows]
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

"""Compile a genome and its gene annotation into a reference bundle.

One pass over the FASTA file, one over the annotation; what is large (bases, mRNA) is streamed through files, so memory
grows with the number of transcripts and not with the genome. The same input gives the same bytes, always and anywhere.
"""

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from genescale import __version__
from genescale.errors import DiskFull, InvalidInput, UnknownName
from genescale.genomics import bundle as b
from genescale.genomics import codons
from genescale.genomics.aliases import (
    RCRS_MD5,
    VERTEBRATE_MITOCHONDRIAL,
    Known,
    alias_index,
    aliases_of,
    human_assembly,
    is_mitochondrial,
    known_contig,
    name_list,
    refuse_old_mitochondrion,
    table_assembly,
    usual_names,
)
from genescale.genomics.bundle import content_digest, file_digest, text_pool
from genescale.genomics.bundle_writer import Writer, install
from genescale.genomics.fasta import Segment, Sequence, blocks, pack_fasta, segments_of
from genescale.genomics.gene_models import GeneModels, Places, gene_models, ranges
from genescale.genomics.gff import Annotation, ContigNote, Dropped, read_annotation
from genescale.genomics.splicing import Trouble, write_transcripts

Array = npt.NDArray[Any]
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class BuildReport:
    """What a build made and what it did not take."""

    path: Path
    digest: str
    assembly: str
    kind: str
    contigs: list[b.Contig]
    bases: int
    genes: int
    transcripts: int
    coding: int
    lines: int  # of the annotation
    dropped: Dropped
    ignored: Mapping[str, int]  # rows by type that carry no gene structure
    contigs_without_sequence: list[str]
    cds_inner_stop: list[str]
    cds_odd_length: list[str]  # not a multiple of three, at neither an open end nor a stop that poly(A) completes
    cds_uneven: list[str]  # the CDS leaves out bases of its exons (a ribosomal slip): judged as if it did not
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the builder of a bundle decides besides the files. Contigs may go by any of their names."""

    assembly: str = ""
    codon_tables: Mapping[str, int] = field(default_factory=dict[str, int])
    circular: Mapping[str, bool] = field(default_factory=dict[str, bool])
    without: Collection[str] = ()
    synthetic: bool = False


def build_bundle(
    out_dir: str | Path,
    *,
    name: str,
    fasta: str | Path,
    genes: str | Path,
    assembly: str | None = None,
    codon_tables: Mapping[str, int] | None = None,
    circular: Mapping[str, bool] | None = None,
    without: Collection[str] = (),
    synthetic: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Build the bundle `name` in the new folder `out_dir` from a FASTA file and a GFF3 or GTF file.

    The genetic code of a contig is what `codon_tables` says, else what the annotation says (transl_table), else 2 for
    mitochondria and 1 for everything else. `without` leaves contigs of the FASTA file out. The folder appears whole or
    not at all. `progress` hears the phase and how many bytes of its file are read.

    Raises `InvalidInput` where the files cannot be read, are of two assemblies, or give no transcript at all.
    """
    target = Path(out_dir)
    if target.exists() and not replace:
        raise InvalidInput(f"{target} is there already; remove it, or say that it may be replaced", code="exists")
    choices = Choices(assembly or "", codon_tables or {}, circular or {}, without, synthetic)
    arriving = target.with_name(f".{target.name}.arriving-{os.getpid()}")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    try:
        report = _build(arriving, name, Path(fasta), Path(genes), choices, progress or _silent)
        install(arriving, target)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(
            f"no space left for {target}: a genome of human size takes 4 GB while it is built and 2.2 GB after that"
        ) from error
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    report.path = target
    return report


def _silent(phase: str, done: int) -> None:
    del phase, done


def _build(folder: Path, name: str, fasta: Path, genes: Path, choices: Choices, progress: Progress) -> BuildReport:
    for number in choices.codon_tables.values():
        codons.genetic_code(number)
    for file in (fasta, genes):
        next(blocks(file), b"")  # a file that cannot be read is told before the minute that the genome takes
    writer = Writer(folder)
    records, names, segments = _write_sequence(writer, fasta, choices, progress)
    annotation = read_annotation(genes, lambda done: progress("reading the genes", done))
    contigs, assembly, unlike = _contigs(names, records, annotation, choices)
    _write_contigs(writer, contigs, segments)
    progress("judging the genes", 0)
    index = alias_index([(c.name, c.aliases) for c in contigs])
    _check_lengths(annotation, contigs, index)
    places = _places(contigs, index, segments, any(record.region for record in records))
    models = gene_models(annotation, places)
    if not models.arrays["transcript_start"].size:
        _refuse_no_match(annotation, names, genes, index)
    table = np.array([c.codon_table for c in contigs], np.uint8)
    models.arrays["transcript_table"] = table[models.arrays["transcript_contig"]]
    progress("splicing transcripts", 0)
    trouble = write_transcripts(writer, models, segments)
    coding = int(np.count_nonzero(models.arrays["coding_start"]))
    if not choices.synthetic:
        _refuse_untranslatable(trouble, coding, genes)
    progress("writing", 0)
    _write_index(writer, models, len(contigs))
    _write_models(writer, models)
    listing = _listing(name, assembly, places, choices, contigs, models, annotation, writer, fasta, genes)
    (folder / b.LIST_FILE).write_text(json.dumps(listing, indent=1) + "\n")
    return BuildReport(
        folder,
        listing["digest"],
        assembly,
        listing["kind"],
        contigs,
        sum(segment.end - segment.start for segment in segments),
        int(models.arrays["gene_start"].size),
        int(models.arrays["transcript_start"].size),
        coding,
        annotation.lines,
        annotation.dropped,
        annotation.ignored,
        [n for n in annotation.contigs if n not in index],
        trouble.inner_stop,
        trouble.odd_length,
        models.uneven,
        [*_notes(trouble, coding, contigs, annotation, index), *unlike],
    )


def _write_sequence(
    writer: Writer, fasta: Path, choices: Choices, progress: Progress
) -> tuple[list[Sequence], list[str], list[Segment]]:
    """The packed bases; returns the records of the FASTA file, the contigs they are of, and the known segments."""
    packed, merged = writer.folder / "packed", writer.folder / "merged"
    records = pack_fasta(fasta, packed, lambda done: progress("reading the genome", done), choices.without)
    for record in records:
        if not record.region:
            refuse_old_mitochondrion(record.name, record.length, f"{fasta}, line {record.line}")
    names, segments, source = segments_of(records, packed, merged)
    writer.adopt("sequence", source, "|u1")
    packed.unlink()
    merged.unlink(missing_ok=True)
    return records, names, segments


def _write_models(writer: Writer, models: GeneModels) -> None:
    for key, value in models.arrays.items():
        writer.write(key, value)
    for pool, entries in models.pools.items():
        text, offset = text_pool(entries)
        writer.write(f"{pool}_text", text)
        writer.write(f"{pool}_offset", offset)
        if pool in b.SEARCHED_POOLS:
            order = sorted(range(len(entries)), key=entries.__getitem__)
            writer.write(f"{pool}_sorted", np.array(order, np.int32))


def _listing(
    name: str,
    assembly: str,
    places: Places,
    choices: Choices,
    contigs: list[b.Contig],
    models: GeneModels,
    annotation: Annotation,
    writer: "Writer",
    fasta: Path,
    genes: Path,
) -> dict[str, Any]:
    said = [{**asdict(contig), "aliases": list(contig.aliases)} for contig in contigs]
    listing: dict[str, Any] = {
        "format": b.FORMAT,
        "name": name,
        "assembly": assembly,
        "created_by": f"genescale {__version__}",
        "kind": "regions" if places.regions else "whole",
        "synthetic": choices.synthetic,
        "contigs": said,
        "biotypes": models.biotypes,
        "sources": [_source("genome", fasta), _source("genes", genes)],
        "dropped": dict(sorted(annotation.dropped.counts.items())),
        "arrays": dict(sorted(writer.arrays.items())),
    }
    return {**listing, "digest": content_digest(listing)}


# Of all coding transcripts. The true human annotation has below one in a hundred with a stop inside.
_MANY_INNER_STOPS: Final = 0.05
_FEW: Final = 20
_HOPELESS: Final = 0.5
_ENOUGH: Final = 100  # coding sequences to judge by
_MUCH_UNKNOWN: Final = 0.02


def _refuse_untranslatable(trouble: Trouble, coding: int, genes: Path) -> None:
    """A bundle whose genes lie beside the genes would answer everything, and all of it wrong."""
    stopped = len(trouble.inner_stop)
    if coding >= _ENOUGH and stopped > _HOPELESS * coding:
        raise InvalidInput(
            f"{stopped} of {coding} coding sequences have a stop inside: these genes are not of this genome. "
            "Take both from one assembly; an invented genome is taken with --synthetic",
            code="other_assembly",
            place=str(genes),
        )


def _notes(
    trouble: Trouble, coding: int, contigs: list[b.Contig], annotation: Annotation, index: Mapping[str, int]
) -> list[str]:
    """What the reader of a report should look into first."""
    notes: list[str] = []
    stopped = len(trouble.inner_stop)
    if stopped >= _FEW and stopped > _MANY_INNER_STOPS * coding:
        notes.append(
            f"{stopped} of {coding} coding sequences have a stop inside: "
            "are genome and genes of one assembly, and is the genetic code of each contig right (--codon-table)?"
        )
    if trouble.unknown > _MUCH_UNKNOWN:
        notes.append(
            f"{trouble.unknown:.0%} of the bases of transcripts are N or ambiguous: "
            "is this a masked genome (Ensembl's dna_rm)? Take the unmasked or the soft-masked one"
        )
    for name, note in annotation.notes.items():
        known = contigs[index[name]].length if name in index else None
        if known is not None and note.length and note.length < known:
            notes.append(f"{name} has {known:,} bases in the genome and {note.length:,} in the annotation")
    return notes


def _check_lengths(annotation: Annotation, contigs: list[b.Contig], index: Mapping[str, int]) -> None:
    for name, note in annotation.notes.items():
        contig = contigs[index[name]] if name in index else None
        if contig is not None and contig.length is not None and note.length > contig.length:
            raise InvalidInput(
                f"the annotation says that {name} has {note.length:,} bases; in the genome file "
                f"{contig.name} has {contig.length:,}: they are of two assemblies, take both from one release",
                code="other_assembly",
                place=f"{annotation.path}, line {note.line}",
            )


def _refuse_no_match(annotation: Annotation, names: list[str], genes: Path, index: Mapping[str, int]) -> None:
    theirs = list(annotation.contigs) or list(dict.fromkeys(f.contig for f in annotation.features.values()))
    if theirs and not any(name in index for name in theirs):
        reason = (
            "contig names do not match: the genes are on {}; the genome has {}. "
            "Take both files from one source, or rename the contigs of one"
        )
    else:
        why = "; ".join(f"{reason}: {count}" for reason, count in annotation.dropped.counts.most_common(5))
        reason = f"no transcript can be used ({why or 'no exons'}). The genes are on {{}}; the genome has {{}}"
    raise InvalidInput(reason.format(name_list(theirs), name_list(names)), code="no_transcripts", place=str(genes))


def _source(role: str, file: Path) -> dict[str, str]:
    return {"role": role, "file": file.name, "sha256": file_digest(file)}


# ---- contigs ----


def _contigs(
    names: list[str], records: list[Sequence], annotation: Annotation, choices: Choices
) -> tuple[list[b.Contig], str, list[str]]:
    """What is known of each contig, from the sequence, the annotation, the table of assemblies and the caller.

    With the assembly, and what to say of contigs that are not quite those of it.
    """
    whole = {record.name: record for record in records if not record.region}
    reach = {record.name: _end(record) for record in sorted(records, key=_end)}
    lengths = {name: record.length for name, record in whole.items()}
    table = _assembly_in_table(lengths, annotation, choices)
    codes = _stated_codes(annotation)
    found: list[b.Contig] = []
    unlike: list[str] = []
    for name in names:
        record = whole.get(name)
        length, md5 = (record.length, record.md5) if record is not None else (None, None)
        known = known_contig(name, length, table) if table else None
        if known is not None and reach[name] > known.length:
            raise InvalidInput(
                f"the regions of {name} reach to base {reach[name]:,}; in {table} it has {known.length:,}: "
                "say the right --assembly",
                code="other_assembly",
            )
        if known is not None and record is not None and known.refget not in ("", record.refget):
            unlike.append(f"{name} is as long as in {table}, but its bases are others: masked, or edited?")
        theirs = _annotation_name(name, known, annotation)
        note = annotation.notes.get(theirs, ContigNote())
        aliases = aliases_of(name, known, md5, [theirs, *note.names])
        called = {name, *aliases}
        mitochondrial = note.mitochondrial or md5 == RCRS_MD5 or any(is_mitochondrial(n) for n in called)
        code = codes.get(theirs) or (VERTEBRATE_MITOCHONDRIAL if mitochondrial else 1)
        found.append(
            b.Contig(
                name,
                length if length is not None or known is None else known.length,
                _chosen(choices.circular, called, mitochondrial or note.circular),
                _chosen(choices.codon_tables, called, code),
                aliases,
                md5,
                _refget(record, known, choices),
            )
        )
    _check_choices(found, choices)
    return found, choices.assembly or annotation.assembly or table, unlike


def _refget(record: Sequence | None, known: Known | None, choices: Choices) -> str | None:
    """The digest of a whole sequence; of regions of a true chromosome that of the chromosome, which is known."""
    if record is not None:
        return record.refget
    return None if known is None or choices.synthetic else known.refget or None


def _end(record: Sequence) -> int:
    return record.start + record.length


def _annotation_name(name: str, known: Known | None, annotation: Annotation) -> str:
    """What the annotation calls a contig of the genome."""
    called = (name, *aliases_of(name, known))
    same = next((n for n in called if n in annotation.notes or n in annotation.contigs), None)
    if same is not None:
        return same
    also = (n for n, note in annotation.notes.items() if not set(called).isdisjoint(note.names))
    return next(also, name)


T = TypeVar("T")


def _chosen(choices: Mapping[str, T], called: Collection[str], default: T) -> T:
    return next((value for name, value in choices.items() if name in called), default)


def _check_choices(contigs: list[b.Contig], choices: Choices) -> None:
    index = alias_index([(c.name, c.aliases) for c in contigs])
    for name in (*choices.codon_tables, *choices.circular):
        if name not in index:
            raise UnknownName(f"the genome has no contig {name!r}; it has {usual_names(contigs)}")


def _stated_codes(annotation: Annotation) -> dict[str, int]:
    """The genetic code that the CDS rows of each contig name most often (transl_table, in RefSeq's files)."""
    counts: dict[str, Counter[int]] = {}
    for ident, coding in annotation.coding.items():
        feature = annotation.features.get(ident)
        if coding.table in codons.genetic_codes() and feature is not None:
            counts.setdefault(feature.contig, Counter())[coding.table] += 1
    return {name: count.most_common(1)[0][0] for name, count in counts.items()}


def _assembly_in_table(lengths: Mapping[str, int], annotation: Annotation, choices: Choices) -> str:
    found = human_assembly(lengths)
    stated = table_assembly(choices.assembly)
    if found and stated and found != stated:
        raise InvalidInput(
            f"the genome is said to be {choices.assembly}, but its contigs have the lengths of {found}",
            code="other_assembly",
        )
    return found or stated or (table_assembly(annotation.assembly) if not lengths else "")


def _places(contigs: list[b.Contig], index: Mapping[str, int], segments: list[Segment], regions: bool) -> Places:
    named = [{c.name, *c.aliases} for c in contigs]
    mitochondrial = np.array([any(is_mitochondrial(n) for n in names) for names in named], bool)

    of = np.array([s.contig for s in segments], np.int64)
    key = of << 40 | np.array([s.start for s in segments], np.int64)
    reach = np.array([s.end for s in segments], np.int64)

    def covers(contig: Array, start: Array, end: Array) -> Array:
        at = np.searchsorted(key, contig.astype(np.int64) << 40 | start.astype(np.int64) - 1, "right") - 1
        return (at >= 0) & (of[at] == contig) & (end <= reach[at])

    return Places(lambda name: index.get(name, -1), covers, mitochondrial, regions)


def _write_contigs(writer: Writer, contigs: list[b.Contig], segments: list[Segment]) -> None:
    first = np.zeros(len(contigs) + 1, np.int32)
    np.cumsum(np.bincount([s.contig for s in segments], minlength=len(contigs)), out=first[1:])
    writer.write("contig_segment", first)
    writer.write("segment_contig", np.array([s.contig for s in segments], np.int32))
    writer.write("segment_start", np.array([s.start for s in segments], np.int64))
    writer.write("segment_end", np.array([s.end for s in segments], np.int64))
    writer.write("segment_base", np.array([s.base for s in segments], np.int64))
    writer.write("contig_length", np.array([c.length or 0 for c in contigs], np.int64))
    writer.write("contig_table", np.array([c.codon_table for c in contigs], np.uint8))
    writer.write("contig_circular", np.array([c.circular for c in contigs], np.uint8))


# ---- the interval index ----


def _write_index(writer: Writer, models: GeneModels, contigs: int) -> None:
    """Cells within which the set of transcripts that may be touched is constant, each with its transcripts in order."""
    m = models.arrays
    by_order = np.argsort(m["transcript_order"], kind="stable")
    contig = m["transcript_contig"][by_order]
    starts: list[Array] = []
    counts: list[Array] = []
    members: list[Array] = []
    per_contig: list[int] = []
    for c in range(contigs):
        mine = by_order[contig == c]
        low = np.maximum(m["transcript_start"][mine].astype(np.int64) - b.INDEX_REACH, 0)
        high = m["transcript_end"][mine].astype(np.int64) + b.INDEX_REACH + 1
        cells = np.unique(np.concatenate(([0], low, high)))
        first, last = np.searchsorted(cells, low), np.searchsorted(cells, high)
        cell = ranges(first, last - first)
        order = np.argsort(cell, kind="stable")
        members.append(np.repeat(mine, last - first)[order].astype(np.int32))
        counts.append(np.bincount(cell, minlength=cells.size))
        starts.append(np.minimum(cells, 2**31 - 1).astype(np.int32))
        per_contig.append(cells.size)
    writer.write("contig_cell", np.concatenate(([0], np.cumsum(per_contig))).astype(np.int32))
    writer.write("cell_start", np.concatenate(starts))
    writer.write("cell_transcript_first", np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64))
    writer.write("cell_transcript", np.concatenate(members))

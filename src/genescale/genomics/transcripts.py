"""One transcript at a time, for people's names: which transcript is meant, and where its positions lie on the genome.

The batch kernels judge millions of pairs from the same arrays; this module serves names that people type, so it spends
its care on saying what is wrong: a position that no exon end explains, a version the bundle does not have, a gene with
several transcripts.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np

from genescale.errors import InvalidInput, UnknownName
from genescale.genomics.bundle import CANONICAL, CDS_START_NF, MANE_SELECT, Bundle
from genescale.genomics.hgvs_parts import Datum, Position

FLANK_MAX: Final = 250_000
"""How far outside of its transcript a c. or n. position is followed. HGVS has no names there; ClinVar has used them for
promoters of other transcripts of the gene, some 130,000 bases away."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader must know about an answer. `code` is a short stable name for programs."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Exon:
    """One exon: its genomic span, and the cDNA position of its first base in the direction of the transcript."""

    start: int
    end: int
    cdna: int

    @property
    def cdna_end(self) -> int:
        """The cDNA position of its last base."""
        return self.cdna + self.end - self.start


class Transcript:
    """One transcript of an open bundle. `exons` are in the direction of the transcript; cDNA positions begin at 1."""

    def __init__(self, bundle: Bundle, index: int) -> None:
        """Read the transcript `index` from the arrays of `bundle`."""
        first, last = bundle.array("transcript_exon")[index : index + 2].tolist()
        columns = (bundle.array(name)[first:last].tolist() for name in ("exon_start", "exon_end", "exon_cdna"))
        exons = [Exon(*row) for row in zip(*columns, strict=True)]
        self.index = index
        self.name = bundle.text("transcript_name", index)
        self.contig = int(bundle.array("transcript_contig")[index])
        self.strand = int(bundle.array("transcript_strand")[index])
        self.exons = exons if self.strand > 0 else exons[::-1]
        self.flags = int(bundle.array("transcript_flags")[index])
        self.length = int(bundle.array("transcript_cdna_length")[index])
        self.cds_start = int(bundle.array("cds_cdna_start")[index])
        self.cds_end = int(bundle.array("cds_cdna_end")[index])
        self._cdna = [exon.cdna for exon in self.exons]

    @property
    def coding(self) -> bool:
        """Whether it has a CDS, so that c. positions exist."""
        return self.cds_start > 0

    def exon_of(self, cdna: int) -> int:
        """The index in `exons` of the exon that holds cDNA position `cdna`."""
        return bisect_right(self._cdna, cdna) - 1

    def genomic(self, cdna: int) -> int:
        """The genomic position of `cdna`; before the first and behind the last base, in a straight line outwards."""
        exon = self.exons[min(max(self.exon_of(cdna), 0), len(self.exons) - 1)]
        if self.strand > 0:
            return exon.start + cdna - exon.cdna
        return exon.end - (cdna - exon.cdna)

    def cdna_of(self, position: int) -> int:
        """The cDNA position of the genomic `position`, 0 where no exon covers it."""
        for exon in self.exons:
            if exon.start <= position <= exon.end:
                return exon.cdna + (position - exon.start if self.strand > 0 else exon.end - position)
        return 0

    def cdna(self, numbering: str, position: Position) -> int:
        """The cDNA position of the base of `position` (its offset aside), in c. or n. numbering.

        Raises `InvalidInput` for positions that this transcript does not have.
        """
        base = position.base
        assert base is not None, "callers settle `?` first"
        if numbering == "n":
            return base if base > 0 else base + 1
        if position.datum is Datum.CDS_END:
            return self.cds_end + base
        cdna = self.cds_start + base - (base > 0)
        if base > 0 and cdna > self.cds_end:
            raise InvalidInput(
                f"c.{base} lies behind the CDS of {self.name}, which ends at c.{self.cds_end - self.cds_start + 1}; "
                f"bases behind it are written c.*1, c.*2: this would be c.*{cdna - self.cds_end}",
                code="outside_cds",
            )
        return cdna

    def named(self, numbering: str, cdna: int) -> str:
        """A cDNA position in c. or n. numbering, for messages."""
        if numbering == "n":
            return f"n.{cdna if cdna > 0 else cdna - 1}"
        if cdna > self.cds_end:
            return f"c.*{cdna - self.cds_end}"
        base = cdna - self.cds_start + 1
        return f"c.{base if base > 0 else base - 1}"

    def place(self, numbering: str, position: Position, notes: list[Note]) -> int:
        """The genomic position of `position`. Adds what the reader must know to `notes`.

        Raises `InvalidInput` where the transcript has no such position: an intron offset that does not start at the
        end of an exon, or leaves its intron, or a place too far outside.
        """
        cdna = self.cdna(numbering, position)
        if position.offset:
            return self._in_intron(numbering, position, cdna, position.offset, notes)
        outside = 1 - cdna if cdna < 1 else cdna - self.length
        if outside > 0:
            self._outside(numbering, position, outside, notes)
        return self.genomic(cdna)

    def _outside(self, numbering: str, position: Position, outside: int, notes: list[Note]) -> None:
        if numbering == "n" and position.base is not None and position.base > 0:
            raise InvalidInput(f"{self.name} has {self.length} bases; n.{position} is behind them", code="past_end")
        where = "before the first" if position.base is not None and position.datum is Datum.START else "behind the last"
        text = f"{numbering}.{position} lies {outside} bases {where} base of {self.name}"
        if outside > FLANK_MAX:
            raise InvalidInput(f"{text}; give it as g. (up to {FLANK_MAX} bases are followed)", code="past_end")
        notes.append(Note("outside_transcript", f"{text}; HGVS names no such place, counted on along the genome"))

    def _in_intron(self, numbering: str, position: Position, cdna: int, offset: int, notes: list[Note]) -> int:
        if not 1 <= cdna <= self.length:
            raise InvalidInput(
                f"{numbering}.{position}: the base that it counts from is not in {self.name}", code="past_end"
            )
        number = self.exon_of(cdna)
        exon = self.exons[number]
        edge = exon.cdna_end if offset > 0 else exon.cdna
        if cdna != edge:
            raise self._no_edge(numbering, position, number)
        here = self.genomic(cdna) + self.strand * offset
        beside = number + (1 if offset > 0 else -1)
        if not 0 <= beside < len(self.exons):
            self._outside(numbering, position, abs(offset), notes)
            return here
        size = (
            abs(
                self.genomic(self.exons[beside].cdna if offset > 0 else self.exons[beside].cdna_end)
                - self.genomic(cdna)
            )
            - 1
        )
        if abs(offset) > size:
            raise InvalidInput(
                f"{numbering}.{position}: the intron there has only {size} bases in {self.name}", code="outside_intron"
            )
        # HGVS counts from the nearer exon; the middle base of an odd intron belongs to the exon before it.
        if abs(offset) > ((size + 1) // 2 if offset > 0 else size // 2):
            other = self.exons[beside].cdna if offset > 0 else self.exons[beside].cdna_end
            better = f"{self.named(numbering, other)}{(abs(offset) - size - 1) * (1 if offset > 0 else -1):+d}"
            notes.append(
                Note("farther_exon_end", f"{numbering}.{position} counts from the farther exon; HGVS: {better}")
            )
        return here

    def _no_edge(self, numbering: str, position: Position, number: int) -> InvalidInput:
        exon = self.exons[number]
        ends = f"{self.named(numbering, exon.cdna)} to {self.named(numbering, exon.cdna_end)}"
        side = "last" if position.offset is not None and position.offset > 0 else "first"
        return InvalidInput(
            f"{numbering}.{position} counts into an intron from a base that is not the {side} of its exon: "
            f"exon {number + 1} of {self.name} is {ends}. The name may belong to another transcript or version",
            code="not_an_exon_end",
        )


def numbering_of(kind: str, transcript: Transcript, notes: list[Note]) -> str:
    """`c` or `n`: how positions of a c., n. or r. name count along `transcript`."""
    if kind == "c" and not transcript.coding:
        raise InvalidInput(f"{transcript.name} has no coding sequence; its positions are written n.", code="wrong_type")
    if kind == "r":
        notes.append(
            Note(
                "rna",
                "r. tells what was seen in RNA; the variant on DNA is the same change there, if it has that cause",
            )
        )
    if kind != "n" and transcript.flags & CDS_START_NF:
        notes.append(
            Note("cds_start_nf", f"the start of the CDS of {transcript.name} is not known; c.1 is its first known base")
        )
    return "n" if kind == "n" or not transcript.coding else "c"


# --- which transcript is meant ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """The transcripts that a name means, best first, and what was assumed to find them."""

    transcripts: tuple[Transcript, ...]
    notes: tuple[Note, ...]


def find_transcripts(bundle: Bundle, name: str, *, protein: bool = False) -> Named:
    """The transcripts called `name`: by accession with or without version, by their protein, or by their gene.

    More than one only when the same accession lies at several places. Raises `UnknownName` with what there is instead.
    """
    pools = ("protein_name", "transcript_name") if protein else ("transcript_name", "protein_name")
    known_by_two = ("transcript_alias",) if bundle.has("transcript_alias_sorted") else ()
    # Many leave out what all mitochondrial genes begin with: ND4 is MT-ND4.
    for spelled in dict.fromkeys((name, name.upper(), f"MT-{name.upper()}")):
        for pool in (*pools, *known_by_two):
            exact = _equal(bundle, pool, spelled)
            if exact:
                return Named(_read(bundle, exact), _other_name_note(bundle, pool, protein, spelled, exact))
        for pool in pools:
            found = _other_version(bundle, pool, spelled)
            if found is not None:
                return found
        of_gene = _of_gene(bundle, spelled)
        if of_gene is not None:
            return of_gene
    raise UnknownName(f"{bundle.name} has no transcript or gene {name!r}{_near(bundle, name)}")


def _read(bundle: Bundle, indices: list[int]) -> tuple[Transcript, ...]:
    return tuple(Transcript(bundle, index) for index in indices)


def _equal(bundle: Bundle, pool: str, name: str) -> list[int]:
    return [i for i in bundle.find(pool, name) if bundle.text(pool, i) == name] if name else []


def _other_name_note(bundle: Bundle, pool: str, protein: bool, name: str, found: list[int]) -> tuple[Note, ...]:
    if pool == "transcript_alias":
        return (Note("alias", f"{name} is {bundle.text('transcript_name', found[0])}"),)
    if pool == "protein_name" and not protein:
        transcript = bundle.text("transcript_name", found[0])
        return (Note("protein_accession", f"{name} is a protein; its transcript {transcript} was used"),)
    return ()


def _other_version(bundle: Bundle, pool: str, name: str) -> Named | None:
    """A transcript of the same accession whose version was not stated, or is another one."""
    accession, dot, version = name.rpartition(".")
    stated = bool(dot) and version.isdigit()
    stem = accession if stated else name
    if not stem:
        return None
    found = [i for i in bundle.find(pool, f"{stem}.") if bundle.text(pool, i)[len(stem) + 1 :].isdigit()]
    found = found or (_equal(bundle, pool, stem) if stated else [])
    if not found:
        return None
    newest = max((bundle.text(pool, i) for i in found), key=lambda text: int(text[len(stem) + 1 :] or 0))
    chosen = [i for i in found if bundle.text(pool, i) == newest]
    if not stated:
        note = Note("version_assumed", f"{name} has no version; {newest} was used")
    else:
        note = Note("version_differs", f"{name} is not in {bundle.name}; {newest} was used, whose numbering may differ")
    return Named(_read(bundle, chosen), (note, *_other_name_note(bundle, pool, pool == "protein_name", newest, chosen)))


def _of_gene(bundle: Bundle, name: str) -> Named | None:
    genes = _equal(bundle, "gene_symbol", name) or _equal(bundle, "gene_id", name)
    if not genes:
        genes = [i for i in bundle.find("gene_id", f"{name}.") if bundle.text("gene_id", i)[len(name) + 1 :].isdigit()]
    if not genes:
        return None
    indices = np.flatnonzero(np.isin(bundle.array("transcript_gene"), genes)).tolist()
    if not indices:
        return None
    before, after = bundle.array("transcript_pick_before"), bundle.array("transcript_pick_after")
    coding = bundle.array("cds_cdna_start")
    best = min(indices, key=lambda i: (int(before[i]), int(coding[i]) == 0, int(after[i])))
    chosen = Transcript(bundle, best)
    flags = chosen.flags
    if len(indices) == 1:
        why = "its only transcript here"
    elif flags & MANE_SELECT:
        why = f"its MANE Select transcript, of {len(indices)}"
    else:
        why = f"its {'canonical' if flags & CANONICAL else 'first-ranked'} transcript, of {len(indices)}"
    return Named((chosen,), (Note("gene_transcript", f"{name} is a gene; {chosen.name} was used, {why}"),))


def _near(bundle: Bundle, name: str) -> str:
    """Names that begin alike, for the message."""
    for length in range(min(len(name), 24) - 1, 2, -1):
        stem = name[:length]
        for pool in ("transcript_name", "gene_symbol"):
            found = bundle.find(pool, stem)
            if found:
                shown = ", ".join(bundle.text(pool, i) for i in found[:5])
                return f"; names that begin alike: {shown}{' ...' if len(found) > 5 else ''}"
    return f" ({len(bundle.array('transcript_start'))} transcripts of {len(bundle.array('gene_start'))} genes)"

"""What several variants on one chromosome do to a protein together.

Two substitutions in one codon, or a deletion of one base and an insertion of one base behind it, mean something else
together than each alone. Given the variants of one haplotype in the CDS of one transcript, `compounds` finds those that
act together and judges them as one change. They act together while one begins in the codon where another ends, or
while the reading frame is shifted; what lies behind a new stop is not translated and said to be masked.

The idea of the haplotype-aware caller is that of Danecek P, McCarthy SA, Bioinformatics 2017;33:2037-9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Final

from genescale.genomics import codons, hgvs_parts
from genescale.genomics.bundle import CDS_START_NF, Bundle
from genescale.genomics.terms import mask_of
from genescale.genomics.transcripts import Transcript

# Terms that say what happens to the protein: a compound has its own in their place.
_OF_PROTEIN: Final = mask_of(
    (
        "stop_gained",
        "frameshift_variant",
        "stop_lost",
        "start_lost",
        "inframe_insertion",
        "inframe_deletion",
        "missense_variant",
        "protein_altering_variant",
        "incomplete_terminal_codon_variant",
        "start_retained_variant",
        "stop_retained_variant",
        "synonymous_variant",
        "coding_sequence_variant",
    )
)


_LETTER_OF_CODE: Final = bytes.maketrans(bytes(range(5)), b"ACGTN")


@dataclass(frozen=True, slots=True)
class Edit:
    """One variant in the CDS: cDNA positions `start` to `end` (an insertion has start = end + 1) become `alt`.

    `alt` is read along the transcript. `label` is the variant for people (POSREF>ALT), `terms` what it does alone.
    """

    start: int
    end: int
    alt: str
    label: str
    terms: int

    @property
    def shift(self) -> int:
        """By how many bases it lengthens the CDS."""
        return len(self.alt) - (self.end - self.start + 1)


@dataclass(frozen=True, slots=True)
class Compound:
    """Variants that act together. `edits` take part; `masked` lie behind the stop that these bring.

    `terms` is the mask for all together, splice and other terms of the single variants included. Positions of residues
    count from 1; the peptides are those of the codons concerned, as in the column Amino_acids. `hgvsp` is the change of
    the protein without its accession, "" where the reference itself has a stop within.
    """

    transcript: int
    edits: tuple[Edit, ...]
    masked: tuple[Edit, ...]
    terms: int
    protein_start: int
    protein_end: int
    ref_peptide: str
    alt_peptide: str
    hgvsp: str


class Coding:
    """The coding sequence of one transcript, ready to be edited. `start` is the cDNA position of the first codon."""

    def __init__(self, bundle: Bundle, model: Transcript) -> None:
        """Read it from the arrays of `bundle`."""
        transcript = model.index
        begin = int(bundle.array("transcript_mrna")[transcript])
        phase = int(bundle.array("transcript_phase")[transcript])
        table = int(bundle.array("transcript_table")[transcript])
        codes = bundle.array("mrna")[begin : begin + model.length].tobytes()
        self.index = transcript
        self.end = model.cds_end
        self.start = model.cds_start - phase
        # Bases before a CDS whose beginning is unknown do not belong to its first codon.
        known = codes.translate(_LETTER_OF_CODE).decode()
        self.mrna = known[: max(self.start - 1, 0)] + "N" * phase + known[model.cds_start - 1 :]
        self._moved = max(1 - self.start, 0)  # the phase Ns of a transcript that begins with its CDS
        self.complete_start = not model.flags & CDS_START_NF and not phase
        self._letter = _letters(table)
        self._starts = _starts(table)
        self._other_starts = table != 1

    def codon(self, cdna: int) -> int:
        """The number of the codon that holds a cDNA position, counted from 0."""
        return (cdna - self.start) // 3

    def edited(self, edits: Sequence[Edit]) -> str:
        """Everything from the first codon on, with `edits` put in."""
        at = self.start
        parts: list[str] = []
        for edit in edits:
            parts += (self._part(at, edit.start - 1), edit.alt)
            at = edit.end + 1
        return "".join(parts) + self._part(at, len(self.mrna) - self._moved)

    def _part(self, first: int, last: int) -> str:
        return self.mrna[first - 1 + self._moved : max(last + self._moved, 0)]

    def translated(self, bases: str) -> str:
        """The residues of the whole codons of `bases`."""
        letter = self._letter
        return "".join([letter[bases[i : i + 3]] for i in range(0, len(bases) - 2, 3)])

    def protein(self, bases: str) -> str:
        """The protein of `bases`, its stop included if it meets one; the start codon gives M."""
        whole = self.translated(bases)
        stop = whole.find("*")
        whole = whole if stop < 0 else whole[: stop + 1]
        return self.initiated(whole, bases)

    def initiated(self, residues: str, bases: str) -> str:
        """`residues` of `bases`, the first one M where the CDS begins with a codon that can start a protein."""
        return f"M{residues[1:]}" if self.complete_start and bases[:3] in self._starts else residues

    def is_start(self, bases: str) -> bool:
        """Whether `bases` begin with ATG or, outside of the standard code, another start codon."""
        codon = bases[:3]
        return codon == "ATG" or (self._other_starts and codon in self._starts)

    @cached_property
    def reference(self) -> str:
        """The unedited CDS, to its last base."""
        return self._part(self.start, self.end)

    @cached_property
    def peptide(self) -> str:
        """The translation of the unedited CDS, whatever stops it has."""
        return self.translated(self.reference)


@cache
def _letters(table: int) -> dict[str, str]:
    """Codon to residue in a genetic code, N for any base."""
    triplets = map("".join, product("ACGTN", repeat=3))
    return dict(zip(triplets, codons.amino_acids(table).decode(), strict=True))


@cache
def _starts(table: int) -> frozenset[str]:
    triplets = map("".join, product("ACGTN", repeat=3))
    return frozenset(codon for codon, start in zip(triplets, codons.starts(table), strict=True) if start)


def compounds(coding: Coding, edits: Sequence[Edit]) -> list[Compound]:
    """The groups of edits of one haplotype that act together, or of which one masks others.

    Of edits that overlap the first one counts.
    """
    found: list[Compound] = []
    ordered = _without_overlaps(edits)
    at = 0
    while at < len(ordered):
        group, stopped = _group(coding, ordered[at:])
        rest = ordered[at + len(group) :]
        if len(group) > 1 or stopped:
            found.append(_judged(coding, group, rest if stopped else []))
        at = len(ordered) if stopped else at + len(group)
    return found


def _without_overlaps(edits: Sequence[Edit]) -> list[Edit]:
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        insertion_here = kept and edit.start > edit.end and kept[-1].start == edit.start and kept[-1].end == edit.end
        if not kept or (edit.start > kept[-1].end and not insertion_here):
            kept.append(edit)
    return kept


def _group(coding: Coding, edits: Sequence[Edit]) -> tuple[list[Edit], bool]:
    """The first edits that act together, and whether they bring a stop before the next edit is reached."""
    group = [edits[0]]
    shift = edits[0].shift
    last = coding.codon(edits[0].end)
    for edit in edits[1:]:
        first = coding.codon(edit.start)
        if first > last:
            if _stops_before(coding, group, edit):
                return group, True
            if shift % 3 == 0:
                return group, False
        group.append(edit)
        shift += edit.shift
        last = max(last, coding.codon(edit.end))
    return group, False


def _stops_before(coding: Coding, group: Sequence[Edit], following: Edit) -> bool:
    """Whether the edited CDS meets a new stop before the codon of `following`."""
    first = coding.codon(group[0].start)
    shift = sum(edit.shift for edit in group)
    # In frame, the codons behind the group are what they were; out of frame, all count up to the next edit.
    behind = coding.codon(following.start) if shift % 3 else max(coding.codon(edit.end) for edit in group) + 1
    changed = coding.translated(coding.edited(group)[3 * first : 3 * behind + shift // 3 * 3])
    # In frame, a stop that the reference has too (selenocysteine) is not new.
    there = 0 if shift % 3 else coding.peptide[first:behind].count("*")
    return changed.count("*") > there


def _judged(coding: Coding, group: Sequence[Edit], masked: Sequence[Edit]) -> Compound:
    edited = coding.edited(group)
    first = coding.codon(group[0].start)
    last = max(coding.codon(edit.end) for edit in group)
    shift = sum(edit.shift for edit in group)
    window = _Window(coding, edited, first, last, shift)
    terms = mask_of(window.terms())
    for edit in group:
        terms |= edit.terms & ~_OF_PROTEIN
    ref, alt = window.ref, window.alt
    if shift % 3:  # a new frame goes on to its stop
        alt = coding.translated(edited[3 * first :])
    if "*" in alt:
        alt = alt[: alt.index("*") + 1]
    if first == 0:
        alt = coding.initiated(alt, edited)
    return Compound(coding.index, tuple(group), tuple(masked), terms, first + 1, last + 1, ref, alt, window.name(terms))


class _Window:
    """The codons that a change touches, `first` to `last`, before and after it, and what that means for the protein."""

    def __init__(self, coding: Coding, edited: str, first: int, last: int, shift: int) -> None:
        self.coding, self.edited, self.first, self.shift = coding, edited, first, shift
        self.ref_bases = coding.reference[3 * first : 3 * last + 3]
        self.alt_bases = edited[3 * first : 3 * last + 3 + shift]
        self.ref = coding.peptide[first : last + 1]
        self.alt = coding.translated(self.alt_bases)
        if first == 0:
            self.ref, self.alt = coding.initiated(self.ref, coding.reference), coding.initiated(self.alt, edited)
        self.at_start = first == 0 and coding.complete_start and edited[:3] != coding.reference[:3]

    def terms(self) -> list[str]:
        """The terms, by the rules for single variants (`docs/reference/consequences.md`)."""
        found: list[str] = []
        if self.at_start:
            found.append("start_retained_variant" if self.coding.is_start(self.edited) else "start_lost")
        ref_stop, alt_stop = self.ref.find("*"), self.alt.find("*")
        if ref_stop >= 0 and self.shift % 3:
            # Bases from behind the CDS may make the same stop again.
            alt_stop = self.coding.translated(self.edited[3 * self.first :][: len(self.ref_bases)]).find("*")
        if ref_stop >= 0 and alt_stop < 0:
            found.append("stop_lost")
        elif ref_stop >= 0 and ref_stop == alt_stop:
            found.append("stop_retained_variant")
        elif alt_stop >= 0 and ref_stop < 0:
            found.append("stop_gained")
        if self.shift % 3:
            return found if "stop_retained_variant" in found else [*found, "frameshift_variant"]
        return found + self._in_frame(found)

    def _in_frame(self, found: list[str]) -> list[str]:
        if self.shift == 0:
            same = self.ref.partition("*")[0] == self.alt.partition("*")[0]
            if same:
                return [] if found else ["synonymous_variant"]
            return [] if {"start_lost", "stop_lost", "stop_gained"}.intersection(found) else ["missense_variant"]
        if self.shift < 0:
            shorter = _difference(self.ref_bases, self.alt_bases)
            return ["inframe_deletion"] if shorter[0] == shorter[2] else self._altered(found)
        alt = self.alt[: self.alt.find("*") + 1] or self.alt
        if "start_lost" not in found and (alt.startswith(self.ref) or alt.endswith(self.ref)):
            return ["inframe_insertion"]
        return self._altered(found)

    def _altered(self, found: list[str]) -> list[str]:
        whole = "start_lost" not in found and self.ref[:1] != "*" != self.alt[:1]
        return ["protein_altering_variant"] if whole and len(self.ref) != len(self.alt) else []

    def name(self, terms: int) -> str:
        """The HGVS description of the change of the protein, "" where the reference has a stop within."""
        coding = self.coding
        if terms & _START_LOST:
            return "p.Met1?"
        if "*" in coding.peptide[:-1]:
            return ""
        if terms & _STOP_GAINED and terms & _INFRAME_INSERTION:
            inserted = self.alt[: self.alt.index("*") + 1]
            same = _difference(self.ref, inserted)[0]
            if len(inserted) - same > 1:
                at = self.first + same
                sides = f"{_residue(coding.peptide, at - 1)}_{_residue(coding.peptide, at)}"
                return f"p.{sides}ins{hgvs_parts.three_letter(inserted[same:])}"
        return protein_change(
            coding.protein(coding.reference),
            coding.protein(self.edited),
            self.first,
            frameshift=self.shift % 3 != 0,
            new_stop=bool(terms & _STOP_GAINED),
            stop_touched="*" in self.ref,
        )


_START_LOST: Final = mask_of(("start_lost",))
_STOP_GAINED: Final = mask_of(("stop_gained",))
_INFRAME_INSERTION: Final = mask_of(("inframe_insertion",))


def _difference(ref: str, alt: str) -> tuple[int, int, int]:
    """Where two sequences begin to differ, and where they are the same again in each."""
    shorter = min(len(ref), len(alt))
    start = 0
    while start < shorter and ref[start] == alt[start]:
        start += 1
    same = 0
    while same < shorter - start and ref[-1 - same] == alt[-1 - same]:
        same += 1
    return start, len(ref) - same, len(alt) - same


def protein_change(
    ref: str, alt: str, first: int, *, frameshift: bool = False, new_stop: bool = False, stop_touched: bool = True
) -> str:
    """The HGVS description (p.) of the change from protein `ref` to `alt`, each with its stop if it has one.

    `first` is the first codon concerned, counted from 0; it places a change that changes nothing. Insertions and
    deletions stand as far towards the end as they can. `new_stop` says that in the same frame a stop comes early,
    `stop_touched` that the stop codon is among those that changed: only then the protein is extended.
    """
    if ref == alt:
        residue = ref[min(first, len(ref) - 1)]
        return f"p.{hgvs_parts.THREE_OF_ONE[residue]}{first + 1}="
    start, ref_end, alt_end = _difference(ref, alt)
    place = f"{_residue(ref, start)}"
    if (new_stop or frameshift) and alt[start : start + 1] == "*":
        return f"p.{place}Ter"
    if stop_touched and (start >= len(ref) or ref[start] == "*"):
        added = alt[start:]
        count = str(added.index("*")) if "*" in added else "?"
        return f"p.{place}{hgvs_parts.three_letter(added[:1])}extTer{count}"
    if frameshift:
        rest = alt[start:]
        count = str(rest.index("*") + 1) if "*" in rest else "?"
        return f"p.{place}{hgvs_parts.three_letter(rest[:1])}fsTer{count}"
    if new_stop:
        # What follows a new stop is not described: no common end, and the stop replaces the residue at its own place.
        alt_end = len(alt)
        ref_end = min(alt_end, len(ref))
    return f"p.{_in_frame(ref, alt, start, ref_end, alt_end)}"


def _residue(protein: str, at: int) -> str:
    """The residue at a place counted from 0, with its number; behind the last one it is the stop."""
    return f"{hgvs_parts.THREE_OF_ONE[protein[at] if at < len(protein) else '*']}{at + 1}"


def _span(protein: str, start: int, end: int) -> str:
    first, last = _residue(protein, start), _residue(protein, end - 1)
    return first if end - start == 1 else f"{first}_{last}"


def _in_frame(ref: str, alt: str, start: int, ref_end: int, alt_end: int) -> str:
    if start == alt_end:
        while ref_end < len(ref) and ref[start] == ref[ref_end]:
            start, ref_end = start + 1, ref_end + 1
        return f"{_span(ref, start, ref_end)}del"
    inserted = alt[start:alt_end]
    if start < ref_end:
        if ref_end - start == len(inserted) == 1:
            return f"{_residue(ref, start)}{hgvs_parts.three_letter(inserted)}"
        return f"{_span(ref, start, ref_end)}delins{hgvs_parts.three_letter(inserted)}"
    while start < len(ref) and ref[start] == inserted[0]:
        inserted = inserted[1:] + inserted[0]
        start += 1
    size = len(inserted)
    if ref[max(start - size, 0) : start] == inserted:
        return f"{_span(ref, start - size, start)}dup"
    return f"{_residue(ref, start - 1)}_{_residue(ref, start)}ins{hgvs_parts.three_letter(inserted)}"

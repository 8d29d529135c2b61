"""From a change of a protein to the changes of DNA that would cause it.

A protein name does not tell the change of DNA: `p.Arg97Cys` may be one base or three. So all codon changes that fit are
given, those of fewest bases first, as candidates. Where the possibilities have no bound (frameshifts, extensions, an
unknown effect) the name is refused with the reason.
"""

from itertools import product
from typing import Final

from genescale.errors import InvalidInput, ReferenceMismatch
from genescale.genomics import codons, hgvs_parts
from genescale.genomics.bundle import CDS_START_NF, Bundle
from genescale.genomics.hgvs_parts import THREE_OF_ONE, Change, ProteinInterval, ProteinPosition
from genescale.genomics.places import GenomicEdit, reverse_complement
from genescale.genomics.transcripts import Note, Transcript

CANDIDATES_MAX: Final = 256
_BASES: Final = "ACGTN"


def back_translate(bundle: Bundle, transcript: Transcript, change: Change, notes: list[Note]) -> list[GenomicEdit]:
    """All changes of DNA within codons of `transcript` that cause `change`, at most `CANDIDATES_MAX`.

    Raises `ReferenceMismatch` where the protein has another residue, `InvalidInput` where no bounded list exists.
    """
    protein = _Protein(bundle, transcript)
    edit = change.edit
    if isinstance(
        edit,
        hgvs_parts.Whole
        | hgvs_parts.ProteinUnknown
        | hgvs_parts.Frameshift
        | hgvs_parts.Extension
        | hgvs_parts.ProteinRepeat,
    ):
        raise InvalidInput(f"p.{change}: {_WHY[type(edit)]}; give the name on DNA (c. or g.)", code="no_dna_change")
    interval = change.interval
    assert isinstance(interval, ProteinInterval), "only Whole has none"
    for position in (interval.start, interval.end):
        protein.check(position)
    first, last = interval.start.number, interval.end.number
    if first > last:
        raise InvalidInput(f"p.{change}: the range runs backwards; write the lower position first", code="backwards")
    if isinstance(edit, hgvs_parts.ProteinInsertion) and last != first + 1:
        raise InvalidInput(f"p.{change}: an insertion stands between two neighbouring residues", code="not_neighbours")
    if isinstance(edit, hgvs_parts.ProteinSubstitution | hgvs_parts.ProteinIdentity) and last != first:
        raise InvalidInput(
            f"p.{change}: a substitution replaces one residue; for more write delins", code="wrong_length"
        )
    found = _candidates(protein, edit, first, last)
    edits = [e for replaced in found if (e := protein.on_genome(*replaced)) is not None]
    _describe(change, transcript, len(found) - len(edits), edits, notes)
    return edits


_WHY: Final[dict[type, str]] = {
    hgvs_parts.Whole: "it names no residue",
    hgvs_parts.ProteinUnknown: "the effect is unknown, so any change there would fit",
    hgvs_parts.Frameshift: "insertions and deletions without number cause the same frameshift",
    hgvs_parts.Extension: "it is caused by many changes of the stop or start codon, and the name does not tell which",
    hgvs_parts.ProteinRepeat: "the number of copies tells no bases",
}


def _candidates(protein: "_Protein", edit: object, first: int, last: int) -> list[tuple[int, str, str]]:
    """(CDS position counted from 1, bases there, bases instead), those that change fewest bases first."""
    ref = protein.codons(first, last)
    start = protein.position(first)
    if isinstance(edit, hgvs_parts.ProteinDeletion):
        return [(start, ref, "")]
    if isinstance(edit, hgvs_parts.ProteinDuplication):
        return [(start, ref, ref + ref)]
    if isinstance(edit, hgvs_parts.ProteinInsertion):
        return [(start + 3, "", alt) for alt in protein.readings(edit.sequence)]
    if isinstance(edit, hgvs_parts.ProteinIdentity):
        wanted = protein.residue(first)
    else:
        assert isinstance(edit, hgvs_parts.ProteinSubstitution | hgvs_parts.ProteinDeletionInsertion), "refused before"
        wanted = edit.alt if isinstance(edit, hgvs_parts.ProteinSubstitution) else edit.sequence
    different = [(start, ref, alt) for alt in protein.readings(wanted) if alt != ref]
    if len(wanted) * 3 == len(ref):
        different.sort(key=lambda row: (sum(a != b for a, b in zip(ref, row[2], strict=True)), row[2]))
    return different


def _describe(change: Change, transcript: Transcript, split: int, edits: list[GenomicEdit], notes: list[Note]) -> None:
    edit = change.edit
    text = f"p.{change} fits {len(edits)} changes of the codons of {transcript.name}; the name does not tell which"
    if isinstance(edit, hgvs_parts.ProteinDeletion | hgvs_parts.ProteinDuplication):
        text = f"given is the change of whole codons of {transcript.name}; others have the effect p.{change} too"
    notes.append(Note("back_translated", text))
    if split:
        notes.append(
            Note("split_codon", f"{split} more would change bases on both sides of an intron; they are left out")
        )


class _Protein:
    """The coding sequence of a transcript by residues."""

    def __init__(self, bundle: Bundle, transcript: Transcript) -> None:
        if not transcript.coding:
            raise InvalidInput(f"{transcript.name} has no coding sequence, so no p. names", code="wrong_type")
        begin = int(bundle.array("transcript_mrna")[transcript.index])
        codes = bundle.array("mrna")[begin + transcript.cds_start - 1 : begin + transcript.cds_end].tobytes()
        self.transcript = transcript
        self.phase = int(bundle.array("transcript_phase")[transcript.index])
        self.bases = "".join(_BASES[code] for code in codes)
        self.table = int(bundle.array("transcript_table")[transcript.index])
        letters = codons.amino_acids(self.table).decode()
        self.letters = letters
        self.codons_of: dict[str, list[str]] = {}
        for a, b, c in product(range(4), repeat=3):
            codon = _BASES[a] + _BASES[b] + _BASES[c]
            self.codons_of.setdefault(letters[25 * a + 5 * b + c], []).append(codon)

    def position(self, number: int) -> int:
        """The CDS position of the first base of residue `number`."""
        return 3 * number - 2 - self.phase

    def codons(self, first: int, last: int) -> str:
        """The bases of residues `first` to `last`."""
        start = self.position(first) - 1
        return self.bases[max(start, 0) : start + 3 * (last - first + 1)]

    def residue(self, number: int) -> str:
        """The residue that the codon there codes for; M for a start codon at 1, "" behind the end."""
        codon = self.codons(number, number)
        if len(codon) < 3:
            return ""
        a, b, c = (_BASES.index(base) for base in codon)
        at = 25 * a + 5 * b + c
        initiator = number == 1 and not self.transcript.flags & CDS_START_NF
        return "M" if initiator and codons.starts(self.table)[at] else self.letters[at]

    def check(self, position: ProteinPosition) -> None:
        """Raise `ReferenceMismatch` unless the protein has this residue there."""
        ours = self.residue(position.number)
        place = f"p.{position}"
        if not ours:
            count = (len(self.bases) + self.phase) // 3
            raise InvalidInput(
                f"{self.transcript.name} has {count} codons, its stop included", code="past_end", place=place
            )
        stated = position.residue
        if ours != stated and not (ours == "U" and stated == "*"):
            raise ReferenceMismatch(
                f"the name states {THREE_OF_ONE[stated]}, and {self.transcript.name} has {THREE_OF_ONE[ours]} there. "
                "Another transcript of the gene is the usual cause",
                stated=THREE_OF_ONE[stated],
                reference=THREE_OF_ONE[ours],
                place=place,
            )

    def readings(self, residues: str) -> list[str]:
        """All sequences of codons for `residues`."""
        choices = [self.codons_of.get(residue, []) for residue in residues]
        count = 1
        for residue, choice in zip(residues, choices, strict=True):
            if not choice:
                raise InvalidInput(
                    f"no codon of genetic code {self.table} stands for {THREE_OF_ONE[residue]}", code="no_codon"
                )
            count *= len(choice)
            if count > CANDIDATES_MAX:
                raise InvalidInput(
                    f"more than {CANDIDATES_MAX} changes of DNA fit; give the name on DNA (c. or g.)",
                    code="no_dna_change",
                )
        return ["".join(codons_) for codons_ in product(*choices)]

    def on_genome(self, start: int, ref: str, alt: str) -> GenomicEdit | None:
        """The edit of the genome, or None where the changed bases lie on both sides of an intron."""
        while ref and alt and ref[0] == alt[0]:
            start, ref, alt = start + 1, ref[1:], alt[1:]
        while ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
        t = self.transcript
        cdna = t.cds_start + start - 1
        if not ref:
            first = t.genomic(cdna - 1)
            if abs(t.genomic(cdna) - first) != 1:
                return None
            low = max(first, t.genomic(cdna))
            return GenomicEdit(t.contig, low, low - 1, alt if t.strand > 0 else reverse_complement(alt))
        ends = t.genomic(cdna), t.genomic(cdna + len(ref) - 1)
        low, high = min(ends), max(ends)
        if high - low + 1 != len(ref):
            return None
        return GenomicEdit(t.contig, low, high, alt if t.strand > 0 else reverse_complement(alt))

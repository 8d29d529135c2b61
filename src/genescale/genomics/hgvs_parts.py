"""The parts of HGVS names: places, what is inserted, edits, whole names. `str` writes each as HGVS does.

The parts carry the names of the HGVS Nomenclature (accession, type, interval, edit):

    HgvsVariant   one change:      accession (gene) type change
    HgvsAllele    several changes: `[a;b]` on one chromosome, `[a];[b]` on two, `a(;)b` where nobody knows
    Change        interval + edit; `predicted` when it stands in brackets
    LabName       what laboratories write around a name: gene, exon, c. and p. in one string

`hgvs.parse` makes them of text; `resolve`, `edits`, `transcripts` and `back_translation` say what they mean on a
reference; `haplotype` makes them of what it finds.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Literal

SequenceType = Literal["g", "m", "c", "n", "r", "p"]

# --- alphabets --------------------------------------------------------------------------------------------------------

THREE_OF_ONE: Final[dict[str, str]] = {
    "A": "Ala", "B": "Asx", "C": "Cys", "D": "Asp", "E": "Glu", "F": "Phe", "G": "Gly", "H": "His", "I": "Ile",
    "K": "Lys", "L": "Leu", "M": "Met", "N": "Asn", "P": "Pro", "Q": "Gln", "R": "Arg", "S": "Ser", "T": "Thr",
    "U": "Sec", "V": "Val", "W": "Trp", "X": "Xaa", "Y": "Tyr", "Z": "Glx", "*": "Ter",
}  # fmt: skip
ONE_OF_THREE: Final[dict[str, str]] = {three: one for one, three in THREE_OF_ONE.items()}


def three_letter(sequence: str) -> str:
    """`"RW*"` as `"ArgTrpTer"`."""
    return "".join(map(THREE_OF_ONE.__getitem__, sequence))


# --- positions --------------------------------------------------------------------------------------------------------


class Datum(Enum):
    """What a position is counted from."""

    START = ""  # the first base of the sequence, or of the CDS in c. (c.-1 is the base before it)
    CDS_END = "*"  # the last base of the CDS: c.*1 is the base behind it


@dataclass(frozen=True, slots=True)
class Position:
    """One place. `base` None is `?`; `offset` counts into an intron, and None with a `offset_sign` is `88+?`."""

    base: int | None
    offset: int | None = 0
    datum: Datum = Datum.START
    offset_sign: Literal["", "+", "-"] = ""  # only where the size of the offset is unknown

    def __str__(self) -> str:
        """As HGVS writes it: `88`, `88+2`, `-14`, `*6`, `?`."""
        if self.base is None:
            return "?"
        if self.offset is None:
            return f"{self.datum.value}{self.base}{self.offset_sign}?"
        return f"{self.datum.value}{self.base}{self.offset:+d}" if self.offset else f"{self.datum.value}{self.base}"


@dataclass(frozen=True, slots=True)
class UncertainPosition:
    """A place known only to lie from `start` to `end`: `(10_20)`."""

    start: Position
    end: Position

    def __str__(self) -> str:
        """As HGVS writes it: `(10_20)`."""
        return f"({self.start}_{self.end})"


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` to `end`, both included; a single place has both equal. `uncertain` is `(10_20)` as a whole."""

    start: Position | UncertainPosition
    end: Position | UncertainPosition
    uncertain: bool = False

    def __str__(self) -> str:
        """As HGVS writes it: `88`, `88_90`, `(10_20)_(30_40)`."""
        if self.uncertain:
            return f"({self.start}_{self.end})"
        single = self.start == self.end and isinstance(self.start, Position)
        return str(self.start) if single else f"{self.start}_{self.end}"


@dataclass(frozen=True, slots=True)
class ProteinPosition:
    """One residue: its one-letter code (`*` for Ter) and its number."""

    residue: str
    number: int

    def __str__(self) -> str:
        """As HGVS writes it: `Arg97`."""
        return f"{THREE_OF_ONE[self.residue]}{self.number}"


@dataclass(frozen=True, slots=True)
class ProteinInterval:
    """From `start` to `end`, both included. `uncertain` is `(Met1_Gly10)`."""

    start: ProteinPosition
    end: ProteinPosition
    uncertain: bool = False

    def __str__(self) -> str:
        """As HGVS writes it: `Arg97`, `Lys23_Val25`."""
        if self.uncertain:
            return f"({self.start}_{self.end})"
        return str(self.start) if self.start == self.end else f"{self.start}_{self.end}"


# --- what is inserted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bases:
    """Bases as written, `count` times: `GGT`, `N[100]`."""

    sequence: str
    count: int = 1

    def __str__(self) -> str:
        """As HGVS writes it."""
        return self.sequence if self.count == 1 else f"{self.sequence}[{self.count}]"


@dataclass(frozen=True, slots=True)
class UnknownBases:
    """Bases whose number alone is known, or not even that: `10`, `?`."""

    length: int | None

    def __str__(self) -> str:
        """As HGVS writes it, in the form `N[10]`."""
        return "?" if self.length is None else f"N[{self.length}]"


@dataclass(frozen=True, slots=True)
class CopiedBases:
    """A stretch of this sequence (`20_30`) or of another one (`NC_000022.10:g.35788169_35788352`), perhaps inverted."""

    interval: Interval
    inverted: bool = False
    accession: str = ""
    type: str = ""

    def __str__(self) -> str:
        """As HGVS writes it."""
        source = f"{self.accession}:{self.type}." if self.accession else ""
        return f"{source}{self.interval}{'inv' if self.inverted else ''}"


InsertedPart = Bases | UnknownBases | CopiedBases


@dataclass(frozen=True, slots=True)
class Inserted:
    """What an insertion brings: one part, or several in a row in square brackets."""

    parts: tuple[InsertedPart, ...]

    def __str__(self) -> str:
        """As HGVS writes it. Another sequence always stands in square brackets."""
        text = ";".join(map(str, self.parts))
        alone = len(self.parts) == 1 and not (isinstance(self.parts[0], CopiedBases) and self.parts[0].accession)
        return text if alone else f"[{text}]"


# --- edits of nucleic acids -------------------------------------------------------------------------------------------
# `ref` holds the bases that the writer states ("" when none), `length` their number where only that is written. Neither
# is needed to know the change, so `text(stated=False)` leaves them out, as today's recommendations do.


class Edit:
    """What happens at a place. `str` gives it as HGVS writes it."""

    __slots__ = ()

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it; `stated=False` leaves out the bases that today's recommendations leave out."""
        del stated  # most edits state nothing that could be left out
        return str(self)


@dataclass(frozen=True, slots=True)
class _EditOfStretch(Edit):
    ref: str = ""
    length: int | None = None

    keyword: ClassVar[str]

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it; `stated=False` leaves out the bases or their number."""
        return f"{self.keyword}{_stated(self.ref, self.length) if stated else ''}"

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


@dataclass(frozen=True, slots=True)
class Substitution(Edit):
    """`A>T`."""

    ref: str
    alt: str

    def __str__(self) -> str:
        """As HGVS writes it; the replaced base always belongs to it."""
        return f"{self.ref}>{self.alt}"


@dataclass(frozen=True, slots=True)
class Deletion(_EditOfStretch):
    """`del`; older texts state the bases (`delGGT`) or their number (`del3`)."""

    keyword = "del"


@dataclass(frozen=True, slots=True)
class Insertion(Edit):
    """`insGG`, between two neighbouring positions."""

    inserted: Inserted

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"ins{self.inserted}"


@dataclass(frozen=True, slots=True)
class DeletionInsertion(Edit):
    """`delinsGG`."""

    inserted: Inserted
    ref: str = ""
    length: int | None = None

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it."""
        return f"del{_stated(self.ref, self.length) if stated else ''}ins{self.inserted}"

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


@dataclass(frozen=True, slots=True)
class Duplication(_EditOfStretch):
    """`dup`: one more copy directly behind."""

    keyword = "dup"


@dataclass(frozen=True, slots=True)
class Inversion(_EditOfStretch):
    """`inv`: the reverse complement in place."""

    keyword = "inv"


@dataclass(frozen=True, slots=True)
class Identity(Edit):
    """`=`: looked at and not changed."""

    ref: str = ""

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it."""
        return f"{self.ref if stated else ''}="

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


@dataclass(frozen=True, slots=True)
class RepeatUnit:
    """`CAG[23]`; a count nobody is sure of is a range: `CAG[(20_25)]`. `count` None is `[?]`."""

    sequence: str
    count: int | None
    count_max: int | None = None

    def __str__(self) -> str:
        """As HGVS writes it."""
        if self.count is None:
            return f"{self.sequence}[?]"
        return (
            f"{self.sequence}[{self.count}]"
            if self.count_max is None
            else f"{self.sequence}[({self.count}_{self.count_max})]"
        )


@dataclass(frozen=True, slots=True)
class Repeat(Edit):
    """Repeated sequence, in the number of copies that the sample has: `CAG[23]`, `CAG[19]CAA[4]`, or `[23]` alone."""

    units: tuple[RepeatUnit, ...]

    def __str__(self) -> str:
        """As HGVS writes it; the unit belongs to it."""
        return "".join(map(str, self.units))


@dataclass(frozen=True, slots=True)
class Copy(Edit):
    """`copy2`: a laboratory's own word for the number of copies of a stretch, not HGVS."""

    count: int

    def __str__(self) -> str:
        """As it was written."""
        return f"copy{self.count}"


@dataclass(frozen=True, slots=True)
class Conversion(Edit):
    """`conNM_004006.1:c.15_355`: withdrawn from HGVS; `parse` refuses it and says what to write."""

    accession: str
    type: str
    interval: Interval

    def __str__(self) -> str:
        """As it was written."""
        return f"con{self.accession}:{self.type}.{self.interval}"


@dataclass(frozen=True, slots=True)
class Whole(Edit):
    """A statement about the whole sequence: `=`, `?`, `0`, `0?` and for RNA `spl`, `spl?`."""

    state: str

    def __str__(self) -> str:
        """As HGVS writes it."""
        return self.state


# --- edits of proteins ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProteinSubstitution(Edit):
    """`Cys` in `Arg97Cys`; the one-letter code, `*` for Ter."""

    alt: str

    def __str__(self) -> str:
        """As HGVS writes it."""
        return THREE_OF_ONE[self.alt]


@dataclass(frozen=True, slots=True)
class ProteinUnknown(Edit):
    """`?` in `Met1?`: something happens here and nobody knows what."""

    def __str__(self) -> str:
        """As HGVS writes it."""
        return "?"


@dataclass(frozen=True, slots=True)
class ProteinIdentity(Edit):
    """`=` in `Arg97=`."""

    def __str__(self) -> str:
        """As HGVS writes it."""
        return "="


@dataclass(frozen=True, slots=True)
class ProteinDeletion(Edit):
    """`del`."""

    def __str__(self) -> str:
        """As HGVS writes it."""
        return "del"


@dataclass(frozen=True, slots=True)
class ProteinDuplication(Edit):
    """`dup`."""

    def __str__(self) -> str:
        """As HGVS writes it."""
        return "dup"


@dataclass(frozen=True, slots=True)
class ProteinInsertion(Edit):
    """`insGlnSer`; one-letter codes."""

    sequence: str

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"ins{three_letter(self.sequence)}"


@dataclass(frozen=True, slots=True)
class ProteinDeletionInsertion(Edit):
    """`delinsGlnSer`; one-letter codes."""

    sequence: str

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"delins{three_letter(self.sequence)}"


@dataclass(frozen=True, slots=True)
class Frameshift(Edit):
    """`ProfsTer23`: first changed residue ("" in the short form `fs`), and the number of the new stop, "?" or None."""

    alt: str = ""
    stop: int | Literal["?"] | None = None

    def __str__(self) -> str:
        """As HGVS writes it; the short form stays short."""
        return f"{three_letter(self.alt)}fs{'' if self.stop is None else f'Ter{self.stop}'}"


@dataclass(frozen=True, slots=True)
class Extension(Edit):
    """`GlnextTer17` at the end, `ext-5` at the start; `residue` is what stands before the number ("" is nothing)."""

    alt: str = ""
    residue: str = ""
    length: int | Literal["?"] | None = None

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"{three_letter(self.alt)}ext{three_letter(self.residue)}{'' if self.length is None else self.length}"


@dataclass(frozen=True, slots=True)
class ProteinRepeat(Edit):
    """`[23]` in `Gln18[23]`."""

    count: int

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"[{self.count}]"


NucleicEdit = (
    Substitution
    | Deletion
    | Insertion
    | DeletionInsertion
    | Duplication
    | Inversion
    | Identity
    | Repeat
    | Copy
    | Conversion
    | Whole
)
ProteinEdit = (
    ProteinSubstitution
    | ProteinUnknown
    | ProteinIdentity
    | ProteinDeletion
    | ProteinDuplication
    | ProteinInsertion
    | ProteinDeletionInsertion
    | Frameshift
    | Extension
    | ProteinRepeat
    | Whole
)


# --- whole names ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """An edit and its place; `interval` is None where the edit is about the whole sequence (`p.=`, `r.0`)."""

    interval: Interval | ProteinInterval | None
    edit: NucleicEdit | ProteinEdit
    predicted: bool = False
    edit_predicted: bool = False  # brackets around the edit alone: `76(A>C)`

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it."""
        edit = self.edit.text(stated=stated)
        place = "" if self.interval is None else str(self.interval)
        text = f"{place}({edit})" if self.edit_predicted else f"{place}{edit}"
        return f"({text})" if self.predicted else text

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


@dataclass(frozen=True, slots=True)
class HgvsVariant:
    """One change on one sequence."""

    accession: str
    type: SequenceType
    change: Change
    gene: str = ""

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it; `stated=False` leaves out the bases that today's recommendations leave out."""
        return f"{_reference(self.accession, self.gene)}:{self.type}.{self.change.text(stated=stated)}"

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


class Phase(Enum):
    """On which chromosome of the pair the changes of an allele lie."""

    CIS = "on one chromosome"
    TRANS = "on two chromosomes"
    UNKNOWN = "phase unknown"


@dataclass(frozen=True, slots=True)
class HgvsAllele:
    """Several changes on one sequence. `chromosomes` holds the changes of each; if the phase is unknown, one each."""

    accession: str
    type: SequenceType
    chromosomes: tuple[tuple[Change, ...], ...]
    phase: Phase
    gene: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes in the order in which they are written."""
        return tuple(change for group in self.chromosomes for change in group)

    def text(self, *, stated: bool = True) -> str:
        """As HGVS writes it."""
        groups = [";".join(change.text(stated=stated) for change in group) for group in self.chromosomes]
        body = "(;)".join(groups) if self.phase is Phase.UNKNOWN else ";".join(f"[{group}]" for group in groups)
        return f"{_reference(self.accession, self.gene)}:{self.type}.{body}"

    def __str__(self) -> str:
        """As HGVS writes it, with the bases that were stated."""
        return self.text()


@dataclass(frozen=True, slots=True)
class HgvsPlace:
    """A place without a change: `NM_004006.2:c.22+6`."""

    accession: str
    type: SequenceType
    interval: Interval | ProteinInterval
    gene: str = ""

    def __str__(self) -> str:
        """As HGVS writes it."""
        return f"{_reference(self.accession, self.gene)}:{self.type}.{self.interval}"


@dataclass(frozen=True, slots=True)
class LabName:
    """A laboratory's string: the name that says most (that on DNA, else the protein's), and what it says besides.

    Each of the others is None or "" when the string does not say it.
    """

    name: HgvsVariant | HgvsAllele
    gene: str = ""
    exon: str = ""
    protein: Change | None = None


def _stated(ref: str, length: int | None) -> str:
    return ref or ("" if length is None else str(length))


def _reference(accession: str, gene: str) -> str:
    return f"{accession}({gene})" if gene else accession

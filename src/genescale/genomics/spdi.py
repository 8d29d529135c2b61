"""SPDI: sequence, position, deletion, insertion; the variant notation of NCBI, which VRS and dbSNP build on.

The position counts the bases before the deletion, so the first base of a sequence has position 0. The deletion is
given as bases or as their number: `NC_000013.11:32340299:T:` deletes one base.

Holmes JB et al., Bioinformatics 2020;36:1902-7.
"""

from dataclasses import dataclass
from typing import Final

from genescale.errors import InvalidInput

CHARACTERS_MAX: Final = 2_000_000
_BASES: Final = frozenset("ACGTRYKMSWBDHVN")


class SpdiSyntaxError(InvalidInput):
    """A text that is not SPDI. `position` is the 0-based index of the fault in the text."""

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message, code="spdi_syntax", place=f"column {position + 1}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Spdi:
    """One variant. `deletion` holds the deleted bases as stated; "" with a `deletion_length` where only that is."""

    sequence: str
    position: int
    deletion: str
    insertion: str
    deletion_length: int = 0

    @property
    def length(self) -> int:
        """The number of deleted bases."""
        return len(self.deletion) or self.deletion_length

    def __str__(self) -> str:
        """As SPDI writes it."""
        deletion = self.deletion or (str(self.deletion_length) if self.deletion_length else "")
        return f"{self.sequence}:{self.position}:{deletion}:{self.insertion}"


def parse_spdi(text: str) -> Spdi:
    """The parts of `SEQUENCE:POSITION:DELETION:INSERTION`, or an `SpdiSyntaxError` that names the column."""
    if len(text) > CHARACTERS_MAX:
        raise SpdiSyntaxError(f"a name of {len(text)} characters is not read (limit {CHARACTERS_MAX})", position=0)
    fields = text.strip().split(":")
    if len(fields) != 4:
        raise SpdiSyntaxError(
            f"four fields expected, SEQUENCE:POSITION:DELETION:INSERTION; {len(fields)} found", position=0
        )
    sequence, position, deletion, insertion = fields
    at = len(sequence) + 1
    if not sequence or any(c.isspace() for c in sequence):
        raise SpdiSyntaxError("a sequence expected, like NC_000013.11", position=0)
    start = _whole_number(position, at)
    at += len(position) + 1
    inserted = _sequence(insertion, at + len(deletion) + 1)
    if deletion.isdigit():
        return Spdi(sequence, start, "", inserted, _whole_number(deletion, at))
    return Spdi(sequence, start, _sequence(deletion, at), inserted)


def format_spdi(variant: Spdi) -> str:
    """The SPDI text. `parse_spdi(format_spdi(x)) == x`."""
    return str(variant)


def _whole_number(text: str, at: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise SpdiSyntaxError("a whole number from 0 expected, of at most 10 digits", position=at)
    return int(text)


def _sequence(text: str, at: int) -> str:
    upper = text.upper()
    if not _BASES.issuperset(upper):
        fault = next(i for i, base in enumerate(upper) if base not in _BASES)
        raise SpdiSyntaxError("bases expected (A C G T and the IUPAC letters)", position=at + fault)
    return upper

"""Genetic codes by NCBI number, as data."""

import itertools
from functools import cache
from typing import Final

# Amino acids of the 64 codons in the order TTT, TTC, TTA, TTG, TCT ... GGG, and the codons that may start a protein.
_TABLES: Final[dict[int, tuple[str, str, tuple[str, ...]]]] = {
    1: ("Standard", "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG", ("TTG", "CTG", "ATG")),
    2: (
        "Vertebrate Mitochondrial",
        "FFLLSSSSYY**CCWWLLLLPPPPHHQQRRRRIIMMTTTTNNKKSS**VVVVAAAADDEEGGGG",
        ("ATT", "ATC", "ATA", "ATG", "GTG"),
    ),
}
BASES: Final = "ACGT"  # code 0 to 3 in an mRNA array; 4 is any other base


def table_numbers() -> tuple[int, ...]:
    """The genetic codes there are."""
    return tuple(sorted(_TABLES))


@cache
def amino_acids(table: int) -> bytes:
    """125 letters, one for each codon 25a + 5b + c of bases coded 0-4 (A C G T other).

    A codon with an unknown base has the letter that all its readings agree on, else X.
    """
    letters = _TABLES[table][1]
    order = {base: i for i, base in enumerate("TCAG")}
    out = bytearray()
    for codon in itertools.product(range(5), repeat=3):
        readings = itertools.product(*(BASES if code == 4 else BASES[code] for code in codon))
        found = {letters[16 * order[a] + 4 * order[b] + order[c]] for a, b, c in readings}
        out += (found.pop() if len(found) == 1 else "X").encode()
    return bytes(out)


@cache
def starts(table: int) -> bytes:
    """125 flags in the same order: 1 where the codon may start a protein."""
    known = set(_TABLES[table][2])
    return bytes(
        "".join(BASES[c] if c < 4 else "N" for c in codon) in known for codon in itertools.product(range(5), repeat=3)
    )

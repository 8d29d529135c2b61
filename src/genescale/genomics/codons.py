"""Genetic codes by NCBI number, as data (`codon_tables.tsv`, which `.ci/derive_reference_tables.py` derives).

Codes 27, 28 and 31 read some stop codons as amino acids too, by context; here these are always amino acids.
"""

import itertools
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from genescale.errors import UnknownName

BASES: Final = "ACGT"  # code 0 to 3 in an mRNA array; 4 is any other base
_ORDER: Final = "TCAG"  # of the codons in NCBI's tables


class GeneticCode(NamedTuple):
    """One genetic code: 64 letters for TTT, TTC, TTA, TTG, TCT ..., and the codons that may start a protein."""

    number: int
    name: str
    letters: str
    starts: tuple[str, ...]


@cache
def genetic_codes() -> dict[int, GeneticCode]:
    """All genetic codes by number."""
    found: dict[int, GeneticCode] = {}
    for line in Path(__file__).with_name("codon_tables.tsv").read_text().splitlines():
        if not line.startswith("#"):
            number, name, letters, starts = line.split("\t")
            found[int(number)] = GeneticCode(int(number), name, letters, tuple(starts.split(",")))
    return found


def table_numbers() -> tuple[int, ...]:
    """The genetic codes there are."""
    return tuple(sorted(genetic_codes()))


def genetic_code(table: int) -> GeneticCode:
    """The code of this number, or `UnknownName` with those that there are."""
    found = genetic_codes().get(table)
    if found is None:
        known = ", ".join(f"{code.number} {code.name}" for code in genetic_codes().values())
        raise UnknownName(f"there is no genetic code {table}; NCBI's numbers are: {known}")
    return found


@cache
def amino_acids(table: int) -> bytes:
    """125 letters, one for each codon 25a + 5b + c of bases coded 0-4 (A C G T other).

    A codon with an unknown base has the letter that all its readings agree on, else X.
    """
    letters = genetic_code(table).letters
    order = {base: i for i, base in enumerate(_ORDER)}
    out = bytearray()
    for codon in itertools.product(range(5), repeat=3):
        readings = itertools.product(*(BASES if code == 4 else BASES[code] for code in codon))
        found = {letters[16 * order[a] + 4 * order[b] + order[c]] for a, b, c in readings}
        out += (found.pop() if len(found) == 1 else "X").encode()
    return bytes(out)


@cache
def starts(table: int) -> bytes:
    """125 flags in the same order: 1 where the codon may start a protein."""
    known = set(genetic_code(table).starts)
    return bytes(
        "".join(BASES[c] if c < 4 else "N" for c in codon) in known for codon in itertools.product(range(5), repeat=3)
    )

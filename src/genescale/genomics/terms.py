"""The consequence terms of the Sequence Ontology that Genescale can give, in VEP's order, read from `terms.tsv`.

A set of terms is a whole number: bit `rank - 1` stands for the term of that rank, so the lowest set bit is the most
severe term. `names` turns such a mask into text, `impact` into the impact of its most severe term.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple


class Term(NamedTuple):
    """One line of the table. `tier` 1 and 2 silence every higher tier; rank 1 is the most severe."""

    term: str
    accession: str
    rank: int
    impact: str
    tier: int

    @property
    def mask(self) -> int:
        """The bit of this term."""
        return 1 << (self.rank - 1)


def _read() -> tuple[Term, ...]:
    text = Path(__file__).with_name("terms.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines()[1:]]
    return tuple(Term(term, accession, int(rank), impact, int(tier)) for term, accession, rank, impact, tier in lines)


TERMS: Final = _read()
IMPACTS: Final = ("HIGH", "MODERATE", "LOW", "MODIFIER")
BY_NAME: Final = {term.term: term for term in TERMS}


def mask_of(terms: Iterable[str]) -> int:
    """The mask of terms given by name."""
    mask = 0
    for term in terms:
        mask |= BY_NAME[term].mask
    return mask


@cache
def names(mask: int) -> tuple[str, ...]:
    """The terms of a mask, most severe first."""
    return tuple(term.term for term in TERMS if mask & term.mask)


@cache
def impact(mask: int) -> str:
    """The impact of the most severe term: HIGH, MODERATE, LOW or MODIFIER; MODIFIER for the empty mask."""
    return next((term.impact for term in TERMS if mask & term.mask), "MODIFIER")


def most_severe(mask: int) -> str:
    """The most severe term of a mask that is not empty."""
    return TERMS[(mask & -mask).bit_length() - 1].term

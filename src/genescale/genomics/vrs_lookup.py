"""Which known variant has a VRS identifier. A digest cannot be read back, but it can be met again.

The identifiers of all variants that a bundle knows are computed once, on the first question (some ten microseconds a
variant), and kept as a sorted column beside the open bundle.
"""

import weakref
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Facts, Knowledge, Spelling
from genescale.genomics.variants import Row, Variants, kind_of
from genescale.genomics.vrs import vrs_ids

CANDIDATES_MAX: Final = 500_000
"""A source with more variants is not searched: it would take seconds and tens of megabytes."""

_BATCH: Final = 16_384


class _Column(NamedTuple):
    source: str  # its name: the source itself holds the bundle, which then would never close
    identifiers: NDArray[Any]  # sorted
    rows: NDArray[np.int64]  # of the source, in the order of `identifiers`


_OPEN: weakref.WeakKeyDictionary[Bundle, tuple[_Column, ...]] = weakref.WeakKeyDictionary()


def known_allele(bundle: Bundle, identifier: str) -> tuple[str, Spelling] | None:
    """The source that knows a variant with this identifier (`ga4gh:VA....`), and the variant; None when none does."""
    wanted = identifier.encode("ascii", "replace")
    for source, identifiers, rows in _columns(bundle):
        at = int(np.searchsorted(identifiers, wanted))
        if at < len(identifiers) and identifiers[at] == wanted:
            return source, Knowledge.open(bundle)[source].spelling(int(rows[at]))
    return None


def searched_sources(bundle: Bundle) -> list[str]:
    """The sources of the bundle that `known_allele` searches."""
    return [column.source for column in _columns(bundle)]


def _columns(bundle: Bundle) -> tuple[_Column, ...]:
    found = _OPEN.get(bundle)
    if found is None:
        sources = Knowledge.open(bundle).values()
        found = _OPEN[bundle] = tuple(_column(bundle, facts) for facts in sources if facts.rows <= CANDIDATES_MAX)
    return found


def _column(bundle: Bundle, facts: Facts) -> _Column:
    named: list[str] = []
    for first in range(0, facts.rows, _BATCH):
        spelled = (facts.spelling(row) for row in range(first, min(first + _BATCH, facts.rows)))
        named += vrs_ids(bundle, Variants.of_rows(map(_row_of, spelled)))
    identifiers = np.array(named, "S41")
    order = np.argsort(identifiers, kind="stable")
    return _Column(facts.name, identifiers[order], order)


def _row_of(spelling: Spelling) -> Row:
    contig, start, ref, alt = spelling
    kind = kind_of(len(ref), len(alt))
    return Row(0, 1, contig, start, start, start + len(ref) - 1, kind, kind, 0, ref, alt, 0)

"""The gene models of an open bundle, ready for the kernels. One `Models` for each bundle, made on first use."""

from __future__ import annotations

import weakref
from typing import Any, cast

from genescale.genomics import codons
from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels.models import ARRAYS, Models

_OPEN: weakref.WeakKeyDictionary[Bundle, Models] = weakref.WeakKeyDictionary()


def models_of(bundle: Bundle) -> Models:
    """The `Models` of `bundle`. The same one at every call, so ask as often as you like."""
    found = _OPEN.get(bundle)
    if found is None:
        found = _OPEN[bundle] = Models(
            {name: memoryview(cast("Any", bundle.array(name))) for name in ARRAYS}, *genetic_codes()
        )
    return found


def genetic_codes() -> tuple[bytes, bytes]:
    """Amino acids and start codons of all genetic codes, 125 bytes for each table number from 0; unknown numbers: X."""
    last = max(codons.table_numbers())
    letters = bytearray(b"X" * (125 * (last + 1)))
    starts = bytearray(125 * (last + 1))
    for table in codons.table_numbers():
        letters[125 * table : 125 * (table + 1)] = codons.amino_acids(table)
        starts[125 * table : 125 * (table + 1)] = codons.starts(table)
    return bytes(letters), bytes(starts)

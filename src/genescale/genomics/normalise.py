"""The three normal forms of a variant: VCF's, HGVS's, and the fully justified one of canonical SPDI and VRS.

A deletion or insertion in a repeat can be written in several places with the same result. VCF takes the left-most place
and the fewest bases, HGVS the right-most, and SPDI and VRS the whole stretch over which it can be moved, so that equal
changes have equal names. `normalise` does a batch at once; the rows give the forms one by one.

Rolling stops where the sequence is not known, at any base that is not A, C, G or T, and at the ends of the contig, also
of a circular one. A variant whose REF is not the reference is trimmed, but not moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels import normalise as _kernel
from genescale.genomics.kernels.normalise import Sequence
from genescale.genomics.variants import (
    INDEL,
    MALFORMED,
    NON_ACGT,
    OUTSIDE_REFERENCE,
    OVER_ORIGIN,
    PAST_END,
    REF_MISMATCH,
    UNKNOWN_CONTIG,
    Variants,
)

NEVER_MOVED: Final = REF_MISMATCH | UNKNOWN_CONTIG | OUTSIDE_REFERENCE | PAST_END | MALFORMED | NON_ACGT | OVER_ORIGIN

_justify: Any = cast("Any", _kernel).justify  # the types in a kernel are machine types


class Form(NamedTuple):
    """The bases from `start` to `end` (interbase: counted between bases, from 0), `ref`, become `alt`."""

    start: int
    end: int
    ref: str
    alt: str


@dataclass(slots=True, frozen=True)
class Normalised:
    """A batch, trimmed to what changes, with how far each row rolls.

    Row i replaces the interbase span [start[i], end[i]) of its contig; it may be moved `left[i]` bases to the left and
    `right[i]` to the right. Structural rows have no form: both alleles are empty.
    """

    bundle: Bundle
    variants: Variants
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    alt_offset: NDArray[np.int64]
    alt_length: NDArray[np.int32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def trimmed(self, row: int) -> Form:
        """Without common ends, where it was given."""
        start, end = int(self.start[row]), int(self.end[row])
        begin = int(self.variants.ref_offset[row]) + start - (int(self.variants.start[row]) - 1)
        return Form(start, end, self._text(begin, end - start), self._alt(row))

    def left_most(self, row: int) -> Form:
        """As VCF has it, but for the anchor base that VCF puts before an empty allele (`vcf` adds it)."""
        return self._rolled(row, -int(self.left[row]))

    def right_most(self, row: int) -> Form:
        """As HGVS has it on the plus strand."""
        return self._rolled(row, int(self.right[row]))

    def justified(self, row: int) -> Form:
        """The whole stretch over which it can be moved, as canonical SPDI and VRS have it."""
        form = self.trimmed(row)
        left, right = int(self.left[row]), int(self.right[row])
        if not left and not right:
            return form
        before = self._bases(row, form.start - left, form.start)
        after = self._bases(row, form.end, form.end + right)
        return Form(form.start - left, form.end + right, before + form.ref + after, before + form.alt + after)

    def vcf(self, row: int) -> tuple[int, str, str]:
        """POS, REF and ALT: left-aligned and parsimonious."""
        start, end, ref, alt = self.left_most(row)
        if ref and alt:
            return start + 1, ref, alt
        anchor = self._bases(row, start - 1, start) if start else ""
        if anchor:
            return start, anchor + ref, anchor + alt
        anchor = self._bases(row, end, end + 1)  # at the very beginning VCF takes the base behind
        return start + 1, ref + anchor, alt + anchor

    def _rolled(self, row: int, steps: int) -> Form:
        form = self.trimmed(row)
        if not steps:
            return form
        start, end = form.start + steps, form.end + steps
        if form.alt:
            turn = steps % len(form.alt)
            return Form(start, end, "", form.alt[turn:] + form.alt[:turn])
        return Form(start, end, self._bases(row, start, end), "")

    def _alt(self, row: int) -> str:
        return self._text(int(self.alt_offset[row]), int(self.alt_length[row]))

    def _text(self, offset: int, length: int) -> str:
        return self.variants.text[offset : offset + length].tobytes().decode("ascii")

    def _bases(self, row: int, start: int, end: int) -> str:
        return (self.bundle.sequence(int(self.variants.contig[row]), start + 1, end) or b"").decode("ascii")


def normalise(bundle: Bundle, variants: Variants) -> Normalised:
    """Trim all rows and find how far each can be moved."""
    rows = variants.count
    frozen = (variants.flags[:rows] & NEVER_MOVED != 0) | (variants.kind[:rows] > INDEL)
    out = Normalised(
        bundle,
        variants,
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int32),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
    )
    columns = ("contig", "start", "ref_offset", "ref_length", "alt_offset", "alt_length")
    _justify(
        sequence_of(bundle),
        view_of(variants.text),
        *(view_of(getattr(variants, name)[:rows]) for name in columns),
        view_of(frozen.view(np.uint8)),
        *(view_of(column) for column in (out.start, out.end, out.alt_offset, out.alt_length, out.left, out.right)),
    )
    return out


def view_of(array: NDArray[Any]) -> Any:
    """An array as kernels take it. Uncompiled they must meet Python's integers, which a memoryview gives."""
    return memoryview(cast("Any", array))


def sequence_of(bundle: Bundle) -> Sequence:
    """The bases of a bundle, for the kernels."""
    names = ("sequence", "contig_segment", "segment_start", "segment_end", "segment_base")
    return Sequence(*(view_of(bundle.array(name)) for name in names))

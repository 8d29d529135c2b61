"""From the differences between a query and the reference to variants, or to the reason why there is none.

Called by `align` only.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

from genescale.genomics.dna import letters
from genescale.genomics.kernels import normalise
from genescale.genomics.places import GenomicEdit, as_vcf
from genescale.genomics.seeds import Array, Chain, Reference

Block: TypeAlias = tuple[int, int, int, int]  # query from and to, window from and to


@dataclass(frozen=True, slots=True)
class Call:
    """One variant, as VCF writes it: left-aligned, trimmed, plus strand. `query_start` is its first base in the query.

    `candidate` marks one of several bases that an IUPAC letter allows: a heterozygous site, perhaps.
    """

    contig: str
    position: int
    ref: str = field(repr=False)
    alt: str = field(repr=False)
    query_start: int
    query_end: int
    candidate: bool = False


@dataclass(frozen=True, slots=True)
class Uncalled:
    """A difference that is told and not called. `reason` is one of the values of `UNCALLED`."""

    query_start: int
    query_end: int
    start: int
    end: int
    reason: str


UNCALLED: Final = {
    "unanchored_end": "too few matching bases between it and the end of the query",
    "reference_unknown": "the reference has no known base there",
    "query_unknown": "an insertion or deletion that holds N or an ambiguous base, or lies beside one",
    "dissimilar": "a stretch that does not align",
    "crosses_origin": "a deletion across the origin, which a VCF record cannot write",
}


class Aligned(NamedTuple):
    """A chain aligned base by base. Places count from 0, in the query as it was turned."""

    chain: Chain
    first: int  # the window's place in the stretch
    window: Array
    query_start: int
    query_end: int
    window_start: int
    window_end: int
    blocks: list[Block]
    dissimilar: list[Block]
    matches: int
    mismatches: int
    gaps: int
    gap_bases: int
    score: int

    @property
    def identity(self) -> float:
        return self.matches / max(1, self.matches + self.mismatches + self.gaps)

    def explained(self, length: int) -> list[tuple[int, int]]:
        """The stretches of the query, as it was given, that are aligned: from, to, counted from 0."""
        spans: list[tuple[int, int]] = []
        at = self.query_start
        for a, b, _, _ in sorted(self.dissimilar):
            spans.append(as_given(at, a, self.chain.reverse, length))
            at = b
        return [*spans, as_given(at, self.query_end, self.chain.reverse, length)]


def as_given(start: int, end: int, reverse: bool, length: int) -> tuple[int, int]:
    """[start, end) of the turned query in the query as it was given."""
    return (length - end, length - start) if reverse else (start, end)


class Edit(NamedTuple):
    """One difference: the reference's places [start, end) of the stretch become `alt`."""

    start: int
    end: int
    alt: str
    block: Block
    candidate: bool


def differences(one: Aligned, codes: bytes, anchor: int) -> tuple[list[Call], list[Uncalled]]:
    """The variants of an aligned query, and the differences that cannot be called, by place."""
    reference, stretch = one.chain.reference, one.chain.stretch
    contig = reference.contig_name(stretch)
    uncalled: list[Uncalled] = [_told(one, codes, block, "dissimilar") for block in one.dissimilar]
    edits: list[Edit] = []
    for block in one.blocks:
        reason = reason_not_to_call(one, codes, block)
        if reason:
            uncalled.append(_told(one, codes, block, reason))
        else:
            edits += edits_of(one, codes, block)
    inner = _anchored(one, rolls_of(reference, stretch, edits), anchor)
    edits += _allowed_bases(one, codes, anchor)
    calls: list[Call] = []
    for edit in edits:
        if edit.block[0] < inner[0] or edit.block[1] > inner[1]:
            uncalled.append(_told(one, codes, edit.block, "unanchored_end"))
            continue
        span = _query_span(one, codes, edit.block)
        calls.append(Call(contig, *_vcf(reference, stretch, edit), *span, edit.candidate))
    calls.sort(key=lambda call: (call.position, call.ref, call.alt))
    uncalled.sort(key=lambda difference: (difference.query_start, difference.query_end))
    return calls, uncalled


def _vcf(reference: Reference, stretch: int, edit: Edit) -> tuple[int, str, str]:
    """POS, REF and ALT. A change of bases and not of their number is normal: it begins and ends with a difference."""
    position = reference.start[stretch] + edit.start + 1
    if edit.end - edit.start == len(edit.alt):
        return position, letters(reference.window(stretch, edit.start, edit.end).tobytes()), edit.alt
    end = position + edit.end - edit.start - 1
    written = as_vcf(reference.bundle, GenomicEdit(reference.contig[stretch], position, end, edit.alt))
    return written.pos, written.ref, written.alt


def _query_span(one: Aligned, codes: bytes, block: Block) -> tuple[int, int]:
    """The block's bases in the query as it was given, 1-based; an empty one ends before it starts."""
    if one.chain.reverse:
        return len(codes) - block[1] + 1, len(codes) - block[0]
    return block[0] + 1, block[1]


def _told(one: Aligned, codes: bytes, block: Block, reason: str) -> Uncalled:
    reference, stretch = one.chain.reference, one.chain.stretch
    size = int(reference.length[stretch])
    offset = int(reference.start[stretch]) + 1
    start = offset + (one.first + block[2]) % size
    end = start - 1 if block[2] == block[3] else offset + (one.first + block[3] - 1) % size
    return Uncalled(*_query_span(one, codes, block), start, end, reason)


_PLAIN: Final = bytes((1, 2, 4, 8))


def reason_not_to_call(one: Aligned, codes: bytes, block: Block) -> str:
    a, b, c, d = block
    if one.window[c:d].tobytes().translate(None, _PLAIN):
        return "reference_unknown"
    # Beside an unknown base a gap could as well lie on the other side of it.
    reach = min(20, abs((b - a) - (d - c)))
    if reach and codes[max(0, a - reach) : b + reach].translate(None, _PLAIN):
        return "query_unknown"
    size = int(one.chain.reference.length[one.chain.stretch])
    if d > c and (one.first + c) // size != (one.first + d - 1) // size:
        return "crosses_origin"
    return ""


def edits_of(one: Aligned, codes: bytes, block: Block) -> list[Edit]:
    """The block as edits: one as a rule; one for each base that an IUPAC letter allows."""
    a, b, c, d = block
    size = int(one.chain.reference.length[one.chain.stretch])
    place = (one.first + c) % size
    query = codes[a:b]
    if not query.translate(None, _PLAIN):
        return [Edit(place, place + d - c, letters(query), block, False)]
    edits: list[Edit] = []
    for i, code in enumerate(query):
        own = (a + i, a + i + 1, c + i, c + i + 1)
        here = int(one.window[c + i])
        alts = [base for base in _PLAIN if base & code and base != here] if code != 15 else []
        doubtful = code not in _PLAIN
        edits += [Edit(place + i, place + i + 1, letters(bytes([base])), own, doubtful) for base in alts]
    return edits


def _allowed_bases(one: Aligned, codes: bytes, anchor: int) -> list[Edit]:
    """Where an IUPAC letter of the query allows the reference's base and others: those others."""
    if not codes.translate(None, b"\x01\x02\x04\x08\x0f"):
        return []
    read = np.frombuffer(codes, np.uint8)
    read = read[one.query_start + anchor : max(one.query_start + anchor, one.query_end - anchor)]
    sites = np.flatnonzero((read & (read - 1) != 0) & (read != 15)) + one.query_start + anchor
    size = int(one.chain.reference.length[one.chain.stretch])
    blocks = sorted(one.blocks + one.dissimilar)
    starts = [block[0] for block in blocks]
    edits: list[Edit] = []
    for site in sites.tolist():
        after = bisect_right(starts, site)
        at = site - one.query_start + one.window_start
        if after:
            _, b, _, d = blocks[after - 1]
            if site < b:
                continue
            at = d + site - b
        here = int(one.window[at])
        if here not in _PLAIN:
            continue
        place = (one.first + at) % size
        block = (site, site + 1, at, at + 1)
        edits += [
            Edit(place, place + 1, letters(bytes([base])), block, True)
            for base in _PLAIN
            if base & codes[site] and base != here
        ]
    return edits


def rolls_of(reference: Reference, stretch: int, edits: list[Edit]) -> dict[Block, tuple[int, int]]:
    """By how many bases each insertion and deletion can be rolled along the reference, to the left and to the right."""
    edits = [edit for edit in edits if edit.end - edit.start != len(edit.alt)]
    if not edits:
        return {}
    count = len(edits)
    refs = [letters(reference.window(stretch, edit.start, edit.end).tobytes()) for edit in edits]
    text = "".join(ref + edit.alt for ref, edit in zip(refs, edits, strict=True)).encode()
    ref_length = np.array([len(ref) for ref in refs], np.int32)
    alt_length = np.array([len(edit.alt) for edit in edits], np.int32)
    alt = np.cumsum(ref_length + alt_length, dtype=np.int64) - alt_length
    offset = int(reference.start[stretch])
    position = np.array([offset + edit.start + 1 for edit in edits], np.int32)
    first, last, kept, left, right = (np.empty(count, np.int64) for _ in range(5))
    cast("Any", normalise).justify(
        reference.sequence,
        text,
        np.full(count, reference.contig[stretch], np.int32).data,
        position.data,
        (alt - ref_length).data,
        ref_length.data,
        alt.data,
        alt_length.data,
        bytes(count),
        first.data,
        last.data,
        kept.data,
        np.empty(count, np.int32).data,
        left.data,
        right.data,
    )
    return dict(zip((edit.block for edit in edits), zip(left.tolist(), right.tolist(), strict=True), strict=True))


def _anchored(one: Aligned, rolls: dict[Block, tuple[int, int]], anchor: int) -> tuple[int, int]:
    """The part of the query whose differences have `anchor` matching bases in a row between them and either end.

    An insertion or deletion that can be rolled has only what is left of the matches when it is rolled to that end.
    """
    low, high = one.query_start, one.query_end
    reference, stretch = one.chain.reference, one.chain.stretch
    if reference.circular[stretch] and one.window_end - one.window_start == reference.length[stretch]:
        return low, high  # once round: each end is anchored by the other
    blocks = sorted(one.blocks + one.dissimilar)
    for block in blocks:
        if block[0] - low - rolls.get(block, (0, 0))[0] >= anchor:
            break
        low = max(block[1], block[0] + 1)
    for block in reversed(blocks):
        if high - block[1] - rolls.get(block, (0, 0))[1] >= anchor:
            break
        high = min(block[0], block[1] - 1)
    return low, high

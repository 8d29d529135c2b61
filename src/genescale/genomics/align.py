"""Raw DNA in, places and variants out: finds where a string of bases belongs in a reference, and how it differs.

    aligner = Aligner(bundle)
    for answer in aligner.place(read_dna(text)):
        ...

or `place(bundle, sequences)` for once. Every sequence gets an `Answer`, never an exception: where it lies, on which
strand, what differs; or that it fits several places equally well, or that it is too short, too different or not there.
Variants are on the plus strand, trimmed and left-aligned as VCF wants them. `docs/explanation/raw-dna.md` tells how it
works and what it cannot do. The bases of a query never appear in a log line: a `Call` prints without its alleles.

Positions are 1-based and inclusive. On a circular contig an interval may start after it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import edlib
import numpy as np

from genescale.genomics.bundle import Bundle
from genescale.genomics.differences import (
    UNCALLED,
    Aligned,
    Block,
    Call,
    Uncalled,
    as_given,
    differences,
    edits_of,
    reason_not_to_call,
    rolls_of,
)
from genescale.genomics.dna import Dna, letters, reverse_complement
from genescale.genomics.kernels import align
from genescale.genomics.seeds import Array, Chain, Finder, Reference, repeat_unit
from genescale.genomics.variants import Variants, variants_of_record

kernel = cast("Any", align)  # the annotations of a kernel are the C compiler's, not Python's
Outcome: TypeAlias = Literal[
    "placed", "partial", "ambiguous", "low_identity", "not_found", "too_short", "too_repetitive", "no_bases"
]

_MOST_ALTERNATIVES: Final = 50
_MOST_PARTS: Final = 100
_FAR: Final = 15  # bases of a shift that is doubted ...
_FAR_END: Final = 1_500  # ... within so many bases of an end of the query
_RIVAL: Final = 0.7  # of the best chain's score: from here a chain may turn out to be nearly as good when aligned
_WAVE_COSTS: Final = 800
_WAVE_ROOM: Final = 2_000_000  # four bytes each: with 800 costs it is nearly never the memory that ends an alignment
_LARGEST_BLOCK: Final = 200_000  # bases of one stretch without seeds that edlib is asked to align


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose. The defaults are those of `docs/explanation/raw-dna.md`."""

    minimum_length: int = 30  # bases; below it nothing is placed
    ambiguous_from: float = 0.95  # a second place that scores this share of the best makes the answer ambiguous
    call_ambiguous: bool = False  # call variants at the best place even so
    anchor: int = 8  # matching bases that a variant needs between itself and each end
    minimum_identity: float = 0.85  # below it a place is told and no variant is called
    largest_gap: int = 20_000  # bases of a deletion or insertion that one placement may span


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query could lie. `score`: matches less 4 for a mismatch and 6 and more for a gap."""

    reference: str
    contig: str
    start: int
    end: int
    strand: Literal["+", "-"]
    query_start: int
    query_end: int
    identity: float
    score: int


@dataclass(frozen=True, slots=True)
class Placement(Place):
    """The best place of the query, or of a part of it, with the differences there.

    `identity` counts a gap as one difference, whatever its length. `alternatives` are other places that fit nearly as
    well, best first; `more_alternatives` says that there are still others. `next_best` is the best place that does not
    fit nearly as well: a pseudogene, say, or the nuclear copy of a mitochondrial gene when both bundles are searched.
    """

    matches: int
    mismatches: int
    gaps: int
    gap_bases: int
    variants: tuple[Call, ...]
    uncalled: tuple[Uncalled, ...]
    alternatives: tuple[Place, ...] = ()
    more_alternatives: bool = False
    next_best: Place | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether another place fits nearly as well."""
        return bool(self.alternatives)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one sequence. `reason` is a sentence for people, empty where all is placed and called.

    `placements` are in the order of the query; there is more than one when its parts lie in different places.
    `unexplained` are stretches of the query (1-based, inclusive) that lie nowhere in `references`.
    `best_partial` is the best place of an answer that was not good enough, never a claim.
    """

    name: str
    length: int
    outcome: Outcome
    reason: str
    placements: tuple[Placement, ...] = ()
    unexplained: tuple[tuple[int, int], ...] = ()
    best_partial: Place | None = None
    references: tuple[str, ...] = ()
    uracil: int = 0

    @property
    def variants(self) -> list[Call]:
        """The variants of all placements."""
        return [call for placement in self.placements for call in placement.variants]


def place(bundles: Bundle | Sequence[Bundle], sequences: Iterable[Dna], options: Options | None = None) -> list[Answer]:
    """Place each sequence in the bundle, or in the best of several. A resident caller keeps an `Aligner` instead."""
    return list(Aligner(bundles, options).place(sequences))


def variants_of(answers: Sequence[Answer], bundle: Bundle) -> Variants:
    """The calls of all answers that lie in `bundle`, as columns ready to be annotated; `record` numbers the calls."""
    rows = [
        row
        for record, call in enumerate(
            call
            for answer in answers
            for placement in answer.placements
            if placement.reference == bundle.name
            for call in placement.variants
        )
        for row in variants_of_record(bundle.contig(call.contig), call.position, call.ref, [call.alt], record=record)
    ]
    return Variants.of_rows(rows)


class Aligner:
    """Places sequences in one bundle or several. Holds working memory, so each thread needs its own."""

    def __init__(self, bundles: Bundle | Sequence[Bundle], options: Options | None = None) -> None:
        listed = [bundles] if isinstance(bundles, Bundle) else list(bundles)
        self._references = [Reference(bundle) for bundle in listed]
        self._names = tuple(reference.name for reference in self._references)
        self._options = options or Options()
        self._finder = Finder(self._references, self._options.largest_gap)
        self._wave = np.empty(_WAVE_ROOM, np.int32)
        self._head = np.empty(4 * (_WAVE_COSTS + 1), np.int64)
        self._blocks = np.empty(5 << 10, np.int64)
        self._ends = np.zeros(8, np.int64)

    def place(self, sequences: Iterable[Dna]) -> Iterable[Answer]:
        """An answer for each sequence, in order, as they come."""
        for dna in sequences:
            yield self.place_one(dna)

    def place_one(self, dna: Dna) -> Answer:
        """Where one sequence lies, and how it differs from the reference there."""
        known = len(dna.codes) - dna.codes.count(15)
        minimum = self._options.minimum_length
        if known == 0:
            return self._without_place(dna, "no_bases", "it has no base but N")
        turned = (dna.codes, reverse_complement(dna.codes))
        if known < minimum:
            times = self._finder.exact_places(turned) if known == len(dna) else None
            counted = "" if times is None else f"; it occurs exactly {times} time{'s' * (times != 1)}"
            reason = f"{known} known bases are too few to place uniquely, {minimum} are needed{counted}"
            return self._without_place(dna, "too_short", reason)
        unit = repeat_unit(dna.codes)
        if unit:
            reason = f"it repeats {unit} base{'s' * (unit > 1)} over and over; send it with what lies beside it"
            return self._without_place(dna, "too_repetitive", reason)
        chains, repetitive = self._finder.chains(turned, known)
        floor = self._finder.floor(len(dna))
        parts = self._parts(turned, chains, floor)
        if not parts:
            return self._nothing(dna, turned, chains, repetitive)
        return self._answer(dna, turned, parts)

    # -- alignment

    def _parts(self, turned: tuple[bytes, bytes], chains: list[Chain], floor: int) -> list[list[Aligned]]:
        """The chains aligned, grouped by the part of the query that they explain, the best of each part first.

        A chain belongs to the part that covers most of it. It makes a part of its own when none does, and when it still
        reaches what no other explains after both were aligned to their ends.
        """
        parts: list[list[Aligned]] = []
        length = len(turned[0])
        rivals = _most_rivals(length)
        whole, rival_from = False, 0.0  # once all is explained, only rivals count
        for chain in chains:
            if chain.score < floor or (whole and chain.score < rival_from):
                break
            home = _home(parts, chain.query_start, chain.query_end, length)
            if home is None:
                if parts and (chain.score < floor + 10 or len(parts) == _MOST_PARTS):
                    continue
                one = self._align(turned[chain.reverse], chain)
                home = _home(parts, *as_given(one.query_start, one.query_end, chain.reverse, length), length)
                if home is None:
                    parts.append([one])
                    rival_from = _RIVAL * min(part[0].chain.score for part in parts)
                    whole = not _rest(length, [part[0] for part in parts])
                else:
                    _add(home, one)
            elif chain.score >= _RIVAL * home[0].chain.score and len(home) <= rivals:
                _add(home, self._align(turned[chain.reverse], chain))
        for part in parts:
            part.sort(key=lambda one: -one.score)
        return parts

    def _align(self, codes: bytes, chain: Chain) -> Aligned:
        """Base by base along the chain, or along it without an end that lies far off and fits no better than the near.

        Frequent words are passed over, so the near end of a query that ends in a repeat may have no match at all, and
        the chain goes on in another copy of the repeat: a large deletion that is not there.
        """
        best = self._aligned(codes, chain)
        for tail in (True, False):
            matches = best.chain.matches
            far = np.flatnonzero(np.abs(np.diff(matches[:, 1] - matches[:, 0])) >= _FAR) + 1
            reach = len(codes) - matches[far, 0] if tail else matches[far - 1, 0] + matches[far - 1, 2]
            for cut in far[reach <= _FAR_END].tolist()[:4]:
                kept = matches[:cut] if tail else matches[cut:]
                other = self._aligned(codes, chain._replace(matches=kept))
                if other.score > best.score:
                    best = other
        return best

    def _aligned(self, codes: bytes, chain: Chain) -> Aligned:
        """Base by base along the chain, and on to both ends of the query as far as it goes."""
        matches = chain.matches
        size = int(chain.reference.length[chain.stretch])
        round_ = bool(chain.reference.circular[chain.stretch])
        before = int(matches[0, 0])
        after = len(codes) - int(matches[-1, 0] + matches[-1, 2])
        first = int(matches[0, 1]) - before - 80 - before // 8
        end = int(matches[-1, 1] + matches[-1, 2]) + after + 80 + after // 8
        if not round_:
            first, end = max(0, first), min(size, end)
        window = chain.reference.window(chain.stretch, first, end)
        own = matches.copy()
        own[:, 1] -= first
        while True:
            made = kernel.differences(
                memoryview(codes),
                window.data,
                own.reshape(-1).data,
                len(own),
                self._wave.data,
                self._head.data,
                self._blocks.data,
                self._ends.data,
            )
            if made >= 0:
                break
            self._blocks = np.empty(4 * self._blocks.size, np.int64)
            own = matches.copy()
            own[:, 1] -= first
        query_start, query_end, window_start, window_end = self._ends[:4].tolist()
        blocks: list[Block] = []
        dissimilar: list[Block] = []
        for a, b, c, d, unsolved in self._blocks[: 5 * made].reshape(-1, 5).tolist():
            if not unsolved:
                blocks.append((a, b, c, d))
                continue
            unknown = window[c:d].tobytes().count(15)
            solved = None if 2 * unknown > d - c else self._second_try(codes, window, (a, b, c, d))
            if solved is None and 2 * unknown > d - c:
                blocks.append((a, b, c, d))  # told as unknown, and not missing from the answer
            elif solved is None:
                dissimilar.append((a, b, c, d))
            else:
                blocks += solved
        return _scored(chain, first, window, (query_start, query_end, window_start, window_end), blocks, dissimilar)

    def _second_try(self, codes: bytes, window: Array, block: Block) -> list[Block] | None:
        """Align what costs too much for the wavefront: one large gap with frayed ends, or many small differences."""
        a, b, c, d = block
        query, reference = codes[a:b], window[c:d].tobytes()
        solved = self._one_large_gap(query, reference)
        if solved is None:
            solved = _edit_path(query, reference)
        if solved is None:
            return None
        return [(a + q0, a + q1, c + w0, c + w1) for q0, q1, w0, w1 in solved]

    def _one_large_gap(self, query: bytes, reference: bytes) -> list[Block] | None:
        """Cut the middle out of the longer side, align the rest, put the middle back into the gap that crosses it."""
        short, long = sorted((len(query), len(reference)))
        kept = short + 40
        cut = long - 2 * kept
        if cut < 100 or short > 300:
            return None
        inserted = len(query) > len(reference)
        if inserted:
            query = query[:kept] + query[-kept:]
        else:
            reference = reference[:kept] + reference[-kept:]
        solved = self._solved(query, np.frombuffer(reference, np.uint8))
        mended: list[Block] = []
        crossed = False
        for q0, q1, w0, w1 in solved or []:
            low, high = (q0, q1) if inserted else (w0, w1)
            crosses = low <= kept <= high and low < high and not crossed
            crossed = crossed or crosses
            late = 0 if high < kept or low < kept or crosses else cut
            end = cut if crosses else late
            mended.append((q0 + late, q1 + end, w0, w1) if inserted else (q0, q1, w0 + late, w1 + end))
        return mended if crossed else None

    def _settled(self, one: Aligned, codes: bytes) -> Aligned:
        """With every gap as far left as the whole alignment allows.

        A gap is written at the left-most place that the reference alone allows. Where another difference lies in
        between, that is another sequence, unless the difference moves too: then the stretch is aligned again as one.
        """
        shifts = [block for block in one.blocks if block[1] - block[0] != block[3] - block[2]]
        edits = [
            edit
            for block in shifts
            if not reason_not_to_call(one, codes, block)
            for edit in edits_of(one, codes, block)
        ]
        rolls = rolls_of(one.chain.reference, one.chain.stretch, edits)
        blocks: list[Block] = []
        for i, block in enumerate(one.blocks):
            reach = block[2] - rolls.get(block, (0, 0))[0]
            first = len(blocks)
            while first and blocks[first - 1][3] >= reach and first > len(blocks) - 10:
                first -= 1
            if first == len(blocks):
                blocks.append(block)
                continue
            low = max(blocks[first - 1][3] if first else one.window_start, min(blocks[first][2], reach) - 16)
            start = blocks[first][0] - (blocks[first][2] - low)
            following = one.blocks[i + 1][2] if i + 1 < len(one.blocks) else one.window_end
            beyond = min(8, following - block[3])
            solved = self._solved(codes[start : block[1] + beyond], one.window[low : block[3] + beyond])
            if solved is None:
                blocks.append(block)
            else:
                blocks[first:] = [(start + a, start + b, low + c, low + d) for a, b, c, d in solved]
        return one._replace(blocks=blocks)

    def _solved(self, query: bytes, window: Array) -> list[Block] | None:
        """All of the query against all of the window, unless that costs too much."""
        made = kernel.between(
            memoryview(query), window.data, self._wave.data, self._head.data, self._blocks.data, self._ends.data
        )
        found = self._blocks[: 5 * max(0, made)].reshape(-1, 5).tolist()
        if made < 0 or any(row[4] for row in found):
            return None
        return [(a, b, c, d) for a, b, c, d, _ in found]

    # -- answers

    def _answer(self, dna: Dna, turned: tuple[bytes, bytes], parts: list[list[Aligned]]) -> Answer:
        options = self._options
        good = [part for part in parts if part[0].identity >= options.minimum_identity]
        length = len(dna)
        if not good:
            best = max((part[0] for part in parts), key=lambda one: one.matches)
            reason = (
                f"the best place agrees in {best.identity:.0%} of its bases, and below "
                f"{options.minimum_identity:.0%} differences cannot be told from errors"
            )
            return Answer(
                dna.name,
                length,
                "low_identity",
                reason,
                (),
                _rest(length, []),
                _place_of(best, length),
                self._names,
                dna.uracil,
            )
        placements = [self._placement(turned, part, length) for part in good]
        placements.sort(key=lambda placement: (placement.query_start, placement.query_end))
        unexplained = _rest(length, [part[0] for part in good])
        outcome, reason = self._verdict(placements, length, sum(b - a + 1 for a, b in unexplained))
        return Answer(dna.name, length, outcome, reason, tuple(placements), unexplained, None, self._names, dna.uracil)

    def _verdict(self, placements: list[Placement], length: int, missing: int) -> tuple[Outcome, str]:
        """The outcome of a query that has a place, and the sentence about it."""
        longest = max(placements, key=lambda placement: placement.query_end - placement.query_start)
        if longest.ambiguous:
            count = f"{len(longest.alternatives) + 1}{' or more' if longest.more_alternatives else ''}"
            calling = self._options.call_ambiguous
            called = "the variants are those of the first" if calling else "no variant is called there"
            return "ambiguous", f"it fits {count} places nearly equally well; {called}"
        reasons: list[str] = []
        if len(placements) == 1 and missing < 20:
            if missing:
                reasons.append(f"{missing} bases do not align")
            left = [u.reason for u in longest.uncalled if u.reason != "reference_unknown"]
            reasons += [f"not called ({left.count(name)}): {UNCALLED[name]}" for name in sorted(set(left))]
            return "placed", "; ".join(reasons)
        if len(placements) > 1:
            more = " or more" if len(placements) >= _MOST_PARTS else ""
            reasons.append(f"its parts lie in {len(placements)} places{more}")
        if missing:
            reasons.append(f"{missing} of {length} bases are not explained by {', '.join(self._names)}")
        return "partial", "; ".join(reasons)

    def _placement(self, turned: tuple[bytes, bytes], part: list[Aligned], length: int) -> Placement:
        options = self._options
        best = part[0]
        near = [one for one in part[1:] if one.score >= options.ambiguous_from * best.score]
        calls: list[Call] = []
        uncalled: list[Uncalled] = []
        if not near or options.call_ambiguous:
            codes = turned[best.chain.reverse]
            calls, uncalled = differences(self._settled(best, codes), codes, options.anchor)
        place = _place_of(best, length)
        return Placement(
            place.reference,
            place.contig,
            place.start,
            place.end,
            place.strand,
            place.query_start,
            place.query_end,
            place.identity,
            place.score,
            best.matches,
            best.mismatches,
            best.gaps,
            best.gap_bases,
            tuple(calls),
            tuple(uncalled),
            tuple(_place_of(one, length) for one in near[:_MOST_ALTERNATIVES]),
            len(near) > _MOST_ALTERNATIVES or len(near) >= _most_rivals(length),
            _place_of(part[len(near) + 1], length) if len(part) > len(near) + 1 else None,
        )

    def _without_place(self, dna: Dna, outcome: Outcome, reason: str) -> Answer:
        return Answer(dna.name, len(dna), outcome, reason, (), _rest(len(dna), []), None, self._names, dna.uracil)

    def _nothing(self, dna: Dna, turned: tuple[bytes, bytes], chains: list[Chain], repetitive: bool) -> Answer:
        """No place is better than chance would give."""
        length = len(dna)
        if not chains and repetitive:
            reason = "it consists of words that occur thousands of times, so that no place stands out"
            return self._without_place(dna, "too_repetitive", reason)
        tried = ", ".join(self._names)
        if not chains:
            return self._without_place(dna, "not_found", f"nothing in {tried} resembles it")
        best = self._align(turned[chains[0].reverse], chains[0])
        covered = best.query_end - best.query_start
        reason = (
            f"nothing in {tried} resembles it more than chance would; the best place covers {covered} of {length} "
            f"bases with {best.identity:.0%} identity"
        )
        return Answer(
            dna.name,
            length,
            "not_found",
            reason,
            (),
            _rest(length, []),
            _place_of(best, length),
            self._names,
            dna.uracil,
        )


def _most_rivals(length: int) -> int:
    """How many rivals of a place are aligned: fewer for long queries, which bounds the time for each base."""
    return max(4, min(200, 20_000 // length))


def _home(parts: list[list[Aligned]], start: int, end: int, length: int) -> list[Aligned] | None:
    """The part that explains more than half of the query's [start, end)."""
    for part in parts:
        shared = 0
        for a, b in part[0].explained(length):
            shared += max(0, min(b, end) - max(a, start))
        if 2 * shared > end - start:
            return part
    return None


def _add(part: list[Aligned], one: Aligned) -> None:
    """One more place; two with an end in common are two ways through the same place, and the better one stays."""
    for i, other in enumerate(part):
        if _same_place(one, other):
            if one.score > other.score:
                part[i] = one
            return
    part.append(one)


def _same_place(one: Aligned, other: Aligned) -> bool:
    if one.chain.reference is not other.chain.reference or one.chain.reverse != other.chain.reverse:
        return False
    if one.chain.stretch != other.chain.stretch:
        return False
    size = int(one.chain.reference.length[one.chain.stretch])
    starts = (one.first + one.window_start - other.first - other.window_start) % size
    ends = (one.first + one.window_end - other.first - other.window_end) % size
    return starts == 0 or ends == 0


def _edit_path(query: bytes, reference: bytes) -> list[Block] | None:
    """The differences along a path of least edit distance; None when the two do not resemble each other."""
    if max(len(query), len(reference)) > _LARGEST_BLOCK:
        return None
    most = max(len(query), len(reference)) * 3 // 10 + abs(len(query) - len(reference))
    equal = [
        (letters(bytes([a])), letters(bytes([b]))) for a in set(query) - {1, 2, 4, 8} for b in (1, 2, 4, 8) if a & b
    ]
    found: dict[str, Any] = cast("Any", edlib).align(
        letters(query), letters(reference), mode="NW", task="path", k=most, additionalEqualities=equal
    )
    if found["editDistance"] < 0:
        return None
    blocks: list[Block] = []
    q = w = 0
    count = 0
    open_block = False
    cigar: str = found["cigar"]
    for letter in cigar:
        if letter.isdigit():
            count = count * 10 + int(letter)
            continue
        dq = 0 if letter == "D" else count
        dw = 0 if letter == "I" else count
        if letter == "=":
            open_block = False
        elif open_block:
            a, _, c, _ = blocks[-1]
            blocks[-1] = (a, q + dq, c, w + dw)
        else:
            blocks.append((q, q + dq, w, w + dw))
            open_block = True
        q += dq
        w += dw
        count = 0
    return blocks


def _scored(
    chain: Chain,
    first: int,
    window: Array,
    ends: tuple[int, int, int, int],
    blocks: list[Block],
    dissimilar: list[Block],
) -> Aligned:
    query_start, query_end, _, _ = ends
    mismatches = gaps = gap_bases = consumed = cost = 0
    for a, b, c, d in blocks:
        q, w = b - a, d - c
        consumed += q
        if 2 * window[c:d].tobytes().count(15) > w:
            continue  # what the reference does not know is neither right nor wrong
        mismatches += min(q, w)
        cost += min(4 * min(q, w), 12 + min(q, w))  # a long replacement is one event
        if q != w:
            gaps += 1
            gap_bases += abs(q - w)
            cost += 6 + min(24, abs(q - w))
    for a, b, _, _ in dissimilar:
        consumed += b - a
        cost += 30
    matches = query_end - query_start - consumed
    return Aligned(
        chain, first, window, *ends, blocks, dissimilar, matches, mismatches, gaps, gap_bases, matches - cost
    )


def _place_of(one: Aligned, length: int) -> Place:
    chain = one.chain
    reference = chain.reference
    size = int(reference.length[chain.stretch])
    start = one.first + one.window_start
    end = one.first + one.window_end - 1
    offset = int(reference.start[chain.stretch])
    query = (one.query_start + 1, one.query_end)
    if chain.reverse:
        query = (length - one.query_end + 1, length - one.query_start)
    return Place(
        reference.name,
        reference.contig_name(chain.stretch),
        offset + start % size + 1,
        offset + end % size + 1,
        "-" if chain.reverse else "+",
        *query,
        one.identity,
        one.score,
    )


def _rest(length: int, aligned: Sequence[Aligned]) -> tuple[tuple[int, int], ...]:
    """The stretches of the query that none of these explains, 1-based and inclusive."""
    rest: list[tuple[int, int]] = []
    at = 0
    for a, b in sorted(span for one in aligned for span in one.explained(length)):
        if a > at:
            rest.append((at + 1, a))
        at = max(at, b)
    if at < length:
        rest.append((at + 1, length))
    return tuple(rest)

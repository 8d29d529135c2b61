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

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import edlib
import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics.build import Writer
from genescale.genomics.bundle import LIST_FILE, Bundle, read_listing
from genescale.genomics.dna import Dna, letters, reverse_complement
from genescale.genomics.kernels import align, normalise
from genescale.genomics.places import GenomicEdit, as_vcf
from genescale.genomics.variants import Variants, variants_of_record

Array = npt.NDArray[Any]
kernel = cast("Any", align)  # the annotations of a kernel are the C compiler's, not Python's
Block: TypeAlias = tuple[int, int, int, int]
Outcome: TypeAlias = Literal[
    "placed", "partial", "ambiguous", "low_identity", "not_found", "too_short", "too_repetitive", "no_bases"
]

SEED_FORMAT: Final = 1
SEEDS: Final = ("seeds-shape", "seeds-offset", "seeds-position", "seeds-check")
UNINDEXED_BASES: Final = 64_000_000  # a bundle without seeds gets them in memory up to this size, within 3 s

_SHORT: Final = 300  # up to here a query is looked up at every base; beyond, at some bases in every `_PERIOD`
_PERIOD: Final = 16
_LONG: Final = 2_000
_LONG_PERIOD: Final = 32
_MOST_ALTERNATIVES: Final = 50
_MOST_CHAINS: Final = 400
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
    "query_unknown": "the query has N or an ambiguous base inside an insertion",
    "dissimilar": "a stretch that does not align",
    "crosses_origin": "a deletion across the origin, which a VCF record cannot write",
}


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
    well, best first; `more_alternatives` says that there are still others.
    """

    matches: int
    mismatches: int
    gaps: int
    gap_bases: int
    variants: tuple[Call, ...]
    uncalled: tuple[Uncalled, ...]
    alternatives: tuple[Place, ...] = ()
    more_alternatives: bool = False

    @property
    def ambiguous(self) -> bool:
        """Whether another place fits nearly as well."""
        return bool(self.alternatives)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one sequence. `reason` is a sentence for people wherever the outcome is not `placed`.

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


# ---- the seed index ----


class Seeds(NamedTuple):
    """The arrays of a seed index; `shape` is format, k, stride, bits."""

    shape: Array
    offset: Array
    position: Array
    check: Array


def make_seeds(bundle: Bundle) -> Seeds:
    """The seed index of a bundle, in memory."""
    base, length, circular = _stretches(bundle)
    total = int(length.sum())
    # Words are long enough to be rare: 4**k is some sixteen times the reference. Large references are sampled.
    k = min(16, max(11, math.ceil(math.log(max(total, 2), 4)) + 1))
    stride = 1 if total < 200_000 else 2 if total < 10_000_000 else 4 if total < 200_000_000 else 10
    bits = min(2 * k, max(8, (total // stride).bit_length() - 1))
    packed = bundle.array("sequence").data
    views = (packed, base.data, length.data, circular.data, k, stride, bits)
    offset = np.zeros((1 << bits) + 1, np.uint32)
    kernel.count_seeds(*views, offset.data)
    np.cumsum(offset, out=offset)
    position = np.empty(int(offset[-1]), np.uint32)
    check = np.empty(position.size, np.uint8)
    cursor = offset[:-1].copy()
    kernel.fill_seeds(*views, cursor.data, position.data, check.data)
    return Seeds(np.array([SEED_FORMAT, k, stride, bits], np.int64), offset, position, check)


def build_seeds(bundle_dir: str | Path) -> None:
    """Make the seed index of the bundle in `bundle_dir` and keep it there, so that opening it costs nothing.

    The bundle's digest stays: an index says nothing that the sequence does not say.
    """
    folder = Path(bundle_dir)
    with Bundle.open(folder) as bundle:
        seeds = make_seeds(bundle)
    writer = Writer(folder)
    for name, array in zip(SEEDS, seeds, strict=True):
        writer.write(name, array)
    listing = read_listing(folder)
    listing["arrays"] = dict(sorted({**listing["arrays"], **writer.arrays}.items()))
    renewed = folder / f".{LIST_FILE}.arriving"
    renewed.write_text(json.dumps(listing, indent=1) + "\n")
    renewed.replace(folder / LIST_FILE)


def _stretches(bundle: Bundle) -> tuple[Array, Array, Array]:
    """Base index, length and roundness of each segment. Only a contig that is known whole can be walked round."""
    base = np.array(bundle.array("segment_base"), np.int64)
    start = np.asarray(bundle.array("segment_start"), np.int64)
    length = np.asarray(bundle.array("segment_end"), np.int64) - start
    contig = bundle.array("segment_contig")
    whole = length == np.asarray(bundle.array("contig_length"), np.int64)[contig]
    return base, length, (np.asarray(bundle.array("contig_circular"))[contig].astype(bool) & whole).astype(np.uint8)


# ---- the aligner ----


class _Reference:
    """One bundle, ready to be searched."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.name = bundle.name
        self.base, self.length, self.circular = _stretches(bundle)
        self.start: list[int] = bundle.array("segment_start").tolist()
        self.contig: list[int] = bundle.array("segment_contig").tolist()
        self.bases = int(self.length.sum())
        if all(bundle.has(name) for name in SEEDS):
            seeds = Seeds(*(bundle.array(name) for name in SEEDS))
        elif self.bases <= UNINDEXED_BASES:
            seeds = make_seeds(bundle)
        else:
            raise InvalidInput(
                f"the bundle {bundle.name} has no seeds, so DNA cannot be placed in it: "
                f"`genescale reference build --align` makes them",
                code="no_seeds",
            )
        _, self.k, self.stride, bits = (int(x) for x in seeds.shape)
        self.margin = min(1_000, self.bases // 4)
        self.packed = bundle.array("sequence").data
        self.index = kernel.Index(
            self.packed,
            self.base.data,
            self.length.data,
            self.circular.data,
            self.k,
            bits,
            self.margin,
            seeds.offset.data,
            seeds.position.data,
            seeds.check.data,
        )
        self.sequence = normalise.Sequence(
            self.packed,
            np.asarray(bundle.array("contig_segment"), np.int32).data,
            np.asarray(bundle.array("segment_start"), np.int64).data,
            np.asarray(bundle.array("segment_end"), np.int64).data,
            self.base.data,
        )

    def contig_name(self, stretch: int) -> str:
        """The name of the contig that a stretch belongs to."""
        return self.bundle.contigs[self.contig[stretch]].name

    def window(self, stretch: int, first: int, end: int) -> Array:
        """The codes of a stretch from place `first` to `end`; a circular one goes round."""
        out = np.empty(end - first, np.uint8)
        size = int(self.length[stretch])
        kernel.decode(self.packed, int(self.base[stretch]), size, first % size, out.data)
        return out


class _Chain(NamedTuple):
    """A row of matches: a rough placement, with the query's span on the query's own strand."""

    score: int
    reference: _Reference
    reverse: bool
    stretch: int
    matches: Array
    query_start: int
    query_end: int


class _Aligned(NamedTuple):
    """A chain aligned base by base. Places count from 0, in the query as it was turned."""

    chain: _Chain
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
            spans.append(_turned(at, a, self.chain.reverse, length))
            at = b
        return [*spans, _turned(at, self.query_end, self.chain.reverse, length)]


class Aligner:
    """Places sequences in one bundle or several. Holds working memory, so each thread needs its own."""

    def __init__(self, bundles: Bundle | Sequence[Bundle], options: Options | None = None) -> None:
        listed = [bundles] if isinstance(bundles, Bundle) else list(bundles)
        self._references = [_Reference(bundle) for bundle in listed]
        self._names = tuple(reference.name for reference in self._references)
        self._options = options or Options()
        self._recent = np.empty(2 << 14, np.int64)
        self._found = np.empty(4 << 14, np.int64)
        self._tally = np.zeros(2, np.int64)
        self._wave = np.empty(_WAVE_ROOM, np.int32)
        self._head = np.empty(3 * (_WAVE_COSTS + 1), np.int64)
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
        if known < minimum:
            reason = f"{known} known bases are too few to place uniquely; {minimum} are needed"
            return self._without_place(dna, "too_short", reason)
        unit = _repeat_unit(dna.codes)
        if unit:
            reason = f"it repeats {unit} base{'s' * (unit > 1)} over and over; send it with what lies beside it"
            return self._without_place(dna, "too_repetitive", reason)
        turned = (dna.codes, reverse_complement(dna.codes))
        chains, repetitive = self._chains(turned, known)
        floor = self._floor(len(dna))
        parts = self._parts(turned, chains, floor)
        if not parts:
            return self._nothing(dna, turned, chains, repetitive)
        return self._answer(dna, turned, parts)

    # -- seeds and chains

    def _floor(self, length: int) -> int:
        """The chain score that chance reaches in fewer than one query of 250 (longest common run of two texts)."""
        bases = sum(reference.bases for reference in self._references)
        return max(18, math.ceil(math.log(max(2, 2 * length * bases), 4)) + 4)

    def _chains(self, turned: tuple[bytes, bytes], known: int) -> tuple[list[_Chain], bool]:
        """Rows of matches on both strands of all references, best first; and whether repeats hid some.

        Most queries are found by their rarer words. Where these leave much of it unexplained, every word is looked up,
        frequent ones too; and a short query that still lies nowhere, by words with one base changed.
        """
        length = len(turned[0])
        period = 1 if length <= _SHORT else _PERIOD if length <= _LONG else _LONG_PERIOD
        quick = self._search(turned, period=period, most=64 if length <= _LONG else 32, near=False)
        if quick and (quick[0].score >= 0.6 * known or _explained(quick) >= 0.9 * known):
            return quick, False
        slow = self._search(turned, period=1, most=2_000 if length <= 20_000 else 100, near=False)
        repetitive = bool(self._tally[0])
        if length <= 200 and (not slow or slow[0].score < max(self._floor(length), 0.5 * known)):
            slow += self._search(turned, period=1, most=50, near=True)
            slow.sort(key=lambda chain: -chain.score)
        return (slow if not quick or (slow and slow[0].score >= quick[0].score) else quick), repetitive

    def _search(self, turned: tuple[bytes, bytes], *, period: int, most: int, near: bool) -> list[_Chain]:
        chains: list[_Chain] = []
        self._tally[:] = 0
        for reference in self._references:
            for reverse in (False, True):
                chains += self._search_one(reference, turned[reverse], reverse, period, most, near)
        chains.sort(key=lambda chain: -chain.score)
        return chains

    def _search_one(
        self, reference: _Reference, codes: bytes, reverse: bool, period: int, most: int, near: bool
    ) -> list[_Chain]:
        length = len(codes)
        least = reference.k + (0 if length <= _LONG else 5) - (4 if near else 0)
        slots = 1 << min(20, max(10, (length // 4).bit_length()))
        if self._recent.size < 2 * slots:
            self._recent = np.empty(2 * slots, np.int64)
        recent = self._recent[: 2 * slots]
        recent.fill(-(1 << 60))
        room = 4 * (200_000 + length // 4) if most > 64 else 4 * (16_384 + length // 16)
        if self._found.size < room:
            self._found = np.empty(room, np.int64)
        count = kernel.find_matches(
            reference.index,
            codes,
            period,
            reference.stride if period > 1 else 1,
            most,
            least,
            near,
            recent.data,
            self._found[:room].data,
            self._tally.data,
        )
        if not count:
            return []
        return self._chained(reference, self._found[: 4 * count].reshape(-1, 4), reverse, length)

    def _chained(self, reference: _Reference, found: Array, reverse: bool, length: int) -> list[_Chain]:
        """The matches of one strand joined to chains, best first."""
        order = np.argsort((found[:, 3] << 44) + (found[:, 1] << 1), kind="stable")
        found = found[order]
        if len(found) > 1:
            fresh = np.ones(len(found), bool)
            np.any(found[1:] != found[:-1], axis=1, out=fresh[1:])
            found = np.ascontiguousarray(found[fresh])
        count = len(found)
        score = np.empty(count, np.int64)
        parent = np.empty(count, np.int64)
        flat = found.reshape(-1).data
        # Among tandem repeats hundreds of matches may lie between two that belong together.
        lookback = min(2_000, max(100, 4_000_000 // count))
        kernel.chain(flat, count, self._options.largest_gap, lookback, score.data, parent.data)
        by_score = np.argsort(-score, kind="stable")
        members = np.empty(count, np.int64)
        chains = np.empty(2 * _MOST_CHAINS, np.int64)
        used = np.zeros(count, np.uint8)
        made = kernel.collect(
            by_score.data,
            score.data,
            parent.data,
            min(self._floor(length), int(score[by_score[0]])),
            used.data,
            members.data,
            chains.data,
        )
        rows: list[_Chain] = []
        first = 0
        for end, total in chains[: 2 * made].reshape(-1, 2).tolist():
            matches = found[members[first:end]]
            first = end
            start = int(matches[0, 0])
            stop = int(matches[-1, 0] + matches[-1, 2])
            if reverse:
                start, stop = length - stop, length - start
            rows.append(_Chain(total, reference, reverse, int(matches[0, 3]), matches, start, stop))
        return rows

    # -- alignment

    def _parts(self, turned: tuple[bytes, bytes], chains: list[_Chain], floor: int) -> list[list[_Aligned]]:
        """The chains aligned, grouped by the part of the query that they explain, the best of each part first.

        A chain belongs to the part that covers most of it. It makes a part of its own when none does, and when it still
        reaches what no other explains after both were aligned to their ends.
        """
        parts: list[list[_Aligned]] = []
        length = len(turned[0])
        for chain in chains:
            if chain.score < floor:
                break
            home = _home(parts, chain.query_start, chain.query_end, length)
            if home is None:
                if parts and (chain.score < floor + 10 or len(parts) == _MOST_ALTERNATIVES):
                    continue
                one = self._align(turned[chain.reverse], chain)
                home = _home(parts, *_turned(one.query_start, one.query_end, chain.reverse, length), length)
                if home is None:
                    parts.append([one])
                else:
                    _add(home, one)
            elif chain.score >= 0.7 * home[0].chain.score and len(home) <= _MOST_ALTERNATIVES:
                _add(home, self._align(turned[chain.reverse], chain))
        for part in parts:
            part.sort(key=lambda one: -one.score)
        return parts

    def _align(self, codes: bytes, chain: _Chain) -> _Aligned:
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
                codes,
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

    def _settled(self, one: _Aligned, codes: bytes) -> _Aligned:
        """With every gap as far left as the whole alignment allows.

        A gap is written at the left-most place that the reference alone allows. Where another difference lies in
        between, that is another sequence, unless the difference moves too: then the stretch is aligned again as one.
        """
        shifts = [block for block in one.blocks if block[1] - block[0] != block[3] - block[2]]
        edits = [
            edit for block in shifts if not _reason_not_to_call(one, codes, block) for edit in _edits(one, codes, block)
        ]
        rolls = _rolls(one.chain.reference, one.chain.stretch, edits)
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
        made = kernel.between(query, window.data, self._wave.data, self._head.data, self._blocks.data, self._ends.data)
        found = self._blocks[: 5 * max(0, made)].reshape(-1, 5).tolist()
        if made < 0 or any(row[4] for row in found):
            return None
        return [(a, b, c, d) for a, b, c, d, _ in found]

    # -- answers

    def _answer(self, dna: Dna, turned: tuple[bytes, bytes], parts: list[list[_Aligned]]) -> Answer:
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
        outcome: Outcome = "placed"
        reason = ""
        missing = sum(b - a + 1 for a, b in unexplained)
        if any(placement.ambiguous for placement in placements):
            outcome = "ambiguous"
            count = max(len(placement.alternatives) + 1 for placement in placements)
            more = "or more " if any(placement.more_alternatives for placement in placements) else ""
            called = "the variants are those of the first" if options.call_ambiguous else "no variant is called there"
            reason = f"it fits {count} {more}places nearly equally well; {called}"
        elif missing >= 20:
            outcome = "partial"
            reason = f"{missing} of {length} bases lie nowhere in {', '.join(self._names)}"
        elif len(placements) > 1:
            outcome = "partial"
            reason = f"its parts lie in {len(placements)} places"
        elif missing:
            reason = f"{missing} bases at its ends do not align"
        return Answer(dna.name, length, outcome, reason, tuple(placements), unexplained, None, self._names, dna.uracil)

    def _placement(self, turned: tuple[bytes, bytes], part: list[_Aligned], length: int) -> Placement:
        options = self._options
        best = part[0]
        near = [one for one in part[1:] if one.score >= options.ambiguous_from * best.score]
        calls: list[Call] = []
        uncalled: list[Uncalled] = []
        if not near or options.call_ambiguous:
            codes = turned[best.chain.reverse]
            calls, uncalled = _differences(self._settled(best, codes), codes, options.anchor)
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
            tuple(_place_of(one, length) for one in near),
            len(near) >= _MOST_ALTERNATIVES,
        )

    def _without_place(self, dna: Dna, outcome: Outcome, reason: str) -> Answer:
        return Answer(dna.name, len(dna), outcome, reason, (), _rest(len(dna), []), None, self._names, dna.uracil)

    def _nothing(self, dna: Dna, turned: tuple[bytes, bytes], chains: list[_Chain], repetitive: bool) -> Answer:
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


def _repeat_unit(codes: bytes) -> int:
    """The unit of a query that is nothing but a simple repeat, else 0: nine in ten bases equal the one a unit back."""
    read = np.frombuffer(codes, np.uint8)
    if len(codes) > 4_000 and not _repeat_unit(codes[:2_000]):
        return 0
    for unit in range(1, 7):
        if np.count_nonzero((read[unit:] == read[:-unit]) & (read[unit:] != 15)) > 0.9 * np.count_nonzero(read != 15):
            return unit
    return 0


def _explained(chains: list[_Chain]) -> int:
    """How many bases of the query the best chains span together."""
    spans: list[tuple[int, int]] = []
    for chain in chains[:20]:
        if chain.score >= 40 and all(chain.query_start >= b or chain.query_end <= a for a, b in spans):
            spans.append((chain.query_start, chain.query_end))
    return sum(b - a for a, b in spans)


def _turned(start: int, end: int, reverse: bool, length: int) -> tuple[int, int]:
    """[start, end) of the turned query in the query as it was given."""
    return (length - end, length - start) if reverse else (start, end)


def _home(parts: list[list[_Aligned]], start: int, end: int, length: int) -> list[_Aligned] | None:
    """The part that explains more than half of the query's [start, end)."""
    for part in parts:
        shared = 0
        for a, b in part[0].explained(length):
            shared += max(0, min(b, end) - max(a, start))
        if 2 * shared > end - start:
            return part
    return None


def _add(part: list[_Aligned], one: _Aligned) -> None:
    """One more place; two with an end in common are two ways through the same place, and the better one stays."""
    for i, other in enumerate(part):
        if _same_place(one, other):
            if one.score > other.score:
                part[i] = one
            return
    part.append(one)


def _same_place(one: _Aligned, other: _Aligned) -> bool:
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
    chain: _Chain,
    first: int,
    window: Array,
    ends: tuple[int, int, int, int],
    blocks: list[Block],
    dissimilar: list[Block],
) -> _Aligned:
    query_start, query_end, _, _ = ends
    mismatches = gaps = gap_bases = consumed = cost = 0
    for a, b, c, d in blocks:
        q, w = b - a, d - c
        consumed += q
        if 2 * window[c:d].tobytes().count(15) > w:
            continue  # what the reference does not know is neither right nor wrong
        mismatches += min(q, w)
        cost += 4 * min(q, w)
        if q != w:
            gaps += 1
            gap_bases += abs(q - w)
            cost += 6 + min(24, abs(q - w))
    for a, b, _, _ in dissimilar:
        consumed += b - a
        cost += 30
    matches = query_end - query_start - consumed
    return _Aligned(
        chain, first, window, *ends, blocks, dissimilar, matches, mismatches, gaps, gap_bases, matches - cost
    )


def _place_of(one: _Aligned, length: int) -> Place:
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


def _rest(length: int, aligned: Sequence[_Aligned]) -> tuple[tuple[int, int], ...]:
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


# ---- from differences to variants ----


class _Edit(NamedTuple):
    """One difference: the reference's places [start, end) of the stretch become `alt`."""

    start: int
    end: int
    alt: str
    block: Block
    candidate: bool


def _differences(one: _Aligned, codes: bytes, anchor: int) -> tuple[list[Call], list[Uncalled]]:
    """The variants of an aligned query, and the differences that cannot be called, by place."""
    reference, stretch = one.chain.reference, one.chain.stretch
    contig = reference.contig_name(stretch)
    uncalled: list[Uncalled] = [_told(one, codes, block, "dissimilar") for block in one.dissimilar]
    edits: list[_Edit] = []
    for block in one.blocks:
        reason = _reason_not_to_call(one, codes, block)
        if reason:
            uncalled.append(_told(one, codes, block, reason))
        else:
            edits += _edits(one, codes, block)
    inner = _anchored(one, _rolls(reference, stretch, edits), anchor)
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


def _vcf(reference: _Reference, stretch: int, edit: _Edit) -> tuple[int, str, str]:
    """POS, REF and ALT. A change of bases and not of their number is normal: it begins and ends with a difference."""
    position = reference.start[stretch] + edit.start + 1
    if edit.end - edit.start == len(edit.alt):
        return position, letters(reference.window(stretch, edit.start, edit.end).tobytes()), edit.alt
    end = position + edit.end - edit.start - 1
    written = as_vcf(reference.bundle, GenomicEdit(reference.contig[stretch], position, end, edit.alt))
    return written.pos, written.ref, written.alt


def _query_span(one: _Aligned, codes: bytes, block: Block) -> tuple[int, int]:
    """The block's bases in the query as it was given, 1-based; an empty one ends before it starts."""
    if one.chain.reverse:
        return len(codes) - block[1] + 1, len(codes) - block[0]
    return block[0] + 1, block[1]


def _told(one: _Aligned, codes: bytes, block: Block, reason: str) -> Uncalled:
    reference, stretch = one.chain.reference, one.chain.stretch
    size = int(reference.length[stretch])
    offset = int(reference.start[stretch]) + 1
    start = offset + (one.first + block[2]) % size
    end = start - 1 if block[2] == block[3] else offset + (one.first + block[3] - 1) % size
    return Uncalled(*_query_span(one, codes, block), start, end, reason)


_PLAIN: Final = bytes((1, 2, 4, 8))


def _reason_not_to_call(one: _Aligned, codes: bytes, block: Block) -> str:
    a, b, c, d = block
    if one.window[c:d].tobytes().translate(None, _PLAIN):
        return "reference_unknown"
    if b - a != d - c and codes[a:b].translate(None, _PLAIN):
        return "query_unknown"
    size = int(one.chain.reference.length[one.chain.stretch])
    if d > c and (one.first + c) // size != (one.first + d - 1) // size:
        return "crosses_origin"
    return ""


def _edits(one: _Aligned, codes: bytes, block: Block) -> list[_Edit]:
    """The block as edits: one as a rule; one for each base that an IUPAC letter allows."""
    a, b, c, d = block
    size = int(one.chain.reference.length[one.chain.stretch])
    place = (one.first + c) % size
    query = codes[a:b]
    if not query.translate(None, _PLAIN):
        return [_Edit(place, place + d - c, letters(query), block, False)]
    edits: list[_Edit] = []
    for i, code in enumerate(query):
        own = (a + i, a + i + 1, c + i, c + i + 1)
        at = place + i
        alts = [base for base in _PLAIN if base & code]
        edits += [_Edit(at, at + 1, letters(bytes([base])), own, len(alts) > 1) for base in alts]
    return edits


def _allowed_bases(one: _Aligned, codes: bytes, anchor: int) -> list[_Edit]:
    """Where an IUPAC letter of the query allows the reference's base and others: those others."""
    if not codes.translate(None, b"\x01\x02\x04\x08\x0f"):
        return []
    read = np.frombuffer(codes, np.uint8)
    read = read[one.query_start + anchor : max(one.query_start + anchor, one.query_end - anchor)]
    sites = np.flatnonzero((read & (read - 1) != 0) & (read != 15)) + one.query_start + anchor
    size = int(one.chain.reference.length[one.chain.stretch])
    blocks = sorted(one.blocks + one.dissimilar)
    starts = [block[0] for block in blocks]
    edits: list[_Edit] = []
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
            _Edit(place, place + 1, letters(bytes([base])), block, True)
            for base in _PLAIN
            if base & codes[site] and base != here
        ]
    return edits


def _rolls(reference: _Reference, stretch: int, edits: list[_Edit]) -> dict[Block, tuple[int, int]]:
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


def _anchored(one: _Aligned, rolls: dict[Block, tuple[int, int]], anchor: int) -> tuple[int, int]:
    """The part of the query whose differences have `anchor` matching bases in a row between them and either end.

    An insertion or deletion that can be rolled has only what is left of the matches when it is rolled to that end.
    """
    blocks = sorted(one.blocks + one.dissimilar)
    low, high = one.query_start, one.query_end
    for block in blocks:
        if block[0] - low - rolls.get(block, (0, 0))[0] >= anchor:
            break
        low = max(block[1], block[0] + 1)
    for block in reversed(blocks):
        if high - block[1] - rolls.get(block, (0, 0))[1] >= anchor:
            break
        high = min(block[0], block[1] - 1)
    return low, high

"""Where in a reference a query may lie: rows of exact matches that its index of seeds finds.

`Reference` is a bundle ready to be searched; `Finder` searches. Called by `align` only. How the index works is told in
`kernels/align.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels import align, normalise
from genescale.genomics.seed_index import seeds_of, stretches

Array = npt.NDArray[Any]
kernel = cast("Any", align)  # the annotations of a kernel are the C compiler's, not Python's

_SHORT: Final = 300  # up to here a query is looked up at every base; beyond, at some bases in every `_PERIOD`
_PERIOD: Final = 16
_LONG: Final = 2_000
_LONG_PERIOD: Final = 32
_MOST_CHAINS: Final = 400


class Reference:
    """One bundle, ready to be searched."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.name = bundle.name
        self.base, self.length, self.circular = stretches(bundle)
        self.start: list[int] = bundle.array("segment_start").tolist()
        self.contig: list[int] = bundle.array("segment_contig").tolist()
        self.bases = int(self.length.sum())
        seeds = seeds_of(bundle)
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


class Chain(NamedTuple):
    """A row of matches: a rough placement, with the query's span on the query's own strand."""

    score: int
    reference: Reference
    reverse: bool
    stretch: int
    matches: Array
    query_start: int
    query_end: int


class Finder:
    """Searches references for rows of matches. Holds working memory, so each thread needs its own."""

    def __init__(self, references: Sequence[Reference], largest_gap: int) -> None:
        self._references = references
        self._largest_gap = largest_gap
        self._recent = np.empty(2 << 14, np.int64)
        self._found = np.empty(4 << 14, np.int64)
        self._tally = np.zeros(2, np.int64)

    def floor(self, length: int) -> int:
        """The chain score that chance reaches in fewer than one query of 250 (longest common run of two texts)."""
        bases = sum(reference.bases for reference in self._references)
        return max(18, math.ceil(math.log(max(2, 2 * length * bases), 4)) + 4)

    def chains(self, turned: tuple[bytes, bytes], known: int) -> tuple[list[Chain], bool]:
        """Rows of matches on both strands of all references, best first; and whether repeats hid some.

        Most queries are found by their rarer words. Where these are few, or leave much of it unexplained, frequent
        words are looked up too; and a short query that still lies nowhere, by words with one base changed.
        """
        length = len(turned[0])
        period = 1 if length <= _SHORT else _PERIOD if length <= _LONG else _LONG_PERIOD
        quick = self._search(turned, period=period, most=64 if length <= _LONG else 32, near=False)
        # Where most words are frequent, the others do not show whether a place is the only one.
        doubtful = length <= _LONG and 3 * self._tally[0] > self._tally[1]
        if quick and not doubtful and (quick[0].score >= 0.6 * known or _explained(quick) >= 0.9 * known):
            return quick, False
        slow = self._search(turned, period=1, most=500 if length <= 20_000 else 100, near=False)
        repetitive = bool(self._tally[0])
        if length <= 200 and (not slow or slow[0].score < max(self.floor(length), 0.5 * known)):
            slow += self._search(turned, period=1, most=50, near=True)
            slow.sort(key=lambda chain: -chain.score)
        return (slow if not quick or (slow and slow[0].score >= quick[0].score) else quick), repetitive

    def _search(self, turned: tuple[bytes, bytes], *, period: int, most: int, near: bool) -> list[Chain]:
        chains: list[Chain] = []
        self._tally[:] = 0
        length = len(turned[0])
        for reference in self._references:
            least = reference.k + (0 if length <= _LONG else 5) - (4 if near else 0)
            for reverse in (False, True):
                found = self._matches(reference, turned[reverse], period, most, least, near)
                if found.size:
                    chains += self._chained(reference, found, reverse, length)
        chains.sort(key=lambda chain: -chain.score)
        return chains

    def exact_places(self, turned: tuple[bytes, bytes]) -> int | None:
        """How often the whole query occurs, on either strand; None when it is too short for the index to tell."""
        length = len(turned[0])
        if any(reference.k + reference.stride - 1 > length for reference in self._references):
            return None
        places: set[tuple[str, bool, int, int]] = set()
        for reference in self._references:
            for reverse in (False, True):
                found = self._matches(reference, turned[reverse], 1, 100_000, length, False)
                for _, at, _, stretch in found.tolist():
                    places.add((reference.name, reverse, stretch, at % int(reference.length[stretch])))
        return len(places)

    def _matches(self, reference: Reference, codes: bytes, period: int, most: int, least: int, near: bool) -> Array:
        """Exact matches on one strand: place in the query, place in the stretch, length, stretch."""
        length = len(codes)
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
            memoryview(codes),
            period,
            reference.stride if period > 1 else 1,
            most,
            least,
            near,
            recent.data,
            self._found[:room].data,
            self._tally.data,
        )
        return self._found[: 4 * count].reshape(-1, 4)

    def _chained(self, reference: Reference, found: Array, reverse: bool, length: int) -> list[Chain]:
        """The matches of one strand joined to chains, best first."""
        order = np.argsort((found[:, 3] << 40) + found[:, 1], kind="stable")
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
        kernel.chain(flat, count, self._largest_gap, lookback, score.data, parent.data)
        by_score = np.argsort(-score, kind="stable")
        members = np.empty(count, np.int64)
        chains = np.empty(2 * _MOST_CHAINS, np.int64)
        used = np.zeros(count, np.uint8)
        made = kernel.collect(
            by_score.data,
            score.data,
            parent.data,
            min(self.floor(length), int(score[by_score[0]])),
            used.data,
            members.data,
            chains.data,
        )
        rows: list[Chain] = []
        first = 0
        for end, total in chains[: 2 * made].reshape(-1, 2).tolist():
            matches = found[members[first:end]]
            first = end
            start = int(matches[0, 0])
            stop = int(matches[-1, 0] + matches[-1, 2])
            if reverse:
                start, stop = length - stop, length - start
            rows.append(Chain(total, reference, reverse, int(matches[0, 3]), matches, start, stop))
        return rows


def repeat_unit(codes: bytes) -> int:
    """The unit of a query that is nothing but a simple repeat, else 0: nine in ten bases equal the one a unit back."""
    read = np.frombuffer(codes, np.uint8)
    if len(codes) > 4_000 and not repeat_unit(codes[:2_000]):
        return 0
    for unit in range(1, 7):
        if np.count_nonzero((read[unit:] == read[:-unit]) & (read[unit:] != 15)) > 0.9 * np.count_nonzero(read != 15):
            return unit
    return 0


def _explained(chains: list[Chain]) -> int:
    """How many bases of the query the best chains span together."""
    spans: list[tuple[int, int]] = []
    for chain in chains[:20]:
        if chain.score >= 40 and all(chain.query_start >= b or chain.query_end <= a for a, b in spans):
            spans.append((chain.query_start, chain.query_end))
    return sum(b - a for a, b in spans)

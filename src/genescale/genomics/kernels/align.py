# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# pyright: basic, reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportMissingModuleSource=false
# pyright: reportAttributeAccessIssue=false, reportInvalidTypeArguments=false, reportIndexIssue=false
# pyright: reportAssignmentType=false
# (annotations are Cython's here: `type[::1]` is contiguous memory)
"""Placing a DNA string in a reference: seed look-up, chaining, and exact alignment of what lies between exact matches.

Called by `align` only, in this order: `count_seeds` and `fill_seeds` make the index; `find_matches` looks a query up;
`chain` and `collect` join matches that lie in a row; `decode` unpacks the window of the reference; `differences` aligns
the query to it. All bases are BAM's codes (A 1, C 2, G 4, T 8, IUPAC letters by OR, N 15), one a byte, except that the
reference is packed two a byte, low nibble first.

The index samples every `stride`-th word of `k` bases of the reference, and a query is looked up at every base, so any
`k + stride - 1` equal bases are found. Words are spread by Fibonacci hashing; eight more bits of the hash beside each
entry turn most strangers away, and the comparison with the reference turns away the rest.

A *stretch* is a run of known bases (a segment of the bundle). Places in it are counted from 0; a circular stretch is
walked round up to twice, so that a query may start anywhere.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from genescale import interpreted as cython  # Cython builds kernels; running them must not need it

COMPILED: bool = cython.compiled

FIELDS = 4  # numbers of one match: place in the query, place in the stretch, length, stretch
BLOCK = 5  # numbers of one difference: query from and to, window from and to, 1 when it could not be aligned

# Costs of an alignment, a match costs nothing. Four mismatches in a row cost less than a gap on either side of three
# chance matches, so a substitution of four bases stays one; two opposite gaps twelve bases apart stay two gaps.
MISMATCH = 3
GAP_OPEN = 6
GAP_EXTEND = 1

_NONE = -(1 << 29)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _base(packed: cython.const[cython.uchar][::1], index: cython.longlong) -> cython.int:
    octet: cython.int = packed[index >> 1]
    return (octet >> ((index & 1) * 4)) & 15


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _digit(code: cython.int) -> cython.ulonglong:
    """0 to 3 for A, C, G, T and 4 for everything else."""
    table: cython.ulonglong = 0x4444444344424104
    return (table >> (code * 4)) & 15


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash(word: cython.ulonglong) -> cython.ulonglong:
    mask: cython.ulonglong = 0xFFFFFFFF
    factor: cython.ulonglong = 0x9E3779B1
    return (word * factor) & mask


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _check(hashed: cython.ulonglong, bits: cython.int) -> cython.int:
    """The eight bits of the hash after those that name the bucket."""
    if bits > 24:
        return hashed & 255
    return (hashed >> (24 - bits)) & 255


def count_seeds(
    packed: cython.const[cython.uchar][::1],
    base: cython.const[cython.longlong][::1],
    length: cython.const[cython.longlong][::1],
    circular: cython.const[cython.uchar][::1],
    k: cython.int,
    stride: cython.int,
    bits: cython.int,
    offset: cython.uint[::1],
) -> None:
    """How many sampled words fall into each of the `1 << bits` buckets; bucket b is counted in `offset[b + 1]`."""
    nowhere: cython.uchar[::1] = bytearray(1)
    _sample(packed, base, length, circular, k, stride, bits, False, offset, offset[:0], nowhere)


def fill_seeds(
    packed: cython.const[cython.uchar][::1],
    base: cython.const[cython.longlong][::1],
    length: cython.const[cython.longlong][::1],
    circular: cython.const[cython.uchar][::1],
    k: cython.int,
    stride: cython.int,
    bits: cython.int,
    cursor: cython.uint[::1],
    position: cython.uint[::1],
    check: cython.uchar[::1],
) -> None:
    """Write each sampled word's place and check byte where its bucket's `cursor` stands."""
    _sample(packed, base, length, circular, k, stride, bits, True, cursor, position, check)


@cython.cfunc
def _sample(
    packed: cython.const[cython.uchar][::1],
    base: cython.const[cython.longlong][::1],
    length: cython.const[cython.longlong][::1],
    circular: cython.const[cython.uchar][::1],
    k: cython.int,
    stride: cython.int,
    bits: cython.int,
    filling: cython.bint,
    cursor: cython.uint[::1],
    position: cython.uint[::1],
    check: cython.uchar[::1],
):
    stretch: cython.Py_ssize_t
    stretches: cython.Py_ssize_t = len(base)
    mask: cython.ulonglong = 1
    word: cython.ulonglong
    digit: cython.ulonglong
    hashed: cython.ulonglong
    bucket: cython.ulonglong
    good: cython.longlong
    i: cython.longlong
    at: cython.longlong
    start: cython.longlong
    n: cython.longlong
    end: cython.longlong
    until: cython.longlong
    slot: cython.uint
    mask = (mask << (2 * k)) - 1
    with cython.nogil:
        for stretch in range(stretches):
            n = length[stretch]
            start = base[stretch]
            end = n
            if circular[stretch] and n >= k:
                end = n + k - 1  # the words that cross the origin
            word = 0
            good = 0
            until = k - 1  # the last base of the next sampled word
            for i in range(end):
                at = i if i < n else i - n
                digit = _digit(_base(packed, start + at))
                if digit > 3:
                    good = 0
                    digit = 0
                else:
                    good += 1
                word = ((word << 2) | digit) & mask
                if i == until:
                    until += stride
                    if good >= k:
                        hashed = _hash(word)
                        bucket = hashed >> (32 - bits)
                        if filling:
                            slot = cursor[bucket]
                            position[slot] = start + i - k + 1
                            check[slot] = _check(hashed, bits)
                            cursor[bucket] = slot + 1
                        else:
                            cursor[bucket + 1] += 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _stretch_of(base: cython.const[cython.longlong][::1], place: cython.longlong) -> cython.Py_ssize_t:
    low: cython.Py_ssize_t = 0
    high: cython.Py_ssize_t = base.shape[0]
    middle: cython.Py_ssize_t
    while high - low > 1:
        middle = (low + high) >> 1
        if base[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@cython.cclass
class Index:
    """The seeds of one bundle beside its sequence. Holds views only, so threads may share one."""

    packed: cython.const[cython.uchar][::1]
    base: cython.const[cython.longlong][::1]
    length: cython.const[cython.longlong][::1]
    circular: cython.const[cython.uchar][::1]
    offset: cython.const[cython.uint][::1]
    position: cython.const[cython.uint][::1]
    check: cython.const[cython.uchar][::1]
    k: cython.int
    bits: cython.int
    margin: cython.longlong

    def __init__(self, packed, base, length, circular, k, bits, margin, offset, position, check):
        self.packed = packed
        self.base = base
        self.length = length
        self.circular = circular
        self.k = k
        self.bits = bits
        self.margin = margin
        self.offset = offset
        self.position = position
        self.check = check

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def search(
        self,
        query: cython.const[cython.uchar][::1],
        period: cython.longlong,
        burst: cython.longlong,
        most: cython.longlong,
        least: cython.longlong,
        near: cython.bint,
        recent: cython.longlong[::1],
        found: cython.longlong[::1],
        tally: cython.longlong[::1],
    ) -> cython.longlong:
        n: cython.longlong = query.shape[0]
        room: cython.longlong = found.shape[0] // 4 - 8  # one entry adds at most two matches in each of three rounds
        count: cython.longlong = 0
        k: cython.int = self.k
        mask: cython.ulonglong = 1
        word: cython.ulonglong = 0
        hashed: cython.ulonglong
        bucket: cython.ulonglong
        digit: cython.ulonglong
        wanted: cython.int
        entry: cython.longlong
        last: cython.longlong
        good: cython.longlong = 0
        i: cython.longlong
        q: cython.longlong
        neighbour: cython.int
        neighbours: cython.int = 1
        if near:
            neighbours += 3 * k
        mask = (mask << (2 * k)) - 1
        for i in range(n):
            digit = _digit(query[i])
            if digit > 3:
                good = 0
                digit = 0
            else:
                good += 1
            word = ((word << 2) | digit) & mask
            q = i - k + 1
            if good < k or q % period >= burst:
                continue
            for neighbour in range(neighbours):
                digit = 0
                if neighbour > 0:
                    digit = 1 + (neighbour - 1) % 3
                    digit = digit << (2 * ((neighbour - 1) // 3))
                hashed = _hash(word ^ digit)
                bucket = hashed >> (32 - self.bits)
                wanted = _check(hashed, self.bits)
                entry = self.offset[bucket]
                last = self.offset[bucket + 1]
                tally[1] += 1
                if last - entry > most:
                    tally[0] += 1
                    continue
                while entry < last:
                    if self.check[entry] == wanted:
                        count = self.visit(query, q, self.position[entry], least, near, recent, found, count)
                        if count > room:
                            return count
                    entry += 1
        return count

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def visit(
        self,
        query: cython.const[cython.uchar][::1],
        q: cython.longlong,
        place: cython.longlong,
        least: cython.longlong,
        near: cython.bint,
        recent: cython.longlong[::1],
        found: cython.longlong[::1],
        count: cython.longlong,
    ) -> cython.longlong:
        """Extend one entry of the index to its whole exact match, in each round of a circular stretch that it fits."""
        stretch: cython.Py_ssize_t = _stretch_of(self.base, place)
        start: cython.longlong = self.base[stretch]
        size: cython.longlong = self.length[stretch]
        at: cython.longlong = place - start
        limit: cython.longlong = size
        n: cython.longlong = query.shape[0]
        slots: cython.longlong = recent.shape[0] // 2
        slot: cython.longlong
        key: cython.longlong
        left: cython.longlong
        right: cython.longlong
        beyond: cython.longlong
        longest: cython.longlong
        if self.circular[stretch]:
            limit = 2 * size + self.margin
            while at - q < -self.margin:
                at += size
        while at < limit and (at - q <= size + self.margin or not self.circular[stretch]):
            key = ((at - q) << 20) ^ stretch
            slot = (((at - q) * 40503 + stretch) & (slots - 1)) * 2
            if recent[slot] != key or recent[slot + 1] < q + self.k:
                longest = min(limit - at, n - q)
                right = _run(query, q, self.packed, start, size, at, longest, 1)
                beyond = 0
                if near and right < self.k:
                    beyond = right + 1
                    beyond = _run(query, q + beyond, self.packed, start, size, at + beyond, longest - beyond, 1)
                if right + beyond + (beyond > 0) >= self.k:
                    longest = min(at, q)
                    left = _run(query, q - 1, self.packed, start, size, at - 1, longest, -1)
                    recent[slot] = key
                    recent[slot + 1] = q + right + beyond + (beyond > 0)
                    if left + right + beyond >= least:
                        if left + right > 0:
                            count = _note(found, count, q - left, at - left, left + right, stretch)
                        if beyond > 0:
                            count = _note(found, count, q + right + 1, at + right + 1, beyond, stretch)
            if not self.circular[stretch]:
                break
            at += size
        return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _note(
    found: cython.longlong[::1],
    count: cython.longlong,
    q: cython.longlong,
    at: cython.longlong,
    length: cython.longlong,
    stretch: cython.longlong,
) -> cython.longlong:
    found[4 * count] = q
    found[4 * count + 1] = at
    found[4 * count + 2] = length
    found[4 * count + 3] = stretch
    return count + 1


def find_matches(
    index: Index,
    query: cython.const[cython.uchar][::1],
    period: cython.longlong,
    burst: cython.longlong,
    most: cython.longlong,
    least: cython.longlong,
    near: cython.bint,
    recent: cython.longlong[::1],
    found: cython.longlong[::1],
    tally: cython.longlong[::1],
) -> int:
    """Exact matches of at least `least` bases, four numbers each into `found`; returns how many were written.

    Words begin at the first `burst` bases of every `period`. Words with more than `most` entries are passed over, and
    counted in `tally[0]`; `tally[1]` counts the words looked up. `near` looks up every word that differs in one base
    too, and then a match may be two with one base between them. `recent` (two numbers for each of 2**n slots, none of
    them a key) remembers the matches by diagonal, so that one is not extended again at each of its words. A `found`
    that is nearly full ends the search.
    """
    count: cython.longlong
    with cython.nogil:
        count = index.search(query, period, burst, most, least, near, recent, found, tally)
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _run(
    query: cython.const[cython.uchar][::1],
    q: cython.longlong,
    packed: cython.const[cython.uchar][::1],
    start: cython.longlong,
    size: cython.longlong,
    at: cython.longlong,
    longest: cython.longlong,
    step: cython.int,
) -> cython.longlong:
    """How many bases from here, forwards or backwards, are the same plain base in query and reference."""
    steps: cython.longlong = 0
    code: cython.int
    while at >= size:
        at -= size
    while steps < longest:
        code = query[q]
        if code != _base(packed, start + at) or code == 15:
            break
        steps += 1
        q += step
        at += step
        if at == size:
            at = 0
        elif at < 0:
            at = size - 1
    return steps


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _log2(value: cython.longlong) -> cython.longlong:
    result: cython.longlong = 0
    while value > 1:
        value >>= 1
        result += 1
    return result


def chain(
    found: cython.const[cython.longlong][::1],
    count: cython.longlong,
    largest_gap: cython.longlong,
    lookback: cython.longlong,
    score: cython.longlong[::1],
    parent: cython.longlong[::1],
) -> None:
    """For each match, sorted by stretch and place, the best chain that ends in it: its score, and the match before.

    A chain scores its matched bases, less a little for each break and more for a shift of the diagonal, growing with
    the logarithm of the shift: so a deletion of kilobases is crossed where enough matches on both sides.
    """
    i: cython.longlong
    j: cython.longlong
    first: cython.longlong
    top: cython.longlong = 0
    dq: cython.longlong
    dr: cython.longlong
    new: cython.longlong
    shift: cython.longlong
    between: cython.longlong
    best: cython.longlong
    cost: cython.longlong
    n: cython.longlong
    m: cython.longlong
    with cython.nogil:
        for i in range(count):
            n = found[4 * i + 2]
            best = n
            parent[i] = -1
            first = i - lookback
            first = max(first, 0)
            if i == 0 or found[4 * top + 3] != found[4 * i + 3]:
                top = i
            j = i - 1
            while j >= 0:
                if j < first:
                    if top >= first:
                        break
                    j = top  # among repeats the way back to the one long match may be long
                if found[4 * j + 3] != found[4 * i + 3]:
                    break
                dq = found[4 * i] - found[4 * j]
                dr = found[4 * i + 1] - found[4 * j + 1]
                m = found[4 * j + 2]
                if dq > 0 and dr > 0 and dq - m <= largest_gap and dr - m <= largest_gap:
                    between = min(dq, dr) - m
                    new = n if between >= 0 else n + between
                    shift = dr - dq
                    if shift < 0:
                        shift = -shift
                    cost = 2
                    if shift > 0:
                        cost = 6 + 2 * _log2(shift)
                    if between > 0:
                        cost += min(20, between >> 4)
                    if new > 0 and score[j] + new - cost > best:
                        best = score[j] + new - cost
                        parent[i] = j
                if j == top and j < first:
                    break
                j -= 1
            score[i] = best
            if best > score[top]:
                top = i


def collect(
    by_score: cython.const[cython.longlong][::1],
    score: cython.const[cython.longlong][::1],
    parent: cython.const[cython.longlong][::1],
    least: cython.longlong,
    used: cython.uchar[::1],
    members: cython.longlong[::1],
    chains: cython.longlong[::1],
) -> int:
    """The chains, best first, each match in one only: their matches in `members`, in order.

    `chains` gets two numbers for each: where its members end, and its score. Returns how many there are.
    """
    count: cython.longlong = by_score.shape[0]
    room: cython.longlong = chains.shape[0] // 2
    made: cython.longlong = 0
    filled: cython.longlong = 0
    i: cython.longlong
    at: cython.longlong
    low: cython.longlong
    high: cython.longlong
    total: cython.longlong
    swap: cython.longlong
    with cython.nogil:
        for i in range(count):
            at = by_score[i]
            if made == room or score[at] < least:
                break
            if used[at]:
                continue
            total = score[at]
            low = filled
            while at >= 0 and not used[at]:
                used[at] = 1
                members[filled] = at
                filled += 1
                at = parent[at]
            if at >= 0:
                total -= score[at]
            if total < least:
                filled = low
                continue
            high = filled - 1
            while low < high:
                swap = members[low]
                members[low] = members[high]
                members[high] = swap
                low += 1
                high -= 1
            chains[2 * made] = filled
            chains[2 * made + 1] = total
            made += 1
    return made


def decode(
    packed: cython.const[cython.uchar][::1],
    base: cython.longlong,
    length: cython.longlong,
    first: cython.longlong,
    out: cython.uchar[::1],
) -> None:
    """Bases of a stretch from place `first` on, one a byte, round and round."""
    i: cython.longlong
    n: cython.longlong = out.shape[0]
    at: cython.longlong = first % length
    with cython.nogil:
        for i in range(n):
            out[i] = _base(packed, base + at)
            at += 1
            if at == length:
                at = 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _same(a: cython.int, b: cython.int) -> cython.bint:
    """Whether query code `a` allows reference code `b`. An unknown base of the reference equals nothing but N."""
    return (a & b) != 0 and (a in (15, b) or b in (1, 2, 4, 8))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _reach(
    wave: cython.const[cython.int][::1],
    head: cython.const[cython.longlong][::1],
    s: cython.longlong,
    plane: cython.int,
    d: cython.longlong,
) -> cython.longlong:
    """How far along the window diagonal `d` was reached at cost `s`: any way (plane 0), by insertion 1, deletion 2."""
    if s < 0 or d < head[4 * s + 1] or d > head[4 * s + 2]:
        return -(1 << 29)
    return wave[head[4 * s] + plane * head[4 * s + 3] + d - head[4 * s + 1]]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _wavefront(
    query: cython.const[cython.uchar][::1],
    q: cython.longlong,
    n: cython.longlong,
    window: cython.const[cython.uchar][::1],
    w: cython.longlong,
    m: cython.longlong,
    step: cython.int,
    open_end: cython.bint,
    most: cython.longlong,
    wave: cython.int[::1],
    head: cython.longlong[::1],
    result: cython.longlong[::1],
) -> cython.bint:
    """Align `n` bases of the query from `q` with `m` of the window from `w`, both walked by `step`, at least cost.

    The wavefront algorithm with affine gaps (Marco-Sola and others, Bioinformatics 2021;37:456): for each cost in turn
    the furthest place reached on each diagonal. `result[4:7]` gets cost, diagonal and place of the end. With `open_end`
    the end is where matched length less cost is best, the query's own end having ten for nothing. False: the cost or
    the memory would be more than there is.
    """
    s: cython.longlong
    low: cython.longlong
    high: cython.longlong
    other: cython.longlong
    d: cython.longlong
    width: cython.longlong
    start: cython.longlong = 0
    h: cython.longlong
    v: cython.longlong
    inserted: cython.longlong
    deleted: cython.longlong
    value: cython.longlong
    gain: cython.longlong
    best: cython.longlong = -1
    here: cython.longlong
    none: cython.longlong = -(1 << 29)
    room: cython.longlong = wave.shape[0]
    source: cython.int
    reached: cython.bint
    alive: cython.longlong = 0
    for s in range(most + 1):
        low = 1
        high = 0
        if s == 0:
            low = 0
        else:
            for source in range(3):
                other = s - 3 if source == 0 else (s - 7 if source == 1 else s - 1)
                if other < 0 or head[4 * other + 1] > head[4 * other + 2]:
                    continue
                d = 0 if source == 0 else 1
                if low > high:
                    low = head[4 * other + 1] - d
                    high = head[4 * other + 2] + d
                else:
                    low = min(low, head[4 * other + 1] - d)
                    high = max(high, head[4 * other + 2] + d)
            low = max(low, -n)
            high = min(high, m)
        head[4 * s] = start
        head[4 * s + 1] = low
        head[4 * s + 2] = high
        if low > high:
            continue
        width = high - low + 1
        head[4 * s + 3] = width
        if start + 3 * width > room:
            return False
        here = none
        reached = False
        for d in range(low, high + 1):
            inserted = none
            deleted = none
            value = 0
            if s > 0:
                inserted = _reach(wave, head, s - 7, 0, d + 1)
                other = _reach(wave, head, s - 1, 1, d + 1)
                inserted = max(inserted, other)
                if inserted - d > n:
                    inserted = none
                deleted = _reach(wave, head, s - 7, 0, d - 1)
                other = _reach(wave, head, s - 1, 2, d - 1)
                deleted = max(deleted, other)
                deleted += 1
                if deleted > m:
                    deleted = none
                value = _reach(wave, head, s - 3, 0, d) + 1
                if value > m or value - d > n:
                    value = none
                value = max(value, inserted)
                value = max(value, deleted)
            if value >= 0:
                h = value
                v = h - d
                while h < m and v < n and _same(query[q + step * v], window[w + step * h]):
                    h += 1
                    v += 1
                value = h
                if open_end:
                    gain = (min(v, h)) - s
                    if v == n:
                        gain += 10
                    here = max(here, gain)
                    if gain > best:
                        best = gain
                        result[4] = s
                        result[5] = d
                        result[6] = h
                elif h == m and v == n:
                    result[4] = s
                    result[5] = d
                    result[6] = h
                    best = 0
                reached = True
            wave[start + d - low] = value if value >= 0 else none
            wave[start + width + d - low] = inserted if inserted >= 0 else none
            wave[start + 2 * width + d - low] = deleted if deleted >= 0 else none
        if not reached:  # an empty front, as if it had not been
            head[4 * s + 1] = 1
            head[4 * s + 2] = 0
            continue
        start += 3 * width
        if open_end:
            # What lies eighty below the best at the rim of a front is given up, or fronts would widen for ever.
            while low < high and _reach(wave, head, s, 0, low) + (0 if low < 0 else -low) - s < best - 80:
                low += 1
                head[4 * s] += 1
                head[4 * s + 1] = low
            while low < high and _reach(wave, head, s, 0, high) + (0 if high < 0 else -high) - s < best - 80:
                high -= 1
                head[4 * s + 2] = high
            if result[6] - result[5] == n:
                return True  # a later front could only come there at more cost
            # Sixty below the best is more than an insertion or deletion near an end can win back. The fronts that the
            # next ones grow from go back seven costs.
            if here >= best - 60:
                alive = s
            elif s > alive + 7:
                return True
        elif best == 0:
            return True
    return open_end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _trace(
    q: cython.longlong,
    w: cython.longlong,
    step: cython.int,
    wave: cython.const[cython.int][::1],
    head: cython.const[cython.longlong][::1],
    result: cython.const[cython.longlong][::1],
    blocks: cython.longlong[::1],
    count: cython.longlong,
) -> cython.longlong:
    """Write the differences on the way back from the end that `_wavefront` found; returns the new count of blocks.

    Walked forwards, they come last first and are turned round here. -1 when `blocks` is full.
    """
    s: cython.longlong = result[4]
    d: cython.longlong = result[5]
    h: cython.longlong = result[6]
    first: cython.longlong = count
    room: cython.longlong = blocks.shape[0] // 5
    plane: cython.int = 0
    value: cython.longlong
    dh: cython.int
    dv: cython.int
    v0: cython.longlong = -1  # the open block, in steps from the start
    v1: cython.longlong = -1
    h0: cython.longlong = -1
    h1: cython.longlong = -1
    i: cython.longlong
    j: cython.longlong
    x: cython.int
    while True:
        dh = 0
        dv = 0
        if plane == 0:
            if s == 0:
                h = 0 if d == 0 else h
            else:
                value = _reach(wave, head, s - 3, 0, d) + 1
                if _reach(wave, head, s, 1, d) > value:
                    value = _reach(wave, head, s, 1, d)
                    plane = 1
                if _reach(wave, head, s, 2, d) > value:
                    value = _reach(wave, head, s, 2, d)
                    plane = 2
                h = value
                if plane == 0:
                    dh = 1
                    dv = 1
                    s -= 3
        elif plane == 1:
            dv = 1
            if _reach(wave, head, s - 7, 0, d + 1) == h:
                s -= 7
                plane = 0
            else:
                s -= 1
            d += 1
        else:
            dh = 1
            if _reach(wave, head, s - 7, 0, d - 1) + 1 == h:
                s -= 7
                plane = 0
            else:
                s -= 1
            d -= 1
        if dh or dv:
            # What was consumed ends at h and at v, where v is taken on the diagonal before the step.
            h -= dh
            value = h - d
            if h1 >= 0 and h0 == h + dh and v0 == value + dv:
                h0 = h
                v0 = value
            else:
                if h1 >= 0:
                    if count == room:
                        return -1
                    _put(blocks, count, q, w, step, v0, v1, h0, h1)
                    count += 1
                h0 = h
                v0 = value
                h1 = h + dh
                v1 = value + dv
        elif plane == 0 and s == 0:
            break
    if h1 >= 0:
        if count == room:
            return -1
        _put(blocks, count, q, w, step, v0, v1, h0, h1)
        count += 1
    if step > 0:
        i = first
        j = count - 1
        while i < j:
            for x in range(5):
                value = blocks[5 * i + x]
                blocks[5 * i + x] = blocks[5 * j + x]
                blocks[5 * j + x] = value
            i += 1
            j -= 1
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put(
    blocks: cython.longlong[::1],
    count: cython.longlong,
    q: cython.longlong,
    w: cython.longlong,
    step: cython.int,
    v0: cython.longlong,
    v1: cython.longlong,
    h0: cython.longlong,
    h1: cython.longlong,
) -> cython.void:
    if step > 0:
        blocks[5 * count] = q + v0
        blocks[5 * count + 1] = q + v1
        blocks[5 * count + 2] = w + h0
        blocks[5 * count + 3] = w + h1
    else:  # walked backwards from the bases q and w, both included
        blocks[5 * count] = q - v1 + 1
        blocks[5 * count + 1] = q - v0 + 1
        blocks[5 * count + 2] = w - h1 + 1
        blocks[5 * count + 3] = w - h0 + 1
    blocks[5 * count + 4] = 0


def differences(
    query: cython.const[cython.uchar][::1],
    window: cython.const[cython.uchar][::1],
    matches: cython.longlong[::1],
    count: cython.longlong,
    wave: cython.int[::1],
    head: cython.longlong[::1],
    blocks: cython.longlong[::1],
    ends: cython.longlong[::1],
) -> int:
    """Align the query to the window along a chain of matches; write each difference; returns how many, -1 for no room.

    `matches` are the chain's, in order, with places in the window; they are cut to size in place. `ends` gets where the
    aligned part begins and ends in the query and in the window: what lies outside of it in the query did not align.
    """
    made: cython.longlong
    with cython.nogil:
        made = _align(query, window, matches, count, wave, head, blocks, ends)
    return made


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _align(
    query: cython.const[cython.uchar][::1],
    window: cython.const[cython.uchar][::1],
    matches: cython.longlong[::1],
    count: cython.longlong,
    wave: cython.int[::1],
    head: cython.longlong[::1],
    blocks: cython.longlong[::1],
    ends: cython.longlong[::1],
) -> cython.longlong:
    made: cython.longlong = 0
    n: cython.longlong = query.shape[0]
    m: cython.longlong = window.shape[0]
    most: cython.longlong = head.shape[0] // 4 - 1
    q: cython.longlong
    w: cython.longlong
    i: cython.longlong
    count = _tidy(matches, count)
    # The head of the query, walked backwards from the first match.
    q = matches[0]
    w = matches[1]
    ends[0] = q
    ends[2] = w
    if q > 0:
        _wavefront(query, q - 1, q, window, w - 1, w, -1, True, most, wave, head, ends)
        made = _trace(q - 1, w - 1, -1, wave, head, ends, blocks, made)
        ends[0] = q - (ends[6] - ends[5])
        ends[2] = w - ends[6]
    for i in range(1, count):
        if made < 0:
            return made
        q = matches[4 * i - 4] + matches[4 * i - 2]
        w = matches[4 * i - 3] + matches[4 * i - 2]
        made = _between(query, window, q, matches[4 * i], w, matches[4 * i + 1], most, wave, head, ends, blocks, made)
    if made < 0:
        return made
    # The tail.
    q = matches[4 * count - 4] + matches[4 * count - 2]
    w = matches[4 * count - 3] + matches[4 * count - 2]
    ends[1] = q
    ends[3] = w
    if q < n:
        _wavefront(query, q, n - q, window, w, m - w, 1, True, most, wave, head, ends)
        made = _trace(q, w, 1, wave, head, ends, blocks, made)
        ends[1] = q + ends[6] - ends[5]
        ends[3] = w + ends[6]
    return made


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _tidy(matches: cython.longlong[::1], count: cython.longlong) -> cython.longlong:
    """Cut the overlaps of neighbours, and step back from every shift of the diagonal; returns how many are left.

    A match runs on by chance beyond the place where the diagonal shifts, and a short one between two shifts may be
    chance altogether: the alignment decides there, not the seed.
    """
    kept: cython.longlong = 0
    i: cython.longlong
    x: cython.int
    cut: cython.longlong
    other: cython.longlong
    shift: cython.longlong
    give: cython.longlong
    for i in range(count):
        if (
            0 < i < count - 1
            and matches[4 * i + 2] < 48
            and kept > 0
            and matches[4 * i + 1] - matches[4 * i] != matches[4 * kept - 3] - matches[4 * kept - 4]
            and matches[4 * i + 1] - matches[4 * i] != matches[4 * i + 5] - matches[4 * i + 4]
        ):
            continue
        if kept > 0:
            cut = matches[4 * kept - 4] + matches[4 * kept - 2] - matches[4 * i]
            other = matches[4 * kept - 3] + matches[4 * kept - 2] - matches[4 * i + 1]
            cut = max(cut, other)
            if cut > 0:
                if matches[4 * i + 2] - cut < 1:
                    continue
                matches[4 * i] += cut
                matches[4 * i + 1] += cut
                matches[4 * i + 2] -= cut
            shift = (matches[4 * i + 1] - matches[4 * i]) - (matches[4 * kept - 3] - matches[4 * kept - 4])
            if shift != 0:
                give = matches[4 * kept - 2] // 2
                give = min(give, 16)
                matches[4 * kept - 2] -= give
                give = matches[4 * i + 2] // 2
                give = min(give, 16)
                matches[4 * i] += give
                matches[4 * i + 1] += give
                matches[4 * i + 2] -= give
        for x in range(4):
            matches[4 * kept + x] = matches[4 * i + x]
        kept += 1
    return kept


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _plain(blocks: cython.longlong[::1], first: cython.longlong, made: cython.longlong) -> cython.longlong:
    """One difference instead of many where telling them costs more than replacing the whole stretch; the new count.

    Beside a large gap an alignment may choose what to match, and finds much by chance. A replaced base costs 1.
    """
    i: cython.longlong
    n: cython.longlong
    m: cython.longlong
    cost: cython.longlong = 0
    if made - first < 3:
        return made
    for i in range(first, made):
        n = blocks[5 * i + 1] - blocks[5 * i]
        m = blocks[5 * i + 3] - blocks[5 * i + 2]
        cost += 3 * min(n, m)
        if n != m:
            cost += 6 + max(n, m) - min(n, m)
    n = blocks[5 * made - 4] - blocks[5 * first]
    m = blocks[5 * made - 2] - blocks[5 * first + 2]
    if min(n, m) < 12 or cost < 6 + max(n, m):
        return made
    n = min(n, m)
    blocks[5 * first + 1] = blocks[5 * made - 4]
    blocks[5 * first + 3] = blocks[5 * made - 2]
    if n > 300:
        blocks[5 * first + 4] = 1
    return first + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _between(
    query: cython.const[cython.uchar][::1],
    window: cython.const[cython.uchar][::1],
    q: cython.longlong,
    a: cython.longlong,
    w: cython.longlong,
    b: cython.longlong,
    most: cython.longlong,
    wave: cython.int[::1],
    head: cython.longlong[::1],
    result: cython.longlong[::1],
    blocks: cython.longlong[::1],
    made: cython.longlong,
) -> cython.longlong:
    """The differences between query [q, a) and window [w, b), which matches enclose. -1: no room for them."""
    n: cython.longlong = a - q
    m: cython.longlong = b - w
    limit: cython.longlong
    if n == 0 and m == 0:
        return made
    if made >= blocks.shape[0] // 5:
        return -1
    if n == m and n == 1:
        if not _same(query[q], window[w]):
            _put(blocks, made, q, w, 1, 0, 1, 0, 1)
            made += 1
        return made
    if n == 0 or m == 0:
        _put(blocks, made, q, w, 1, 0, n, 0, m)
        return made + 1
    # One difference in four bases: what costs more does not resemble the reference, and looking on is dear.
    limit = min(max(n, m) - min(n, m) + 3 * min(n, m) // 4 + 40, most)
    # Walked backwards, so that of equally good alignments the one with its gaps furthest left comes out.
    if _wavefront(query, a - 1, n, window, b - 1, m, -1, False, limit, wave, head, result):
        limit = _trace(a - 1, b - 1, -1, wave, head, result, blocks, made)
        return _plain(blocks, made, limit)
    _put(blocks, made, q, w, 1, 0, n, 0, m)
    blocks[5 * made + 4] = 1
    return made + 1


def between(
    query: cython.const[cython.uchar][::1],
    window: cython.const[cython.uchar][::1],
    wave: cython.int[::1],
    head: cython.longlong[::1],
    blocks: cython.longlong[::1],
    ends: cython.longlong[::1],
) -> int:
    """The differences between the whole query and the whole window, as `differences` writes them."""
    made: cython.longlong
    most: cython.longlong = head.shape[0] // 4 - 1
    with cython.nogil:
        made = _between(query, window, 0, query.shape[0], 0, window.shape[0], most, wave, head, ends, blocks, 0)
    return made

"""How right and how fast raw DNA is placed: rows of `bench annotate`.

`rawdna_exact` scores the 200 shared queries with planted variants. `rawdna_panel_exact` makes a thousand reads and
amplicons of real human genes, from 150 bases to 5 kb, plants up to five variants in each and wants them all back, with
place and strand; what lies in a gene that has a copy must be called ambiguous, and the copy is looked at before that
counts as right. The truth is left-aligned here, in plain Python, and not by the code under trial.
`mtdna_sequence_ms` is one whole mitochondrial genome with thirty variants, from text to variant columns, resident.
"""

import gzip
import random
import statistics
import time
from pathlib import Path
from typing import Final, NamedTuple

from genescale.clock import Clock
from genescale.genomics import embedded_build
from genescale.genomics.align import Aligner, Answer, variants_of
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.dna import read_dna
from genescale.genomics.mito import wilson
from genescale.trials.report import Row, absent, row
from genescale.trials.scratch import scratch, shared_data

GOAL: Final = 0.995
GOAL_MS: Final = 3.0
_PARITY: Final = shared_data() / "vep-parity"
_EDGE: Final = 16  # bases between a planted variant and the end of its query
_APART: Final = 26  # and between two of them
_RUNS: Final = 50

Edit = tuple[int, str, str]  # POS, REF, ALT


class Query(NamedTuple):
    """A query and what is to come out."""

    text: str
    contig: str
    start: int
    end: int
    strand: str
    variants: list[Edit]


def rows(seed: int, clock: Clock, *, reads: int = 1_000) -> list[Row]:
    """The three rows."""
    del clock  # CPU seconds: the machine is shared
    with scratch() as folder:
        return [shared_queries(folder), panel_reads(folder, seed, reads), mitochondrial_ms(folder, seed)]


# ---- rows ----


def shared_queries(folder: Path, parity: Path = _PARITY) -> Row:
    """The share of the shared queries that come out exactly."""
    name, file = "rawdna_exact", parity / "rawdna.tsv.gz"
    if not file.exists():
        return absent(name, "share", "higher", "the shared data vep-parity is not beside this checkout", goal=GOAL)
    genome, genes = parity / "genome.fa.gz", parity / "genes.gff3.gz"
    build_bundle(folder / "parity", name="parity", fasta=genome, genes=genes)
    with Bundle.open(folder / "parity") as bundle:
        aligner = Aligner(bundle)
        asked = list(read_queries(file))
        began = time.process_time()
        answers = [aligner.place_one(read_dna(query.text)[0]) for query in asked]
        each_us = (time.process_time() - began) / len(asked) * 1e6
    right = sum(is_exact(query, answer) for query, answer in zip(asked, answers, strict=True))
    return _share(name, right, len(asked), f"place, strand and all variants; {each_us:.0f} us of CPU each")


def panel_reads(folder: Path, seed: int, reads: int) -> Row:
    """The same for reads of the clinical panel. Ambiguous ones, where there is a copy, are no part of the share."""
    with Bundle.open(embedded_build.build("clinical-panel", folder / "panel")) as bundle:
        aligner = Aligner(bundle)
        draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
        asked = [planted(bundle, draw) for _ in range(reads)]
        began = time.process_time()
        answers = [aligner.place_one(read_dna(query.text)[0]) for query in asked]
        each_us = (time.process_time() - began) / len(asked) * 1e6
        twofold = sum(has_copy(bundle, query, answer) for query, answer in zip(asked, answers, strict=True))
    right = sum(is_exact(query, answer) for query, answer in zip(asked, answers, strict=True))
    note = f"150 b to 5 kb, 0 to 5 variants; {twofold} more lie in copied stretches and were called ambiguous"
    return _share("rawdna_panel_exact", right, reads - twofold, f"{note}; {each_us:.0f} us of CPU each")


def mitochondrial_ms(folder: Path, seed: int) -> Row:
    """CPU milliseconds of one whole mitochondrial genome with thirty variants, the median of the runs."""
    name = "mtdna_sequence_ms"
    with Bundle.open(embedded_build.build("mitochondrion", folder / "mitochondrion")) as bundle:
        text, truth = _mitochondrial_genome(bundle, seed)
        aligner = Aligner(bundle)
        taken_ms: list[float] = []
        for _ in range(_RUNS):
            began = time.process_time()
            answer = aligner.place_one(read_dna(text)[0])
            variants_of([answer], bundle)
            taken_ms.append((time.process_time() - began) * 1e3)
            if [(call.position, call.ref, call.alt) for call in answer.variants] != truth:
                return absent(name, "ms", "lower", "the variants that came out are not those planted", goal=GOAL_MS)
    middle = round(statistics.median(taken_ms), 3)
    note = f"{len(text):,} bases with {len(truth)} variants, from text to variant columns; CPU, resident"
    return row(name, middle, "ms", "lower", goal=GOAL_MS, samples=[round(ms, 3) for ms in taken_ms], note=note)


def _share(name: str, right: int, count: int, note: str) -> Row:
    low, high = wilson(right / count, count)
    interval = f"{right} of {count}, 95 % interval {low:.4f} to {high:.4f}"
    return row(name, round(right / count, 4), "share", "higher", goal=GOAL, note=f"{interval}; {note}")


# ---- what is asked, and what is right ----


def read_queries(file: Path) -> list[Query]:
    """The queries of the shared file."""
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()[1:]
    found: list[Query] = []
    for line in lines:
        _, contig, start, end, strand, _, listed, text = line.split("\t")
        edits = [] if listed == "." else [edit.split(":") for edit in listed.split(";")]
        found.append(Query(text, contig, int(start), int(end), strand, [(int(p), r, a) for p, r, a in edits]))
    return found


def is_exact(query: Query, answer: Answer) -> bool:
    """Whether one place came out, the right one, with exactly the planted variants."""
    if answer.outcome != "placed":
        return False
    place = answer.placements[0]
    found = [(call.position, call.ref, call.alt) for call in place.variants]
    return (place.contig, place.start, place.end, place.strand, found) == query[1:]


def has_copy(bundle: Bundle, query: Query, answer: Answer) -> bool:
    """Whether the answer is ambiguous, lists the true place, and the others hold most of the query's words indeed."""
    places = [place for best in answer.placements for place in (best, *best.alternatives)]
    true = [p for p in places if p.contig == query.contig and p.start <= query.end and query.start <= p.end]
    if answer.outcome != "ambiguous" or not true:
        return False
    words = _words(query.text) | _words(_other_strand(query.text))
    for place in places:
        held = _words((bundle.sequence(bundle.contig(place.contig), place.start, place.end) or b"").decode())
        if len(held & words) * 2 < len(held):
            return False
    return len(places) > 1


def _words(text: str) -> set[str]:
    return {text[i : i + 16] for i in range(len(text) - 15)}


def planted(bundle: Bundle, draw: random.Random, shortest: int = 150, longest: int = 5_000) -> Query:
    """A stretch of the bundle with up to five variants, each well away from the others and from the ends."""
    starts: list[int] = bundle.array("segment_start").tolist()
    ends: list[int] = bundle.array("segment_end").tolist()
    contigs: list[int] = bundle.array("segment_contig").tolist()
    sizes = [end - start for start, end in zip(starts, ends, strict=True)]
    while True:
        stretch = draw.choices(range(len(sizes)), weights=sizes)[0]
        length = round(shortest * (longest / shortest) ** draw.random())
        if sizes[stretch] < length + 400:
            continue
        first = starts[stretch] + draw.randrange(200, sizes[stretch] - length - 200)
        around = (bundle.sequence(contigs[stretch], first - 199, first + length + 200) or b"").decode()
        if set(around) <= set("ACGT"):
            break
    text, edits = _with_variants(around, 200, length, draw)
    variants = [(first - 200 + position + 1, ref, alt) for position, ref, alt in edits]
    strand = draw.choice("+-")
    name = bundle.contigs[contigs[stretch]].name
    return Query(
        text if strand == "+" else _other_strand(text), name, first + 1, first + length, strand, sorted(variants)
    )


def _with_variants(around: str, margin: int, length: int, draw: random.Random) -> tuple[str, list[Edit]]:
    """The middle of `around` with variants in it, and these, left-aligned, counted from 0 in `around`."""
    edits: list[Edit] = []
    parts: list[str] = []
    at = low = margin
    wanted = draw.randrange(6)
    for place in sorted(draw.randrange(margin + _EDGE, margin + length - _EDGE - 14) for _ in range(wanted)):
        ref, alt = _change(around, place, draw)
        edit = left_aligned(around, place, ref, alt)
        reach = _right_end(around, place, ref, alt)
        if edit[0] < low + _EDGE or place < at + _APART or reach > margin + length - _EDGE:
            continue
        edits.append(edit)
        parts += [around[at:place], alt]
        at = place + len(ref)
        low = max(at, reach)
    return "".join([*parts, around[at : margin + length]]), edits


def _change(around: str, place: int, draw: random.Random) -> tuple[str, str]:
    """REF and ALT of a new variant: three in five a single base, the others insertions, deletions, substitutions."""
    kind = draw.random()
    size = min(14, 1 + int(draw.expovariate(0.4)))
    if kind < 0.15:
        return "", "".join(draw.choices("ACGT", k=size))
    if kind < 0.3:
        return around[place : place + size], ""
    ref = around[place : place + (1 if kind < 0.9 else draw.randrange(2, 5))]
    return ref, "".join(draw.choice("ACGT".replace(base, "")) for base in ref)


def left_aligned(around: str, place: int, ref: str, alt: str) -> Edit:
    """The edit as VCF writes it, counted from 0."""
    if len(ref) == len(alt):
        return place, ref, alt
    moving = ref or alt
    while place and around[place - 1] == moving[-1]:
        moving = moving[-1] + moving[:-1]
        place -= 1
    base = around[place - 1]
    return (place - 1, base + moving, base) if ref else (place - 1, base, base + moving)


def _right_end(around: str, place: int, ref: str, alt: str) -> int:
    """Where an insertion or deletion ends when it is rolled to the right as far as it goes."""
    end = place + len(ref)
    moving = "" if len(ref) == len(alt) else ref or alt
    while moving and end < len(around) and around[end] == moving[0]:
        moving = moving[1:] + moving[0]
        end += 1
    return end


def _other_strand(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def _mitochondrial_genome(bundle: Bundle, seed: int) -> tuple[str, list[Edit]]:
    """The reference with thirty single-base changes, and these."""
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    bases = (bundle.sequence(0, 1, bundle.contigs[0].length or 0) or b"").decode()
    changed = list(bases)
    edits: list[Edit] = []
    for place in sorted(draw.sample(range(100, len(bases) - 100, 25), 40)):
        if bases[place] in "ACGT" and len(edits) < 30:
            changed[place] = draw.choice("ACGT".replace(bases[place], ""))
            edits.append((place + 1, bases[place], changed[place]))
    return "".join(changed), edits

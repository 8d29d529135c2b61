"""How many known facts a second are found: the row `lookup_rate` of `bench annotate`.

A made-up genome, a million made-up facts with real shapes (nine in ten single bases, the rest insertions and
deletions, many of them in repeats), and a VCF whose alleles are half known and half not, the indels written at another
place of their repeat than the facts have them. Only the look-up is timed, batch by batch as `annotate` calls it; every
answer is compared with the one that is known to be right, and a wrong one leaves the row empty.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from genescale.clock import Clock
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Column, Knowledge
from genescale.genomics.knowledge_build import Fact, Source, build_facts
from genescale.genomics.vcf import Scanner
from genescale.trials.report import Row, absent, row
from genescale.trials.scratch import scratch

NAME: Final = "lookup_rate"
GOAL: Final = 1_000_000
_BASES: Final = 8_000_000
_SOURCE: Final = Source("made_up", "1", "", "none", "", (Column("number", "u4", "number of the fact"),), files=())


class Truth(NamedTuple):
    """A variant of the trial; `number` is that of its fact, None when nothing is known about it."""

    position: int
    ref: str
    alt: str
    number: int | None


def lookup_rate(seed: int, clock: Clock, *, facts: int = 1_000_000, runs: int = 3) -> Row:
    """Look-ups for each CPU second, the median of the runs, over half as many variants as there are facts."""
    del clock  # CPU seconds: the machine is shared
    with scratch() as folder:
        genome = _genome(seed, min(_BASES, facts * 4))
        folder_of_bundle = _bundle(folder, genome)
        spacing = max(4, len(genome) // facts)
        report = build_facts(folder_of_bundle, _SOURCE, _facts(genome, spacing, seed))
        truths = list(_asked(genome, spacing, seed))
        with Bundle.open(folder_of_bundle) as bundle:
            rates: list[int] = []
            for _ in range(runs):
                seconds, wrong = _timed(bundle, truths)
                if wrong:
                    return absent(
                        NAME, "lookups/s", "higher", f"{wrong} of {len(truths)} answers were wrong", goal=GOAL
                    )
                rates.append(round(len(truths) / seconds))
            one_us = _one_us(bundle, truths)
    known = sum(truth.number is not None for truth in truths)
    note = (
        f"{len(truths):,} alleles in the order of positions, {known:,} of them known, against {report.rows:,} facts; "
        f"one alone {one_us:.1f} us; CPU seconds"
    )
    return row(NAME, sorted(rates)[len(rates) // 2], "lookups/s", "higher", goal=GOAL, samples=rates, note=note)


def _genome(seed: int, length: int) -> str:
    """Random bases, a fifth of them in short tandem repeats."""
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    parts: list[str] = []
    size = 0
    while size < length:
        parts.append("".join(draw.choices("ACGT", k=200)))
        parts.append("".join(draw.choices("ACGT", k=draw.randrange(1, 4))) * draw.randrange(5, 20))
        size += len(parts[-1]) + len(parts[-2])
    return "".join(parts)[:length]


def _bundle(folder: Path, genome: str) -> Path:
    fasta, gff3 = folder / "genome.fa", folder / "genes.gff3"
    fasta.write_text(f">1\n{genome}\n")
    place = "101\t200\t.\t+\t."
    gff3.write_text(
        "##gff-version 3\n"
        f"1\tx\tgene\t{place}\tID=gene:G;Name=G;biotype=lncRNA;gene_id=G\n"
        f"1\tx\ttranscript\t{place}\tID=transcript:T.1;Parent=gene:G;transcript_id=T.1;biotype=lncRNA\n"
        f"1\tx\texon\t{place}\tParent=transcript:T.1\n"
    )
    build_bundle(folder / "bundle", name="lookup", fasta=fasta, genes=gff3, assembly="made up", synthetic=True)
    return folder / "bundle"


def _variant(genome: str, position: int, seed: int) -> tuple[str, str]:
    """REF and ALT of the variant of this place, always the same: 90 % SNV, 5 % deletions, 5 % insertions."""
    draw = random.Random(seed * 1_000_003 + position)  # noqa: S311 - reproducible on purpose
    base = genome[position - 1]
    kind = draw.random()
    if kind < 0.9:
        return base, draw.choice("ACGT".replace(base, ""))
    if kind < 0.95:
        return genome[position - 1 : position + draw.choice((1, 1, 2, 3, 8, 20))], base
    return base, base + "".join(draw.choices("ACGT", k=draw.choice((1, 1, 2, 4, 15))))


def _facts(genome: str, spacing: int, seed: int) -> Iterator[Fact]:
    """One fact for each place; two places of one repeat may turn out to be one variant."""
    for number, position in enumerate(range(100, len(genome) - 200, spacing)):
        ref, alt = _variant(genome, position, seed)
        yield Fact(number + 1, "1", position, ref, alt, (number,))


def _asked(genome: str, spacing: int, seed: int) -> Iterator[Truth]:
    """Every fourth fact, its indels shifted to the right as far as they go, and as many variants that are none."""
    seen: dict[tuple[int, str, str], int] = {}
    for number, position in enumerate(range(100, len(genome) - 200, spacing)):
        ref, alt = _variant(genome, position, seed)
        place, ref, alt = _shifted(genome, position, ref, alt)
        first = seen.setdefault((place, ref, alt), number)
        if number % 4 == 0:
            yield Truth(place, ref, alt, first)
            base = genome[position]  # the base between two places: of it no single-base fact exists
            yield Truth(position + 1, base, "ACGT".replace(base, "")[number % 3], None)


def _shifted(genome: str, position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """The right-most spelling of an insertion or deletion, with the base before it."""
    if len(ref) == len(alt):
        return position, ref, alt
    moving = (ref if len(ref) > len(alt) else alt)[1:]
    end = position + len(ref)  # 1-based, the base behind
    while genome[end - 1] == moving[0]:
        moving = moving[1:] + moving[0]
        position, end = position + 1, end + 1
    anchor = genome[position - 1]
    return (position, anchor + moving, anchor) if len(ref) > len(alt) else (position, anchor, anchor + moving)


def _timed(bundle: Bundle, truths: list[Truth]) -> tuple[float, int]:
    """CPU seconds of all look-ups, and how many answers were wrong."""
    knowledge, scanner = Knowledge.open(bundle), Scanner(bundle)
    numbers = knowledge["made_up"].column("number")
    block = b"".join(f"1\t{t.position}\t.\t{t.ref}\t{t.alt}\t.\t.\t.\n".encode() for t in truths)
    seconds, wrong, at, done = 0.0, 0, 0, 0
    while at < len(block):
        at = scanner.scan(block, at)
        began = time.process_time()
        rows = knowledge.lookup(scanner.variants)["made_up"]
        seconds += time.process_time() - began
        found = [int(numbers[i]) if i >= 0 else None for i in rows.tolist()]
        wrong += sum(one != truth.number for one, truth in zip(found, truths[done:], strict=False))
        done += len(found)
    return seconds, wrong + abs(len(truths) - done)


def _one_us(bundle: Bundle, truths: list[Truth]) -> float:
    """Microseconds of one look-up alone, the median of many."""
    knowledge, scanner = Knowledge.open(bundle), Scanner(bundle)
    took: list[int] = []
    for truth in truths[:2000:2]:
        scanner.scan(f"1\t{truth.position}\t.\t{truth.ref}\t{truth.alt}\t.\t.\t.\n".encode())
        began = time.perf_counter_ns()
        knowledge.lookup(scanner.variants)
        took.append(time.perf_counter_ns() - began)
    return sorted(took)[len(took) // 2] / 1000

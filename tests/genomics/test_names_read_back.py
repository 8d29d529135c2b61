"""Names that we write are read back as the variants they were written for: on the parity genome and on human genes."""

import gzip
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from genescale.errors import InvalidInput
from genescale.genomics import hgvs
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.names import write_names
from genescale.genomics.places import GenomicEdit, VcfVariant, as_vcf
from genescale.genomics.resolve import Resolved, resolve, resolve_spdi
from genescale.genomics.spdi import parse_spdi
from genescale.genomics.variants import Variants, variants_of_record
from support.lrg_bundle import lrg_bundle
from support.shared_data import shared_data
from support.vep_parity import parity_bundle

Record = tuple[int, int, str, str]


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return parity_bundle()


@pytest.fixture(scope="module")
def human() -> Bundle:
    return lrg_bundle("GRCh38")


def of_parity(bundle: Bundle, every: int) -> list[Record]:
    found: list[Record] = []
    with gzip.open(shared_data("vep-parity/main.vcf.gz"), "rt") as lines:
        for number, line in enumerate(line for line in lines if not line.startswith("#")):
            if number % every == 0:
                chrom, pos, _, ref, alt = line.split("\t")[:5]
                found.append((bundle.contig(chrom), int(pos), ref, alt))
    return found


def drawn(bundle: Bundle, count: int, seed: int) -> list[Record]:
    """Substitutions, insertions, deletions and delins in and beside exons."""
    draw = random.Random(seed)
    first, last, contig = (bundle.array(name) for name in ("exon_start", "exon_end", "transcript_contig"))
    found: list[Record] = []
    while len(found) < count:
        t = draw.randrange(len(contig))
        exon = draw.randrange(*bundle.array("transcript_exon")[t : t + 2].tolist())
        pos = draw.randrange(int(first[exon]) - 30, int(last[exon]) + 30)
        size = draw.choice((1, 1, 2, 3, 6, 12))
        there = (bundle.sequence(int(contig[t]), pos, pos + size) or b"").decode()
        if not there or "N" in there:
            continue
        new = "".join(draw.choice("ACGT") for _ in range(size))
        ref, alt = draw.choice(((there[0], new[0]), (there[0], there[0] + new), (there, there[0]), (there, new)))
        if ref != alt:
            found.append((int(contig[t]), pos, ref, alt))
    return found


def outcome(found: Resolved, wanted: VcfVariant) -> str:
    return "same" if found.variants == (wanted,) and not found.ambiguous else "other"


def read_back(bundle: Bundle, records: Sequence[Record]) -> Counter[tuple[str, str]]:
    """What becomes of each name that `write_names` gives for `records`."""
    rows = [row for i, (c, p, ref, alt) in enumerate(records) for row in variants_of_record(c, p, ref, [alt], record=i)]
    wanted = [as_vcf(bundle, GenomicEdit(c, p, p + len(ref) - 1, alt)) for c, p, ref, alt in records]
    variants = Variants.of_rows(rows)
    pairs = judge(bundle, variants)
    names = write_names(bundle, variants, pairs, which={"hgvsc", "hgvsp", "hgvsg", "spdi", "spdi_canonical"})
    assert names.hgvsg and names.spdi and names.spdi_canonical and names.hgvsc and names.hgvsp  # noqa: PT018
    counts: Counter[tuple[str, str]] = Counter()
    for i, variant in enumerate(wanted):
        counts["hgvsg", outcome(resolve(bundle, names.hgvsg[i]), variant)] += 1
        counts["spdi", outcome(resolve_spdi(bundle, parse_spdi(names.spdi[i])), variant)] += 1
        counts["canonical", outcome(resolve_spdi(bundle, parse_spdi(names.spdi_canonical[i])), variant)] += 1
    for row in range(pairs.count):
        if names.hgvsc[row]:
            counts["hgvsc", outcome(resolve(bundle, names.hgvsc[row]), wanted[int(pairs.variant[row])])] += 1
        if names.hgvsp[row]:
            counts["hgvsp", protein_outcome(names.hgvsp[row].rpartition(":")[2])] += 1
    return counts


def protein_outcome(name: str) -> str:
    try:
        return "same" if str(hgvs.parse(f"x:{name}")) == f"x:{name}" else "other"
    except InvalidInput:
        return "refused"


# HGVS has no name for a deletion that takes the stop with it; VEP's `delextTer` is written and not read.
def share_of_proteins(counts: Counter[tuple[str, str]]) -> float:
    return counts["hgvsp", "same"] / sum(count for (kind, _), count in counts.items() if kind == "hgvsp")


def test_names_on_the_parity_genome_are_read_back(parity: Bundle) -> None:
    counts = read_back(parity, of_parity(parity, every=10))
    assert {what for kind, what in counts if kind != "hgvsp"} == {"same"}
    assert counts["hgvsc", "same"] > 2_000
    assert share_of_proteins(counts) > 0.99


@pytest.mark.slow
def test_names_on_human_genes_are_read_back(human: Bundle) -> None:
    counts = read_back(human, drawn(human, 600, seed=1))
    assert {what for kind, what in counts if kind != "hgvsp"} == {"same"}
    assert counts["hgvsc", "same"] > 700
    assert share_of_proteins(counts) > 0.99


@pytest.mark.slow
def test_all_names_are_read_back(parity: Bundle, human: Bundle) -> None:
    counts = read_back(parity, of_parity(parity, every=1)) + read_back(human, drawn(human, 20_000, seed=2))
    assert {what for kind, what in counts if kind != "hgvsp"} == {"same"}
    assert counts["hgvsc", "same"] > 45_000
    assert share_of_proteins(counts) > 0.995

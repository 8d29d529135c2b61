"""One change of the sequence has one answer, however it is written; and bundles of regions claim nothing unknown."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from genescale.genomics import terms
from genescale.genomics import variants as v
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.variants import Row, Variants, variants_of_record
from support.nasty_genome import Nasty, nasty_genome


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Nasty:
    return nasty_genome(tmp_path_factory.mktemp("nasty"), 31, genes=40)


def answers(genome: Nasty, rows: list[Row], **options: bool) -> list[set[tuple[int, int]]]:
    """(transcript, terms) of each row."""
    pairs = judge(genome.bundle, Variants.of_rows(rows), **options)
    found: list[set[tuple[int, int]]] = [set() for _ in rows]
    for i in range(pairs.count):
        found[pairs.variant[i]].add((int(pairs.transcript[i]), int(pairs.terms[i])))
    return found


def changes(genome: Nasty, seed: int, count: int) -> list[tuple[str, int, str, str]]:
    rng = random.Random(seed)
    out: list[tuple[str, int, str, str]] = []
    while len(out) < count:
        model = rng.choice(genome.models)
        sequence = genome.sequence[model.contig]
        edge = rng.choice([p for exon in model.exons for p in exon] + list(model.coding or ()))
        pos = edge + rng.randint(-8, 8)
        if not 20 < pos < len(sequence) - 40:
            continue
        ref = sequence[pos - 1 : pos - 1 + rng.choice((1, 1, 2, 4, 7))]
        alt = "".join(rng.choices("ACGT", k=rng.choice((1, 1, 2, 4, 7))))
        if ref != alt and not set(ref) - set("ACGT"):
            out.append((model.contig, pos, ref, alt))
    return out


def test_padding_changes_no_answer(nasty: Nasty) -> None:
    plain: list[Row] = []
    padded: list[Row] = []
    for contig, pos, ref, alt in changes(nasty, 1, 400):
        sequence, index = nasty.sequence[contig], nasty.bundle.contig(contig)
        before = sequence[pos - 4 : pos - 1]
        # What follows would let an indel move to the right in a repeat, which is another place.
        after = sequence[pos - 1 + len(ref) :][:5] if len(ref) == len(alt) else ""
        plain += variants_of_record(index, pos, ref, [alt])
        padded += variants_of_record(index, pos - 3, before + ref + after, [before + alt + after])
    assert answers(nasty, plain) == answers(nasty, padded)


def test_an_allele_of_a_site_answers_as_if_alone(nasty: Nasty) -> None:
    alone: list[Row] = []
    together: list[Row] = []
    for contig, pos, ref, alt in changes(nasty, 2, 400):
        index = nasty.bundle.contig(contig)
        others = [ref[:1] + "GATTACA", ref[:1] if len(ref) > 1 else "T" + ref]
        alone += variants_of_record(index, pos, ref, [alt])
        together += variants_of_record(index, pos, ref, [*others, alt])[-1:]
    assert answers(nasty, alone) == answers(nasty, together)


def test_a_shifted_indel_answers_alike_wherever_it_is_written(nasty: Nasty) -> None:
    first: list[Row] = []
    second: list[Row] = []
    for contig, sequence in nasty.sequence.items():
        index = nasty.bundle.contig(contig)
        for pos in range(30, len(sequence) - 30):
            # A deletion of one of two equal neighbours: either may be the one.
            if sequence[pos - 1] == sequence[pos] != sequence[pos - 2] and sequence[pos] in "ACGT":
                first += variants_of_record(index, pos - 1, sequence[pos - 2 : pos], [sequence[pos - 2]])
                second += variants_of_record(index, pos, sequence[pos - 1 : pos + 1], [sequence[pos - 1]])
    rng = random.Random(3)
    chosen = rng.sample(range(len(first)), 600)
    first, second = [first[i] for i in chosen], [second[i] for i in chosen]
    assert answers(nasty, first, shift=True) == answers(nasty, second, shift=True)


def test_nobody_knows_what_lies_between_two_regions(tmp_path: Path) -> None:
    fasta, genes = tmp_path / "regions.fa", tmp_path / "genes.gff3"
    fasta.write_text(">chr1:1001-2000 one\n" + "ACGTA" * 200 + "\n>chr1:2501-3500 two\n" + "ACGTA" * 200 + "\n")
    lines = [
        "chr1\tx\tgene\t1501\t1600\t.\t+\t.\tID=gene:G;biotype=lncRNA;gene_id=G",
        "chr1\tx\ttranscript\t1501\t1600\t.\t+\t.\tID=transcript:T;Parent=gene:G;transcript_id=T;biotype=lncRNA",
        "chr1\tx\texon\t1501\t1600\t.\t+\t.\tParent=transcript:T",
    ]
    genes.write_text("##gff-version 3\n" + "\n".join(lines) + "\n")
    build_bundle(tmp_path / "regions", name="regions", fasta=fasta, genes=genes, assembly="GRCh38")
    with Bundle.open(tmp_path / "regions") as bundle:

        def told(pos: int, ref: str, alt: str) -> tuple[int, list[str]]:
            variants = Variants.of_rows(variants_of_record(bundle.contig("chr1"), pos, ref, [alt]))
            pairs = judge(bundle, variants)
            found = [terms.names(int(pairs.terms[i]))[0] for i in range(pairs.count)]
            return int(variants.flags[0]), found

        assert told(1551, "A", "C") == (0, ["non_coding_transcript_exon_variant"])
        assert told(1001, "A", "C") == (0, ["upstream_gene_variant"])
        assert told(2501, "A", "C") == (0, ["intergenic_variant"])  # not: downstream, across the gap
        assert told(2200, "A", "C") == (v.OUTSIDE_REFERENCE, [])
        assert told(1999, "TACGT", "T") == (v.OUTSIDE_REFERENCE, [])
        assert told(2000, "A", "ACC")[0] == 0
        assert told(1551, "G", "C") == (v.REF_MISMATCH, [])

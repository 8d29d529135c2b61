"""The made-up genome: the same for a seed, sound in its genes, and never to be taken for a real one."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.genomics import embedded_build, synthetic
from genescale.genomics.bundle import Bundle
from genescale.genomics.synthetic import synthetic_genome

COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def part(genome: synthetic.Genome, gene: synthetic.Gene, start: int, end: int) -> bytes:
    bases = genome.contigs[gene.contig][start - 1 : end]
    return bases if gene.strand == "+" else bases.translate(COMPLEMENT)[::-1]


def in_order(gene: synthetic.Gene, parts: tuple) -> list:
    return list(parts) if gene.strand == "+" else list(reversed(parts))


def test_a_seed_is_a_genome():
    assert synthetic_genome(1) == synthetic_genome(1)
    assert synthetic_genome(1) != synthetic_genome(2)
    first = synthetic_genome(1)
    assert first.contigs["synthetic_1"][:20] == b"CCCGGATCTGCAAGCCATGT"  # on every machine and Python
    assert sum(map(len, first.contigs.values())) == 800_000


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_genes_are_sound(seed):
    genome = synthetic_genome(seed, contigs=1, length=200_000, genes=10)
    assert len(genome.genes) == 10
    for gene in genome.genes:
        exons = in_order(gene, gene.exons)
        assert all(start <= end for start, end in exons)
        for (_, e1), (s2, _) in itertools.pairwise(gene.exons):
            intron = part(genome, gene, e1 + 1, s2 - 1)
            assert (intron[:2], intron[-2:]) == (b"GT", b"AG")
        coding = in_order(gene, gene.coding)
        frame = b"".join(part(genome, gene, start, end) for start, end, _ in coding)
        if frame:
            codons = [frame[i : i + 3] for i in range(0, len(frame), 3)]
            assert codons[0] == b"ATG"
            assert codons[-1] in {b"TAA", b"TAG", b"TGA"}
            assert not {b"TAA", b"TAG", b"TGA"} & set(codons[:-1])
            done = 0
            for start, end, phase in coding:
                assert phase == -done % 3
                done += end - start + 1


def test_too_many_genes_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        synthetic_genome(1, length=20_000, genes=20)


def test_the_bundle_says_that_it_is_synthetic(tmp_path):
    with Bundle.open(embedded_build.build("synthetic-demo", tmp_path / "demo")) as bundle:
        assert bundle.synthetic
        assert (bundle.name, bundle.assembly) == ("synthetic-demo", "synthetic-1")
        assert all(contig.name.startswith("synthetic_") for contig in bundle.contigs)
        assert bundle.array("transcript_start").size == 48
        proteins, offset = bundle.array("protein").tobytes(), bundle.array("transcript_protein").tolist()
        texts = [proteins[a:z] for a, z in itertools.pairwise(offset) if a < z]
        assert len(texts) == 40
        assert all(text.startswith(b"M") and b"*" not in text for text in texts)
        assert set(bundle.array("transcript_strand").tolist()) == {1, -1}

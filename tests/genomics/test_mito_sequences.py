"""Complete mitochondrial genomes of known haplogroup: placed on the reference, they carry what the tree says."""

import pytest

from genescale.genomics import mito
from genescale.genomics.align import place, variants_of
from genescale.genomics.dna import read_dna
from support.embedded_bundles import embedded
from support.shared_data import shared_data


def expected(haplogroup: str) -> set[str]:
    """The substitutions between rCRS and a haplogroup, along the path from the root."""
    tree, reference = mito.tree(), mito.sequence()
    found: dict[int, str] = {}
    for index in tree.path(tree.names.index(haplogroup)):
        for text in tree.mutations[index]:
            position, inserted, base, _ = mito.MUTATION.fullmatch(text).groups()
            if inserted is None and base != "d":
                found[int(position)] = base
    return {
        f"{position}{base}"
        for position, base in found.items()
        if base != reference[position - 1] and position not in mito.HOTSPOTS
    }


@pytest.mark.parametrize(
    ("file", "haplogroup", "genomes", "whole"),
    [("B5a1.fasta", "B5a1", 13, 11), ("H100.fasta", "H100", 1, 1), ("L3i2_1.fasta", "L3i2", 1, 1)],
)
def test_genomes_carry_the_mutations_of_their_haplogroup(file, haplogroup, genomes, whole):
    """Two of the thirteen B5a1 lack some: DQ834254 has rCRS's own bases at six places, GU377086 at one."""
    bundle = embedded("mitochondrion")
    answers = place(bundle, read_dna(shared_data(f"mt-lineage/sequences/{file}").read_bytes()))
    assert len(answers) == genomes
    missing = []
    for answer in answers:
        variants = variants_of([answer], bundle)
        substitutions = {f"{variants.start[i]}{variants.alt(i)}" for i in range(variants.count)}
        missing.append(expected(haplogroup) - substitutions)
        assert len(variants.start[: variants.count]) < 60
    assert missing.count(set()) == whole, missing
    assert all(len(lacking) <= 6 for lacking in missing)


def test_the_reference_has_no_variant_against_itself():
    bundle = embedded("mitochondrion")
    turned = mito.sequence()[9_000:] + mito.sequence()[:9_000]  # cut open elsewhere
    for bases in (mito.sequence(), turned):
        answers = place(bundle, read_dna(bases.encode()))
        assert variants_of(answers, bundle).count == 0

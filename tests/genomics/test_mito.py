"""The mitochondrial genome as data: sequence, genes, circle, mixtures and the tables of lineage."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import codons, mito
from genescale.genomics.mito import covers, heteroplasmy, span, wilson, wrap

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def coding(gene: mito.Gene) -> str:
    bases = mito.sequence()[gene.start - 1 : gene.end]
    return bases if gene.strand == "+" else bases.translate(COMPLEMENT)[::-1]


def translated(bases: str) -> str:
    letters = codons.amino_acids(mito.CODON_TABLE)
    index = {base: i for i, base in enumerate("ACGT")}
    whole = range(0, len(bases) - 2, 3)
    return "".join(chr(letters[25 * index[bases[i]] + 5 * index[bases[i + 1]] + index[bases[i + 2]]]) for i in whole)


def test_the_sequence_is_rcrs():
    bases = mito.sequence()
    assert len(bases) == mito.LENGTH
    assert hashlib.md5(bases.encode()).hexdigest() == mito.SEQUENCE_MD5
    assert bases[mito.PLACEHOLDER - 1] == "N"
    assert set(bases) == set("ACGTN")


def test_37_genes():
    genes = mito.genes()
    biotypes = [gene.biotype for gene in genes]
    assert [biotypes.count(kind) for kind in ("protein_coding", "Mt_tRNA", "Mt_rRNA")] == [13, 22, 2]
    on_minus = {gene.name for gene in genes if gene.strand == "-"}
    assert on_minus == {"MT-ND6", *(f"MT-T{letter}" for letter in ("Q", "A", "N", "C", "Y", "S1", "E", "P"))}
    assert all(gene.hgnc.isdecimal() and gene.ncbi.isdecimal() for gene in genes)
    assert all(gene.protein.startswith("YP_") == (gene.biotype == "protein_coding") for gene in genes)


# Name, first codon, last codon as far as it is in the genome, amino acids: as in the RefSeq record NC_012920.1.
PROTEINS = {
    "MT-ND1": ("ATA", "TA", 318),
    "MT-ND2": ("ATT", "T", 347),
    "MT-CO1": ("ATG", "AGA", 513),
    "MT-CO2": ("ATG", "TAG", 227),
    "MT-ATP8": ("ATG", "TAG", 68),
    "MT-ATP6": ("ATG", "TAA", 226),
    "MT-CO3": ("ATG", "T", 261),
    "MT-ND3": ("ATA", "T", 115),
    "MT-ND4L": ("ATG", "TAA", 98),
    "MT-ND4": ("ATG", "T", 459),
    "MT-ND5": ("ATA", "TAA", 603),
    "MT-ND6": ("ATG", "AGG", 174),
    "MT-CYB": ("ATG", "T", 380),
}


def test_all_13_proteins_translate():
    found = {gene.name: coding(gene) for gene in mito.genes() if gene.protein}
    assert found.keys() == PROTEINS.keys()
    for name, (first, last, length) in PROTEINS.items():
        bases = found[name]
        assert bases.startswith(first)
        assert bases.endswith(last)
        protein = translated(bases).removesuffix("*")
        assert "*" not in protein, name
        assert len(protein) == length, name
        assert len(last) == 3 or len(bases) % 3 == len(last), name


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("MT-ATP8", "MT-ATP6", 46),
        ("MT-ND4L", "MT-ND4", 7),
        ("MT-ATP6", "MT-CO3", 1),
        ("MT-TI", "MT-TQ", 3),
        ("MT-TC", "MT-TY", 1),
    ],
)
def test_overlaps(one, other, shared):
    genes = {gene.name: gene for gene in mito.genes()}
    assert genes[one].end - genes[other].start + 1 == shared


def test_the_d_loop_crosses_the_origin():
    d_loop = next(region for region in mito.regions() if region.name == "MT-DLOOP")
    assert (d_loop.start, d_loop.end) == (16024, 576)
    assert span(d_loop.start, d_loop.end) == 1122  # HmtVar says 1,123
    for position, inside in [(16023, False), (16024, True), (16569, True), (1, True), (576, True), (577, False)]:
        assert covers(d_loop.start, d_loop.end, position) is inside
        assert (d_loop in mito.regions_at(position)) is inside


@pytest.mark.parametrize(("given", "place"), [(1, 1), (16569, 16569), (16570, 1), (0, 16569), (-1, 16568), (33139, 1)])
def test_positions_wrap(given, place):
    assert wrap(given) == place


@given(start=st.integers(-40_000, 40_000), length=st.integers(1, mito.LENGTH), step=st.integers(0, mito.LENGTH))
def test_a_stretch_covers_its_own_bases(start, length, step):
    end = start + length - 1
    assert span(start, end) == length
    assert covers(start, end, start + step) is (step % mito.LENGTH < length)


def test_the_placeholder():
    assert mito.touches_placeholder(3100, 3110)
    assert mito.touches_placeholder(16000, 4000)
    assert not mito.touches_placeholder(3108, 3106)


@pytest.mark.parametrize(
    ("start", "end", "kind"),
    [(302, 302, ""), (303, 303, "poly-C"), (310, 320, "poly-C"), (524, 524, "AC repeat"), (16190, 16190, "poly-C")],
)
def test_ambiguous_places(start, end, kind):
    assert mito.ambiguous(start, end) == kind


# ---- mixtures ----


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"share": 0.95}, "homoplasmic"),
        ({"share": 0.949}, "heteroplasmic"),
        ({"share": 0.05}, "heteroplasmic"),
        ({"share": 0.049}, "low_level"),
        ({"reads": 30, "depth": 100}, "heteroplasmic"),
        ({"reads": 100, "depth": 100}, "homoplasmic"),
        ({"reads": 0, "depth": 0}, "unknown"),
        ({"depth": 1000}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_levels(said, kind):
    assert heteroplasmy(**said).kind == kind


def test_no_level_is_no_number():
    assert heteroplasmy() == (None, None, None, "unknown")
    assert heteroplasmy(share=0.3)[1:3] == (None, None)  # without a depth there is no interval


@pytest.mark.parametrize("said", [{"share": 1.1}, {"share": -0.1}, {"reads": 5, "depth": 4}, {"reads": -1, "depth": 4}])
def test_impossible_levels(said):
    with pytest.raises(InvalidInput):
        heteroplasmy(**said)


def test_wilson_interval():
    # Newcombe, Stat Med 1998;17:857-872, table I, method 3: 81/263, 15/148, 0/20, 1/29
    for count, whole, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(count / whole, whole) == pytest.approx((low, high), abs=5e-5)


@given(depth=st.integers(1, 10_000), part=st.floats(0, 1))
def test_the_interval_holds_the_share(depth, part):
    share = round(part * depth) / depth
    low, high = wilson(share, depth)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


# ---- lineage ----


def test_the_tree():
    tree = mito.tree()
    assert len(tree.names) == 5435
    assert tree.names[0] == "H2a2a1"  # rCRS
    assert tree.parents[0] == -1
    assert (tree.parents[1:] >= 0).all()
    assert (tree.parents < np.arange(len(tree.names))).all()
    assert set(tree.mutations[tree.names.index("H2a2a")]) == {"263G"}
    assert tree.weights["152C"] == 1.0
    assert ("956d", "960d") in tree.spelling
    path = [tree.names[i] for i in tree.path(tree.names.index("L0a1"))]
    assert path[0] == "H2a2a1"
    assert {"H", "R", "N", "L3", "L0"} <= {name.rstrip("*") for name in path} | {
        part for name in path for part in name.split("'")
    }


def test_every_mutation_of_the_tree_can_be_read():
    unread = {text for texts in mito.tree().mutations for text in texts if not mito.MUTATION.fullmatch(text)}
    assert unread == set()


def test_haplogroup_bases():
    tables = mito.haplogroup_bases()
    assert tables.counts.shape == (25, 6, mito.LENGTH)
    assert (tables.counts.sum(axis=1) == tables.sizes[:, None]).all()
    sizes = dict(zip(tables.names, tables.sizes.tolist(), strict=True))
    assert sizes["X"] == 2  # two genomes are no table
    assert sizes["R0"] == 6752
    assert {"L3*", "M*", "N*", "R*"} <= sizes.keys()
    place = tables.bases.index("A")
    share = tables.counts[tables.names.index("R0"), place, 262] / sizes["R0"]
    assert share < 0.1  # rCRS has 263A, which hardly anybody else has


def test_gnomad_by_haplogroup():
    found = mito.haplogroup_counts()
    assert len(found.names) == 29
    assert len(found.variants) == 18_164
    assert found.counts.shape == found.genomes.shape == (29, 18_164)
    assert (found.counts <= found.genomes).all()
    column, l2 = found.variants.index((10115, "T", "C")), found.names.index("L2")  # one of the marks of L2
    assert (found.counts[l2, column], found.genomes[l2, column]) == (4715, 4724)
    assert found.counts[:, column].sum() < 4800

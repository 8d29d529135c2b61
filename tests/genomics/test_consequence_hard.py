"""Inputs that break annotators: each has rows or a flag, the same compiled and interpreted, and none raises."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genescale.genomics import consequence, terms
from genescale.genomics import variants as v
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import Pairs, judge
from genescale.genomics.kernels import consequence as kernel
from genescale.genomics.models import genetic_codes
from genescale.genomics.variants import Row, Variants, variants_of_record
from support.interpreted_kernels import interpreted_kernels
from support.nasty_genome import Nasty, nasty_genome
from support.require import require


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Nasty:
    return nasty_genome(tmp_path_factory.mktemp("nasty"), 77, genes=40)


class _Guarded:
    """A buffer that minds its bounds, which compiled code does not."""

    def __init__(self, array: Any) -> None:
        self.view = memoryview(cast("Any", array))
        self.shape = (len(self.view),)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, i: int) -> Any:
        assert 0 <= i < self.shape[0], f"{i} of {self.shape[0]}"
        return self.view[i]

    def __setitem__(self, i: int, value: Any) -> None:
        assert 0 <= i < self.shape[0], f"{i} of {self.shape[0]}"
        self.view[i] = value


def interpreted(genome: Nasty, variants: Variants, monkeypatch: pytest.MonkeyPatch, **options: bool) -> Pairs:
    """The answers of the uncompiled kernel, every access to memory checked."""
    models, plain = interpreted_kernels("models", "consequence")
    bundle = genome.bundle
    with monkeypatch.context() as patch:
        patch.setattr(consequence, "Judge", plain.Judge)
        patch.setattr(consequence, "_view", _Guarded)
        arrays = {name: _Guarded(bundle.array(name)) for name in models.ARRAYS}
        patch.setattr(consequence, "models_of", lambda _: models.Models(arrays, *genetic_codes()))
        patch.setattr(consequence, "_WORKPLACES", {})
        return judge(bundle, variants, into=Pairs.allocate(3, 3), **options)


def make(genome: Nasty, rng: random.Random, count: int) -> Variants:
    rows: list[Row] = []
    for _ in range(count):
        model = rng.choice(genome.models)
        edges = [p for exon in model.exons for p in exon] + list(model.coding or ())
        pos = max(rng.choice(edges) + rng.randint(-20, 20), 0)
        rows += one(genome, model.contig, pos, rng)
    return Variants.of_rows(rows)


def one(genome: Nasty, contig: str, pos: int, rng: random.Random) -> list[Row]:
    def bases(n: int) -> str:
        return "".join(rng.choices("ACGT", k=n))

    length = rng.choice((1, 1, 1, 2, 3, 4, 6, 7, 15, 60, 3000))
    ref = genome.sequence[contig][max(pos, 1) - 1 :][:length] or "A"
    info: dict[str, str] = {}
    kind = rng.choice(("snv", "insertion", "deletion", "mnv", "delins", "several", "structural"))
    if kind == "snv":
        ref, alts = ref[0], [bases(1)]
    elif kind == "insertion":
        ref, alts = ref[0], [ref[0] + bases(rng.choice((1, 3, 6, 30, 2000)))]
    elif kind == "deletion":
        alts = [ref[0]]
    elif kind == "mnv":
        alts = [bases(len(ref))]
    elif kind == "delins":
        alts = [bases(rng.randint(1, 30)) + rng.choice(("", "N"))]
    elif kind == "several":
        alts = [ref[0], ref + bases(3), "*", bases(2)]
    else:
        ref, alts = ref[0], [rng.choice(("<DEL>", "<DUP>", "<DUP:TANDEM>", "<INS>", "<INV>", "<CNV>", "N[chr2:9["))]
        info = {"END": str(pos + length), "SVLEN": str(length)}
    return variants_of_record(genome.bundle.contig(contig), pos, ref, alts, info)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("shift", [True, False])
def test_compiled_and_interpreted_agree(
    nasty: Nasty, monkeypatch: pytest.MonkeyPatch, strict: bool, shift: bool
) -> None:
    require(
        "a compiled kernel to compare with", kernel.COMPILED, "python3-dev, then uv sync --reinstall-package genescale"
    )
    variants = make(nasty, random.Random(5), 250)
    flags = variants.flags.copy()
    ours = judge(nasty.bundle, variants, strict=strict, shift=shift, circular_flanks=shift)
    set_by_compiled = variants.flags.copy()
    variants.flags[:] = flags
    theirs = interpreted(nasty, variants, monkeypatch, strict=strict, shift=shift, circular_flanks=shift)
    assert np.array_equal(variants.flags, set_by_compiled)
    assert ours.count == theirs.count > 0
    for name, _ in consequence._COLUMNS:  # pyright: ignore[reportPrivateUsage]
        assert np.array_equal(getattr(ours, name)[: ours.count], getattr(theirs, name)[: ours.count]), name
    assert ours.text[: ours.text_length].tobytes() == theirs.text[: theirs.text_length].tobytes()


def test_a_batch_answers_as_its_variants_one_by_one(nasty: Nasty) -> None:
    variants = make(nasty, random.Random(6), 120)
    whole = judge(nasty.bundle, variants)
    told = [(int(whole.variant[i]), int(whole.transcript[i]), int(whole.terms[i])) for i in range(whole.count)]
    alone: list[tuple[int, int, int]] = []
    for i in range(variants.count):
        row = Row(
            0,
            1,
            *(int(getattr(variants, name)[i]) for name in ("contig", "position", "start", "end", "kind")),
            int(variants.record_kind[i]),
            int(variants.sv[i]),
            variants.ref(i),
            variants.alt(i),
            0,
        )
        pairs = judge(nasty.bundle, Variants.of_rows([row]))
        alone += [(i, int(pairs.transcript[j]), int(pairs.terms[j])) for j in range(pairs.count)]
    assert alone == told


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(-1, 3),
    st.integers(0, 90_000),
    st.text("ACGTN", min_size=1, max_size=40),
    st.lists(st.sampled_from(["A", "CG", "ACGTACGT", "<DEL>", "*", ".", "<NON_REF>", "]chr1:5]A"]), max_size=4),
)
def test_anything_that_a_record_may_say_is_judged(
    nasty: Nasty, contig: int, pos: int, ref: str, alts: Sequence[str]
) -> None:
    rows = variants_of_record(contig, pos, ref, alts, {"END": str(pos + 500)})
    for strict in (True, False):
        variants = Variants.of_rows(rows)
        pairs = judge(nasty.bundle, variants, strict=strict)
        assert all(pairs.terms[: pairs.count] > 0)


def flags_of(genome: Nasty, pos: int, ref: str, alt: str, contig: str = "chr1") -> tuple[int, int]:
    variants = Variants.of_rows(variants_of_record(genome.bundle.contig(contig), pos, ref, [alt]))
    pairs = judge(genome.bundle, variants)
    return int(variants.flags[0]), pairs.count


def test_what_cannot_be_judged_is_flagged_and_gets_no_row(nasty: Nasty) -> None:
    sequence = nasty.sequence["chr1"]
    last = len(sequence)
    right = sequence[99]
    wrong = "A" if right not in "AN" else "C" if right != "C" else "T"
    assert flags_of(nasty, 100, wrong, "ACGT".replace(wrong, "")[0]) == (v.REF_MISMATCH, 0)
    assert flags_of(nasty, last + 1, "A", "C") == (v.PAST_END, 0)
    assert flags_of(nasty, last, sequence[-1] + "AA", sequence[-1]) == (v.PAST_END, 0)
    assert flags_of(nasty, 100, right, "G", contig="chrUn") == (v.UNKNOWN_CONTIG, 0)
    assert flags_of(nasty, 100, right, "<NON_REF>") == (v.NON_VARIANT, 0)


def test_strict_judges_a_wrong_ref_as_vep_does(nasty: Nasty) -> None:
    sequence = nasty.sequence["chr1"]
    wrong = "A" if sequence[99] != "A" else "C"
    variants = Variants.of_rows(variants_of_record(nasty.bundle.contig("chr1"), 100, wrong, ["G"]))
    assert judge(nasty.bundle, variants, strict=True).count > 0
    assert variants.flags[0] == v.REF_MISMATCH


def test_both_ends_of_a_contig(nasty: Nasty) -> None:
    sequence = nasty.sequence["chr1"]
    last = len(sequence)
    assert flags_of(nasty, 1, sequence[0], "T" if sequence[0] != "T" else "A")[1] > 0
    assert flags_of(nasty, last, sequence[-1], sequence[-1] + "ACGT")[1] > 0
    assert flags_of(nasty, 0, "N", "NACG")[0] in (0, v.NON_ACGT)


def test_a_deletion_of_everything_ablates_every_transcript(nasty: Nasty) -> None:
    contig = nasty.bundle.contig("chr1")
    last = len(nasty.sequence["chr1"])
    variants = Variants.of_rows(variants_of_record(contig, 0, "N", ["<DEL>"], {"END": str(last)}))
    pairs = judge(nasty.bundle, variants)
    ablation = terms.mask_of(["transcript_ablation"])
    assert pairs.count == sum(1 for model in nasty.models if model.contig == "chr1")
    assert set(pairs.terms[: pairs.count].tolist()) == {ablation}
    order = nasty.bundle.array("transcript_order")[pairs.transcript[: pairs.count]]
    assert (np.diff(order) > 0).all()


def test_a_very_long_allele(nasty: Nasty) -> None:
    model = next(m for m in nasty.models if m.coding and m.contig == "chr1")
    pos = model.cds()[3]
    base = nasty.sequence["chr1"][pos - 1]
    rows = variants_of_record(nasty.bundle.contig("chr1"), pos, base, [base + "ACGTGCA" * 15_000])
    assert judge(nasty.bundle, Variants.of_rows(rows)).count > 0


def test_nothing_gives_nothing(nasty: Nasty) -> None:
    assert judge(nasty.bundle, Variants.of_rows([])).count == 0


def test_the_flank_can_be_chosen(nasty: Nasty) -> None:
    rows = variants_of_record(nasty.bundle.contig("chr1"), 100, nasty.sequence["chr1"][99], ["<DEL>"], {"END": "101"})
    counts = [judge(nasty.bundle, Variants.of_rows(rows), flank=flank).count for flank in (0, 100, 6000)]
    assert counts == sorted(counts)
    with pytest.raises(ValueError, match="between 0 and 6000"):
        judge(nasty.bundle, Variants.of_rows(rows), flank=6001)


def test_the_bits_of_the_kernel_are_those_of_the_table() -> None:
    _, plain = interpreted_kernels("models", "consequence")
    named = {
        "TRANSCRIPT_ABLATION": "transcript_ablation",
        "STOP_GAINED": "stop_gained",
        "FEATURE_TRUNCATION": "feature_truncation",
        "MISSENSE": "missense_variant",
        "SPLICE_DONOR_REGION": "splice_donor_region_variant",
        "SYNONYMOUS": "synonymous_variant",
        "UTR_3": "3_prime_UTR_variant",
        "CODING_TRANSCRIPT": "coding_transcript_variant",
        "DOWNSTREAM": "downstream_gene_variant",
        "INTERGENIC": "intergenic_variant",
        "SEQUENCE_VARIANT": "sequence_variant",
    }
    assert {name: getattr(plain, name) for name in named} == {
        name: terms.mask_of([term]) for name, term in named.items()
    }


def test_a_mature_mirna_stands_alone(tmp_path: Path) -> None:
    fasta, genes = tmp_path / "genome.fa", tmp_path / "genes.gff3"
    fasta.write_text(">chr1\n" + "ACGTA" * 100 + "\n")
    lines = [
        "chr1\tx\tgene\t101\t180\t.\t-\t.\tID=gene-M;gbkey=Gene;gene=MIR1;gene_biotype=miRNA",
        "chr1\tx\tprimary_transcript\t101\t180\t.\t-\t.\tID=rna-NR_1.1;Parent=gene-M;transcript_id=NR_1.1",
        "chr1\tx\texon\t101\t180\t.\t-\t.\tID=exon-1;Parent=rna-NR_1.1",
        "chr1\tx\tmiRNA\t111\t131\t.\t-\t.\tID=rna-MIR1;Parent=rna-NR_1.1",
        "chr1\tx\texon\t111\t131\t.\t-\t.\tID=exon-2;Parent=rna-MIR1",
    ]
    genes.write_text("##gff-version 3\n" + "\n".join(lines) + "\n")
    build_bundle(tmp_path / "mirna", name="mirna", fasta=fasta, genes=genes)
    with Bundle.open(tmp_path / "mirna") as bundle:

        def told(pos: int, length: int) -> set[str]:
            ref = (bundle.sequence(0, pos, pos + length) or b"").decode()
            pairs = judge(bundle, Variants.of_rows(variants_of_record(0, pos, ref, [ref[0]])))
            return set(terms.names(int(pairs.terms[0])))

        assert told(105, 3) == {"non_coding_transcript_exon_variant"}
        assert told(109, 3) == told(131 - 1, 30) == told(99, 12) == {"mature_miRNA_variant"}
        assert told(131, 3) == {"non_coding_transcript_exon_variant"}

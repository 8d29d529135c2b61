"""Consequences against Ensembl VEP 115 on the parity set, column by column."""

from typing import Any

import numpy as np
import pytest

from genescale.genomics.consequence import Pairs, judge
from genescale.genomics.selection import picked_rows
from genescale.genomics.variants import Variants
from support.vep_parity import Key, our_answers, parity_bundle, parity_variants, vep_answers


class Compared:
    """Both answers to one file of variants."""

    def __init__(self, vcf: str, truth: str, *, shift: bool = False) -> None:
        self.variants, self.ids = parity_variants(vcf)
        self.pairs = judge(parity_bundle(), self.variants, strict=True, shift=shift)
        self.ours = dict(our_answers(parity_bundle(), self.variants, self.ids, self.pairs))
        self.veps = vep_answers(truth)

    def wrong(self, column: str) -> list[tuple[Key, Any, Any]]:
        """Where a column differs. VEP writes `-/LENGTH` where its gates are open but no position is defined."""
        out: list[tuple[Key, Any, Any]] = []
        for key, vep in self.veps.items():
            said = set(vep[column].split(",")) if column == "Consequence" else vep[column]
            ours = self.ours[key][column]
            if ours != said and not (isinstance(said, str) and said.startswith("-/") and ours == "-"):
                out.append((key, said, ours))
        return out


@pytest.fixture(scope="module")
def main() -> Compared:
    return Compared("main.vcf.gz", "main.vep115.tsv.gz")


def test_every_pair_of_vep_and_no_other(main: Compared) -> None:
    assert main.ours.keys() == main.veps.keys()


@pytest.mark.parametrize(
    "column",
    [
        "Consequence",
        "IMPACT",
        "VARIANT_CLASS",
        "EXON",
        "INTRON",
        "DISTANCE",
        "cDNA_position",
        "CDS_position",
        "Amino_acids",
        "Codons",
    ],
)
def test_columns_are_equal(main: Compared, column: str) -> None:
    assert main.wrong(column) == []


def test_protein_positions_differ_only_in_the_length_that_vep_reads_with_the_wrong_code(main: Compared) -> None:
    wrong = main.wrong("Protein_position")
    assert all(said.split("/")[0] == ours.split("/")[0] for _, said, ours in wrong)
    assert {main.veps[key]["Location"].split(":")[0] for key, _, _ in wrong} <= {"MT"}


def test_the_picked_row_is_veps(main: Compared) -> None:
    picked = picked_rows(parity_bundle(), main.variants, main.pairs, "variant", strict=True)
    ours = {key for key, answer in main.ours.items() if picked[answer["row"]]}
    veps = {key for key, row in main.veps.items() if row["PICK"] == "1"}
    assert ours ^ veps == set()


def test_multi_allelic_sites() -> None:
    multi = Compared("multi.vcf.gz", "multi.vep115.tsv.gz")
    assert multi.ours.keys() == multi.veps.keys()
    for column in ("Consequence", "IMPACT", "VARIANT_CLASS", "EXON", "INTRON", "DISTANCE", "Amino_acids", "Codons"):
        assert multi.wrong(column) == []


def test_structural_variants() -> None:
    structural = Compared("sv.vcf.gz", "sv.vep115.tsv.gz")
    assert structural.ours.keys() == structural.veps.keys()
    for column in ("Consequence", "IMPACT", "VARIANT_CLASS", "EXON", "INTRON", "DISTANCE", "OverlapBP", "OverlapPC"):
        assert structural.wrong(column) == []


def test_shifted_indels() -> None:
    shifted = Compared("main.vcf.gz", "main.shift3prime.vep115.tsv.gz", shift=True)
    assert shifted.ours.keys() == shifted.veps.keys()
    assert len(shifted.wrong("Consequence")) <= 6  # all at starts, where E-4 and E-22 meet


def test_default_mode_tells_veps_terms_and_why_they_differ(main: Compared) -> None:
    default = judge(parity_bundle(), main.variants)
    strict = _by_pair(main.variants, main.pairs)
    circular = parity_bundle().array("contig_circular")
    for row in range(default.count):
        same = default.terms[row] == default.vep_terms[row]
        assert same == (default.exception[row] == 0)
        pair = (int(default.variant[row]), int(default.transcript[row]))
        if not circular[main.variants.contig[pair[0]]]:
            assert int(default.vep_terms[row]) == strict[pair]
    assert set(np.unique(default.exception[: default.count])) <= {0, 1, 4, 8, 9, 13, 14, 17, 20, 23, 24, 25, 26, 27}


def _by_pair(variants: Variants, pairs: Pairs) -> dict[tuple[int, int], int]:
    del variants
    return {(int(pairs.variant[i]), int(pairs.transcript[i])): int(pairs.terms[i]) for i in range(pairs.count)}

"""The table of Sequence Ontology terms."""

from genescale.genomics import terms


def test_ranks_count_without_holes_and_names_and_accessions_are_unique() -> None:
    assert [t.rank for t in terms.TERMS] == list(range(1, 42))
    assert len({t.term for t in terms.TERMS}) == len({t.accession for t in terms.TERMS}) == 41


def test_impact_is_that_of_the_most_severe_term() -> None:
    mask = terms.mask_of(["missense_variant", "splice_region_variant"])
    assert terms.names(mask) == ("missense_variant", "splice_region_variant")
    assert terms.impact(mask) == "MODERATE"
    assert terms.most_severe(mask) == "missense_variant"
    assert terms.impact(terms.mask_of(["splice_donor_variant", "intron_variant"])) == "HIGH"

"""The rule by which our names are held against ClinVar's."""

from pathlib import Path

import pytest

from genescale.trials.clinvar_names import rows, same_coding, same_protein
from support.shared_data import shared_data


@pytest.mark.parametrize(
    ("theirs", "ours", "equal"),
    [
        ("c.677_679delTCA", "c.677_679del", True),
        ("c.210dupC", "c.210dup", True),
        ("c.1797_1798delTGinsGT", "c.1797_1798delinsGT", True),
        ("c.3623_3645del23", "c.3623_3645del", True),
        ("c.2230_2249del20insGTCAA", "c.2230_2249delinsGTCAA", True),
        ("c.742_743insCTGG", "c.742_743insTGGC", False),
        ("c.376delT", "c.378del", False),
        ("c.154_155insG", "c.153dup", False),
    ],
)
def test_coding_names_are_equal_when_they_differ_only_in_stated_bases(theirs: str, ours: str, equal: bool) -> None:
    assert same_coding(theirs, ours) is equal


@pytest.mark.parametrize(
    ("theirs", "ours", "equal"),
    [
        ("p.Phe580Serfs", "p.Phe580SerfsTer82", True),
        ("p.Leu3087Phefs*20", "p.Leu3087PhefsTer20", True),
        ("p.Leu271Terfs", "p.Leu271Ter", True),
        ("p.Met1Ile", "p.Met1?", True),
        ("p.Ter657Arg", "p.Ter657ArgextTer50", True),
        ("p.Cys46_Asn47insCys", "p.Cys46dup", True),
        ("p.Pro57_Arg58insGlyPro", "p.Gly56_Pro57dup", True),
        ("p.Pro57_Arg58insGlyPro", "p.Gly55_Pro56dup", False),
        ("p.Pro57_Arg58insGlyAla", "p.Gly56_Pro57dup", False),
        ("p.Lys477_Asn478insLys", "p.Asn478_Gly479insLys", False),
        ("p.Arg256Lys", "p.Arg255Lys", False),
        ("p.Phe580Serfs", "p.Phe580Ser", False),
    ],
)
def test_protein_names_are_equal_in_old_and_new_style(theirs: str, ours: str, equal: bool) -> None:
    assert same_protein(theirs, ours) is equal


def test_without_the_data_the_rows_are_absent_with_a_note(tmp_path: Path) -> None:
    absent = rows(tmp_path)
    assert [one.name for one in absent] == [
        "clinvar_hgvsc",
        "clinvar_hgvsc_consistent",
        "clinvar_hgvsp",
        "clinvar_hgvsp_consistent",
        "clinvar_high",
    ]
    assert all(one.value is None and "not beside this checkout" in one.note for one in absent)


@pytest.mark.slow
def test_real_genes_reach_their_goals() -> None:
    data = shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz").parents[1]
    for one in rows(data):
        if one.name not in ("clinvar_hgvsc", "clinvar_hgvsp"):  # 2.1 % of the records contradict themselves
            assert one.met, one.note
        assert "ours" not in one.note

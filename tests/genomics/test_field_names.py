"""An unknown field is answered with names that can be read at a glance."""

from genescale.genomics.field_names import told

NAMES = ("symbol", "consequence", *(f"gnomad.af_{i}" for i in range(24)), "clinvar.stars")


def test_facts_are_grouped_by_their_source():
    text = told(NAMES, "colour")
    assert text == "symbol, consequence, gnomad.* (24), clinvar.* (1). `gnomad.?` lists those of gnomad"


def test_a_slip_is_answered_with_what_was_meant():
    assert told(NAMES, " Consequnce ").endswith("clinvar.* (1). Did you mean consequence?")


def test_the_fields_of_a_source_are_all_told_to_those_who_ask_it():
    assert told(NAMES, "clinvar.?") == "clinvar.stars, gnomad.* (24)"
    assert told(NAMES, "GNOMAD.colour").count("gnomad.af_") == 24


def test_nothing_is_told_where_nothing_is():
    assert told([], "colour") == ""

"""SPDI text and its parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.genomics.spdi import Spdi, SpdiSyntaxError, format_spdi, parse_spdi

bases = st.text("ACGTRYKMSWBDHVN", max_size=30)
variants = st.builds(
    Spdi, st.sampled_from(["NC_000013.11", "chr1", "NM_1.2"]), st.integers(0, 10**9), bases, bases
) | st.builds(Spdi, st.just("NC_000013.11"), st.integers(0, 10**9), st.just(""), bases, st.integers(1, 10**6))


@given(variants)
def test_parse_of_format_is_the_same_variant(variant: Spdi) -> None:
    assert parse_spdi(format_spdi(variant)) == variant


def test_the_deletion_is_bases_or_their_number() -> None:
    assert parse_spdi("NC_000013.11:32340299:tg:") == Spdi("NC_000013.11", 32340299, "TG", "")
    assert parse_spdi("NC_000013.11:32340299:2:A").length == 2
    assert parse_spdi("NC_000013.11:32340299:TGA:A").length == 3
    assert parse_spdi("NC_000013.11:32340299::A").length == 0


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("NC_1.1:5:A", 1),
        ("NC_1.1:5:A:C:G", 1),
        (":5:A:C", 1),
        ("NC 1:5:A:C", 1),
        ("NC_1.1:x:A:C", 8),
        ("NC_1.1:-5:A:C", 8),
        ("NC_1.1:5:AX:C", 11),
        ("NC_1.1:5:A:C-", 13),
        ("NC_1.1:12345678901:A:C", 8),
        ("NC_1.1:²:A:C", 8),
        ("A" * 3_000_000, 1),
    ],
)
def test_faults_name_their_column(text: str, column: int) -> None:
    with pytest.raises(SpdiSyntaxError) as caught:
        parse_spdi(text)
    assert caught.value.position == column - 1


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_spdi(text)
    except SpdiSyntaxError as error:
        assert error.code == "spdi_syntax"  # noqa: PT017

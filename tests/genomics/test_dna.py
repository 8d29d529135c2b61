"""Reading DNA from text: what it forgives, what it refuses and where it says the fault is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import GenescaleError, InvalidInput
from genescale.genomics.dna import Dna, letters, read_dna, reverse_complement

IUPAC = "ACGTRYSWKMBDHVN"


def only(text: str | bytes) -> Dna:
    (dna,) = read_dna(text)
    return dna


def test_a_bare_string_is_one_sequence():
    dna = only("  acgt\r\n\tNNRY \n")
    assert letters(dna.codes) == "ACGTNNRY"
    assert dna.name == "sequence"
    assert dna.lower_case.tolist() == [[0, 4]]
    assert len(dna) == 8


def test_several_sequences_with_their_names_and_lines():
    first, second, third = read_dna("\ufeff>one of them\r\nACGT\r\nAC\r\n>\r\nGG\r\n\r\n>three\r\n")
    assert [(d.name, letters(d.codes), d.line) for d in (first, second, third)] == [
        ("one", "ACGTAC", 2),
        ("sequence 2", "GG", 5),
        ("three", "", 8),
    ]


def test_u_is_read_as_t_and_counted():
    dna = only(">rna\nACGUuA")
    assert letters(dna.codes) == "ACGTTA"
    assert dna.uracil == 2


def test_the_line_numbers_of_a_genbank_listing_do_not_matter():
    assert (
        letters(only("        1 gatcacaggt ctatcaccct\n       61 attaaccact\n").codes)
        == "GATCACAGGTCTATCACCCTATTAACCACT"
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (">a\nACGT\n\nAC-T\n", r"a, line 4, column 3 \(base 7\): '-' is no base \(gaps"),
        ("ACGT*", r"sequence, line 1, column 5 \(base 5\): '\*' is no base \(a stop"),
        (">p\r\nMKV\r\nLEF\r\n", r"p, line 3, column 1 \(base 4\): 'L' is no base \(it looks like a protein"),
        ("ACG5T", r"line 1, column 4 \(base 4\): '5' is no base"),
        (b"ACG\xffT", r"column 4 \(base 4\): byte 0xff is no base"),
        ("ACG\u00e9", r"byte 0xc3 is no base"),
    ],
)
def test_another_letter_is_refused_with_its_place(text: str | bytes, place: str):
    with pytest.raises(InvalidInput, match=place) as caught:
        read_dna(text)
    assert caught.value.code == "not_dna"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\x1f\x8b\x08\x00", "gzip"),
        ("##fileformat=VCFv4.2\n", "genescale annotate"),
        ("@read\nACGT\n+\nIIII\n", "FASTQ"),
    ],
)
def test_another_format_is_refused_by_name(text: str | bytes, message: str):
    with pytest.raises(InvalidInput, match=message):
        read_dna(text)


@pytest.mark.parametrize("text", ["", " \n\r\n", b"\xef\xbb\xbf"])
def test_text_without_a_sequence_is_refused(text: str | bytes):
    with pytest.raises(InvalidInput, match="no sequence") as caught:
        read_dna(text)
    assert caught.value.code == "empty"


def test_the_limits_are_kept():
    with pytest.raises(InvalidInput, match="more than 9 bases") as caught:
        read_dna(">a\nACGTA\n>b\nACGTA\n", most_bases=9)
    assert caught.value.code == "too_large"
    with pytest.raises(InvalidInput, match="more than 1 sequences"):
        read_dna(">a\nACGTA\n>b\nACGTA\n", most_sequences=1)


def test_no_bases_are_printed():
    dna = only(">me\nGATTACAGATTACA")
    assert "GATT" not in repr(dna)
    assert "14 bases" in repr(dna)
    assert "GATT" not in f"{[dna]}"


@given(st.text(alphabet=IUPAC, max_size=60))
def test_the_other_strand_of_the_other_strand(bases: str):
    codes = only(">x\n" + bases).codes
    pairs = dict(zip("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN", strict=True))
    assert letters(reverse_complement(codes)) == "".join(pairs[base] for base in reversed(bases))
    assert reverse_complement(reverse_complement(codes)) == codes


@given(st.lists(st.text(alphabet=IUPAC + IUPAC.lower(), max_size=40), min_size=1, max_size=5), st.sampled_from("\n\r"))
def test_what_is_written_is_read(bodies: list[str], end: str):
    text = "".join(f">s{i}{end}{body[:7]}{end}{body[7:]}{end}" for i, body in enumerate(bodies))
    found = read_dna(text)
    assert [letters(dna.codes) for dna in found] == [body.upper() for body in bodies]
    for dna, body in zip(found, bodies, strict=True):
        lower = [i for a, b in dna.lower_case.tolist() for i in range(a, b)]
        assert lower == [i for i, base in enumerate(body) if base.islower()]


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100), st.text(alphabet="ACGT>\n\r 1-*", max_size=100)))
def test_any_input_is_read_or_refused(text: str | bytes):
    try:
        found = read_dna(text)
    except GenescaleError as error:
        assert isinstance(error, InvalidInput)  # noqa: PT017 - any other error fails the test by itself
    else:
        assert found
        assert all(0 not in dna.codes for dna in found)

"""The fast VCF reader: the same rows as the plain rules, a named reason for every line that it cannot take."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import vcf
from genescale.genomics.bundle import Bundle
from genescale.genomics.variants import variants_of_record
from genescale.genomics.vcf import REASONS, Scanner, header_length, read_header, without_mark
from support.gene_bundle import LENGTH, gene_bundle, sequence
from support.interpreted_kernels import interpreted_kernels

CHR1 = sequence()
OTHER = 6  # kind of a row that nobody judges


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    with Bundle.open(gene_bundle(tmp_path_factory.mktemp("bundle"))) as opened:
        yield opened


@pytest.fixture(scope="module", params=["installed", "interpreted"])
def scanner(bundle: Bundle, request: pytest.FixtureRequest) -> Scanner:
    if request.param == "installed":
        return Scanner(bundle)
    (kernel,) = interpreted_kernels("vcf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vcf, "Kernel", kernel.Scanner)
        return Scanner(bundle)


def line(pos: int, ref: str, alt: str, *, contig: str = "chr1", info: str = ".") -> bytes:
    return f"{contig}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t{info}\n".encode()


def ref_at(pos: int, length: int = 1) -> str:
    return CHR1[pos - 1 : pos - 1 + length]


def statuses(scanner: Scanner, text: bytes) -> list[str]:
    assert scanner.scan(text) == len(text)
    return [REASONS[status] for status in scanner.records.status[: scanner.records.count]]


def fast_rows(scanner: Scanner, record: int = 0) -> list[tuple[object, ...]]:
    v = scanner.variants
    first, last = scanner.records.first_row[record : record + 2]
    return [
        (
            *(
                int(column[i])
                for column in (v.allele, v.contig, v.position, v.start, v.end, v.kind, v.record_kind, v.sv)
            ),
            v.ref(i),
            v.alt(i),
            int(v.flags[i]),
        )
        for i in range(first, last)
    ]


def plain_rows(bundle: Bundle, text: bytes) -> list[tuple[object, ...]]:
    contig, pos, _, ref, alt, _, _, info = text.decode().rstrip("\r\n").split("\t")
    fields: dict[str, str] = {}
    for item in info.split(";"):
        key, _, value = item.partition("=")
        fields.setdefault(key, value)
    return [tuple(row)[1:] for row in variants_of_record(bundle.contig(contig), int(pos), ref, alt.split(","), fields)]


ALLELES = st.one_of(
    st.text("ACGT", min_size=1, max_size=6),
    st.text("ACGTacgtNRY", min_size=1, max_size=4),
    st.sampled_from(
        ["*", ".", "<NON_REF>", "<*>", "<DEL>", "<DUP:TANDEM>", "<dup>", "<INS:ME>", "<INV>", "<CNV>", "<CN0>", "<BND>"]
    ),
    st.sampled_from(["G]chr2:5]", "[chr2:9[A", "A.", ".A", "<X>", "<", "<>", "", "AC-", "<DE", "]", "**"]),
)
INFO = st.lists(
    st.sampled_from(
        [
            "SVTYPE=DEL",
            "SVTYPE=dup",
            "SVTYPE",
            "END=9000",
            "END=5",
            "END=x",
            "SVLEN=-50",
            "SVLEN=7,80",
            "SVLEN=",
            "DP=3",
        ]
    ),
    max_size=4,
).map(lambda items: ";".join(items) or ".")


@given(
    pos=st.integers(1, LENGTH - 50),
    length=st.integers(1, 6),
    alts=st.lists(ALLELES, min_size=1, max_size=4),
    info=INFO,
    lower=st.booleans(),
)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fast_reader_makes_the_rows_of_the_plain_rules(
    bundle: Bundle, scanner: Scanner, pos: int, length: int, alts: list[str], info: str, lower: bool
) -> None:
    ref = ref_at(pos, length)
    text = line(pos, ref.lower() if lower else ref, ",".join(alts), info=info)
    scanner.scan(text)
    assert fast_rows(scanner) == plain_rows(bundle, text)


def test_a_line_that_lacks_something_says_what(scanner: Scanner) -> None:
    good = line(100, ref_at(100), "A" if ref_at(100) != "A" else "C")
    cases = {
        b"chr1\t100\t.\tA\n": "few_columns",
        b"chr1 100 . A C . . .\n": "few_columns",
        line(0, "A", "C").replace(b"\t0\t", b"\tx\t"): "bad_position",
        line(0, "A", "C").replace(b"\t0\t", b"\t\t"): "bad_position",
        line(0, "A", "C").replace(b"\t0\t", b"\t99999999999\t"): "bad_position",
        line(0, "A", "C").replace(b"\t0\t", b"\t-5\t"): "bad_position",
        line(2_147_483_647, "AC", "A"): "bad_position",
        line(100, "A1", "A"): "bad_ref",
        line(100, "", "A"): "bad_ref",
        line(100, ref_at(100), "A-"): "bad_alt",
        line(100, ref_at(100), "<DEL>"): "bad_alt",
        line(100, "A", "C", contig="chr9"): "unknown_contig",
        line(100, "ACGT"["TGCA".index(ref_at(100))], "N"): "ref_mismatch",
        line(LENGTH + 1, "A", "C"): "past_end",
        line(LENGTH, ref_at(LENGTH) + "A", "A"): "past_end",
        line(0, "N", "A"): "past_end",
        b"# a comment\n": "",
        b"\n": "",
        b"\r\n": "",
        good: "",
    }
    assert statuses(scanner, b"".join(cases)) == list(cases.values())
    assert [scanner.describe(b"".join(cases), i) != "" for i in range(len(cases))] == [bool(x) for x in cases.values()]


def test_a_mismatch_names_both_bases(scanner: Scanner) -> None:
    wrong = "ACGT"["TGCA".index(ref_at(100))]
    text = line(100, wrong, "N")
    scanner.scan(text)
    said = scanner.describe(text, 0)
    assert f"REF is {wrong}" in said
    assert f"has {ref_at(100)} there" in said
    assert "chr1:100" in said


def test_what_does_not_fit_the_reference_is_judged_by_nobody(scanner: Scanner) -> None:
    wrong = "ACGT"["TGCA".index(ref_at(100))]
    scanner.scan(line(100, wrong, "G,GG"))
    assert [row[5] for row in fast_rows(scanner)] == [OTHER, OTHER]


def test_iupac_agrees_where_a_base_is_common(scanner: Scanner) -> None:
    assert statuses(scanner, line(100, "N", "A") + line(100, ref_at(100).lower(), "n")) == ["", ""]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_any_end_of_line_will_do(scanner: Scanner, end: bytes) -> None:
    text = line(100, ref_at(100), "<DEL>", info="SVTYPE=DEL;END=200").rstrip(b"\n") + end
    assert statuses(scanner, text) == [""]
    assert fast_rows(scanner)[0][4] == 200


def test_a_contig_goes_by_its_aliases(scanner: Scanner, bundle: Bundle) -> None:
    text = line(100, ref_at(100), "N", contig="1") + line(100, ref_at(100), "N", contig="chr1")
    assert statuses(scanner, text) == ["", ""]
    assert scanner.records.contig[:2].tolist() == [bundle.contig("chr1")] * 2


def test_a_line_of_a_hundred_thousand_alleles_finds_room(bundle: Bundle) -> None:
    scanner = Scanner(bundle)
    letters = random.Random(1)
    alts = ["".join(letters.choices("ACGT", k=9)) for _ in range(100_000)]
    before, after = line(100, ref_at(100), "N"), line(101, ref_at(101), "N")
    text = before + line(200, ref_at(200, 3), ",".join(alts)) + after
    at, records, rows = 0, 0, 0
    while at < len(text):
        at = scanner.scan(text, at)
        records += scanner.records.count
        rows += scanner.variants.count
    assert (records, rows) == (3, 100_002)


def test_lines_survive_any_damage(bundle: Bundle, scanner: Scanner) -> None:
    """Every line of a damaged text is one record, and the fast reader never fails."""
    rng = random.Random(20)
    good = [
        line(100, ref_at(100, 3), "A,<DEL>", info="SVTYPE=DEL;END=500;SVLEN=-3,4"),
        line(6110, ref_at(6110), "T\tGT\t0/1").replace(b"\\t", b"\t"),
        line(7000, ref_at(7000, 4), "G]chr2:5],*"),
    ]
    for _ in range(100):
        text = bytearray(b"".join(rng.choices(good, k=8)))
        for _ in range(rng.randrange(1, 12)):
            at = rng.randrange(len(text))
            change = rng.randrange(3)
            if change == 0:
                text[at] = rng.choice(b"\t\n\r,;=<>[]*.ACGT019-:\xff\x00")
            elif change == 1:
                del text[at : at + rng.randrange(1, 6)]
            else:
                text[at:at] = rng.choice([b"\t", b",", b"\n", b"<", b"END=", b"chr2", b"9" * 12])
            text = text or bytearray(b"\n")
        whole = bytes(text)
        at = lines = 0
        while at < len(whole):
            at = scanner.scan(whole, at)
            lines += scanner.records.count
            for i in range(scanner.records.count):
                scanner.describe(whole, i)
        assert lines == whole.count(b"\n") + (not whole.endswith(b"\n"))


def test_the_header_is_taken_apart() -> None:
    contigs = b"##contig=<ID=chr1,length=5>\n##contig=<length=5,ID=HLA*01:01>\n"
    text = b"##fileformat=VCFv4.2\n" + contigs + b"##INFO=<ID=CSQ,Number=.>\n#CHROM\tPOS\nchr1\t"
    assert header_length(text) == text.index(b"chr1\t")
    header = read_header(text[: header_length(text)])
    assert header.contigs == ("chr1", "HLA*01:01")
    assert header.declares("CSQ")
    assert not header.declares("CS")
    assert header.columns == b"#CHROM\tPOS\n"
    assert header_length(b"##half a li") == len(b"##half a li")


def test_a_byte_order_mark_goes_and_utf_16_is_refused() -> None:
    assert without_mark(b"\xef\xbb\xbf##file") == b"##file"
    with pytest.raises(InvalidInput, match="UTF-16"):
        without_mark("##file".encode("utf-16"))


def test_a_bundle_of_regions_knows_what_it_does_not_hold(tmp_path: Path) -> None:
    from support.tiny_bundle import tiny_bundle  # noqa: PLC0415

    with Bundle.open(tiny_bundle(tmp_path, {"chr1:101-160": "ACGT" * 15})) as bundle:
        scanner = Scanner(bundle)
        text = (
            line(101, "A", "C")
            + line(90, "A", "C")
            + line(160, "TA", "T")
            + line(50, "N", "<DEL>", info="END=120")
            + line(10, "N", "<DEL>", info="END=20")
        )
        assert statuses(scanner, text) == ["", "outside_reference", "outside_reference", "", "outside_reference"]

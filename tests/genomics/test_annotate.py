"""Annotation end to end: what comes out of the stream, byte by byte, and what becomes of lines that are wrong."""

import csv
import doctest
import gzip
import io
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from genescale.errors import InvalidInput, UnknownName
from genescale.genomics import annotate as annotate_module
from genescale.genomics import bgzf, render
from genescale.genomics.annotate import Annotator, Options, Tally, annotate, no_contig_known, open_input
from genescale.genomics.bundle import Bundle
from support.embedded_bundles import embedded
from support.gene_bundle import gene_bundle, sequence
from support.interpreted_kernels import interpreted_kernels
from support.shared_data import shared_data
from support.vep_parity import parity_bundle

CHR1 = sequence()
HEAD = (
    b'##fileformat=VCFv4.2\n##contig=<ID=chr1,length=20000>\n##INFO=<ID=DP,Number=1,Type=Integer,Description="x">\n'
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n"
)
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    with Bundle.open(gene_bundle(tmp_path_factory.mktemp("bundle"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return parity_bundle()


def snv(pos: int, *, name: str = ".", info: str = ".", rest: str = "\tGT\t0/1\t./.") -> bytes:
    ref = CHR1[pos - 1]
    return f"chr1\t{pos}\t{name}\t{ref}\t{OTHER[ref]}\t50\tPASS\t{info}{rest}\n".encode()


def run(bundle: Bundle, text: bytes, *, block: int = 1 << 19, **options: Any) -> tuple[bytes, Tally]:
    """The whole output and what was counted."""
    annotator = Annotator(bundle, Options(**options))
    opened = open_input(io.BytesIO(text))
    blocks = list(opened.blocks(block))
    out = annotator.header(opened.header, blocks[0].partition(b"\n")[0] if blocks else b"")
    line = opened.first_line
    for one in blocks:
        out += b"".join(bytes(piece) for piece in annotator.block(one, line))
        line += one.count(b"\n")
    if opened.damage:
        raise opened.damage
    return out, annotator.tally()


def body(out: bytes) -> list[bytes]:
    return [line for line in out.splitlines(keepends=True) if not line.startswith(b"#")]


def csq(line: bytes) -> list[list[str]]:
    info = line.decode().split("\t")[7]
    return [row.split("|") for item in info.split(";") if item.startswith("CSQ=") for row in item[4:].split(",")]


def test_a_line_keeps_every_byte_but_info(bundle: Bundle) -> None:
    text = HEAD + snv(6110, name="rs1", info="DP=3;X") + snv(500) + b"# said between\n\n" + snv(6111, info="")
    lines = body(run(bundle, text)[0])
    given = [line for line in text.splitlines(keepends=True) if not line.startswith(b"#")]
    assert len(lines) == len(given)
    for ours, theirs in zip(lines, given, strict=True):
        if not theirs.strip():
            assert ours == theirs
            continue
        mine, before = ours.split(b"\t"), theirs.split(b"\t")
        assert [*mine[:7], *mine[8:]] == [*before[:7], *before[8:]]
    assert lines[0].split(b"\t")[7].startswith(b"DP=3;X;CSQ=")
    assert lines[1].split(b"\t")[7].startswith(b"CSQ=")


def test_the_header_declares_what_is_new(bundle: Bundle) -> None:
    out = run(bundle, HEAD + snv(6110))[0].decode().splitlines()
    head = [line for line in out if line.startswith("#")]
    assert head[0] == "##fileformat=VCFv4.2"
    assert head[-1].startswith("#CHROM\t")
    (declared,) = [line for line in head if line.startswith("##INFO=<ID=CSQ,")]
    fields = declared.partition("Format: ")[2].partition('"')[0].split("|")
    assert fields[:5] == ["Allele", "Consequence", "IMPACT", "SYMBOL", "Gene"]
    assert all(len(row) == len(fields) for row in csq(out[-1].encode()))


def test_an_earlier_annotation_is_replaced(bundle: Bundle) -> None:
    once = run(bundle, HEAD + snv(6110, info="DP=3") + snv(500))[0]
    assert run(bundle, once)[0] == once
    alone = HEAD + snv(6110, info="CSQ=old") + snv(6111, info="CSQ=a;DP=3;CSQ=b")
    assert [line.split(b"\t")[7].count(b"CSQ=") for line in body(run(bundle, alone)[0])] == [1, 1]
    assert b"DP=3;CSQ=" in body(run(bundle, alone)[0])[1]


def test_a_file_without_a_header_gets_one(bundle: Bundle) -> None:
    out = run(bundle, snv(6110))[0].splitlines()
    assert out[0] == b"##fileformat=VCFv4.2"
    assert out[-2] == b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample1\tsample2"


def test_nothing_in_nothing_out(bundle: Bundle) -> None:
    assert body(run(bundle, b"")[0]) == []
    assert body(run(bundle, HEAD)[0]) == []
    assert run(bundle, HEAD)[1].records == 0
    assert run(bundle, b"", to="tsv")[0].count(b"\n") == 1


def test_carriage_returns_stay(bundle: Bundle) -> None:
    text = (HEAD + snv(6110, rest="") + snv(6111)).replace(b"\n", b"\r\n")
    out = run(bundle, text)[0]
    assert out.count(b"\n") == out.count(b"\r\n")
    assert len(csq(body(out)[0])) == len(csq(body(run(bundle, HEAD + snv(6110, rest=""))[0])[0]))


def test_a_byte_order_mark_and_a_missing_line_feed_do_no_harm(bundle: Bundle) -> None:
    plain = run(bundle, HEAD + snv(6110))[0]
    assert run(bundle, b"\xef\xbb\xbf" + HEAD + snv(6110).rstrip(b"\n"))[0] == plain


def test_blocks_of_any_size_give_the_same_bytes(bundle: Bundle) -> None:
    rng = random.Random(3)
    text = HEAD + b"".join(snv(rng.randrange(1, 20_000)) for _ in range(300))
    whole, tally = run(bundle, text)
    for size in (1, 60, 777, 5000):
        again, same = run(bundle, text, block=size)
        assert again == whole
        assert same == tally


@pytest.mark.parametrize("to", ["vcf", "ann", "tsv", "json"])
def test_a_small_buffer_gives_the_same_bytes_and_counts(bundle: Bundle, to: str) -> None:
    rng = random.Random(4)
    text = b"".join(snv(rng.randrange(5000, 14_000)) for _ in range(200))
    text += (
        f"chr1\t9000\t.\t{CHR1[8999:9003]}\t{','.join(['A', 'CC', 'GGG', '<DEL>', 'T' * 300] * 9)}\t.\t.\t.\n".encode()
    )
    whole, tally = run(bundle, HEAD + text, to=to)
    annotator = Annotator(bundle, Options(to=to))
    annotator._renderer._out = np.empty(7000, np.uint8)
    annotator._renderer._room = 100
    out = b"".join(bytes(piece) for piece in annotator.block(text, 5))
    assert whole.endswith(out)
    assert annotator.tally() == tally


FAULTY = {
    b"chr1\tnowhere\t.\tA\tC\t.\t.\t.\n": "bad_position",
    b"chr1\t5\t.\tA?\tC\t.\t.\tDP=1\n": "bad_ref",
    b"chr1\t5\t.\tN\tC-\t.\t.\t.\n": "bad_alt",
    b"chr1\t20001\t.\tA\tC\t.\t.\t.\n": "past_end",
    b"chr9\t5\t.\tA\tC\t.\t.\t.\n": "unknown_contig",
    snv(6110).replace(b"\t%s\t" % CHR1[6109].encode(), b"\t%s\t" % OTHER[CHR1[6109]].encode(), 1): "ref_mismatch",
}


def test_a_faulty_line_stays_and_says_why(bundle: Bundle) -> None:
    text = HEAD + snv(6110) + b"too\tfew\n" + b"".join(FAULTY) + snv(6111)
    out, tally = run(bundle, text)
    lines = body(out)
    assert len(lines) == 3 + len(FAULTY)
    assert lines[1] == b"too\tfew\n"
    for line, reason in zip(lines[2:], FAULTY.values(), strict=False):
        assert f"GENESCALE_SKIPPED={reason}" in line.decode()
        assert b"CSQ" not in line
    assert tally.reasons == {**dict.fromkeys(FAULTY.values(), 1), "few_columns": 1}
    assert tally.faulty == len(FAULTY)  # an unknown contig is no fault of the line
    assert tally.problems[0] == (
        6,
        "fewer than 8 columns; VCF wants CHROM POS ID REF ALT QUAL FILTER INFO, separated by tabs",
    )
    assert tally.unknown_contigs == ["chr9"]


def test_faulty_lines_can_be_dropped_or_stop_the_run(bundle: Bundle) -> None:
    text = HEAD + snv(6110) + b"too\tfew\n" + b"".join(FAULTY) + snv(6111)
    dropped = body(run(bundle, text, on_error="drop")[0])
    assert [b"chr9" in line for line in dropped] == [False, True, False]
    with pytest.raises(InvalidInput, match="line 6: fewer than 8 columns") as caught:
        run(bundle, text, on_error="stop")
    assert caught.value.code == "few_columns"


def test_good_alleles_beside_a_bad_one_are_judged(bundle: Bundle) -> None:
    ref = CHR1[6109]
    (line,) = body(run(bundle, HEAD + f"chr1\t6110\t.\t{ref}\t{OTHER[ref]},X-,*\t.\t.\t.\n".encode())[0])
    assert {row[0] for row in csq(line)} == {OTHER[ref]}
    assert b";GENESCALE_SKIPPED=bad_alt" in line


def test_reference_blocks_and_missing_alleles_pass_through(bundle: Bundle) -> None:
    ref = CHR1[6109]
    for alt in (".", "<NON_REF>", "*", "<*>"):
        text = f"chr1\t6110\t.\t{ref}\t{alt}\t.\t.\tEND=6200\tGT\t0/0\n".encode()
        assert body(run(bundle, HEAD + text)[0]) == [text]


def test_rows_of_several_alleles_come_by_transcript(bundle: Bundle) -> None:
    ref = CHR1[8999]
    others = [base for base in "ACGT" if base != ref]
    (line,) = body(run(bundle, HEAD + f"chr1\t9000\t.\t{ref}\t{','.join(others)}\t.\t.\t.\n".encode())[0])
    rows = [(row[6], row[0]) for row in csq(line)]
    assert len(rows) % 3 == 0
    assert rows == [(name, allele) for name in sorted({name for name, _ in rows}) for allele in others]


def test_a_line_of_many_alleles_and_a_huge_deletion_fit(bundle: Bundle) -> None:
    rng = random.Random(8)
    alts = sorted({"".join(rng.choices("ACGT", k=8)) for _ in range(30_000)})
    many = f"chr1\t6110\t.\t{CHR1[6109:6112]}\t{','.join(alts)}\t.\t.\t.\n".encode()
    deletion = f"chr1\t1\t.\t{CHR1}\t{CHR1[0]}\t.\t.\t.\n".encode()
    out, tally = run(bundle, HEAD + snv(500) + many + deletion + snv(6111))
    lines = body(out)
    assert len(lines) == 4
    assert len(csq(lines[1])) == 2 * len(alts) or len(csq(lines[1])) % len(alts) == 0
    assert {row[1] for row in csq(lines[2])} == {"transcript_ablation"}
    assert tally.alleles == len(alts) + 3


@pytest.mark.parametrize("to", ["vcf", "ann", "tsv", "json"])
def test_compiled_and_interpreted_kernels_write_the_same(
    bundle: Bundle, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(6)
    text = HEAD + b"".join(snv(rng.randrange(5500, 13_500), name='a"b') for _ in range(60)) + b"".join(FAULTY)
    text += f"chr1\t6110\tx;y\t{CHR1[6109:6113]}\t{CHR1[6109]},GGG,<DEL>,A]chr2:7]\t.\t.\tEND=6500\n".encode()
    compiled, tally = run(bundle, text, to=to)
    (kernel,) = interpreted_kernels("render")
    monkeypatch.setattr(render, "Kernel", kernel.Renderer)
    monkeypatch.setattr(render, "Plan", kernel.Plan)
    monkeypatch.setattr(render, "Strings", kernel.Strings)
    assert run(bundle, text, to=to) == (compiled, tally)


def test_rows_have_exactly_the_fields_that_were_asked_for(bundle: Bundle) -> None:
    fields = ("id", "transcript", "consequence", "HGVSc", "hgvsp")
    out = run(bundle, HEAD + snv(500, name="near") + snv(6110, name="v1"), to="tsv", fields=fields)[0].decode()
    rows = list(csv.reader(io.StringIO(out), delimiter="\t"))
    assert rows[0] == ["id", "transcript", "consequence", "hgvsc", "hgvsp"]
    assert rows[1] == ["near", "-", "intergenic_variant", "-", "-"]
    mine = {row[1]: row for row in rows[2:]}
    assert mine["T1.2"][3].startswith("T1.2:c.10")
    assert mine["T2.2"][2] == "downstream_gene_variant"


def test_a_variant_without_a_name_is_named_by_what_it_is(bundle: Bundle) -> None:
    ref = CHR1[6109:6112]
    text = HEAD + f"chr1\t6110\t.\t{ref}\t{ref[0]}\t.\t.\t.\n".encode()
    out = run(bundle, text, to="tsv", fields=("id",))[0].decode().splitlines()
    assert out[1] == f"chr1_6111_{ref[1:]}/-"


def test_json_lines_are_json(bundle: Bundle) -> None:
    out, tally = run(bundle, HEAD + snv(6110, name='say "x"\\') + snv(500) + b"".join(FAULTY), to="json")
    found = [json.loads(line) for line in out.splitlines()]
    assert found[0]["id"] == 'say "x"\\'
    assert found[0]["pos"] == 6110
    assert found[1]["transcripts"][0]["consequence"] == ["intergenic_variant"]
    assert {one.get("skipped") for one in found[2:]} == set(FAULTY.values()) - {"bad_position"}
    assert sum(len(one["transcripts"]) for one in found) == tally.rows


def test_ann_is_snpeffs(bundle: Bundle) -> None:
    out = run(bundle, HEAD + snv(6110), to="ann")[0]
    rows = [row.split("|") for row in body(out)[0].decode().split("\t")[7].removeprefix("ANN=").split(",")]
    assert all(len(row) == 16 for row in rows)
    order = ["HIGH", "MODERATE", "LOW", "MODIFIER"]
    assert [order.index(row[2]) for row in rows] == sorted(order.index(row[2]) for row in rows)
    (coding,) = [row for row in rows if row[6] == "T1.2"]
    assert coding[8] == "1/3"
    assert coding[9].startswith("c.10")
    assert coding[12] == "10/350"
    assert coding[13].startswith("4/")


def test_the_distance_bounds_what_is_near(bundle: Bundle) -> None:
    fields = ("symbol", "distance")
    near = {row["symbol"] for row in annotate(HEAD + snv(5500), bundle, Options(fields=fields, distance=600))}
    assert near == {"PLUS"}
    (far,) = annotate(HEAD + snv(5500), bundle, Options(fields=("consequence",), distance=100))
    assert far["consequence"] == "intergenic_variant"


def test_pick_and_filter_choose_rows(bundle: Bundle) -> None:
    text = HEAD + snv(6110) + snv(8900) + snv(500)
    rows = defaultdict(list)
    for row in annotate(text, bundle, Options(fields=("pos", "symbol", "impact", "consequence"))):
        rows[row["pos"]].append(row)
    picked = list(annotate(text, bundle, Options(fields=("pos", "symbol"), pick="variant")))
    assert [row["pos"] for row in picked] == ["6110", "8900", "500"]
    genes = list(annotate(text, bundle, Options(fields=("pos", "symbol"), pick="allele_gene")))
    assert len(genes) == sum(len({row["symbol"] for row in found}) for found in rows.values())
    for where, check in {
        "impact>=LOW": lambda row: row["impact"] != "MODIFIER",
        "symbol=PLUS,MINUS and not impact=LOW": lambda row: (
            row["symbol"] in {"PLUS", "MINUS"} and row["impact"] != "LOW"
        ),
        "(symbol=PLUS or consequence=intergenic_variant)": lambda row: row["symbol"] == "PLUS" or row["symbol"] == "-",
        "symbol!=PLUS": lambda row: row["symbol"] != "PLUS",
        "transcript=T1 and canonical": lambda row: row["symbol"] == "PLUS",
    }.items():
        got = [
            (row["pos"], row["symbol"])
            for row in annotate(text, bundle, Options(fields=("pos", "symbol"), where=where))
        ]
        assert got == [(row["pos"], row["symbol"]) for found in rows.values() for row in found if check(row)], where


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("impact>", "expected an impact"),
        ("impact>=SEVERE", "an impact is one of HIGH"),
        ("colour=red", "expected a field: impact"),
        ("symbol>A", "symbol is text"),
        ("distance<far", "distance is a number"),
        ("(canonical", r"expected `\)`"),
        ("canonical mane", "expected `and`"),
        ("consequence=missense", "no consequence term 'missense'"),
        ("", ""),
    ],
)
def test_a_filter_that_cannot_be_understood_says_where(bundle: Bundle, where: str, said: str) -> None:
    if not where:
        Annotator(bundle, Options(where=where))
        return
    with pytest.raises(InvalidInput, match=said) as caught:
        Annotator(bundle, Options(where=where))
    assert caught.value.place.startswith("filter, character")


def test_names_are_annotated_and_what_is_no_name_is_raised(bundle: Bundle) -> None:
    ref = CHR1[6109]
    text = f"chr1:g.6110{ref}>{OTHER[ref]}\nnonsense\nchr1:g.1{OTHER[CHR1[0]]}>N\n".encode()
    rows: list[dict[str, str]] = []
    with pytest.raises(InvalidInput, match=r"line 2: nonsense: .* \(and 1 more\)"):
        rows.extend(annotate(text, bundle, Options(fields=("pos",), pick="variant")))
    assert rows == [{"pos": "6110"}]


def test_odd_bytes_in_a_name_do_not_split_a_row(bundle: Bundle) -> None:
    (row,) = annotate(HEAD + snv(500, name="a\x0b\u2028b"), bundle, Options(fields=("id", "pos")))
    assert row == {"id": "a\x0b\u2028b", "pos": "500"}


def test_an_open_file_stays_open(bundle: Bundle) -> None:
    file = io.BytesIO(HEAD + snv(500))
    assert len(list(annotate(file, bundle))) == 1
    assert not file.closed


def test_options_that_do_not_exist_are_refused(bundle: Bundle) -> None:
    for options, said in (
        (Options(to="xml"), "no output format 'xml'"),
        (Options(fields=("colour",)), "no field 'colour'"),
        (Options(pick="best"), "pick called 'best'"),
        (Options(to="ann", fields=("symbol",)), "fixed list"),
        (Options(distance=6001), "between 0 and 6,000"),
    ):
        with pytest.raises(InvalidInput, match=said):
            Annotator(bundle, options)


def test_compressed_input_that_was_cut_off_gives_what_was_read(bundle: Bundle) -> None:
    lines = [snv(pos) for pos in range(6000, 9000)]
    packed = gzip.compress(HEAD + b"".join(lines))
    opened = open_input(io.BytesIO(packed[: len(packed) // 2]))
    read = b"".join(opened.blocks())
    assert isinstance(opened.damage, bgzf.Truncated)
    assert read.endswith(b"\n")
    assert 0 < read.count(b"\n") < 3000
    assert b"".join(lines).startswith(read)


def test_a_file_of_another_assembly_names_both_sides(bundle: Bundle) -> None:
    error = no_contig_known(bundle, ["chrA", "chrB"])
    assert isinstance(error, UnknownName)
    assert "chrA, chrB" in str(error)
    assert "chr1, chr2" in str(error)


def test_tallies_add_up_and_survive_json(bundle: Bundle) -> None:
    text = HEAD + snv(6110) + b"".join(FAULTY) + snv(500)
    whole = run(bundle, text)[1]
    again = Tally()
    again.add(Tally.from_dict(json.loads(json.dumps(whole.as_dict()))))
    assert again == whole
    assert whole.term_counts()["intergenic_variant"] == 1


def test_the_example_in_the_docstring_holds() -> None:
    with embedded("mitochondrion") as opened:
        found = doctest.DocTestFinder().find(
            annotate_module.annotate, globs=vars(annotate_module) | {"mitochondrion": opened.path}
        )
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert runner.summarize(verbose=False) == (0, sum(len(test.examples) for test in found))


@pytest.mark.parametrize("name", ["main", "multi", "sv"])
def test_csq_is_veps_field_by_field(parity: Bundle, name: str) -> None:
    """Every field that both have, rows in the same order."""
    truth = defaultdict(list)
    with gzip.open(shared_data(f"vep-parity/{name}.vep115.tsv.gz"), "rt") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            truth[row["#Uploaded_variation"]].append(row)
    text = gzip.decompress(shared_data(f"vep-parity/{name}.vcf.gz").read_bytes())
    out = run(parity, text, strict=True, pick="variant", flag_pick=True)[0].decode()
    fields = out.partition("Format: ")[2].partition('"')[0].split("|")
    differences: dict[str, int] = defaultdict(int)
    for line in out.splitlines():
        if line.startswith("#"):
            continue
        rows = csq(line.encode())
        expected = truth[line.split("\t")[2]]
        assert len(rows) == len(expected)
        for row, other in zip(rows, expected, strict=True):
            for field, ours in zip(fields, row, strict=True):
                if field in other and _plain(field, ours) != _theirs(field, other[field]):
                    differences[field] += 1
    assert dict(differences) == {}


@pytest.mark.slow
@pytest.mark.parametrize("to", ["vcf", "ann", "tsv", "json"])
def test_no_damaged_line_ends_the_run_or_gets_lost(parity: Bundle, to: str) -> None:
    """Real lines, 100,000 of them damaged at random over the four formats; as many lines come out as went in."""
    rng = random.Random(to)
    good = gzip.decompress(shared_data("vep-parity/main.vcf.gz").read_bytes()).splitlines(keepends=True)[6:]
    good += gzip.decompress(shared_data("vep-parity/multi.vcf.gz").read_bytes()).splitlines(keepends=True)[6:]
    good += gzip.decompress(shared_data("vep-parity/sv.vcf.gz").read_bytes()).splitlines(keepends=True)[10:] * 20
    pieces = [
        b"\t",
        b",",
        b"\n",
        b"<",
        b">",
        b"END=",
        b"SVLEN=-",
        b"chr2",
        b"9" * 12,
        b"]",
        b"[",
        b"*",
        b".",
        b"\r",
        b"\0",
        b"\xff",
    ]
    for _ in range(25):
        text = bytearray(b"".join(rng.choices(good, k=1000)))
        for _ in range(1000):
            at = rng.randrange(len(text))
            if rng.random() < 0.4:
                text[at] = rng.choice(b"ACGTN\t\n;=,<>0123456789")
            elif rng.random() < 0.5:
                del text[at : at + rng.randrange(1, 9)]
            else:
                text[at:at] = rng.choice(pieces)
        whole = bytes(text)
        out, tally = run(
            parity, b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + whole, to=to, block=rng.randrange(100, 200_000)
        )
        lines = whole.count(b"\n") + (not whole.endswith(b"\n"))
        if to in {"vcf", "ann"}:
            assert out.count(b"\n") - sum(line.startswith(b"##") for line in out.splitlines()[:8]) - 1 == lines
        if to == "json":
            for line in out.splitlines():
                json.loads(line.decode("utf-8", "replace"))
        assert tally.records <= lines
        assert tally.records >= lines - whole.count(b"\n\n") - whole.count(b"#") - whole.count(b"\n\r\n") - 1


def _plain(field: str, value: str) -> str:
    value = value.replace("%3D", "=").replace("&", ",")
    return ",".join(sorted(value.split(","))) if field == "Consequence" else value


def _theirs(field: str, value: str) -> str:
    if field in {"cDNA_position", "CDS_position", "Protein_position"}:
        value = value.partition("/")[0]
    if field == "Consequence":
        return ",".join(sorted(value.split(",")))
    return "" if value == "-" and field != "Allele" else value

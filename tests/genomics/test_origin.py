"""Changes across the origin of a circular contig, and the placeholder of rCRS: names, consequences and files."""

from collections.abc import Iterator

import numpy as np
import pytest

from genescale.genomics import consequence, mito, vcf
from genescale.genomics.annotate import Options, annotate, open_input
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.normalise import view_of
from genescale.genomics.resolve import resolve, variants_of
from genescale.genomics.variants import OVER_ORIGIN, PLACEHOLDER, REF_MISMATCH, Variants, variants_of_record
from genescale.genomics.vcf import REASONS, Scanner
from genescale.genomics.vrs import vrs_ids
from support.embedded_bundles import embedded
from support.gene_bundle import gene_bundle
from support.interpreted_kernels import interpreted_kernels

FIELDS = ("symbol", "consequence", "hgvsg")
ALONE = [("-", "intergenic_variant")]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return embedded("mitochondrion")


def around(start: int, length: int) -> str:
    """Bases of the circle."""
    return (mito.sequence() * 2)[start - 1 : start - 1 + length]


def told(bundle: Bundle, text: str) -> tuple[list[tuple[str, str]], set[str]]:
    """Genes with terms, and names on the genome, of a line or name."""
    rows = list(annotate(text.encode(), bundle, Options(fields=FIELDS, hgvs=True)))
    return [(row["symbol"], row["consequence"]) for row in rows], {row["hgvsg"] for row in rows}


def record(start: int, length: int, alt: str) -> str:
    return f"chrM\t{start}\t.\t{around(start, length)}\t{alt}\t.\t.\t."


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (record(16_564, 9, "A"), "MT:m.16565_3del"),
        ("m.16565_3del", "MT:m.16565_3del"),
        ("MT-16564-ACGATGGAT-A", "MT:m.16565_3del"),
        ("m.16569_2inv", "MT:m.16569_2inv"),
        ("m.16565_3delinsTA", "MT:m.16565_3delinsTA"),
        ("m.16569_1insA", "MT:m.16569_1insA"),
        (record(16_569, 2, "G"), "MT:m.1del"),  # trimmed, it lies behind the origin
        (record(16_569, 3, "GG"), "MT:m.2del"),
        (record(16_569, 2, "AT"), "MT:m.16569_1delinsAT"),
    ],
)
def test_a_change_across_the_origin_has_its_name_and_its_row(bundle: Bundle, text: str, name: str) -> None:
    assert told(bundle, text) == (ALONE, {name})


def test_genes_at_both_ends_of_a_deletion_across_the_origin_are_judged(bundle: Bundle) -> None:
    rows, names = told(bundle, "m.15900_650del")
    exon = "non_coding_transcript_exon_variant"
    assert sorted(rows) == [
        ("MT-RNR1", exon),
        ("MT-TF", "transcript_ablation"),
        ("MT-TP", "transcript_ablation"),
        ("MT-TT", exon),
    ]
    assert names == {"MT:m.15900_650del"}
    into_cyb = dict(told(bundle, "m.15800_10del")[0])
    linear = dict(told(bundle, "m.15800_16569del")[0])
    assert into_cyb == linear  # the bases behind the origin hold no gene


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"chrM\t16564\t.\t{around(16_564, 8)}A\tA\t.\t.\t.", "ref_mismatch"),  # 16571 is T
        (f"chrM\t16570\t.\t{around(1, 2)}\tA\t.\t.\t.", "past_end"),  # begins behind the end
        (f"chrM\t2\t.\t{around(2, 16_570)}\tA\t.\t.\t.", "past_end"),  # more than the circle
        ("chrM\t3106\t.\tCN\tC\t.\t.\t.", "placeholder"),
        ("chrM\t3107\t.\tN\tA\t.\t.\t.", "placeholder"),
        ("chrM\t3106\t.\tCNT\tC\t.\t.\t.", "placeholder"),
        ("chrM\t3106\t.\tC\tCT\t.\t.\t.", ""),
        ("chrM\t3106\t.\tC\tA\t.\t.\t.", ""),
    ],
)
def test_what_is_wrong_there_has_its_reason(bundle: Bundle, line: str, reason: str) -> None:
    scanner = Scanner(bundle)
    scanner.scan(line.encode())
    assert REASONS[scanner.records.status[0]] == reason
    assert bool(scanner.describe(line.encode(), 0)) == bool(reason)
    assert bool(list(annotate(line.encode(), bundle))) == (not reason)


def test_other_alleles_beside_the_placeholder_are_judged(bundle: Bundle) -> None:
    scanner = Scanner(bundle)
    scanner.scan(b"chrM\t3106\t.\tCN\tC,TN\t.\t.\t.\n")
    assert scanner.variants.flags[:2].tolist()[0] & PLACEHOLDER
    assert not scanner.variants.flags[1] & PLACEHOLDER


def test_a_linear_contig_ends_where_it_ends(tmp_path) -> None:
    with Bundle.open(gene_bundle(tmp_path)) as linear:
        scanner = Scanner(linear)
        last = (linear.sequence(0, 20_000, 20_000) or b"").decode()
        first = (linear.sequence(0, 1, 1) or b"").decode()
        scanner.scan(f"chr1\t20000\t.\t{last}{first}\t{last}\t.\t.\t.\n".encode())
        assert REASONS[scanner.records.status[0]] == "past_end"


def test_no_source_and_no_identifier_is_claimed_for_what_crosses_the_origin(bundle: Bundle) -> None:
    crossing = variants_of([resolve(bundle, "m.16565_3del")])
    judge(bundle, crossing)
    assert crossing.flags[0] & OVER_ORIGIN
    assert all((rows == -1).all() for rows in Knowledge.open(bundle).lookup(crossing).values())
    assert vrs_ids(bundle, crossing) == [""]


def _crossing() -> Iterator[tuple[int, str, str]]:
    for start, length in ((16_560, 20), (15_900, 1_320), (16_569, 2), (14_700, 4_000)):
        bases = around(start, length)
        yield from ((start, bases, bases[0]), (start, bases, "ACGTACGT"), (start, bases, bases[::-1]))
    yield 16_560, "A" * 20, "A"


@pytest.mark.parametrize("strict", [True, False])
def test_compiled_and_interpreted_judge_it_alike(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, strict: bool) -> None:
    rows = [
        row
        for number, (start, ref, alt) in enumerate(_crossing())
        for row in variants_of_record(0, start, ref, [alt], record=number)
    ]
    compiled, plain = Variants.of_rows(rows), Variants.of_rows(rows)
    ours = judge(bundle, compiled, strict=strict)
    models, kernel = interpreted_kernels("models", "consequence")
    arrays = {name: view_of(bundle.array(name)) for name in models.ARRAYS}
    from genescale.genomics.models import genetic_codes  # noqa: PLC0415

    monkeypatch.setattr(consequence, "Judge", kernel.Judge)
    monkeypatch.setattr(consequence, "models_of", lambda _: models.Models(arrays, *genetic_codes()))
    monkeypatch.setattr(consequence, "_WORKPLACES", {})
    theirs = judge(bundle, plain, strict=strict)
    assert np.array_equal(compiled.flags, plain.flags)
    assert compiled.flags[-1] & REF_MISMATCH
    assert ours.count == theirs.count > 20
    for name in ("variant", "transcript", "terms", "vep_terms", "exon_first", "cds_start"):
        assert np.array_equal(getattr(ours, name)[: ours.count], getattr(theirs, name)[: ours.count]), name


def test_the_interpreted_reader_gives_the_same_rows(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"chrM\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in _crossing()).encode()
    text += b"chrM\t3106\t.\tCN\tC\t.\t.\t.\n"
    ours = Scanner(bundle)
    (kernel,) = interpreted_kernels("vcf")
    monkeypatch.setattr(vcf, "Kernel", kernel.Scanner)
    theirs = Scanner(bundle)
    for scanner in (ours, theirs):
        assert scanner.scan(text) == len(text)
    rows = ours.variants.count
    assert np.array_equal(ours.records.status[:rows], theirs.records.status[:rows])
    for name in ("start", "end", "kind", "flags", "ref_length", "alt_length"):
        assert np.array_equal(getattr(ours.variants, name)[:rows], getattr(theirs.variants, name)[:rows]), name


def test_a_name_across_the_origin_is_no_longer_refused(bundle: Bundle) -> None:
    import io  # noqa: PLC0415

    opened = open_input(io.BytesIO(b"m.16565_3del\n"), bundle, "hgvs")
    assert b"ACGATGGAT" in b"".join(opened.blocks())
    assert not opened.refused

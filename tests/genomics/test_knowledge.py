"""Facts about variants: found under every spelling, never under a wrong one, absent where a source is silent."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genescale.errors import InvalidInput, UnknownName
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Column, Knowledge
from genescale.genomics.knowledge_build import Fact, Rejected, Source, build_facts
from genescale.genomics.knowledge_fields import FactWriter, fact_fields
from genescale.genomics.variants import Variants, variants_of_record
from support.tiny_bundle import tiny_bundle

SEQUENCE = "GATTACACACACACGGGGGGTTNNNNACGTACGTACGTACGTACGTACGTTTTTTTTTTTTTTTTTCAGCAGCAGCAGCAGTA" * 2
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
NUMBER = (Column("number", "i4", "a number"),)


def source(name: str = "test", columns: tuple[Column, ...] = NUMBER, **other: str) -> Source:
    return Source(name, "1", "2024-05-09", "none", other.pop("assembly", "GRCh38"), columns, **other)


def variants(bundle: Bundle, *records: tuple[str, int, str, str]) -> Variants:
    return Variants.of_rows(
        row
        for contig, pos, ref, alt in records
        for row in variants_of_record(bundle.contig(contig), pos, ref, alt.split(","))
    )


def numbers(knowledge: Knowledge, asked: Variants, name: str = "test") -> list[object]:
    facts = knowledge[name]
    return [facts.value("number", int(row)) for row in knowledge.lookup(asked)[name]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("b"), {"chr1": SEQUENCE, "chr2": "ACGT" * 30})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return tiny_bundle(tmp_path, {"chr1": SEQUENCE, "chr2": "ACGT" * 30})


def ask(path: Path, *records: tuple[str, int, str, str]) -> list[object]:
    with Bundle.open(path) as bundle:
        return numbers(Knowledge.open(bundle), variants(bundle, *records))


# ---- one spelling


def edited(pos: int, ref: str, alt: str) -> str:
    return SEQUENCE[: pos - 1] + alt + SEQUENCE[pos - 1 + len(ref) :]


@st.composite
def records(draw: st.DrawFn) -> tuple[int, str, str]:
    """VCF records in a sequence full of repeats, anchored or not so well."""
    pos = draw(st.integers(1, 80))
    length = draw(st.sampled_from([1, 1, 2, 3, 4, 7, 15, 20]))
    ref = SEQUENCE[pos - 1 : pos - 1 + length]
    assume("N" not in ref)  # two unknown bases need not be the same, so nothing rolls through them
    kind = draw(st.integers(0, 3))
    if kind == 0:
        alt = draw(st.text("ACGT", min_size=1, max_size=3))
    elif kind == 1:  # an insertion, often of what is there already
        alt = ref + draw(st.one_of(st.just(ref), st.sampled_from(["A", "AC", "CAG", "T" * 9, "ACGTACGTACGTA"])))
    elif kind == 2:
        alt = ref[: draw(st.integers(1, length))]
    else:
        alt = ref[:1] + draw(st.text("ACGT", max_size=14)) + ref[-1:]
    return pos, ref, alt


@settings(max_examples=40, deadline=None)
@given(stored=st.lists(records(), min_size=1, max_size=40), asked=st.lists(records(), min_size=1, max_size=40))
def test_a_variant_is_found_exactly_when_it_makes_the_same_sequence(
    folder: Path, stored: list[tuple[int, str, str]], asked: list[tuple[int, str, str]]
):
    facts = [Fact(i, "chr1", *record, (i,)) for i, record in enumerate(stored)]
    build_facts(folder, source(), facts)
    known: dict[str, int] = {}
    for i, record in enumerate(stored):
        known.setdefault(edited(*record), i)
    known.pop(SEQUENCE, None)
    wanted = [known.get(edited(*record)) for record in asked]
    assert ask(folder, *(("chr1", *record) for record in asked)) == wanted


def test_every_place_of_a_repeat_is_the_same_variant(own: Path):
    at = SEQUENCE.index("CAGCAG") + 1  # CAG five times
    build_facts(own, source(), [Fact(1, "chr1", at - 1, SEQUENCE[at - 2 : at + 2], SEQUENCE[at - 2], (7,))])
    shifted = [("chr1", at - 1 + k, SEQUENCE[at - 2 + k : at + 2 + k], SEQUENCE[at - 2 + k]) for k in range(13)]
    assert ask(own, *shifted) == [7] * 13
    padded = ("chr1", at - 4, SEQUENCE[at - 5 : at + 14], SEQUENCE[at - 5 : at - 1] + SEQUENCE[at + 2 : at + 14])
    two_units = ("chr1", at - 1, SEQUENCE[at - 2 : at + 5], SEQUENCE[at - 2])
    assert ask(own, padded, two_units) == [7, None]


def test_alleles_of_one_line_are_found_one_by_one(own: Path):
    ref = SEQUENCE[4:6]
    assert ref == "AC"
    build_facts(own, source(), [Fact(1, "chr1", 5, "A", "G", (1,)), Fact(2, "chr1", 5, "AC", "A", (2,))])
    assert ask(own, ("chr1", 5, "AC", "GC,A,TC,*,<DEL>")) == [1, 2, None, None, None]


def test_a_wrong_ref_finds_nothing_even_where_rolling_would_hide_it(own: Path):
    build_facts(own, source(), [Fact(1, "chr1", 5, "ACA", "A", (1,))])
    with Bundle.open(own) as bundle:
        assert bundle.sequence(0, 13, 15) == b"ACG"
    assert ask(own, ("chr1", 13, "ACA", "A"), ("chr1", 11, "ACA", "A"), ("chr1", 5, "G", "C")) == [None, 1, None]


def test_long_alleles_are_compared_letter_by_letter(own: Path):
    rng = random.Random(5)
    alts = ["A" + "".join(rng.choice("ACGT") for _ in range(400)) for _ in range(300)]
    build_facts(own, source(), [Fact(i, "chr2", 1, "A", alt, (i,)) for i, alt in enumerate(alts)])
    assert ask(own, *(("chr2", 1, "A", alt) for alt in alts)) == list(range(300))
    assert ask(own, *(("chr2", 1, "A", alt[:-1] + ("A" if alt[-1] != "A" else "C")) for alt in alts)) == [None] * 300


def test_a_fact_can_be_read_back_with_its_variant(own: Path):
    facts = [
        Fact(1, "chr1", 1, "G", "T", (1, 11)),
        Fact(2, "chr1", 1, "G", "GG", (2, 12)),
        Fact(3, "chr1", 7, "ACA", "A", (3, 12)),
        Fact(4, "chr1", 20, SEQUENCE[19:22], "ACGTACGTACGTACGT", (4, 13)),
        Fact(5, "chr1", 1, "GA", "A", (5, None)),
    ]
    build_facts(own, source(columns=(*NUMBER, Column("rs", "u4", "dbSNP"))), facts)
    with Bundle.open(own) as bundle:
        knowledge = Knowledge.open(bundle)
        rows = [facts.rows_of_rs(number) for number in (11, 12, 13, 14) for facts in knowledge.values()]
        assert [len(row) for row in rows] == [1, 2, 1, 0]
        found = knowledge.variants_of_rs("rs12")
        assert [(k.position, k.ref, k.alt) for k in found] == [(1, "G", "GG"), (4, "TAC", "T")]
        assert numbers(knowledge, variants(bundle, *(("chr1", k.position, k.ref, k.alt) for k in found))) == [2, 3]
        assert knowledge.variants_of_rs(13)[0][2:] == (0, 20, "GT", "ACGTACGTACGTACG")
        deleted = knowledge["test"].spelling(int(knowledge.lookup(variants(bundle, ("chr1", 1, "GA", "A")))["test"][0]))
        assert deleted == (0, 1, "G", "")
        for wrong, words in (("rs999", "does not know rs999"), ("12x", "is no dbSNP number")):
            with pytest.raises(UnknownName, match=words):
                knowledge.variants_of_rs(wrong)


# ---- values


def test_each_kind_gives_back_what_the_source_said_and_nothing_where_it_was_silent(own: Path):
    columns = (
        Column("small", "u1", "", 2),
        Column("scaled", "u2", "", 3),
        Column("count", "u4", ""),
        Column("signed", "i4", ""),
        Column("half", "f2", ""),
        Column("single", "f4", ""),
        Column("words", "text", ""),
        Column("label", "category", ""),
    )
    values = (0.25, 0.932, 4_000_000_000, -50, 0.125, 6.57038e-05, "a_b|c", "x")
    build_facts(
        own, source(columns=columns), [Fact(1, "1", 5, "A", "C", values), Fact(2, "chr1", 5, "A", "G", (None,) * 8)]
    )
    with Bundle.open(own) as bundle:
        facts = Knowledge.open(bundle)["test"]
        assert facts.values(0) == dict(zip(facts.columns, values, strict=True))
        assert facts.values(1) == {}
        assert facts.values(-1) == {}
        for name, value in zip(facts.columns, values, strict=True):
            if isinstance(value, str):
                with pytest.raises(UnknownName, match="is text and has no numbers"):
                    facts.numbers(name, np.array([0]))
            else:
                numbers = facts.numbers(name, np.array([1, 0, -1]))
                assert numbers[1] == pytest.approx(value, rel=1e-6)
                assert np.isnan(numbers[[0, 2]]).all()
        with pytest.raises(UnknownName, match="has no column 'af'; it has small"):
            facts.value("af", 0)


def test_values_that_a_column_cannot_hold_are_rejected_and_never_rounded(own: Path):
    columns = (Column("score", "u2", "", 3), Column("count", "u4", ""), Column("f", "f4", ""))
    wrong = [
        (0.9321, 1, 1.0),
        (66.0, 1, 1.0),
        (0.5, -1, 1.0),
        (0.5, 2**32, 1.0),
        (0.5, 1.5, 1.0),
        (0.5, 1, float("inf")),
    ]
    report = build_facts(own, source(columns=columns), [Fact(i, "chr1", 5, "A", "C", v) for i, v in enumerate(wrong)])
    assert (report.rows, report.rejected) == (0, {"bad_value_score": 2, "bad_value_count": 3, "bad_value_f": 1})


def test_several_facts_about_one_allele_become_the_preferred_one(own: Path):
    same = [Fact(i, "chr1", 5 + 2 * i, "ACA", "A", (number,)) for i, number in enumerate((5, 9, None))]
    assert build_facts(own, source(prefer="number"), same).merged == 2
    assert ask(own, ("chr1", 11, "ACA", "A")) == [9]
    build_facts(own, source(), same)
    assert ask(own, ("chr1", 11, "ACA", "A")) == [5]


def test_whatever_cannot_be_used_is_counted_with_its_lines(own: Path):
    lines = [
        Rejected(3, "bad_position"),
        Fact(4, "chrUn", 5, "A", "C", (1,)),
        Fact(5, "chr1", 5, "G", "C", (1,)),
        Fact(6, "chr1", 0, "A", "C", (1,)),
        Fact(7, "chr1", 100_000, "A", "C", (1,)),
        Fact(8, "chr1", 5, "A", "A", (1,)),
        Fact(9, "chr1", 5, "A", "<DEL>", (1,)),
        Fact(10, "chr1", 5, "a", "c", (1,)),
        Fact(11, "chr1", 2**40, "A", "C", (1,)),
    ]
    report = build_facts(own, source(), lines)
    assert report.rejected == {
        "bad_position": 1,
        "unknown_contig": 1,
        "ref_mismatch": 1,
        "past_end": 3,
        "alt_is_ref": 1,
        "not_a_sequence": 1,
    }
    assert report.lines["past_end"] == ["6", "7", "11"]
    assert "1 not used: ref_mismatch (line 5)" in report.text()
    assert ask(own, ("chr1", 5, "A", "C")) == [1]


# ---- the bundle


def test_the_bundle_lists_the_source_and_changes_its_digest(own: Path):
    with Bundle.open(own) as before:
        assert len(Knowledge.open(before)) == 0
        digest = before.digest
    build_facts(own, source(), [Fact(1, "chr1", 5, "A", "C", (1,))])
    with Bundle.open(own) as after:
        described = after.facts["test"]
        assert after.digest != digest
        assert (described["version"], described["date"], described["rows"]) == ("1", "2024-05-09", 1)
        with pytest.raises(UnknownName, match="no facts from 'gnomad'; it has test"):
            Knowledge.open(after)["gnomad"]
        one = after.digest
    build_facts(own, source(), [Fact(1, "chr1", 5, "A", "C", (2,))])
    with Bundle.open(own) as changed:
        assert changed.digest != one
        assert sorted(p.stem for p in own.glob("*.npy")) == sorted(changed.arrays)
    build_facts(own, source(), [Fact(1, "chr1", 5, "A", "C", (1,))])
    with Bundle.open(own) as again:
        assert again.digest == one
    assert json.loads((own / "bundle.json").read_text())["facts"]["test"]["rows"] == 1


def test_a_table_that_waits_on_disk_is_the_same_table(own: Path):
    rng = random.Random(2)
    facts = [
        Fact(
            i, "chr2", 1 + 4 * rng.randrange(25), "A", "A" + "".join(rng.choices("ACGT", k=rng.randrange(1, 30))), (i,)
        )
        for i in range(3000)
    ]
    columns = (Column("rs", "u4", ""),)
    build_facts(own, source(columns=columns), facts)
    digest = json.loads((own / "bundle.json").read_text())["digest"]
    build_facts(own, source(columns=columns), iter(facts), memory_bytes=2000)
    assert json.loads((own / "bundle.json").read_text())["digest"] == digest


def test_facts_of_another_assembly_are_refused_by_name_and_by_sequence(own: Path):
    before = (own / "bundle.json").read_bytes()
    with pytest.raises(
        InvalidInput, match="about hg19, the bundle tiny is GRCh38: take the publisher's file for GRCh38"
    ):
        build_facts(own, source(assembly="hg19"), [])
    wrong = [Fact(i, "chr1", i, "C" if SEQUENCE[i - 1] != "C" else "T", "A", (1,)) for i in range(1, 150)]
    with pytest.raises(InvalidInput, match="REF of test is not the sequence of the bundle tiny in") as caught:
        build_facts(own, source(assembly=""), wrong)
    assert caught.value.code == "assembly_mismatch"
    assert (own / "bundle.json").read_bytes() == before
    assert not list(own.glob("*facts*"))


def test_an_import_that_fails_leaves_the_older_table(own: Path):
    build_facts(own, source(), [Fact(1, "chr1", 5, "A", "C", (1,))])

    def broken() -> Iterator[Fact]:
        yield Fact(1, "chr1", 5, "A", "C", (2,))
        raise InvalidInput("the compressed file ends in the middle")

    with pytest.raises(InvalidInput):
        build_facts(own, source(), broken())
    assert ask(own, ("chr1", 5, "A", "C")) == [1]
    assert not list(own.glob(".facts*"))


def test_a_bundle_of_regions_knows_only_its_regions(tmp_path: Path):
    path = tiny_bundle(tmp_path, {"chr1:101-160": SEQUENCE[:60], "chr1:201-240": SEQUENCE[:40]})
    facts = [
        Fact(1, "chr1", 105, "A", "C", (1,)),
        Fact(2, "chr1", 205, "A", "C", (2,)),
        Fact(3, "chr1", 170, "A", "C", (3,)),
    ]
    report = build_facts(path, source(), facts)
    assert report.rejected == {"outside_reference": 1}
    assert ask(path, ("chr1", 105, "A", "C"), ("1", 205, "A", "C"), ("chr1", 170, "A", "C")) == [1, 2, None]
    edge = [Fact(1, "chr1", 160, SEQUENCE[59], SEQUENCE[59] + "CCC", (1,)), Fact(2, "chr1", 101, "G", "AG", (2,))]
    assert build_facts(path, source(), edge).rows == 2
    assert ask(path, ("chr1", 160, SEQUENCE[59], SEQUENCE[59] + "CCC"), ("chr1", 101, "G", "AG")) == [1, 2]


def test_many_sources_answer_side_by_side(own: Path):
    build_facts(own, source("one"), [Fact(1, "chr1", 5, "A", "C", (1,))])
    build_facts(own, source("two"), [Fact(1, "chr2", 5, "A", "C", (2,))])
    with Bundle.open(own) as bundle:
        knowledge = Knowledge.open(bundle)
        found = knowledge.lookup(variants(bundle, ("chr2", 5, "A", "C"), ("chr1", 5, "A", "C"), ("chr9", 5, "A", "C")))
        assert {name: rows.tolist() for name, rows in found.items()} == {"one": [-1, 0, -1], "two": [0, -1, -1]}
        assert "one" in knowledge


@pytest.mark.parametrize("name", ["a-b", "", "a/b"])
def test_names_that_cannot_be_file_names_are_refused(name: str):
    with pytest.raises(ValueError, match="letters, digits and _"):
        source(name)


# ---- as texts


def test_facts_become_texts_beside_their_variants(own: Path):
    columns = (
        Column("rs", "u4", "dbSNP"),
        Column("significance", "text", "label"),
        Column("score", "u2", "a score", 3),
    )
    build_facts(own, source("clinvar", columns), [Fact(1, "chr1", 5, "A", "C", (334, "Pathogenic|risk", 0.5))])
    more = (Column("rs", "u4", "dbSNP"), Column("af", "f4", "frequency"))
    facts = [Fact(1, "chr1", 5, "A", "C", (335, 6.57e-05)), Fact(2, "chr1", 5, "A", "G", (None, None))]
    build_facts(own, source("gnomad", more), facts)
    with Bundle.open(own) as bundle:
        knowledge = Knowledge.open(bundle)
        names = [field.name for field in fact_fields(knowledge)]
        assert names == ["clinvar.rs", "clinvar.significance", "clinvar.score", "gnomad.rs", "gnomad.af", "known_parts"]
        asked = ["gnomad.af", "existing_variation", "clinical_significance", "clinvar.score"]
        texts = FactWriter(knowledge, asked).write(
            variants(bundle, ("chr1", 5, "A", "G"), ("chr1", 5, "A", "C"), ("chr1", 5, "A", "T"))
        )
        pool = texts.pool.tobytes()
        said = [pool[a:b].decode() for a, b in zip(texts.begin.tolist(), texts.end.tolist(), strict=True)]
        assert [said[i::3] for i in range(3)] == [
            [""] * 4,
            ["6.57e-05", "rs334&rs335", "Pathogenic|risk", "0.500"],
            [""] * 4,
        ]
        with pytest.raises(InvalidInput, match=r"no field 'clinvar.stars'; of known facts it has clinvar.rs, clinvar"):
            FactWriter(knowledge, ["clinvar.stars"])


def test_a_bundle_without_facts_writes_nothing(folder: Path, tmp_path: Path):
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE})
    with Bundle.open(path) as bundle:
        texts = FactWriter(Knowledge.open(bundle), ["existing_variation"]).write(
            variants(bundle, ("chr1", 5, "A", "G"))
        )
        assert (texts.begin.tolist(), texts.end.tolist(), texts.width) == ([0], [0], 1)
        with pytest.raises(InvalidInput, match="it was built without facts"):
            FactWriter(Knowledge.open(bundle), ["clinvar.stars"])


@pytest.mark.slow
def test_a_large_table_is_built_in_little_memory(tmp_path: Path):
    program = f"""
import random, resource
from pathlib import Path
from support.tiny_bundle import tiny_bundle
from genescale.genomics.knowledge import Column
from genescale.genomics.knowledge_build import Fact, Source, build_facts
draw = random.Random(1)
sequence = "".join(draw.choices("ACGT", k=3_000_000))
path = tiny_bundle(Path({str(tmp_path)!r}), {{"1": sequence}})
after = dict(zip("ACGT", "CGTA"))
columns = (Column("rs", "u4", ""), Column("af", "f4", ""), Column("label", "text", ""))
def facts(count):
    for i in range(count):
        p = draw.randrange(1, len(sequence))
        yield Fact(i, "1", p, sequence[p - 1], after[sequence[p - 1]], (i, i / count, f"label {{i % 1000}}"))
def peak(count):
    build_facts(path, Source("big", "1", "", "", "", columns), facts(count), memory_bytes=16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
few = peak(300_000)
print(few, peak(1_200_000))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    few, many = (int(word) for word in done.stdout.split())
    assert many < few + 150_000, "kB"

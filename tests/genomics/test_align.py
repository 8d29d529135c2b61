"""Raw DNA at the door of `align`: where a query lies, what differs, and when nothing may be claimed."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import seed_index
from genescale.genomics.align import Aligner, Answer, Options, Placement, place, variants_of
from genescale.genomics.bundle import Bundle
from genescale.genomics.dna import letters, read_dna, reverse_complement
from genescale.genomics.seed_index import build_seeds
from support.tiny_bundle import tiny_bundle


def drawn(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


ONE = drawn(1, 60_000)
TWICE = drawn(2, 3_000)
LONG_A, CA = "G" + "A" * 60 + "C", "G" + "CA" * 40 + "T"
UNKNOWN = 500
TWO = "".join(
    (drawn(3, 8_000), TWICE, drawn(4, 4_000), TWICE, drawn(5, 3_000), LONG_A, drawn(6, 300), CA, drawn(7, 2_000))
)
TWO += "N" * UNKNOWN + drawn(8, 2_000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("align"), {"chr1": ONE, "chr2": TWO}))


@pytest.fixture(scope="module")
def aligner(bundle: Bundle) -> Aligner:
    return Aligner(bundle)


def asked(aligner: Aligner, text: str) -> Answer:
    return aligner.place_one(read_dna(text)[0])


def other_strand(text: str) -> str:
    return letters(reverse_complement(read_dna(text)[0].codes))


def other_base(base: str) -> str:
    return "ACGT"["ACGT".index(base) - 1]


def changed(text: str, at: int) -> str:
    return text[:at] + other_base(text[at]) + text[at + 1 :]


def edits(placement: Placement) -> list[tuple[int, str, str]]:
    return [(call.position, call.ref, call.alt) for call in placement.variants]


def only(answer: Answer) -> Placement:
    assert answer.outcome == "placed", answer
    (placement,) = answer.placements
    return placement


# ---- where it lies ----


@pytest.mark.parametrize("length", [30, 31, 75, 301, 2_001, 60_000])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_stretch_of_the_reference_is_found(aligner: Aligner, length: int, reverse: bool):
    text = ONE[-length:]
    found = only(asked(aligner, other_strand(text) if reverse else text))
    assert (found.contig, found.start, found.end) == ("chr1", 60_001 - length, 60_000)
    assert found.strand == ("-" if reverse else "+")
    assert (found.query_start, found.query_end, found.identity, found.variants) == (1, length, 1.0, ())


def test_a_short_query_is_found_with_a_change_in_its_middle(aligner: Aligner):
    text = changed(ONE[5_000:5_030], 15)
    found = only(asked(aligner, text))
    assert edits(found) == [(5_016, ONE[5_015], text[15])]
    assert (found.variants[0].query_start, found.variants[0].query_end) == (16, 16)


def test_query_positions_are_those_of_the_query_as_given(aligner: Aligner):
    text = other_strand(changed(ONE[5_000:5_200], 50))
    found = only(asked(aligner, "ACGT" * 4 + text))
    assert (found.strand, found.query_start, found.query_end) == ("-", 17, 216)
    assert found.variants[0].query_start == 16 + 150
    assert edits(found) == [(5_051, ONE[5_050], other_base(ONE[5_050]))]


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        (
            ONE[100:129],
            "too_short",
            "29 known bases are too few to place uniquely, 30 are needed; it occurs exactly 1 time",
        ),
        (TWICE[100:120], "too_short", "occurs exactly 2 times"),
        (drawn(96, 25), "too_short", "occurs exactly 0 times"),
        (ONE[100:107], "too_short", "7 known bases"),
        (ONE[100:125] + "N" * 50, "too_short", "25 known bases"),
        ("N" * 200, "no_bases", "no base but N"),
        ("", "no_bases", "no base"),
        ("A" * 300, "too_repetitive", "repeats 1 base over and over"),
        ("CAG" * 100, "too_repetitive", "repeats 3 bases over and over"),
        (drawn(99, 150), "not_found", "resembles it"),
        (drawn(98, 5_000), "not_found", "resembles it"),
        (drawn(97, 100_000), "not_found", "resembles it"),
    ],
)
def test_where_no_place_may_be_claimed(aligner: Aligner, text: str, outcome: str, reason: str):
    answer = aligner.place_one(read_dna(">q\n" + text)[0])
    assert answer.outcome == outcome
    assert reason in answer.reason
    assert answer.placements == ()
    assert answer.variants == []
    assert answer.references == ("tiny",)
    assert answer.unexplained == (((1, len(text)),) if text else ())


def test_a_miss_tells_its_best_partial_hit(aligner: Aligner):
    text = drawn(50, 100) + ONE[7_000:7_016] + drawn(51, 100)
    answer = asked(aligner, text)
    assert answer.outcome == "not_found"
    assert answer.best_partial is not None
    assert (answer.best_partial.start, answer.best_partial.contig) == (7_001, "chr1")
    assert "covers 16 of 216 bases with 100% identity" in answer.reason


def test_two_places_are_both_told_and_no_variant_called(aligner: Aligner, bundle: Bundle):
    text = changed(TWICE[500:900], 200)
    answer = asked(aligner, text)
    assert answer.outcome == "ambiguous"
    assert "it fits 2 places" in answer.reason
    (found,) = answer.placements
    (other,) = found.alternatives
    assert {found.start, other.start} == {8_501, 15_501}
    assert found.variants == ()
    (called,) = place(bundle, read_dna(text), Options(call_ambiguous=True))[0].placements
    assert edits(called) == [(called.start + 200, TWICE[700], text[200])]


def test_a_copy_with_its_own_surroundings_is_unambiguous(aligner: Aligner):
    assert only(asked(aligner, TWO[14_700:16_000])).start == 14_701


@pytest.mark.parametrize(("share", "outcome"), [(0.03, "placed"), (0.10, "placed"), (0.22, "low_identity")])
def test_differences_are_called_only_where_most_agrees(aligner: Aligner, share: float, outcome: str):
    draw = random.Random(7)
    text = "".join(other_base(base) if draw.random() < share else base for base in ONE[20_000:23_000])
    answer = asked(aligner, text)
    assert answer.outcome == outcome
    if outcome == "low_identity":
        assert answer.variants == []
        assert answer.best_partial is not None
        assert answer.best_partial.identity < 0.85


def test_the_next_best_place_is_told(aligner: Aligner, tmp_path: Path):
    copy = list(ONE[30_000:30_600])
    for at in range(10, 600, 30):
        copy[at] = other_base(copy[at])
    with Bundle.open(tiny_bundle(tmp_path, {"1": ONE[29_000:31_000] + "".join(copy) + drawn(72, 500)})) as bundle:
        found = only(Aligner(bundle).place_one(read_dna(ONE[30_000:30_600])[0]))
    assert (found.start, found.alternatives) == (1_001, ())
    assert found.next_best is not None
    assert (found.next_best.start, found.next_best.end) == (2_001, 2_600)
    assert found.next_best.identity == pytest.approx(580 / 600)
    assert only(asked(aligner, ONE[30_000:30_600])).next_best is None


def test_the_best_of_several_bundles(aligner: Aligner, bundle: Bundle, tmp_path: Path):
    foreign = drawn(70, 500)
    with Bundle.open(tiny_bundle(tmp_path, {"X": drawn(71, 900) + foreign + ONE[900:1_400]}, name="more")) as more:
        there, both = place([bundle, more], read_dna(f">a\n{foreign}\n>b\n{ONE[1_000:1_200]}\n"))
    assert (only(there).reference, only(there).contig, only(there).start) == ("more", "X", 901)
    assert both.outcome == "ambiguous"
    assert {both.placements[0].reference, both.placements[0].alternatives[0].reference} == {"tiny", "more"}


# ---- parts ----


def test_half_of_a_query_is_placed_and_the_rest_told(aligner: Aligner):
    answer = asked(aligner, ONE[1_000:1_300] + other_base(ONE[1_300]) + drawn(60, 299))
    assert (answer.outcome, answer.unexplained) == ("partial", ((301, 600),))
    assert "300 of 600 bases are not explained by tiny" in answer.reason


def test_parts_in_two_places_on_two_strands(aligner: Aligner):
    answer = asked(aligner, ONE[1_000:1_300] + other_strand(TWO[500:900]))  # two bases are at home in both
    assert answer.outcome == "partial"
    first, second = answer.placements
    assert (first.contig, first.start, first.strand, first.query_start) == ("chr1", 1_001, "+", 1)
    assert (second.contig, second.end, second.strand, second.query_end) == ("chr2", 902, "-", 700)


def test_an_inversion_is_a_part_of_its_own(aligner: Aligner):
    answer = asked(aligner, ONE[1_000:2_000] + other_strand(ONE[2_000:2_500]) + ONE[2_500:3_500])
    outer, inner = answer.placements
    assert (outer.start, outer.end, outer.strand) == (1_001, 3_500, "+")
    assert [u.reason for u in outer.uncalled] == ["dissimilar"]
    assert (inner.start, inner.end, inner.strand) == (2_001, 2_500, "-")
    assert answer.unexplained == ()


# ---- variants ----


def test_a_deletion_of_kilobases_is_one_variant(aligner: Aligner):
    found = only(asked(aligner, ONE[1_000:1_075] + ONE[6_075:6_150]))
    ((position, ref, alt),) = edits(found)
    assert ONE[: position - 1] + alt + ONE[position - 1 + len(ref) :] == ONE[:1_075] + ONE[6_075:]
    assert len(ref) == 5_001


def test_an_insertion_of_kilobases_is_one_variant(aligner: Aligner):
    new = drawn(61, 3_000)
    found = only(asked(aligner, ONE[1_000:1_300] + new + ONE[1_300:1_600]))
    ((position, ref, alt),) = edits(found)
    assert ONE[: position - 1] + alt + ONE[position - 1 + len(ref) :] == ONE[:1_300] + new + ONE[1_300:]


def test_a_replaced_stretch_is_one_variant_and_not_chance_matches(aligner: Aligner):
    found = only(asked(aligner, ONE[1_000:1_300] + drawn(62, 80) + ONE[2_000:2_300]))
    ((position, ref, alt),) = edits(found)
    assert 1_300 <= position <= 1_305
    assert abs(len(ref) - 700) < 10
    assert abs(len(alt) - 80) < 10


def test_a_deletion_too_large_for_one_placement_makes_two(aligner: Aligner):
    answer = asked(aligner, ONE[1_000:1_300] + ONE[31_300:31_600])
    assert [p.start for p in answer.placements] == [1_001, 31_301]


@pytest.mark.parametrize(("outside", "called"), [(1, False), (7, False), (8, True), (20, True)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_difference_near_an_end_needs_an_anchor(aligner: Aligner, outside: int, called: bool, reverse: bool):
    text = changed(ONE[1_000:1_150], 149 - outside)
    found = only(asked(aligner, other_strand(text) if reverse else text))
    assert (found.start, found.end) == (1_001, 1_150)
    assert len(found.variants) == called
    assert [(u.reason, u.start, u.end) for u in found.uncalled] == (
        [] if called else [("unanchored_end", 1_150 - outside, 1_150 - outside)]
    )
    reason = asked(aligner, text).reason
    assert reason == ("" if called else "not called (1): too few matching bases between it and the end of the query")


def test_a_repeat_cut_by_the_end_of_the_query_calls_nothing(aligner: Aligner):
    at = TWO.index(LONG_A) + 1
    found = only(asked(aligner, TWO[at - 100 : at] + "A" * 40 + "C" + TWO[at + 61 : at + 66]))
    assert found.variants == ()


def test_a_change_of_a_repeat_is_written_at_its_left_end(aligner: Aligner):
    at = TWO.index(LONG_A) + 1
    shorter = only(asked(aligner, TWO[at - 100 : at] + TWO[at + 5 : at + 160]))
    assert edits(shorter) == [(at, "GAAAAA", "G")]
    at = TWO.index(CA) + 1
    longer = only(asked(aligner, TWO[at - 100 : at] + "CACACA" + TWO[at : at + 180]))
    assert edits(longer) == [(at, "G", "GCACACA")]


def test_a_gap_moves_left_of_a_change_inside_the_same_repeat(aligner: Aligner):
    at = TWO.index(CA) + 1
    repeat = "CA" * 39
    text = TWO[at - 100 : at] + repeat[:30] + "T" + repeat[31:] + TWO[at + 80 : at + 180]
    found = only(asked(aligner, text))
    assert edits(found) == [(at, "GCA", "G"), (at + 33, "C", "T")]


def test_n_calls_nothing_and_matches_anything(aligner: Aligner):
    text = changed(ONE[1_000:1_250], 200)
    found = only(asked(aligner, text[:100] + "N" * 50 + text[150:]))
    assert edits(found) == [(1_201, ONE[1_200], text[200])]
    assert found.identity == pytest.approx(249 / 250)


def test_an_iupac_letter_is_a_candidate(aligner: Aligner):
    letter = {frozenset("AG"): "R", frozenset("CT"): "Y", frozenset("AC"): "M", frozenset("GT"): "K"}
    base = ONE[1_100]
    two = next(pair for pair in letter if base in pair)
    ((call),) = only(asked(aligner, ONE[1_000:1_100] + letter[two] + ONE[1_101:1_200])).variants
    assert (call.position, call.ref, {call.ref, call.alt}, call.candidate) == (1_101, base, set(two), True)
    two = next(pair for pair in letter if base not in pair)
    calls = only(asked(aligner, ONE[1_000:1_100] + letter[two] + ONE[1_101:1_200])).variants
    assert [(c.ref, c.alt, c.candidate) for c in calls] == [(base, alt, True) for alt in sorted(two)]


def test_unknown_bases_inside_an_insertion_are_told(aligner: Aligner):
    found = only(asked(aligner, ONE[1_000:1_100] + "NNRNN" + ONE[1_100:1_200]))
    assert [call for call in found.variants if not call.candidate] == []
    assert [u.reason for u in found.uncalled] == ["query_unknown"]


def test_an_unknown_stretch_of_the_reference_is_told(aligner: Aligner):
    at = TWO.index("N" * UNKNOWN)
    found = only(asked(aligner, TWO[at - 300 : at] + drawn(63, UNKNOWN) + TWO[at + UNKNOWN : at + UNKNOWN + 300]))
    assert found.variants == ()
    assert {u.reason for u in found.uncalled} == {"reference_unknown"}


def test_lower_case_and_u_do_not_matter(aligner: Aligner):
    answer = asked(aligner, ONE[1_000:1_100].lower().replace("t", "u"))
    assert only(answer).start == 1_001
    assert answer.uracil == ONE[1_000:1_100].count("T")


def test_calls_become_variants(aligner: Aligner, bundle: Bundle):
    text = changed(ONE[1_000:1_200], 50)
    text = text[:120] + text[123:]
    rows = variants_of([asked(aligner, text)], bundle)
    assert rows.count == 2
    assert rows.position.tolist()[0] == 1_051
    assert rows.contig.tolist() == [0, 0]
    assert rows.record.tolist() == [0, 1]
    assert rows.flags.tolist() == [0, 0]


def test_no_alleles_are_printed(aligner: Aligner):
    answer = asked(aligner, changed(ONE[1_000:1_200], 50))
    assert "ref" not in repr(answer.variants[0])
    assert "alt=" not in repr(answer)


def applied(reference: str, placement: Placement) -> str:
    """The reference's stretch with all variants of the placement put in."""
    at, parts = placement.start - 1, []
    spans = []
    for position, ref, alt in edits(placement):
        shared = int(ref[0] == alt[0] and len(ref) != len(alt))
        spans.append((position - 1 + shared, position - 1 + len(ref), alt[shared:]))
    for start, end, alt in sorted(spans):
        assert at <= start
        parts += [reference[at:start], alt]
        at = end
    return "".join([*parts, reference[at : placement.end]])


change = st.one_of(
    st.tuples(st.just(1), st.text(alphabet="ACGT", min_size=1, max_size=1)),
    st.tuples(st.integers(0, 12), st.text(alphabet="ACGT", max_size=12)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([("chr1", 3_000), ("chr1", 40_000), ("chr2", 17_900), ("chr2", 18_300), ("chr2", 200)]),
    st.integers(120, 900),
    st.lists(st.tuples(st.integers(25, 800), change), max_size=6),
    st.booleans(),
)
def test_the_variants_turn_the_reference_into_the_query(
    aligner: Aligner,
    where: tuple[str, int],
    length: int,
    planted: list[tuple[int, tuple[int, str]]],
    reverse: bool,
):
    reference = ONE if where[0] == "chr1" else TWO
    text = reference[where[1] : where[1] + length]
    for at, (size, new) in sorted(planted, reverse=True):
        if at + size + 25 < length:
            text = text[:at] + new + text[at + size :]
    answer = asked(aligner, other_strand(text) if reverse else text)
    if answer.outcome in ("low_identity", "too_repetitive"):
        return
    assert answer.outcome in ("placed", "partial", "ambiguous")
    for found in answer.placements:
        if not found.uncalled and not found.ambiguous:
            own = other_strand(text) if reverse else text
            own = own[found.query_start - 1 : found.query_end]
            assert applied(reference, found) == (own if found.strand == "+" else other_strand(own))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ACGTN", max_size=30), st.integers(1, 40), st.text(alphabet="ACGTRYN", max_size=300))
def test_any_query_gets_a_typed_answer(aligner: Aligner, unit: str, times: int, rest: str):
    (answer,) = aligner.place(read_dna(">q\n" + unit * times + rest))
    assert answer.outcome in (
        ["placed", "partial", "ambiguous", "low_identity", "not_found", "too_short", "too_repetitive", "no_bases"]
    )
    assert (answer.outcome == "placed") <= bool(answer.placements)
    assert answer.outcome == "placed" or answer.reason


# ---- the index ----


def test_seeds_are_kept_in_the_bundle_and_leave_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tiny_bundle(tmp_path, {"chr1": ONE})
    with Bundle.open(folder) as bundle:
        digest = bundle.digest
        before = place(bundle, read_dna(ONE[200:400]))
    monkeypatch.setattr(seed_index, "UNINDEXED_BASES", 0)
    with Bundle.open(folder) as bundle, pytest.raises(InvalidInput, match="reference build --align") as caught:
        Aligner(bundle)
    assert caught.value.code == "no_seeds"
    build_seeds(folder)
    with Bundle.open(folder) as bundle:
        assert bundle.digest == digest
        assert place(bundle, read_dna(ONE[200:400])) == before


def test_an_interval_over_the_origin_of_a_circle(tmp_path: Path):
    circle = drawn(80, 5_000)
    with Bundle.open(tiny_bundle(tmp_path, {"MT": circle})) as bundle:
        aligner = Aligner(bundle)
        found = only(asked(aligner, circle[-150:] + circle[:250]))
        assert (found.start, found.end, found.strand) == (4_851, 250, "+")
        for turn in (0, 1, 137, 2_500, 4_999):
            text = changed(circle, 1_000)
            text = text[turn:] + text[:turn]
            for reverse in (False, True):
                found = only(asked(aligner, other_strand(text) if reverse else text))
                assert (found.start, found.end) == (turn + 1, turn or 5_000)
                assert edits(found) == [(1_001, circle[1_000], other_base(circle[1_000]))]
        cut = only(asked(aligner, circle[3_000:-3] + circle[2:2_000]))
        assert cut.variants == ()
        assert [(u.reason, u.start, u.end) for u in cut.uncalled] == [("crosses_origin", 4_998, 2)]


def test_regions_of_a_chromosome_keep_its_positions(tmp_path: Path):
    with Bundle.open(
        tiny_bundle(tmp_path, {"7:5001-9000": ONE[:4_000], "7:90001-91000": ONE[50_000:51_000]})
    ) as bundle:
        aligner = Aligner(bundle)
        found = only(asked(aligner, changed(ONE[100:300], 50)))
        assert (found.contig, found.start, found.end) == ("7", 5_101, 5_300)
        assert edits(found) == [(5_151, ONE[150], other_base(ONE[150]))]
        edge = asked(aligner, ONE[3_900:4_050])
        assert (edge.placements[0].end, edge.unexplained) == (9_000, ((101, 150),))


@pytest.mark.slow
def test_time_is_bounded_for_any_query(aligner: Aligner):
    """Twenty microseconds for each base and a second: three times the worst that was found, for a busy machine."""
    draw = random.Random(12)
    pieces = [ONE[i : i + 500] for i in range(0, 60_000, 500)]
    kinds = {
        "random": drawn(90, 1_000_000),
        "one base": "A" * 1_000_000,
        "unknown": "N" * 1_000_000,
        "copies": "".join("".join(other_base(b) if draw.random() < 0.1 else b for b in TWICE) for _ in range(200)),
        "shuffled": "".join(draw.choices(pieces, k=1_000)),
        "broken": "".join(piece[:100] + drawn(i, 100) for i, piece in enumerate(pieces * 8)),
        "far": "".join(other_base(b) if draw.random() < 0.2 else b for b in ONE),
        "short": TWO[11_000:11_300] + drawn(91, 60),
    }
    for kind, text in kinds.items():
        began = time.process_time()
        asked(aligner, text)
        assert time.process_time() - began < 1 + 20e-6 * len(text), kind
